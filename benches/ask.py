"""Ask a live actor and wait for the reply, one after another; a Python child on a pipe, asked the same, as the peer."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from benches._rounds import each
from benches._values import Bench, Do, Goal, Here, Rounds, Row, monty, ours, size
from capsule import Runtime, actor, task

COUNT = size(100, quick=10)

CHILD = """
import json, sys
def add(number):
    return number + 1
for line in sys.stdin:
    args, kwargs = json.loads(line)
    print(json.dumps(add(*args, **kwargs)), flush=True)
"""
PLAIN = """
def main(number):
    return int(number) + 1
"""


@actor(compute="LOW", ram="64MB")
class Adder:
    def add(self, number: int) -> int:
        return number + 1


@task(compute="LOW", ram="64MB")
def add(number: int) -> int:
    return number + 1


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """An actor, and a task that is one."""
    async with Runtime() as runtime:
        actor, task = await runtime.spawn(Adder), await runtime.spawn(add)
        assert await actor.add(1) == await task(1) == 2
        yield {"ask": each(actor.add, COUNT), "ask-task": each(task, COUNT)}


@asynccontextmanager
async def child() -> AsyncIterator[Rounds]:
    """The same function in a plain Python process: no sandbox, no limits, no supervision."""
    async with await anyio.open_process([sys.executable, "-c", CHILD], stderr=None) as process:
        lines = BufferedByteReceiveStream(process.stdout)

        async def ask(number: int) -> None:
            await process.stdin.send(json.dumps([[number], {}]).encode() + b"\n")
            assert json.loads(await lines.receive_until(b"\n", 1000)) == number + 1

        await ask(0)
        yield {"ask": each(ask, COUNT), "ask-task": each(ask, COUNT)}
        await process.stdin.aclose()


GOAL = Goal(bound=0.15, of="value")
ROWS = {"ask": Do(way="ask", count=COUNT, args=("1",), unit=1000)}

BENCH = Bench(
    rows=(
        Row(
            key="ask", what="ask a live actor and get the reply", unit="ms", against="Python child on a pipe", goal=GOAL
        ),
        Row(
            key="ask-task",
            what="the same with a task that lives",
            unit="ms",
            against="Python child on a pipe",
            goal=GOAL,
        ),
    ),
    contenders=(*ours(capsule), Here(name="Python child on a pipe", open=child), monty(ROWS, main=PLAIN)),
    rounds=20,
)
