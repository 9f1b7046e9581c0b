"""The epoch ticker: makes running guests come back to their carrier, and rests while none runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("capsule")

PERIOD = 0.004
"""Seconds between ticks, so the longest slice of a guest. See benches/: a shorter one costs more switches than it
gains, a longer one delays the end of a busy loop."""

REST_AFTER = 25
"""Ticks without a running guest before the thread goes to rest; waking it for every short task would cost more."""


class Ticker:
    """Calls `tick` every PERIOD seconds while carriers say that guests run. Close it to end its thread."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._running = 0
        self._resting = True
        self._closed = False
        self._has_failed = False
        self._wake = threading.Event()
        self._end = threading.Lock()  # held until it is closed: to wait for it is to sleep, and to wake up then
        self._end.acquire()
        self._thread = threading.Thread(target=self._run, name="capsule-ticker", daemon=True)
        self._thread.start()

    @property
    def is_resting(self) -> bool:
        """Whether no tick happens until a guest runs again."""
        return self._resting

    def guest_enters(self) -> None:
        """A carrier is about to run a guest. Called under the carriers' lock."""
        self._running += 1
        if self._resting:
            self._resting = False
            self._wake.set()

    def guest_leaves(self) -> None:
        """A guest came back to its carrier. Called under the carriers' lock."""
        self._running -= 1

    def close(self) -> None:
        """End the thread and wait for it."""
        if not self._closed:
            self._closed = True
            self._end.release()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            self._tick_until_idle()

    def _tick_once(self) -> None:
        """Whatever goes wrong in one tick, the next comes: without them no guest would ever be interrupted."""
        try:
            self._tick()
        except Exception:
            log.log(logging.DEBUG if self._has_failed else logging.ERROR, "a tick failed", exc_info=True)
            self._has_failed = True

    def _tick_until_idle(self) -> None:
        idle = 0
        while idle < REST_AFTER and not self._closed:
            if self._end.acquire(timeout=PERIOD):
                break
            self._tick_once()
            idle = 0 if self._running else idle + 1
        # A guest that enters between the last look and this line finds `_resting` False and does not wake us, so
        # look once more after saying that we rest.
        self._resting = True
        if self._running and not self._closed:
            self._resting = False
            self._wake.set()
