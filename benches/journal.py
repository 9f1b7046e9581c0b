"""What a journal costs: the same tasks with one and without, in turn; and what it costs the event loop for an event."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from benches._rounds import each
from benches._values import Bench, Here, Rounds, Row, size
from capsule import Ended, Execution, Outcome, Runtime, Started, task
from capsule.journal import SqliteJournal

TASKS = size(50, quick=5)
EVENTS = size(5_000, quick=100)


@task(compute="LOW", ram="64MB")
def work(number: int) -> int:
    print("at work")
    return number


async def time_events(path: Path) -> list[float]:
    """Microseconds on the event loop for one event of a task."""
    ended = Outcome(success=True, execution=Execution(task_name="work", duration_ms=5.5, fuel_consumed=1_000_000))
    async with SqliteJournal(path) as opened:
        began = time.perf_counter()
        for number in range(EVENTS // 2):
            opened.put(Started(number=number, task_name="work"))
            opened.put(Ended(number=number, task_name="work", outcome=ended))
        return [(time.perf_counter() - began) / EVENTS * 1e6]


@asynccontextmanager
async def tasks(with_one: bool) -> AsyncIterator[Rounds]:
    """Through a runtime with a journal, or without."""
    with tempfile.TemporaryDirectory() as folder:
        async with Runtime(journal=Path(folder) / "trace.db" if with_one else None) as runtime:
            await runtime.run(work, 0)
            rounds = {"journal": each(lambda number: runtime.run(work, number), TASKS)}
            if with_one:
                rounds["journal-event"] = partial(time_events, Path(folder) / "events.db")
            yield rounds


BENCH = Bench(
    rows=(
        Row(key="journal", what="a task that is written to a journal", unit="ms", against="no journal"),
        Row(key="journal-event", what="one event, on the event loop", unit="us"),
    ),
    contenders=(
        Here(name="capsule", is_ours=True, open=partial(tasks, with_one=True)),
        Here(name="no journal", open=partial(tasks, with_one=False)),
        Here(name="capsule on trio", is_ours=True, open=partial(tasks, with_one=True), loop="trio"),
        Here(name="no journal, on trio", open=partial(tasks, with_one=False), loop="trio"),
    ),
    rounds=10,
)
