"""How late the event loop is while a hundred guests spin; the same loop without guests as the peer."""

import time

import anyio

from benches._common import report, spread
from capsule import Policy, Runtime, task

GUESTS = 100
SECONDS = 5.0
STEP = 0.002


@task(timeout="60s", compute="HIGH")
def spin() -> None:
    while True:
        pass


async def lags() -> list[float]:
    """How much later than asked each short sleep ended."""
    samples = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        await anyio.sleep(STEP)
        samples.append(time.perf_counter() - began - STEP)
    return samples


async def with_guests() -> list[float]:
    """Lags while GUESTS guests spin."""
    async with Runtime(policy=Policy(compute=10**15)) as runtime:
        refs = [await runtime.spawn(spin) for _ in range(GUESTS)]
        await anyio.sleep(1)
        assert not any(ref.is_done for ref in refs)
        samples = await lags()
        assert not any(ref.is_done for ref in refs)
    return samples


def main() -> None:
    """Print the figures."""
    figures = {}
    for backend in ("asyncio", "trio"):
        alone, crowded = spread(anyio.run(lags, backend=backend)), spread(anyio.run(with_guests, backend=backend))
        figures[backend] = {"alone": alone, "with_guests": crowded}
    report(lag=figures, goal="p99 with 100 busy guests at most 10 ms")


if __name__ == "__main__":
    main()
