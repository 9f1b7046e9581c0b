"""Hostile answers and calls: too large again and again, forged, and from a guest that patched what decides inside."""

from __future__ import annotations

import pytest

from capsule import Policy, Runtime, TaskFailed
from capsule._guest.cache import CompiledGuest
from escape.hosts import needs_proc, watched

MOST, GAP = 48, 2.0
"""Megabytes that the host may grow by, and seconds that its loop may be held, on a machine that does other things."""

SHOUTS = """
from capsule import actor
@actor(ram="96MB")
class Shouts:
    def __init__(self): self.said = 0
    def shout(self):
        self.said += 1
        return "x" * 2_000_000
    def count(self): return self.said
"""

FORGES = """
import json
from capsule import task
from capsule_sdk import _program
@task(max_retries=5)
def main(kind):
    _program.to_json = lambda value: {
        "alive": '1,"error":{"kind":"internal_error","message":"m"}',
        "loaded": '1,"loaded":false,"pages":-1',
        "huge": '"' + "y" * 200_000 + '"',
    }[kind]
    return 1
"""

PATCHES = """
import asyncio, sys
from capsule import task, TaskFailed
from capsule_sdk import _task, _wire
@task
def small(n): return n
@task
async def main():
    _task._is_in_async_code = lambda frame: 1 / 0
    _task._payload = lambda name, args, kwargs: {"task": "nobody", "args": args, "kwargs": kwargs, "policy": {"ram": "9GB"}}
    found = []
    for call in (lambda: small(1), lambda: small.map([1])):
        try: found.append(call())
        except Exception as error: found.append(type(error).__name__)
    try: _wire.call("task", {"task": "nobody", "args": [], "kwargs": {}})
    except TaskFailed as error: found.append(error.error_type)
    return found
@task
async def honest(): return await asyncio.gather(small(1), small(2))
"""


@needs_proc
async def test_too_large_again_and_again(guest: CompiledGuest, write) -> None:
    """Answers that are not taken cost the host nothing, and the actor that gives them its fuel and no more."""
    async with Runtime(policy=Policy(max_message="64KB")) as runtime:
        async with await runtime.spawn(f"{write('shouts.py', SHOUTS)}:Shouts") as actor:
            with pytest.raises(TaskFailed, match="too large"):
                await actor.shout()
            async with watched() as measures:
                for _ in range(40):
                    with pytest.raises(TaskFailed, match="too large"):
                        await actor.shout()
            assert await actor.count() == 41
        assert measures.growth < MOST, f"{measures.growth} MB"
        assert measures.gap < GAP


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [("alive", "task_error"), ("loaded", None), ("huge", "invalid")],
    ids=["alive", "loaded", "huge"],
)
async def test_forged_answers(guest: CompiledGuest, write, kind: str, error_type: str | None) -> None:
    """What a guest says of its end beyond what it can know is not believed, and the neighbour's task is well."""
    async with Runtime(policy=Policy(max_message="64KB")) as runtime:
        outcome = await (await runtime.spawn(write("forges.py", FORGES), kind)).outcome()
        assert (outcome.error.error_type if outcome.error else None) == error_type
        assert await runtime.run(write("well.py", "def main(): return 42")) == 42


async def test_a_patched_rule_of_awaiting(guest: CompiledGuest, write) -> None:
    """Which calls are awaited is decided inside; a guest that patches it breaks its own calls, and gains no task."""
    async with Runtime() as runtime:
        file = write("patches.py", PATCHES)
        assert await runtime.run(f"{file}:main") == ["ZeroDivisionError", "ZeroDivisionError", "denied"]
        assert await runtime.run(f"{file}:honest") == [1, 2]
