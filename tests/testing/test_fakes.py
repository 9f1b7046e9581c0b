"""What the fakes add to the contract: a clock that stands still, and guests that end in every way."""

from __future__ import annotations

import json

import anyio
import pytest

import capsule.testing
from capsule.abc import Ending, Limits
from capsule.testing import FakeClock, FakeEngine, FakeGuest, RecordingListener

LIMITS = Limits(fuel=1000, ram=1 << 26, max_output=100, max_message=1000)


async def ending_of(script, *, clock: FakeClock | None = None, timeout: float = 60) -> Ending:
    """How one call of `script` ends."""
    async with FakeEngine({"f": script}, clock=clock) as engine:
        sandbox = engine.open(LIMITS, RecordingListener())
        return await sandbox.call('{"function": "f", "call": [[], {}]}', timeout=timeout)


def test_exports() -> None:
    """`__all__` is what there is, in order."""
    exported = capsule.testing.__all__
    assert exported == sorted(exported, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert all(hasattr(capsule.testing, name) for name in exported)


async def test_the_clock_stands_still() -> None:
    """Sleepers wake when the clock is moved far enough, the earliest first, and see the new time."""
    clock, history = FakeClock(), []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        history.append((seconds, clock.time()))

    async with anyio.create_task_group() as tasks:
        for seconds in (3, 1, 2):
            tasks.start_soon(sleep, seconds)
        await anyio.wait_all_tasks_blocked()
        assert (history, clock.sleeping) == ([], 3)
        clock.advance(1)
        await anyio.wait_all_tasks_blocked()
        assert (history, clock.sleeping) == ([(1, 1.0)], 2)
        clock.advance(2)
    assert sorted(history) == [(1, 1.0), (2, 3.0), (3, 3.0)]


async def test_a_cancelled_sleep_leaves_no_trace() -> None:
    """The clock forgets who stopped waiting."""
    clock = FakeClock()
    with anyio.move_on_after(0):
        await clock.sleep(5)
    await clock.sleep(0)
    assert clock.sleeping == 0
    clock.advance(10)


async def test_a_timeout_without_waiting() -> None:
    """Timeouts and sleeps of guests count on the engine's clock."""
    clock = FakeClock()

    async def sleep(guest: FakeGuest) -> None:
        await guest.sleep(100)

    async with anyio.create_task_group() as tasks:

        async def move() -> None:
            await anyio.wait_all_tasks_blocked()
            clock.advance(60)

        tasks.start_soon(move)
        assert (await ending_of(sleep, clock=clock)).error_type == "timeout"


@pytest.mark.parametrize(
    ("do", "error_type", "fuel"),
    [
        (lambda guest: guest.burn(999), None, 999),
        (lambda guest: guest.burn(2000), "fuel_exhausted", 1000),
        (lambda guest: guest.end("memory_exhausted"), "memory_exhausted", 0),
        (lambda guest: guest.end("trap", "it broke"), "trap", 0),
    ],
)
async def test_endings(do, error_type: str | None, fuel: int) -> None:
    """A script can end as any real guest ends, and is charged what it burnt."""

    async def script(guest: FakeGuest) -> None:
        try:
            do(guest)
        except Exception as error:
            raise AssertionError("an ending is no Exception") from error

    ending = await ending_of(script)
    assert (ending.error_type, ending.fuel_consumed) == (error_type, fuel)


async def test_memory() -> None:
    """The peak is reported; beyond the limit there is a MemoryError, which is an answer."""

    async def script(guest: FakeGuest) -> None:
        guest.use_ram(2 << 20)
        guest.use_ram(1 << 20)
        guest.use_ram(1 << 30)

    reply = json.loads((await ending_of(script)).reply or "")
    assert (reply["error"]["kind"], reply["pages"]) == ("memory_exhausted", 32)


async def test_a_function_that_nobody_scripted() -> None:
    """A name without a script fails as it would in a real guest."""
    async with FakeEngine({}) as engine:
        sandbox = engine.open(LIMITS, RecordingListener())
        ending = await sandbox.call('{"function": "f", "call": [[], {}]}', timeout=1)
    assert json.loads(ending.reply or "")["error"]["exception"] == "AttributeError"


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    """Leaving the engine by an exception does not wrap it."""
    with pytest.raises(ZeroDivisionError):
        async with FakeEngine({}):
            _ = 1 / 0


async def test_a_cancelled_block_waits_for_its_scripts() -> None:
    """Scripts are ended and have cleaned up before a cancelled block is left."""
    history = []

    async def script(guest: FakeGuest) -> None:
        try:
            await guest.hang()
        finally:
            history.append("clean")

    with anyio.CancelScope() as scope:
        async with FakeEngine({"f": script}) as engine, anyio.create_task_group() as tasks:
            sandbox = engine.open(LIMITS, RecordingListener())
            tasks.start_soon(lambda: sandbox.call('{"function": "f", "call": [[], {}]}', timeout=60))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert (history, sandbox.is_closed) == (["clean"], True)


async def test_a_host_call_that_the_script_gives_up() -> None:
    """Cancelling a host call inside the guest gives it up, and the guest goes on."""
    heard = RecordingListener()

    async def script(guest: FakeGuest) -> str:
        with anyio.move_on_after(0):
            await guest.host_call("slow")
        return "goes on"

    async with FakeEngine({"f": script}) as engine:
        sandbox = engine.open(LIMITS, heard)
        ending = await sandbox.call('{"function": "f", "call": [[], {}]}', timeout=60, is_last=True)
        await heard.wait_for("closed")
    assert json.loads(ending.reply or "")["ok"] == "goes on"
    assert heard.history == [("submit", 1, "slow", "null"), ("cancel", 1), ("closed",)]
