"""How late a guest is stopped after its timeout: a busy one, a sleeping one, and a busy one among a hundred."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio

from benches._values import Bench, Do, Goal, Rounds, Row, capsule_run, monty, ours, size
from capsule import Policy, Runtime, task

TIMEOUT = 0.1
COUNT = size(20, quick=3)
CROWD = size(100, quick=5)

PLAIN = """
def main(_):
    while True:
        pass
"""
CAPSULE_RUN = """
from capsule import task
@task(name="main", compute="HIGH", ram="64MB", timeout="100ms")
def main(seconds=""):
    while seconds:
        pass
"""


@task(timeout="100ms", compute="HIGH")
def spin() -> None:
    while True:
        pass


@task(timeout="100ms")
def doze() -> None:
    import time

    time.sleep(60)


@task(timeout="600s", compute="HIGH", ram="64MB")
def spin_long() -> None:
    while True:
        pass


async def lateness(kind: object, crowd: int) -> list[float]:
    """Milliseconds beyond the timeout, start included, with `crowd` other busy guests."""
    samples = []
    async with Runtime(policy=Policy(compute="HIGH")) as runtime:
        others = [await runtime.spawn(spin_long) for _ in range(crowd)]
        await anyio.sleep(0.01 * crowd)  # until all of them have started
        for _ in range(COUNT):
            outcome = await (await runtime.spawn(kind)).outcome()
            assert outcome.error.error_type == "timeout", outcome
            samples.append(outcome.execution.duration_ms - TIMEOUT * 1000)
        for ref in others:
            ref.kill()
    return samples


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """A runtime for each round."""
    yield {
        "stop": partial(lateness, spin, 0),
        "stop-asleep": partial(lateness, doze, 0),
        "stop-crowd": partial(lateness, spin, CROWD),
    }


DO = Do(way="late", count=COUNT, args=(str(TIMEOUT),), unit=1000)


def row(key: str, what: str, goal: Goal | None = None) -> Row:
    """All of them are told alike."""
    return Row(key=key, what=f"how late {what} is stopped after its timeout", unit="ms", statistic="p99", goal=goal)


BENCH = Bench(
    rows=(
        row("stop", "a busy loop", Goal(bound=10, of="value")),
        row("stop-asleep", "a sleeping guest"),
        row("stop-crowd", f"a busy loop among {CROWD} others"),
    ),
    contenders=(*ours(capsule), capsule_run({"stop": DO}, main=CAPSULE_RUN), monty({"stop": DO}, main=PLAIN)),
)
