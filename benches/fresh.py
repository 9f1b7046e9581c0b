"""A fresh sandbox from call to value: one after another, of a program that imports, and five hundred at once."""

from __future__ import annotations

import json
import tempfile
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
IMPORTS = f"""
import argparse, csv, decimal, difflib, pathlib, statistics, uuid, zipfile
import xml.etree.ElementTree
{PLAIN}"""


def as_task(source: str) -> str:
    """The program with its main as a task of both capsule's and capsule-run's."""
    declared = 'from capsule import task\n@task(name="main", compute="LOW", ram="64MB")'
    return source.replace("\ndef main", f"\n{declared}\ndef main")


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
    with tempfile.TemporaryDirectory() as folder:
        importing = Path(folder) / "importing.py"
        importing.write_text(as_task(IMPORTS), "utf-8")
        async with Runtime() as runtime:
            yield await rounds_of(runtime, importing)


async def rounds_of(runtime: Runtime, importing: Path) -> Rounds:
    """What a runtime does, once each has run."""

    async def one(number: int) -> None:
        assert await runtime.run(answer, number) == number

    async def imports(number: int) -> None:
        assert await runtime.run(importing, number) == number

    async def at_once() -> list[float]:
        began = time.perf_counter()
        results = [outcome.unwrap() async for outcome in runtime.map(answer, range(AT_ONCE), limit=AT_ONCE)]
        seconds = time.perf_counter() - began
        assert results == list(range(AT_ONCE))
        return [seconds / AT_ONCE * 1000]

    await one(0)
    await imports(0)
    return {"fresh": each(one, COUNT), "imports": each(imports, COUNT), "at-once": at_once}


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
    "imports": Do(way="each", count=COUNT, args=("1",), first=("1",), program="imports", unit=1000),
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
            key="imports",
            what="the same of a program that imports nine modules of the library",
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
        capsule_run(ROWS, main=as_task(PLAIN), imports=as_task(IMPORTS)),
        monty({key: do for key, do in ROWS.items() if key != "imports"}, main=PLAIN),  # it has none of these modules
        cpython(
            ROWS | {"at-once": msgspec.structs.replace(ROWS["at-once"], count=AT_ONCE // 10)},
            main=PLAIN,
            imports=IMPORTS,
        ),
    ),
    rounds=10,
)
