"""What a journal costs: the same tasks with one and without, in turn; and what it costs the event loop for an event."""

import tempfile
import time
from pathlib import Path

import anyio

from benches._common import report, spread
from capsule import Ended, Execution, Outcome, Runtime, Started, task
from capsule.journal import SqliteJournal

TASKS, ROUNDS = 200, 5
EVENTS = 5_000


@task(compute="LOW", ram="64MB")
def work(number: int) -> int:
    print("at work")
    return number


async def time_tasks(journal: Path | None) -> list[float]:
    """Seconds of each of some tasks, one after another."""
    samples = []
    async with Runtime(journal=journal) as runtime:
        await runtime.run(work, 0)
        for number in range(TASKS):
            began = time.perf_counter()
            await runtime.run(work, number)
            samples.append(time.perf_counter() - began)
    return samples


async def time_events(journal: Path) -> float:
    """Seconds on the event loop for one event of a task."""
    ended = Outcome(success=True, execution=Execution(task_name="work", duration_ms=5.5, fuel_consumed=1_000_000))
    async with SqliteJournal(journal) as opened:
        began = time.perf_counter()
        for number in range(EVENTS // 2):
            opened.put(Started(number=number, task_name="work"))
            opened.put(Ended(number=number, task_name="work", outcome=ended))
        return (time.perf_counter() - began) / EVENTS


def main() -> None:
    """Print the figures."""
    figures = {}
    for backend in ("asyncio", "trio"):
        off: list[float] = []
        on: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.db"
            for _ in range(ROUNDS):
                off += anyio.run(time_tasks, None, backend=backend)
                on += anyio.run(time_tasks, path, backend=backend)
            each = anyio.run(time_events, path, backend=backend)
        without, with_one = spread(off), spread(on)
        figures[backend] = {
            "off": without,
            "on": with_one,
            "ratio": round(with_one["median_ms"] / without["median_ms"], 3),
            "event_us": round(each * 1e6, 2),
        }
    report(journal=figures, tasks=TASKS, rounds=ROUNDS)


if __name__ == "__main__":
    main()
