"""Two guests that compute, on two cores, against one alone: how many times the throughput."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from benches._programs import DICTS
from benches._values import Bench, Do, Goal, Rounds, Row, capsule_run, cpython, ours, size
from benches.cpu import with_task
from capsule import Policy, Runtime

TIMES = size(400, quick=3)
AT_ONCE = 2


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """One runtime."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dicts.py"
        file.write_text(with_task(DICTS), "utf-8")
        async with Runtime(policy=Policy(compute="HIGH", timeout="120s", ram="256MB")) as runtime:

            async def seconds(count: int) -> float:
                began = time.perf_counter()
                async with anyio.create_task_group() as group:
                    for _ in range(count):
                        group.start_soon(runtime.run, file, TIMES)
                return time.perf_counter() - began

            async def scaling() -> list[float]:
                before, together, after = await seconds(1), await seconds(AT_ONCE), await seconds(1)  # machines drift
                return [AT_ONCE * (before + after) / 2 / together]

            await seconds(AT_ONCE)
            yield {"cores": scaling}


ROWS = {"cores": Do(way="scaling", count=AT_ONCE, args=(str(TIMES),), first=("1",))}

BENCH = Bench(
    rows=(
        Row(
            key="cores",
            what="throughput of two guests that compute at once, against one alone",
            unit="x",
            goal=Goal(bound=1.7, of="value", is_least=True),
        ),
    ),
    contenders=(*ours(capsule), capsule_run(ROWS, main=with_task(DICTS)), cpython(ROWS, main=DICTS)),
)
