"""The cost model: time and memory against live sandboxes; tasks and messages a second; cores."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio

from benches._rounds import each, from_one, private_bytes
from benches._values import Bench, Do, Rounds, Row, capsule_run, ours, size
from benches.ask import Adder
from benches.fresh import PLAIN, answer, as_task
from capsule import ActorRef, Runtime

BESIDE = tuple(live // size(1, quick=100) for live in (0, 500, 1000, 2000, 4000))
AT_ONCE = (1, 2, 4, 16, 64, 256)[: size(6, quick=2)]
TASKS = size(256, quick=8)
ASKS = size(2000, quick=20)
SAMPLES = size(100, quick=5)
CORES = tuple(range(1, (os.cpu_count() or 1) + 1))

MEMORY, SPAWN, ASK = "private memory of all", "spawn one more actor", "ask one of them"
TASK_RATE, ASK_RATE, CORE_RATE = "tasks a second", "messages a second", "messages a second, 16 at once"


async def filled(runtime: Runtime, actors: list[ActorRef], upto: int) -> None:
    """Spawn idle actors until there are so many."""
    while len(actors) < upto:
        actors.append(await runtime.spawn(Adder))
        await actors[-1].result()


async def beside() -> dict[str, list[float]]:
    """What live actors cost, and what work costs beside them."""
    found: dict[str, list[float]] = {}
    async with Runtime(max_sandboxes=BESIDE[-1] + 2 * SAMPLES, max_memory="1TB") as runtime:
        await (await runtime.spawn(Adder)).stop()
        before, actors = private_bytes(os.getpid()), []

        async def spawn(_: int) -> None:
            await filled(runtime, actors, len(actors) + 1)

        for live in BESIDE:
            await filled(runtime, actors, live)
            found[f"{MEMORY}-{live}"] = [(private_bytes(os.getpid()) - before) / 2**30]
            found[f"{SPAWN}-{live}"] = await each(spawn, SAMPLES)()
            found[f"{ASK}-{live}"] = await each(actors[-1].add, SAMPLES)()
    return found


async def rate(call: Callable[[int], Awaitable[object]], at_once: int, count: int) -> list[float]:
    """Calls a second, with so many of them on their way at any time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await call(number)

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(work)
    return [count / (time.perf_counter() - began)]


async def asked(runtime: Runtime, at_once: int) -> list[float]:
    """Messages a second, each of those at once to an actor of its own."""
    actors: list[ActorRef] = []
    await filled(runtime, actors, at_once)
    try:
        return await rate(lambda number: actors[number % at_once].add(number), at_once, ASKS)
    finally:
        for ref in actors:
            ref.kill()


async def on_cores(count: int) -> list[float]:
    """The same with 16 at once, on so many cores: threads that are made now stay on them."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(allowed)[:count]))
    try:
        async with Runtime() as runtime:
            return await asked(runtime, 16)
    finally:
        os.sched_setaffinity(0, allowed)


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """All curves."""
    async with Runtime() as runtime:
        await runtime.run(answer, 0)
        keys = [f"{kind}-{live}" for live in BESIDE for kind in (MEMORY, SPAWN, ASK)]
        yield {
            **from_one(keys, beside),
            **{f"{TASK_RATE}-{count}": partial(rate, partial(runtime.run, answer), count, TASKS) for count in AT_ONCE},
            **{f"{ASK_RATE}-{count}": partial(asked, runtime, count) for count in AT_ONCE},
            **{f"{CORE_RATE}-{count}": partial(on_cores, count) for count in CORES},
        }


def curve(name: str, unit: str, axis: str, points: tuple[int, ...], rounds: int | None = None) -> list[Row]:
    """A row for each point."""
    return [Row(key=f"{name}-{at}", what=name, unit=unit, curve=name, at=at, axis=axis, rounds=rounds) for at in points]


BENCH = Bench(
    rows=(
        *curve(MEMORY, "GB", "live sandboxes", BESIDE, rounds=1),
        *curve(SPAWN, "ms", "live sandboxes", BESIDE, rounds=1),
        *curve(ASK, "ms", "live sandboxes", BESIDE, rounds=1),
        *curve(TASK_RATE, "a second", "at once", AT_ONCE),
        *curve(ASK_RATE, "a second", "at once", AT_ONCE),
        *curve(CORE_RATE, "a second", "cores", CORES),
    ),
    contenders=(
        *ours(capsule),
        capsule_run(
            {
                f"{TASK_RATE}-{count}": Do(way="rate", count=TASKS, args=(str(count),), first=("1",))
                for count in AT_ONCE
            },
            main=as_task(PLAIN),
        ),
    ),
    rounds=3,
)
