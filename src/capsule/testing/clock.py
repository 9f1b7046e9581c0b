"""Time as a fake engine sees it: the event loop's own, or one that a test moves by hand."""

from __future__ import annotations

import heapq
import itertools
from typing import Protocol

import anyio
import anyio.lowlevel

__all__ = ["Clock", "FakeClock", "LoopClock"]


class Clock(Protocol):
    """What tells the time and waits for it, in seconds."""

    def time(self) -> float:
        """The time now, from an arbitrary start."""

    async def sleep(self, seconds: float) -> None:
        """Wait until `seconds` have passed; at least one checkpoint."""


class LoopClock:
    """The clock of the event loop that runs."""

    def time(self) -> float:
        """The event loop's own time."""
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        """As `anyio.sleep`."""
        await anyio.sleep(seconds)


class FakeClock:
    """A clock that stands still until `advance` moves it, so that no test has to wait.

    Wait for the others first: `await anyio.wait_all_tasks_blocked(); clock.advance(30)`.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._order = itertools.count()

    @property
    def sleeping(self) -> int:
        """How many wait for this clock."""
        return len(self._sleepers)

    def time(self) -> float:
        """Seconds that it was moved so far."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved the clock by `seconds`. Cancelling leaves no trace."""
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = (self._now + seconds, next(self._order), anyio.Event())
        heapq.heappush(self._sleepers, sleeper)
        try:
            await sleeper[2].wait()
        except BaseException:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)
            raise

    def advance(self, seconds: float) -> None:
        """Move the clock and wake whoever is due, earliest first. They run after this returns, all at the new time."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            heapq.heappop(self._sleepers)[2].set()
