"""What the first carrier waits for: a bell that any thread rings."""

from __future__ import annotations

import threading


class Bell:
    """One thread waits, any thread rings. A ring while nobody waits is kept for the next wait; two are one.

    It does what a condition does, with one lock in place of three.
    """

    def __init__(self) -> None:
        self._rung = threading.Lock()
        self._rung.acquire()

    def ring(self) -> None:
        """End the wait that is on, or the next one. From any thread."""
        try:
            self._rung.release()
        except RuntimeError:  # rung already
            return

    def wait(self, seconds: float) -> None:
        """Until the bell is rung, for at most `seconds`."""
        self._rung.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX))
