"""A message and every task that it called, directly or not: what they may hold of the host together.

Depth alone does not bound a program: a thousand calls at each of eight levels would be more than any host can hold,
waiting ones included.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Denied

MOST_OPEN_CALLS = 10_000
"""Host calls that a message and all its sub-tasks together may have open: each costs the host some kilobytes."""


class Family:
    """Counts the live descendants of one message, against `max_subtasks`, and the host calls they have open."""

    def __init__(self, max_subtasks: int) -> None:
        self.max_subtasks = max_subtasks
        self.live = 0
        self._open_calls = 0

    @contextmanager
    def child(self) -> Iterator[None]:
        """Holds for as long as one descendant lives. Raises Denied when there are too many."""
        if self.live >= self.max_subtasks:
            raise Denied(f"more than {self.max_subtasks} live sub-tasks", "a larger max_subtasks in the Policy")
        self.live += 1
        try:
            yield
        finally:
            self.live -= 1

    def begin_call(self) -> bool:
        """Count one more host call, which is ended by `end_call`. False if there are too many."""
        if self._open_calls >= MOST_OPEN_CALLS:
            return False
        self._open_calls += 1
        return True

    def end_call(self) -> None:
        """One that was begun has ended."""
        self._open_calls -= 1
