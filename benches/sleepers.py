"""Sandboxes that sleep a second each, all at once: private memory of each live one, and wall time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benches._rounds import private_bytes, settle, wall
from benches._values import Bench, Do, Goal, Rounds, Row, capsule_run, ours, size
from capsule import Runtime, task

COUNT = size(1000, quick=20)
LONG = "600"
"""Seconds of a sleep that nobody waits for the end of."""

CAPSULE_RUN = """
import time
from capsule import task
@task(name="main", compute="LOW", ram="64MB", timeout="900s")
def main(seconds):
    time.sleep(float(seconds))
"""


@task(compute="LOW", ram="64MB", timeout="900s")
def doze(seconds: float) -> None:
    import time

    time.sleep(seconds)


async def memory(count: int) -> list[float]:
    """Private megabytes of each."""
    async with Runtime(max_sandboxes=count) as runtime:
        await runtime.run(doze, 0)
        before = private_bytes(os.getpid())
        refs = [await runtime.spawn(doze, float(LONG)) for _ in range(count)]
        await settle(os.getpid())
        assert not any(ref.is_done for ref in refs)
        after = private_bytes(os.getpid())
        for ref in refs:
            ref.kill()
    return [(after - before) / count / 2**20]


@asynccontextmanager
async def capsule(prefix: str, count: int) -> AsyncIterator[Rounds]:
    """Memory in a runtime of its own, and first: what was freed before would be used again and not be counted."""
    async with Runtime(max_sandboxes=count) as runtime:

        async def sleep() -> None:
            assert all([outcome.success async for outcome in runtime.map(doze, [1] * count, limit=count)])

        await runtime.run(doze, 0)
        yield {f"{prefix}-memory": partial(memory, count), f"{prefix}-wall": wall(sleep)}


def bench(prefix: str, count: int, rounds: int) -> Bench:
    """For so many sleepers."""
    return Bench(
        rows=(
            Row(
                key=f"{prefix}-memory",
                what=f"private memory of each of {count:,} live sandboxes that sleep",
                unit="MB",
                against="capsule-run",
                goal=Goal(bound=1.1, of="value"),
                rounds=1,
            ),
            Row(
                key=f"{prefix}-wall",
                what=f"{count:,} sandboxes that sleep a second, from the first start to the last end",
                unit="s",
                against="capsule-run",
                goal=Goal(bound=0.8),
            ),
        ),
        contenders=(
            *ours(partial(capsule, prefix, count)),
            capsule_run(
                {
                    f"{prefix}-memory": Do(way="memory", count=count, args=(LONG,), first=("0",), unit=2**-20),
                    f"{prefix}-wall": Do(way="wall", count=count, args=("1",), first=("0",)),
                },
                main=CAPSULE_RUN,
            ),
        ),
        rounds=rounds,
    )


BENCH = bench("sleepers", COUNT, rounds=5)
