"""Messages that an application sends near Python's limit of recursion, where functions that C calls have no frames."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from capsule._engine.linker import CALLS
from capsule.abc import Limits
from capsule.testing import RecordingListener
from engine.components import PLENTY, Call, calling, engine_of

LIMITS = Limits(fuel=10**9, ram=1 << 26, max_output=1000, max_message=1000)
WRITE = Call(
    '(func (param "stream" u8) (param "text" string))',
    "(param i32 i32 i32)",
    "(i32.const 1) (i32.const 0) (i32.const 1)",
)
NEXT = Call(
    '(func (param "seconds" f64) (result (tuple u64 string)))', "(param f64 i32)", "(f64.const 0) (i32.const 64)"
)


@pytest.mark.parametrize(("item", "how"), [("write", WRITE), ("next", NEXT)], ids=["write", "next"])
async def test_a_message_is_answered_or_too_deep(tmp_path: Path, item: str, how: Call) -> None:
    """It is answered, or it is a RecursionError where it was sent: it never fails in between, and always ends."""
    ends = set()
    async with engine_of(calling(CALLS, item, how), tmp_path) as engine:
        for frames in range(0, sys.getrecursionlimit(), 9):
            sandbox = engine.open(LIMITS, RecordingListener())
            assert (await sandbox.call("", timeout=PLENTY)).reply == ""

            async def deep(left: int, sandbox=sandbox) -> str:
                if left:
                    return await deep(left - 1)
                return (await sandbox.call("", timeout=PLENTY)).message

            with anyio.fail_after(PLENTY), suppress(RecursionError):
                ends.add(await deep(frames))
            sandbox.close()
    assert ends == {""}
