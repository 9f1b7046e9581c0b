"""A fresh sandbox from call to value: one after another, and five hundred at once."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from benches._floor import bare
from benches._rounds import each
from benches._values import Bench, Do, Goal, Here, Rounds, Row, capsule_run, cpython, monty, ours, size
from capsule import Runtime, task
from capsule._engine.engine import WasmEngine
from capsule.abc import Limits
from capsule.guest import ensure_guest

COUNT = size(50, quick=5)
AT_ONCE = size(500, quick=20)

PLAIN = """
def main(number):
    return number
"""
CAPSULE_RUN = f"""
from capsule import task
@task(name="main", compute="LOW", ram="64MB"){PLAIN}"""


@task(compute="LOW", ram="64MB")
def answer(number: int) -> int:
    return number


REQUEST = json.dumps(
    {"program": {"path": "main.py", "source": PLAIN}, "function": "main", "call": [[1], {}]},
)
"""What the guest is handed below the runtime."""


class Nobody:
    """Listens to a sandbox that does not speak."""

    def on_submit(self, ticket: int, operation: str, payload: str) -> None: ...
    def on_cancel(self, ticket: int) -> None: ...
    def on_output(self, stream: str, text: str) -> None: ...
    def on_closed(self) -> None: ...


@asynccontextmanager
async def runtime() -> AsyncIterator[Rounds]:
    """Through a runtime."""
    async with Runtime() as runtime:

        async def one(number: int) -> None:
            assert await runtime.run(answer, number) == number

        async def at_once() -> list[float]:
            began = time.perf_counter()
            results = [outcome.unwrap() async for outcome in runtime.map(answer, range(AT_ONCE), limit=AT_ONCE)]
            seconds = time.perf_counter() - began
            assert results == list(range(AT_ONCE))
            return [seconds / AT_ONCE * 1000]

        await one(0)
        yield {"fresh": each(one, COUNT), "at-once": at_once}


@asynccontextmanager
async def engine() -> AsyncIterator[Rounds]:
    """The same without a runtime: instantiate, call, close."""
    guest = await ensure_guest()
    limits = Limits(fuel=10**8, ram=64 << 20, max_output=1 << 20, max_message=1 << 24)
    async with WasmEngine(Path(guest.file), min_ram=guest.min_ram) as engine:

        async def one(_: int) -> None:
            ending = await engine.open(limits, Nobody()).call(REQUEST, timeout=30, is_last=True)
            assert ending.reply, ending

        await one(0)
        yield {"fresh": each(one, COUNT)}


@asynccontextmanager
async def floor() -> AsyncIterator[Rounds]:
    """The same on one thread that does nothing else."""
    with bare(Path((await ensure_guest()).file), REQUEST) as one:
        yield {"fresh": each(one, COUNT)}


ROWS = {
    "fresh": Do(way="each", count=COUNT, args=("1",), first=("1",), unit=1000),
    "at-once": Do(way="at_once", count=AT_ONCE, args=("1",), first=("1",), unit=1000),
}
"""What peers do."""

BENCH = Bench(
    rows=(
        Row(
            key="fresh",
            what="a fresh sandbox, call to value, one after another",
            unit="ms",
            against="capsule-run",
            goal=Goal(bound=0.7),
        ),
        Row(
            key="at-once",
            what=f"the same, {AT_ONCE} at once, each",
            unit="ms",
            against="capsule-run",
            goal=Goal(bound=0.6),
            rounds=5,
        ),
    ),
    contenders=(
        *ours(runtime),
        Here(name="capsule's engine alone", open=engine),
        Here(name="wasmtime, bare", open=floor),
        capsule_run(ROWS, main=CAPSULE_RUN),
        monty(ROWS, main=PLAIN),
        cpython(ROWS | {"at-once": msgspec.structs.replace(ROWS["at-once"], count=AT_ONCE // 10)}, main=PLAIN),
    ),
    rounds=10,
)
