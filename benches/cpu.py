"""Guests that compute, in a fresh sandbox each: beside capsule-run and beside this Python without any sandbox."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benches._programs import CAPSULE, PROGRAMS
from benches._rounds import wall
from benches._values import Bench, Do, Goal, Here, Rounds, Row, capsule_run, monty, ours, size
from capsule import Policy, Runtime

PART = size(1, quick=50)
"""A quick run does a part of the work."""

TIMES = {name: max(1, times // PART) for name, (_, times, _) in PROGRAMS.items()}


def with_task(source: str) -> str:
    """The program with its main as a task."""
    return source.replace("def main", f"{CAPSULE}\ndef main")


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """As files, given by their paths."""
    with tempfile.TemporaryDirectory() as folder:
        async with Runtime(policy=Policy(timeout="120s", ram="256MB")) as runtime:

            def run(name: str, times: int):
                return lambda: runtime.run(Path(folder) / f"{name}_program.py", times)

            for name, (source, _, _) in PROGRAMS.items():
                (Path(folder) / f"{name}_program.py").write_text(with_task(source), "utf-8")
                await run(name, 1)()
            yield {f"cpu-{name}": wall(run(name, times), 1000) for name, times in TIMES.items()}


@asynccontextmanager
async def native() -> AsyncIterator[Rounds]:
    """In this process."""

    def run(name: str):
        space: dict = {}
        exec(PROGRAMS[name][0], space)

        async def work() -> None:
            space["main"](TIMES[name])

        return work

    yield {f"cpu-{name}": wall(run(name), 1000) for name in PROGRAMS}


ROWS = {
    f"cpu-{name}": Do(way="wall", args=(str(times),), first=("1",), program=name, unit=1000)
    for name, times in TIMES.items()
}

BENCH = Bench(
    rows=tuple(
        Row(key=f"cpu-{name}", what=what, unit="ms", against="capsule-run", goal=Goal(bound=1.0))
        for name, (_, _, what) in PROGRAMS.items()
    ),
    contenders=(
        *ours(capsule),
        capsule_run(ROWS, **{name: with_task(source) for name, (source, _, _) in PROGRAMS.items()}),
        Here(name="native CPython", open=native),
        monty(ROWS, **{name: source for name, (source, _, _) in PROGRAMS.items()}),
    ),
)
