"""Guests without a limit of fuel: none is told, and they are held to everything else."""

from __future__ import annotations

from capsule import Outcome, Policy, Runtime, task
from capsule.abc import FAMILY_SPENT


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


async def test_no_fuel_is_counted() -> None:
    """More than LOW, and than nothing at all, is burnt by a task without a limit, and none is told."""
    done = await outcome(count, 3_000_000)
    assert (done.result, done.execution.fuel_consumed) == (3_000_000, 0)


async def test_what_else_holds() -> None:
    """Its time ends a busy loop, and its memory is what it declared."""
    stopped, refused = await outcome(spin), await outcome(hoard)
    assert stopped.error is not None
    assert stopped.error.error_type == "timeout"
    assert refused.error is not None
    assert refused.error.exception == "MemoryError"


async def test_a_ceiling_counts() -> None:
    """Under a ceiling, and in a family with a limit, what has no limit is counted and ends with the fuel."""
    cut = await outcome(count, 10**9, ceiling=Policy(compute="LOW"))
    assert cut.error is not None
    assert (cut.error.error_type, cut.execution.fuel_consumed) == ("fuel_exhausted", 100_000_000)
    shared = await outcome(count, 10**9, policy=Policy(family_compute="LOW"))
    assert shared.error is not None
    assert (shared.error.error_type, shared.error.message) == ("fuel_exhausted", FAMILY_SPENT)


async def test_a_sub_task_without_a_limit() -> None:
    """A task with a limit calls one without: what that burns is nobody's."""
    done = await outcome(parent, 3_000_000)
    assert done.result == 3_000_000
    assert 0 < done.execution.fuel_consumed < 100_000_000


async def test_it_lives_on() -> None:
    """An actor without a limit takes message after message."""
    async with Runtime() as runtime, await runtime.spawn(count, 1) as ref:
        assert [await ref(number) for number in range(20)] == list(range(20))
