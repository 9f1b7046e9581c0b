"""Live idle actors in one process: how many, their memory, what the last spawn costs, what is given back."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from benches._rounds import each, from_one, private_bytes
from benches._values import Bench, Do, Goal, Rounds, Row, capsule_run, ours, size
from benches.sleepers import CAPSULE_RUN, LONG
from capsule import ActorRef, Runtime, TaskFailed, actor

COUNT = size(10_000, quick=40)
SAMPLES = size(200, quick=10)
"""So many spawns are the first, and so many the last."""

KEYS = ("idle-reached", "idle-memory", "idle-spawn", "idle-last", "idle-ask", "idle-stop", "idle-back")


@actor(compute="LOW", ram="64MB")
class Idle:
    def __init__(self) -> None:
        self.seen = []

    def see(self, thing: str) -> int:
        self.seen.append(thing)
        return len(self.seen)


async def fill(runtime: Runtime, actors: list[ActorRef]) -> list[float]:
    """Milliseconds of each spawn, until there are COUNT or the system allows no more."""

    async def spawn(_: int) -> None:
        ref = await runtime.spawn(Idle)
        await ref.result()
        actors.append(ref)

    samples: list[float] = []
    try:
        while len(actors) < COUNT:
            samples += await each(spawn, 1)()
    except TaskFailed as error:
        if "max_map_count" not in str(error):
            raise
    return samples


async def stop(actors: list[ActorRef]) -> float:
    """Seconds to end all."""
    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for ref in actors:
            group.start_soon(ref.stop)
    return time.perf_counter() - began


async def live() -> dict[str, list[float]]:
    """Spawn until the constructor has answered, one after another; ask the first and the last; stop all."""
    me = os.getpid()
    async with Runtime(max_sandboxes=COUNT + 1, max_memory=(COUNT + 1) * (64 << 20)) as runtime:
        await (await runtime.spawn(Idle)).stop()
        before, actors = private_bytes(me), []
        spawns = await fill(runtime, actors)
        taken = private_bytes(me) - before
        asked = [actors[place] for place in (*range(SAMPLES), *range(-SAMPLES, 0))]
        asks = await each(lambda number: asked[number].see("x"), len(asked))()
        assert all(ref.state == "idle" for ref in actors), "an actor is not idle"
        seconds = await stop(actors)
        reached = len(actors)
        actors.clear()
        asked.clear()
    gc.collect()
    left = (private_bytes(me) - before) / taken
    return {
        "idle-reached": [float(reached)],
        "idle-memory": [taken / 2**30 * COUNT / reached],
        "idle-spawn": spawns[:SAMPLES],
        "idle-last": [sum(spawns[-SAMPLES:]) / sum(spawns[:SAMPLES])],
        "idle-ask": asks,
        "idle-stop": [seconds / reached * 1000],
        "idle-back": [100 * (1 - left)],
    }


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """One process that holds them all; each round begins with none."""
    yield from_one(KEYS, live)


BENCH = Bench(
    rows=(
        Row(
            key="idle-reached",
            what=f"live idle actors in one process, of {COUNT:,} wanted; vm.max_map_count bounds them",
            unit="",
            against="capsule-run",
            goal=Goal(bound=COUNT, of="value", is_least=True),
        ),
        Row(
            key="idle-memory",
            what=f"private memory of {COUNT:,} of them, by what one takes",
            unit="GB",
            goal=Goal(bound=16, of="value"),
        ),
        Row(key="idle-spawn", what=f"one of the first {SAMPLES} spawns", unit="ms"),
        Row(
            key="idle-last",
            what=f"the last {SAMPLES} spawns against the first",
            unit="x",
            goal=Goal(bound=2, of="value"),
        ),
        Row(key="idle-ask", what="the first ask of each, among all", unit="ms"),
        Row(key="idle-stop", what="to stop all, for each", unit="ms"),
        Row(
            key="idle-back",
            what="of their private memory, given back when all have ended",
            unit="%",
            goal=Goal(bound=90, of="value", is_least=True),
        ),
    ),
    contenders=(
        *ours(capsule),
        capsule_run(
            {"idle-reached": Do(way="reach", count=COUNT, args=(LONG,), first=("0",))},
            main=CAPSULE_RUN,
        ),
    ),
    rounds=1,
)
