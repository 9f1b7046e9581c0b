"""A hundred sub-tasks that sleep half a second each, started by one task: gathered, and mapped; and from outside."""

import time

import anyio

from benches._common import report, spread
from capsule import Runtime, task

COUNT = 100
SECONDS = 0.5
ROUNDS = 5


@task(compute="LOW", ram="64MB", timeout="30s")
async def nap(seconds: float) -> float:
    import asyncio

    await asyncio.sleep(seconds)
    return seconds


@task(compute="LOW", ram="64MB", timeout="30s")
def doze(seconds: float) -> float:
    import time

    time.sleep(seconds)
    return seconds


@task(ram="64MB", timeout="60s")
async def gathered(count: int, seconds: float) -> int:
    import asyncio

    return len(await asyncio.gather(*(nap(seconds) for _ in range(count))))


@task(ram="64MB", timeout="60s")
def mapped(count: int, seconds: float) -> int:
    return len(doze.map([seconds] * count))


async def rounds(kind: object) -> list[float]:
    """Seconds from the call of the task to its value."""
    samples = []
    async with Runtime() as runtime:
        await runtime.run(kind, 1, 0)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            assert await runtime.run(kind, COUNT, SECONDS) == COUNT
            samples.append(time.perf_counter() - began)
    return samples


async def from_outside() -> list[float]:
    """The same naps without a task that starts them."""
    samples = []
    async with Runtime() as runtime:
        await runtime.run(doze, 0)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            naps = [outcome.unwrap() async for outcome in runtime.map(doze, [SECONDS] * COUNT, limit=COUNT)]
            samples.append(time.perf_counter() - began)
            assert len(naps) == COUNT
    return samples


def main() -> None:
    """Print the figures."""
    figures = {}
    for backend in ("asyncio", "trio"):
        figures[backend] = {
            "gather": spread(anyio.run(rounds, gathered, backend=backend)),
            "map": spread(anyio.run(rounds, mapped, backend=backend)),
            "from_outside": spread(anyio.run(from_outside, backend=backend)),
        }
    report(fanout=figures, count=COUNT, floor_ms=SECONDS * 1000, goal="at most 1,500 ms")


if __name__ == "__main__":
    main()
