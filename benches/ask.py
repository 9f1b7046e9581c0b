"""Ask a live actor and wait for the reply, one after another; a Python child on a pipe, asked the same, as the peer."""

import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from benches._common import report, spread
from capsule import Runtime, actor, task

BLOCKS = 20
IN_A_BLOCK = 100

CHILD = """
import json, sys
def add(number):
    return number + 1
for line in sys.stdin:
    args, kwargs = json.loads(line)
    print(json.dumps(add(*args, **kwargs)), flush=True)
"""

Ask = Callable[[int], Awaitable[int]]


@actor(compute="LOW", ram="64MB")
class Adder:
    def add(self, number: int) -> int:
        return number + 1


@task(compute="LOW", ram="64MB")
def add(number: int) -> int:
    return number + 1


@asynccontextmanager
async def child() -> AsyncIterator[Ask]:
    """The same function in a plain Python process: no sandbox, no limits, no supervision."""
    async with await anyio.open_process([sys.executable, "-c", CHILD], stderr=None) as process:
        lines = BufferedByteReceiveStream(process.stdout)

        async def ask(number: int) -> int:
            await process.stdin.send(json.dumps([[number], {}]).encode() + b"\n")
            return json.loads(await lines.receive_until(b"\n", 1000))

        yield ask
        await process.stdin.aclose()


async def block(ask: Ask) -> list[float]:
    """Seconds of each ask, after a few that do not count."""
    samples = []
    for number in range(-5, IN_A_BLOCK):
        began = time.perf_counter()
        assert await ask(number) == number + 1
        samples.append(time.perf_counter() - began)
    return samples[5:]


async def measure() -> dict[str, object]:
    """In turn, block by block, so that a slow moment of the machine is everybody's."""
    async with Runtime() as runtime, child() as piped:
        asks = {
            "actor": (await runtime.spawn(Adder)).add,
            "task": await runtime.spawn(add),
            "child_process": piped,
        }
        samples = {name: [await block(ask)] for name, ask in asks.items()}
        for _ in range(BLOCKS):
            for name, ask in asks.items():
                samples[name].append(await block(ask))
    found = {name: spread([sample for block in blocks[1:] for sample in block]) for name, blocks in samples.items()}
    quickest = {name: min(statistics.median(block) for block in blocks[1:]) for name, blocks in samples.items()}
    return {
        **{name: {**found[name], "least_median_of_a_block_ms": round(quickest[name] * 1000, 3)} for name in found},
        "actor_to_child_process": round(found["actor"]["median_ms"] / found["child_process"]["median_ms"], 2),
        "task_to_child_process": round(found["task"]["median_ms"] / found["child_process"]["median_ms"], 2),
    }


def main() -> None:
    """Print the figures."""
    figures = {backend: anyio.run(measure, backend=backend) for backend in ("asyncio", "trio")}
    report(ask=figures, goal="median of an actor at most 0.3 ms")


if __name__ == "__main__":
    main()
