"""Guests that spoil the memory they were given, beside dozens that begin with the same bytes."""

from __future__ import annotations

import sys

import pytest

from capsule import Policy, Runtime
from capsule._engine.snapshot import MANY
from capsule._guest.cache import CompiledGuest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="memories are copied on Linux")]

SPOILS = """
import builtins, sys
def main():
    spoilt = 0
    for module in list(sys.modules.values()):
        for thing in [module, *vars(module).values()]:
            try: thing.spoilt = spoilt = spoilt + 1
            except Exception: pass
    for name in list(sys.modules):
        if name.startswith("json"):
            vars(sys.modules[name]).clear()
    held = bytearray(20_000_000)
    for place in range(0, len(held), 4096):
        held[place] = 255
    print(spoilt)
"""

LOOKS = """
import json, sys
def main():
    things = [thing for module in list(sys.modules.values()) for thing in (module, *vars(module).values())]
    spoilt = sum("spoilt" in getattr(thing, "__dict__", ()) for thing in things)
    return [spoilt, json.loads(json.dumps({"a": [1]})), bytes(5_000_000).count(0)]
"""

CLEAN = [0, {"a": [1]}, 5_000_000]


async def test_what_one_spoils_nobody_else_has(guest: CompiledGuest, write) -> None:
    """With some memories mapped from the file and others from its copy, live, new and used again, all begin clean."""
    spoils, looks = write("spoils.py", SPOILS), write("looks.py", LOOKS)
    async with Runtime(policy=Policy(timeout="30s"), max_sandboxes=MANY * 3) as runtime:
        live = [await runtime.spawn(spoils) for _ in range(MANY + 8)]
        assert all([int((await ref.outcome()).stdout) > 1000 for ref in live]), "nothing was spoilt"
        beside = [await (await runtime.spawn(looks)).result() for _ in range(8)]
        for ref in live:
            await ref.stop()
        after = [await runtime.run(looks) for _ in range(MANY)]
    assert beside + after == [CLEAN] * (8 + MANY)
