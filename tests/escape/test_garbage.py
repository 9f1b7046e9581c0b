"""Garbage through every host call: each gets an answer, of a kind that is for guests, and costs nobody else anything."""

from __future__ import annotations

import json
import random
from typing import Any

import anyio
import pytest

from capsule import Policy, Runtime
from capsule._guest.cache import CompiledGuest
from escape.actor_programs import ACTOR, CHILD
from escape.programs import RAW

CALLS = 250

SENDS = (
    ACTOR
    + RAW
    + CHILD
    + """
import json
@task
def leaf(x=None, *, y=1): return x
@task(timeout="20s", compute="HIGH")
def main(ref, batch):
    Child()
    heard = []
    for operation, payload in batch:
        ticket = calls.submit(operation, payload)
        reply = json.loads(calls.next(10.0)[1])
        heard.append(reply["error"]["error_type"] if "error" in reply else "ok")
    return heard
"""
)

SHAPES = {
    "task": ("task", "args", "kwargs"),
    "spawn": ("actor", "args", "kwargs"),
    "ask": ("ref", "method", "args", "kwargs"),
    "tell": ("ref", "method", "args", "kwargs"),
    "stop": ("ref",),
    "tool": ("tool", "args", "kwargs"),
    "http": ("method", "url", "headers", "body", "timeout"),
    "package": ("path", "package", "name"),
}
RIGHT: dict[str, Any] = {"task": "leaf", "actor": "Child", "tool": "echo", "method": "take", "args": [], "kwargs": {}}
RIGHT |= {"ref": {"capsule:actor": 1}, "url": "http://localhost", "headers": []}
OTHERS = ("", "Task", "task\0", "__class__", "next", "write", "kill")
TEXTS = (
    "",
    "{",
    "null",
    "[]",
    '"x"',
    "{}",
    "\0",
    "nan",
    "[" * 600,
    '{"a":1}x',
    "\ufeff{}",
    '{"ref":{"\\u0063apsule:actor":1}}',
)
ATOMS = (
    *(None, True, False, 0, 1, -1, 0.5, 1e308, 2**63, 2**64, 10**40, "", "leaf", "main", "take", "__init__", "_x"),
    *("\0", "x" * 1000, "file:///etc/passwd", [], {}),
    *({"capsule:actor": number} for number in (0, 1, 2, 3, -1, True, 1.0, "1", None, [1])),
    {"capsule:actor": 1, "more": 1},
)


class Garbage:
    """Payloads: nothing like one, one with wrong values, and one that is right but for a letter."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def batch(self) -> list[tuple[str, str]]:
        operations = [self.random.choice((*SHAPES, *OTHERS)) for _ in range(CALLS)]
        return [(operation, self.payload(operation)) for operation in operations]

    def payload(self, operation: str) -> str:
        chance = self.random.random()
        if chance < 0.1:
            return self.random.choice(TEXTS)
        if chance < 0.2 or operation not in SHAPES:
            return json.dumps(self.value())
        text = json.dumps(self.message(operation))
        if self.random.random() < 0.1:
            at = self.random.randrange(len(text))
            text = text[:at] + self.random.choice('{}[],:"\\0') + text[at + 1 :]
        return text.replace("capsule", "\\u0063apsule") if self.random.random() < 0.1 else text

    def message(self, operation: str) -> dict[str, Any]:
        found = {}
        for field in SHAPES[operation]:
            chance = self.random.random()
            if chance < 0.95:
                found[field] = RIGHT[field] if chance < 0.6 and field in RIGHT else self.value()
        return found

    def value(self, depth: int = 0) -> Any:
        chance = self.random.random()
        if depth > 3 or chance < 0.6:
            return self.random.choice(ATOMS)
        parts = [self.value(depth + 1) for _ in range(self.random.randint(0, 3))]
        keys = ("a", "capsule:actor", "ref", "args", "kwargs", "")
        return parts if chance < 0.8 else {self.random.choice(keys): part for part in parts}


async def echo(x: object = None) -> object:
    return x


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_garbage(guest: CompiledGuest, write, seed: int, logged) -> None:
    """No payload of any host call is an error of the host's, goes unanswered, or harms an actor that was given."""
    file = write("a.py", SENDS)
    with anyio.fail_after(60):
        async with Runtime(tools=[echo], policy=Policy(ram="64MB")) as runtime:
            given = await runtime.spawn(f"{file}:Child")
            batch = Garbage(seed).batch()
            heard = await runtime.run(f"{file}:main", given, batch)
            kinds = {"ok", "denied", "invalid", "stopped", "tool_error", "task_error"}
            assert [pair for pair in zip(batch, heard, strict=True) if pair[1] not in kinds] == []
            assert {"ok", "denied", "invalid"} <= set(heard)
            assert await given.take() == [0, 0]
            assert len(runtime.actors()) == 1
    assert logged() == []
