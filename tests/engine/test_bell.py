"""The bell of the first carrier."""

from __future__ import annotations

import math
import threading
import time

from capsule._engine.bell import Bell


def test_a_ring_is_kept() -> None:
    """Rung before anybody waits, it ends the next wait at once; rung twice, it ends one."""
    bell = Bell()
    bell.ring()
    bell.ring()
    began = time.monotonic()
    bell.wait(10)
    assert time.monotonic() - began < 5
    began = time.monotonic()
    bell.wait(0.02)
    assert time.monotonic() - began >= 0.015


def test_a_ring_from_another_thread() -> None:
    """A wait without end is ended by a ring."""
    bell = Bell()
    timer = threading.Timer(0.01, bell.ring)
    timer.start()
    bell.wait(math.inf)
    timer.join()


def test_odd_times() -> None:
    """A time that has passed is no wait; one beyond what the system can count is fine."""
    bell = Bell()
    bell.wait(-1)
    bell.wait(0)
    bell.ring()
    bell.wait(1e300)
