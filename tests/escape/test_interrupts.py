"""Signals that arrive while a guest runs on the event loop: what their handlers raise is neither lost nor fatal."""

from __future__ import annotations

import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest

from capsule import Runtime
from capsule._engine.linker import CALLS
from capsule._guest.cache import CompiledGuest
from capsule.abc import Limits
from capsule.testing import RecordingListener
from engine.components import PLENTY, Call, calling, engine_of
from escape.actor_programs import SAY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no timer that sends signals")

ROUNDS = 40
MOST_LINES = 20
HANDING_OVER = ("_make_ready", "_ring")
PERIOD = 0.0001

BUSY = {
    "prints": "for _ in range(20): calls.write(1, 'x')",
    "asks the host": "for _ in range(10): calls.cancel(calls.submit('nothing', '1'))",
    "looks for answers": "for _ in range(20): calls.next(0.0)",
    "asks for random bytes": "for _ in range(20): os.urandom(200)",
    "needs more memory": "kept.append(bytearray(300_000))",
}
"""What a method does that makes the host's functions run."""


TraceFunction = Callable[[FrameType, str, Any], Any]


class Interrupted(Exception):
    """What the handler raises, as Ctrl-C and a time limit would."""


class Interrupter:
    """Handles a signal: notes whether it came into a slice, and raises at its end, if told to."""

    def __init__(self) -> None:
        self.inside = self.heard = 0
        self.raises = False

    def __call__(self, _number: int, frame: FrameType | None) -> None:
        self.heard += 1
        is_called = False
        while frame is not None:
            file, name = frame.f_code.co_filename, frame.f_code.co_name
            self.inside += file.endswith(("_engine/callbacks.py", "_engine/memories.py")) or name == "run_here"
            is_called = is_called or name == "without_handlers"
            frame = frame.f_back
        signal.setitimer(signal.ITIMER_REAL, PERIOD)
        if self.raises and is_called:
            self.raises = False
            raise Interrupted


@contextmanager
def interrupting() -> Iterator[Interrupter]:
    """A signal again and again while it is open."""
    handler = Interrupter()
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, PERIOD)
    try:
        yield handler
    finally:
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def program(body: str) -> str:
    return f"""
import os
import capsule_sdk._streams as streams
calls, kept = streams.calls, []
@actor(ram="256MB", max_restarts=1000)
class Busy:
    def go(self):
{textwrap.indent(body, " " * 8)}
        return 1
"""


@pytest.mark.parametrize("body", BUSY.values(), ids=BUSY.keys())
async def test_no_handler_runs_inside_a_slice(guest: CompiledGuest, write, body: str) -> None:
    """A signal's handler never runs in a function that wasmtime called, and runs after it."""
    file = write("a.py", SAY + program(body))
    async with Runtime() as runtime:
        ref = await runtime.spawn(f"{file}:Busy")
        with interrupting() as handler:
            for _ in range(ROUNDS):
                assert await ref.go() == 1
    assert handler.heard
    assert not handler.inside


A = "(i32.const 1) (i32.const 0) (i32.const 1)"
WRITES = Call('(func (param "stream" u8) (param "text" string))', "(param i32 i32 i32)", A)
WRITES_OFTEN = calling(CALLS, "write", WRITES).replace(
    f"(call $item {A})",
    f"""
    (local $n i32)
    (loop $again
      (call $item {A})
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const 200))))
    """,
)
LIMITS = Limits(fuel=10**9, ram=1 << 26, max_output=1000, max_message=1000)


async def test_what_a_handler_raises_comes_out_of_the_message(tmp_path: Path) -> None:
    """It is raised where the message is awaited, once the sandbox has ended."""
    caught = 0
    async with engine_of(WRITES_OFTEN, tmp_path) as engine:
        with interrupting() as handler:
            for _ in range(ROUNDS):
                listener = RecordingListener()
                sandbox = engine.open(LIMITS, listener)
                assert (await sandbox.call("", timeout=PLENTY)).reply == ""
                handler.raises = True
                try:
                    await sandbox.call("", timeout=PLENTY)
                except Interrupted:
                    caught += 1
                    assert (await sandbox.call("", timeout=PLENTY)).message == "the sandbox is closed"
                handler.raises = False
                sandbox.close()
    assert caught
    assert not handler.inside


@contextmanager
def interrupted_at(line: int) -> Iterator[None]:
    """Raises once, before that line of those that are run to hand a job over to the carriers, counted from 0.

    Not on the line of a `with`, at whose end Python heeds no signal.
    """
    left = line

    def look(frame: FrameType, what: str, _: object) -> TraceFunction | None:
        nonlocal left
        if frame.f_code.co_name not in HANDING_OVER or left < 0:
            return None
        if what in ("line", "return"):
            left -= 1
            if left < 0:
                raise Interrupted
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)


async def test_an_interruption_while_a_message_is_handed_over(tmp_path: Path) -> None:
    """Wherever it comes, the message ends, whether a carrier had it by then or not: nobody waits for ever,
    nor until a timer happens to wake the carrier.
    """
    caught, began = 0, anyio.current_time()
    async with engine_of(WRITES_OFTEN, tmp_path) as engine:
        for line in range(MOST_LINES):
            sandbox = engine.open(LIMITS, RecordingListener())
            try:
                with interrupted_at(line):
                    await sandbox.call("", timeout=PLENTY)
            except Interrupted:
                caught += 1
                assert (await sandbox.call("", timeout=PLENTY)).message == "the sandbox is closed"
            sandbox.close()
    assert 5 < caught < MOST_LINES
    assert anyio.current_time() - began < PLENTY
