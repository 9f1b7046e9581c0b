"""How late the event loop is while guests spin; the same loop without guests as the floor."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from benches._values import Bench, Goal, Here, Rounds, Row, ours, size
from capsule import Policy, Printed, Runtime, task

GUESTS = size(500, quick=10)
SECONDS = size(4, quick=1)
STEP = 0.002
PATIENCE = 60.0


@task(timeout="900s", compute="HIGH", ram="64MB")
def spin() -> None:
    print("spinning")
    while True:
        pass


async def lags() -> list[float]:
    """How many milliseconds later than asked each short sleep ended."""
    samples = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        await anyio.sleep(STEP)
        samples.append((time.perf_counter() - began - STEP) * 1000)
    return samples


async def crowded() -> list[float]:
    """The same while GUESTS guests spin. They are started and ended in each round, because others measure, too."""
    waiting, all_spin = GUESTS, anyio.Event()

    def hear(event: object) -> None:
        nonlocal waiting
        waiting -= isinstance(event, Printed)
        if not waiting:
            all_spin.set()

    async with Runtime(policy=Policy(compute=10**15), on_event=hear) as runtime:
        refs = [await runtime.spawn(spin) for _ in range(GUESTS)]
        with anyio.fail_after(PATIENCE):
            await all_spin.wait()
        samples = await lags()
        assert not any(ref.is_done for ref in refs)
        for ref in refs:
            ref.kill()
    return samples


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """A runtime for each round."""
    yield {"lag": crowded}


@asynccontextmanager
async def alone() -> AsyncIterator[Rounds]:
    """No guests."""
    yield {"lag": lags}


BENCH = Bench(
    rows=(
        Row(
            key="lag",
            what=f"how late the event loop is while {GUESTS} guests spin",
            unit="ms",
            statistic="p99",
            against="a loop without guests",
            goal=Goal(bound=5, of="value"),
        ),
    ),
    contenders=(*ours(capsule), Here(name="a loop without guests", open=alone)),
)
