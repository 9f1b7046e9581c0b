"""What tests of hostile actors measure: how long the event loop was held, and how much memory the host took."""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

STATUS = Path("/proc/self/status")
SCHEDULED = Path("/proc/thread-self/schedstat")
needs_proc = pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc")


class Measures:
    """The worst that was seen while it was watched."""

    def __init__(self) -> None:
        gc.collect()
        self.began = self._peak = resident()
        self.gap = 0.0
        """Seconds that the event loop did not come round."""

    @property
    def growth(self) -> int:
        """Megabytes that the process took beyond what it had."""
        return self._peak - self.began

    def look(self, since: float) -> None:
        """Look again; the last time was at `since`."""
        self.gap, self._peak = max(self.gap, now() - since), max(self._peak, resident())


def now() -> float:
    """Seconds on a clock that stands still while this thread could run and the system lets others: what holds the loop
    then is whatever else the machine does.
    """
    waited = int(SCHEDULED.read_text().split()[1]) / 1e9 if SCHEDULED.exists() else 0.0
    return time.monotonic() - waited


def resident() -> int:
    """Megabytes that the process has in memory of its own: pages of the guest's snapshot are the system's, once for all."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("RssAnon")), 0)


@asynccontextmanager
async def watched() -> AsyncIterator[Measures]:
    """Measures the process and its loop while it is open."""
    measures, last = Measures(), now()

    async def watch() -> None:
        nonlocal last
        while True:
            last = now()
            await anyio.sleep(0.01)
            measures.look(last)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        yield measures
        measures.look(last)  # the loop may have been held until this very moment
        tasks.cancel_scope.cancel()
