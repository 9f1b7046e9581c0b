"""Rounds that several benches share."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import anyio

from benches._peers.driving import private_bytes, resident_bytes, settled
from benches._values import Round, Rounds

__all__ = ["each", "from_one", "private_bytes", "resident_bytes", "settle", "wall"]


def each(call: Callable[[int], Awaitable[object]], count: int) -> Round:
    """Milliseconds of each of `count` calls, one after another."""

    async def one_after_another() -> list[float]:
        samples = []
        for number in range(count):
            began = time.perf_counter()
            await call(number)
            samples.append((time.perf_counter() - began) * 1000)
        return samples

    return one_after_another


def wall(work: Callable[[], Awaitable[object]], unit: float = 1.0) -> Round:
    """Seconds that one piece of work takes, in `unit`s a second."""

    async def timed() -> list[float]:
        began = time.perf_counter()
        await work()
        return [(time.perf_counter() - began) * unit]

    return timed


def from_one(keys: Iterable[str], work: Callable[[], Awaitable[Mapping[str, list[float]]]]) -> Rounds:
    """Rows that come out of one piece of work, which is done when a row is asked for that has none left."""
    found: dict[str, list[float]] = {}

    def round_of(key: str) -> Round:
        async def take() -> list[float]:
            if key not in found:
                found.clear()
                found.update(await work())
            return found.pop(key)

        return take

    return {key: round_of(key) for key in keys}


async def settle(process: int) -> None:
    """Wait until a process has stopped to grow."""
    await settled(lambda: resident_bytes(process), anyio.sleep)
