"""Guests that count no fuel: they are found once, and are held to everything else."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from capsule import Outcome, Policy, Runtime, TaskFailed, task
from capsule._engine.engine import WasmEngine
from capsule._guest.cache import CompiledGuest
from capsule.abc import Limits
from capsule.errors import SetupError
from capsule.policy import UNMETERED
from capsule.testing import RecordingListener

LIMITS = Limits(fuel=UNMETERED, ram=64 << 20, max_output=1 << 16, max_message=1 << 20)
REQUEST = json.dumps(
    {"program": {"path": "a.py", "source": "def main(): return 1"}, "function": "main", "call": [[], {}]}
)


@task(compute="UNMETERED", ram="64MB", timeout="20s")
def count(number: int) -> int:
    for _ in range(number):
        pass
    return number


@task(compute="UNMETERED", ram="64MB", timeout="100ms")
def spin() -> None:
    while True:
        pass


@task(compute="UNMETERED", ram="48MB", timeout="20s")
def hoard() -> int:
    return len(b"x" * (64 << 20))


@task(compute="LOW", ram="64MB", timeout="20s")
def parent(number: int) -> int:
    return count(number)


async def outcome(task, *args, **options) -> Outcome:
    async with Runtime(**options) as runtime:
        return await (await runtime.spawn(task, *args)).outcome()


async def test_no_fuel_is_counted(unmetered: CompiledGuest) -> None:
    """More than LOW, and than nothing at all, is burnt by a task without a limit, and none is told."""
    done = await outcome(count, 3_000_000)
    assert (done.result, done.execution.fuel_consumed) == (3_000_000, 0)


async def test_what_else_holds(unmetered: CompiledGuest) -> None:
    """Its time ends a busy loop, and its memory is what it declared."""
    stopped, refused = await outcome(spin), await outcome(hoard)
    assert stopped.error is not None
    assert stopped.error.error_type == "timeout"
    assert refused.error is not None
    assert refused.error.exception == "MemoryError"


async def test_a_ceiling_counts(unmetered: CompiledGuest) -> None:
    """Under a ceiling, and in a family with a limit, what has no limit is counted and ends with the fuel."""
    cut = await outcome(count, 10**9, ceiling=Policy(compute="LOW"))
    assert cut.error is not None
    assert (cut.error.error_type, cut.execution.fuel_consumed) == ("fuel_exhausted", 100_000_000)
    shared = await outcome(count, 10**9, policy=Policy(family_compute="LOW"))
    assert shared.error is not None
    assert (shared.error.error_type, shared.error.message) == ("fuel_exhausted", "the fuel of the family is used up")


async def test_a_sub_task_without_a_limit(unmetered: CompiledGuest) -> None:
    """A task with a limit calls one without: what that burns is nobody's."""
    done = await outcome(parent, 3_000_000)
    assert done.result == 3_000_000
    assert 0 < done.execution.fuel_consumed < 100_000_000


async def test_it_lives_on(unmetered: CompiledGuest) -> None:
    """An actor without a limit takes message after message."""
    async with Runtime() as runtime, await runtime.spawn(count, 1) as ref:
        assert [await ref(number) for number in range(20)] == list(range(20))


async def test_it_is_found_once(guest: CompiledGuest, unmetered: CompiledGuest) -> None:
    """Of many that want it at once the first finds it; who counts fuel does not wait, and who gives up leaves it to
    the others."""
    asked, found = 0, anyio.Event()

    async def find() -> Path:
        nonlocal asked
        asked += 1
        await found.wait()
        return Path(unmetered.file)

    replies: list[str | None] = []

    async with WasmEngine(Path(guest.file), min_ram=guest.min_ram, find_unmetered=find) as engine:

        async def call(limits: Limits) -> None:
            ending = await engine.open(limits, RecordingListener()).call(REQUEST, timeout=20, is_last=True)
            replies.append(ending.reply and ending.reply[:8])

        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as given_up:
                given_up.start_soon(call, LIMITS)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(call, LIMITS)
            await call(Limits(fuel=10**9, ram=64 << 20, max_output=1, max_message=1 << 20))
            await anyio.wait_all_tasks_blocked()  # it may have answered before the others had a turn
            assert (replies, asked) == (['{"ok":1,'], 2)
            found.set()
    assert (replies, asked) == (['{"ok":1,'] * 4, 2)


async def test_closed_while_it_is_found(guest: CompiledGuest, unmetered: CompiledGuest) -> None:
    """A sandbox that is closed before its guest is there ends as cancelled and is told of once."""
    found, heard = anyio.Event(), RecordingListener()

    async def find() -> Path:
        await found.wait()
        return Path(unmetered.file)

    async with WasmEngine(Path(guest.file), min_ram=guest.min_ram, find_unmetered=find) as engine:
        sandbox = engine.open(LIMITS, heard)
        async with anyio.create_task_group() as tasks:

            async def call() -> None:
                assert (await sandbox.call(REQUEST, timeout=20)).error_type == "cancelled"

            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            sandbox.close()
            await heard.wait_for("closed")
            found.set()
    assert heard.count("closed") == 1


async def test_it_cannot_be_built(guest: CompiledGuest, caplog: pytest.LogCaptureFixture) -> None:
    """A guest that cannot be had fails the tasks that need it, without telling a guest why; others run."""

    async def find() -> Path:
        raise SetupError("no room on /secret/disk")

    engine = WasmEngine(Path(guest.file), min_ram=guest.min_ram, find_unmetered=find)
    async with Runtime(engine=engine) as runtime:
        with pytest.raises(TaskFailed) as caught:
            await runtime.run(parent, 1)
        assert "/secret" not in str(caught.value.outcome.error)
        assert await runtime.run(plain) == 1
    assert "the engine failed" in caplog.text


@task(compute="LOW", ram="64MB")
def plain() -> int:
    return 1
