"""A message that waits for its turn on the event loop belongs to its sandbox already, and a dead one leaves the loop."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import CodeType, FrameType

import anyio
import pytest

from capsule._engine.sandbox import WasmSandbox
from capsule._engine.store import GuestStore
from capsule.abc import Ending, Limits, Sandbox
from capsule.testing import RecordingListener
from engine.components import PLENTY, doing, engine_of

LIMITS = Limits(fuel=10**9, ram=1 << 26, max_output=1000, max_message=1000)
NOTHING = doing("")


async def test_one_call_at_a_time_while_it_waits_for_its_turn(tmp_path: Path) -> None:
    """Of two calls that begin in the same turn of the event loop one is refused, and the other is answered."""
    async with engine_of(NOTHING, tmp_path) as engine:
        sandbox = engine.open(LIMITS, RecordingListener())
        await sandbox.call("", timeout=PLENTY)
        ends = list[str | None]()

        async def ask() -> None:
            try:
                ends.append((await sandbox.call("", timeout=PLENTY)).reply)
            except RuntimeError as error:
                ends.append(str(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
        assert sorted(map(str, ends)) == ["", "this sandbox is at work: one call at a time"]


async def test_cancelled_while_it_waits_for_its_turn(tmp_path: Path) -> None:
    """It leaves a dead sandbox, which is closed."""
    async with engine_of(NOTHING, tmp_path) as engine:
        sandbox = engine.open(LIMITS, RecordingListener())
        await sandbox.call("", timeout=PLENTY)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await sandbox.call("", timeout=PLENTY)
        assert scope.cancelled_caught
        assert (await sandbox.call("", timeout=PLENTY)).message == "the sandbox is closed"


async def test_closed_while_it_waits_for_its_turn(tmp_path: Path) -> None:
    """It ends as cancelled."""
    async with engine_of(NOTHING, tmp_path) as engine:
        sandbox = engine.open(LIMITS, RecordingListener())
        await sandbox.call("", timeout=PLENTY)
        endings = list[Ending]()

        async def ask() -> None:
            endings.append(await sandbox.call("", timeout=PLENTY))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(_close, sandbox)
        assert endings[0].reply == "" or endings[0].error_type == "cancelled"
        assert (await sandbox.call("", timeout=PLENTY)).message == "the sandbox is closed"


async def _close(sandbox: Sandbox) -> None:
    sandbox.close()


FAILS_TWICE = doing(
    """
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (i32.eq (global.get $calls) (i32.const 2)) (then unreachable))
    """,
    declared="(global $calls (mut i32) (i32.const 0))",
)


async def test_the_loop_gives_no_memory_back(tmp_path: Path) -> None:
    """To unmap a large memory takes a while, so a sandbox that died on the event loop is freed by a carrier."""
    here = set[CodeType]()

    def look(frame: FrameType, _event: str, _what: object) -> None:
        here.add(frame.f_code)

    listener = RecordingListener()
    async with engine_of(FAILS_TWICE, tmp_path) as engine:
        sandbox = engine.open(LIMITS, listener)
        assert (await sandbox.call("", timeout=PLENTY)).reply == ""
        sys.setprofile(look)  # of this thread
        try:
            assert (await sandbox.call("", timeout=PLENTY)).error_type == "trap"
            await listener.wait_for("closed")
        finally:
            sys.setprofile(None)
    assert WasmSandbox.call.__code__ in here
    assert GuestStore.close.__code__ not in here


async def test_cancelled_twice_by_its_loop(tmp_path: Path, anyio_backend_name: str) -> None:
    """asyncio's own cancellation knows no shield: however often it comes, the guest ends before its caller goes on."""
    if anyio_backend_name != "asyncio":
        pytest.skip("trio has no such cancellation")
    async with engine_of(doing("(loop $l (br $l))"), tmp_path) as engine:
        for turns in range(6):
            listener = RecordingListener()
            sandbox = engine.open(LIMITS, listener)
            task = asyncio.ensure_future(sandbox.call("", timeout=PLENTY))
            await asyncio.sleep(0.02)
            for _ in range(3):
                task.cancel()
                for _ in range(turns):
                    await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await sandbox.call("", timeout=PLENTY)).message == "the sandbox is closed"
