"""The curves behind the defaults: how many sandboxes may live, how many threads run them, how many memories wait."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio

from benches._rounds import from_one
from benches._values import Bench, Rounds, ours, size
from benches.ask import Adder
from benches.fresh import answer
from benches.model import curve, rate
from benches.sleepers import doze
from capsule import Policy, Runtime, task
from capsule._engine import slots
from capsule._engine.engine import WasmEngine
from capsule.guest import ensure_guest

MOST = tuple(size(number, quick=number // 50 + 1) for number in (50, 200, 500, 1000, 2000))
SLEEPERS = size(2000, quick=20)
CARRIERS = (1, 2, 3, 4)
HOT = (0, 4, 16, 64)
TASKS = size(200, quick=8)
ASKS = size(1000, quick=20)
GUESTS = 4

NAP = "naps of 20 ms a second, 48 at once"
SLEEP, LAG = "2,000 sleeps of half a second", "the loop's worst delay meanwhile"
FRESH, ASK, CPU = (
    "fresh sandboxes a second, 16 at once",
    "messages a second to 16 actors",
    "guests that compute a second",
)


@task(compute="HIGH", ram="64MB", timeout="60s")
def count_up(upto: int) -> int:
    total = 0
    for number in range(upto):
        total += number % 7
    return total


async def sleeping(most: int) -> dict[str, list[float]]:
    """How long many sleepers take where so many may live at once, and how late the event loop is meanwhile."""
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            began = time.perf_counter()
            await anyio.sleep(0.005)
            worst = max(worst, time.perf_counter() - began - 0.005)

    async with Runtime(max_sandboxes=most) as runtime:
        await runtime.run(doze, 0)
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            began = time.perf_counter()
            async for outcome in runtime.map(doze, [0.5] * SLEEPERS, limit=SLEEPERS):
                outcome.unwrap()
            seconds = time.perf_counter() - began
            group.cancel_scope.cancel()
    return {f"{SLEEP}-{most}": [seconds], f"{LAG}-{most}": [worst * 1000]}


async def carried(carriers: int) -> dict[str, list[float]]:
    """Three kinds of work with so many threads."""
    guest = await ensure_guest()
    engine = WasmEngine(Path(guest.file), min_ram=guest.min_ram, carriers=carriers)
    async with Runtime(engine=engine, policy=Policy(compute="HIGH")) as runtime:
        await runtime.run(answer, 0)
        actors = [await runtime.spawn(Adder) for _ in range(16)]
        fresh = await rate(partial(runtime.run, answer), 16, TASKS)
        asks = await rate(lambda number: actors[number % 16].add(number), 16, ASKS)
        computing = await rate(lambda _: runtime.run(count_up, size(1_000_000, quick=1000)), GUESTS, GUESTS)
    return {f"{FRESH}-{carriers}": fresh, f"{ASK}-{carriers}": asks, f"{CPU}-{carriers}": computing}


async def hot(memories: int) -> dict[str, list[float]]:
    """Tasks that overlap and end in bursts, with so many memories kept for the next ones."""
    slots.MOST_HOT = memories
    async with Runtime() as runtime:
        await runtime.run(doze, 0)
        return {f"{NAP}-{memories}": await rate(lambda _: runtime.run(doze, 0.02), 48, size(600, quick=8))}


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """A runtime for each point."""
    yield {
        **{
            key: round_
            for most in MOST
            for key, round_ in from_one((f"{SLEEP}-{most}", f"{LAG}-{most}"), partial(sleeping, most)).items()
        },
        **{
            key: round_
            for count in CARRIERS
            for key, round_ in from_one(
                (f"{FRESH}-{count}", f"{ASK}-{count}", f"{CPU}-{count}"), partial(carried, count)
            ).items()
        },
        **{
            key: round_
            for memories in HOT
            for key, round_ in from_one((f"{NAP}-{memories}",), partial(hot, memories)).items()
        },
    }


BENCH = Bench(
    rows=(
        *curve(SLEEP, "s", "max_sandboxes", MOST),
        *curve(LAG, "ms", "max_sandboxes", MOST),
        *curve(FRESH, "a second", "carriers", CARRIERS),
        *curve(ASK, "a second", "carriers", CARRIERS),
        *curve(CPU, "a second", "carriers", CARRIERS),
        *curve(NAP, "a second", "memories kept hot", HOT),
    ),
    contenders=ours(capsule),
    rounds=3,
)
