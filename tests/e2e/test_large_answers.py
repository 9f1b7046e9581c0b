"""Answers that are larger than max_message: each is refused, and costs nothing else."""

from __future__ import annotations

import pytest

from capsule import Policy, Runtime, TaskFailed
from capsule._guest.cache import CompiledGuest

POLICY = Policy(max_message="64KB")

COUNTER = """
from capsule import actor

@actor
class Counter:
    def __init__(self): self.n = 0
    def up(self):
        self.n += 1
        return self.n
    def large(self): return "x" * 100_000
"""


async def test_an_actor_lives_on(guest: CompiledGuest, write) -> None:
    """Its state is still there, and the failure says which limit it was."""
    async with (
        Runtime(policy=POLICY) as runtime,
        await runtime.spawn(f"{write('counter.py', COUNTER)}:Counter") as counter,
    ):
        assert await counter.up() == 1
        with pytest.raises(TaskFailed, match=r"the result is too large.*max_message") as failed:
            await counter.large()
        assert failed.value.error_type == "invalid"
        assert await counter.up() == 2
        assert counter.statistics().restarts == 0


async def test_a_session_keeps_its_names(guest: CompiledGuest) -> None:
    """Showing what is too large is an error of that cell."""
    async with Runtime(policy=POLICY) as runtime, await runtime.session() as session:
        await session.run("a = 5")
        found = await session.run("'x' * 100_000")
        assert (found.success, found.names_lost) == (False, False)
        assert (await session.run("a")).value == 5
