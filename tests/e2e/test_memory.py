"""A guest that runs out of memory says so, in whatever steps it does, and what comes after it is none the worse."""

from __future__ import annotations

import pytest

from capsule import Policy, Runtime
from capsule._guest.cache import CompiledGuest

NEVER_FREED = """
import gc
gc.disable()
def main(size):
    while True:
        x = []
        x.append((x, bytearray(size)))
"""
HELD = """
def fill(size):
    held = []
    while True:
        held.append(bytearray(size))
"""
SIZES = (1, 10, 100, 513, 1000, 4000, 12_345, 33_333, 100_000, 1_000_000)
PLENTY = Policy(compute="HIGH", timeout="20s")


@pytest.mark.parametrize("size", SIZES)
async def test_no_room_is_left(guest: CompiledGuest, write, size: int) -> None:
    """There is room for the answer, however small the steps were in which memory was filled."""
    async with Runtime(policy=PLENTY) as runtime:
        outcome = await (await runtime.spawn(write("leaks.py", NEVER_FREED), size)).outcome()
    assert outcome.error is not None
    assert outcome.error.error_type == "memory_exhausted", outcome.error
    assert "MemoryError" in (outcome.error.traceback or "")


@pytest.mark.parametrize("size", SIZES)
async def test_no_room_is_left_in_a_session(guest: CompiledGuest, size: int) -> None:
    """The same for code that comes in pieces; the session goes on with the names that it had."""
    async with Runtime(policy=PLENTY) as runtime, runtime.session() as session:
        await session.run(HELD)
        evaluation = await session.run(f"fill({size})")
        assert evaluation.error is not None
        assert evaluation.error.error_type == "memory_exhausted", evaluation.error
        assert evaluation.error.line in {1, None}, "CPython may have no room for a traceback's own entries"
        assert (await session.run("fill.__name__")).value == "fill"
