"""A fresh sandbox from call to value: one after another, and five hundred at once; the engine alone as the floor."""

import json
import time
from pathlib import Path

import anyio

from benches._common import report, spread
from capsule import Runtime, task
from capsule._engine.engine import WasmEngine
from capsule.abc import Limits
from capsule.guest import ensure_guest

COUNT = 400
AT_ONCE = 500


@task(compute="LOW", ram="64MB")
def answer(number: int) -> int:
    return number


class Nobody:
    """Listens to a sandbox that does not speak."""

    def on_submit(self, ticket: int, operation: str, payload: str) -> None: ...
    def on_cancel(self, ticket: int) -> None: ...
    def on_output(self, stream: str, text: str) -> None: ...
    def on_closed(self) -> None: ...


async def floor() -> list[float]:
    """The same without a runtime: instantiate, call, close."""
    guest = await ensure_guest()
    program = {"path": "answer.py", "source": "def answer(number): return number"}
    request = json.dumps({"program": program, "function": "answer", "call": [[1], {}]})
    limits = Limits(fuel=10**8, ram=64 << 20, max_output=1 << 20, max_message=1 << 24)
    samples = []
    async with WasmEngine(Path(guest.file), min_ram=guest.min_ram) as engine:
        for _ in range(COUNT):
            began = time.perf_counter()
            await engine.open(limits, Nobody()).call(request, timeout=30, is_last=True)
            samples.append(time.perf_counter() - began)
    return samples


async def one_after_another() -> list[float]:
    """Through a runtime, one call at a time."""
    samples = []
    async with Runtime() as runtime:
        await runtime.run(answer, 0)
        for number in range(COUNT):
            began = time.perf_counter()
            assert await runtime.run(answer, number) == number
            samples.append(time.perf_counter() - began)
    return samples


async def at_once() -> float:
    """Seconds for each of AT_ONCE calls that are started together."""
    async with Runtime() as runtime:
        await runtime.run(answer, 0)
        began = time.perf_counter()
        results = [outcome.unwrap() async for outcome in runtime.map(answer, range(AT_ONCE), limit=AT_ONCE)]
        seconds = time.perf_counter() - began
    assert results == list(range(AT_ONCE))
    return seconds / AT_ONCE


def main() -> None:
    """Print the figures."""
    figures = {}
    for backend in ("asyncio", "trio"):
        engine, runtime = anyio.run(floor, backend=backend), anyio.run(one_after_another, backend=backend)
        figures[backend] = {
            "engine_alone": spread(engine),
            "runtime": spread(runtime),
            "ratio_to_engine": round(spread(runtime)["median_ms"] / spread(engine)["median_ms"], 2),
            "at_once_ms_each": round(anyio.run(at_once, backend=backend) * 1000, 3),
        }
    report(fresh=figures, goal="runtime median at most 3 ms")


if __name__ == "__main__":
    main()
