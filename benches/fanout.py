"""Sub-tasks that sleep half a second each, started by one task: gathered, and mapped; and from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from benches._rounds import wall
from benches._values import Bench, Here, Rounds, Row, ours, size
from capsule import Runtime, task

COUNT = size(100, quick=5)
SECONDS = 0.5


@task(compute="LOW", ram="64MB", timeout="30s")
async def nap(seconds: float) -> float:
    import asyncio

    await asyncio.sleep(seconds)
    return seconds


@task(compute="LOW", ram="64MB", timeout="30s")
def doze(seconds: float) -> float:
    import time

    time.sleep(seconds)
    return seconds


@task(ram="64MB", timeout="60s")
async def gathered(count: int, seconds: float) -> int:
    import asyncio

    return len(await asyncio.gather(*(nap(seconds) for _ in range(count))))


@task(ram="64MB", timeout="60s")
def mapped(count: int, seconds: float) -> int:
    return len(doze.map([seconds] * count))


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """The same naps, started in three ways."""
    async with Runtime() as runtime:

        async def from_outside() -> None:
            naps = [outcome.unwrap() async for outcome in runtime.map(doze, [SECONDS] * COUNT, limit=COUNT)]
            assert len(naps) == COUNT

        await runtime.run(gathered, 1, 0)
        await runtime.run(mapped, 1, 0)
        yield {
            "fanout": wall(lambda: runtime.run(gathered, COUNT, SECONDS), 1000),
            "fanout-map": wall(lambda: runtime.run(mapped, COUNT, SECONDS), 1000),
            "fanout-outside": wall(from_outside, 1000),
        }


@asynccontextmanager
async def nothing() -> AsyncIterator[Rounds]:
    """What the sleep itself takes."""
    sleep = wall(lambda: anyio.sleep(SECONDS), 1000)
    yield dict.fromkeys(("fanout", "fanout-map", "fanout-outside"), sleep)


def row(key: str, how: str) -> Row:
    """All of them are told alike."""
    return Row(key=key, what=f"{COUNT} sub-tasks that sleep half a second, {how}", unit="ms", against="the sleep alone")


BENCH = Bench(
    rows=(
        row("fanout", "gathered by a task"),
        row("fanout-map", "mapped by a task"),
        row("fanout-outside", "mapped by the application"),
    ),
    contenders=(*ours(capsule), Here(name="the sleep alone", open=nothing)),
)
