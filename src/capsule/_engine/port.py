"""Carriers speak to the event loop through a port: many messages, one wake-up."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from .._backend import current_call_soon

log = logging.getLogger("capsule")

_MOST_AT_ONCE = 500
"""Callbacks in one turn of the loop, some milliseconds: many guests can post faster than the loop would be free."""


class LoopPort:
    """Runs callbacks on the event loop it was made on, in the order they were posted."""

    def __init__(self) -> None:
        self._call_soon = current_call_soon()
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._scheduled = False

    def post(self, callback: Callable[..., None], *args: Any) -> None:
        """Run `callback(*args)` on the event loop soon. From any thread; dropped once the loop is gone."""
        self._posted.append((callback, args))
        # Two threads may both see False and schedule twice, which costs one empty drain; the flag is cleared before
        # draining, so a message posted during a drain is either drained by it or schedules the next.
        if not self._scheduled:
            self._schedule()

    def gather(self, work: Callable[..., None], *args: Any) -> None:
        """Run `work(*args)` on the event loop; what it posts runs at its end."""
        self._scheduled = True  # nobody needs to ask the loop for a turn
        try:
            work(*args)
        finally:
            self._drain()

    def _schedule(self) -> None:
        self._scheduled = True
        with contextlib.suppress(RuntimeError):  # both loops raise it (or a subclass) when they are closed
            self._call_soon(self._drain)

    def _drain(self) -> None:
        self._scheduled = False
        try:
            for _ in range(min(len(self._posted), _MOST_AT_ONCE)):
                callback, args = self._posted.popleft()
                try:
                    callback(*args)
                except Exception:  # a bug of ours; let through, it would end all of trio, and every sandbox with it
                    log.exception("a callback of the engine failed; the others go on")
        finally:
            if self._posted and not self._scheduled:  # more than a turn's share, or Ctrl-C in the middle
                self._schedule()
