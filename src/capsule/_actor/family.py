"""A message or an actor, and all that it calls and starts, directly or not: what they may hold of the host together.

Depth alone does not bound a program: a thousand calls at each of eight levels would be more than any host can hold,
waiting ones included.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import anyio

from .._units import UNMETERED
from ..abc import FuelAccount
from ..errors import Denied
from ..policy import Policy, format_size

MOST_OPEN_CALLS = 10_000
"""Host calls that a family may have open: each costs the host some kilobytes."""


MOST_TOOL_THREADS = 8
"""Tools in threads that a family may have at work, those that it has given up included: a thread cannot be stopped,
and one family must not have all of the runtime's."""


MOST_OPEN_REQUESTS = 20
"""HTTP requests that a family may have open at once; more wait. The host holds a body for each."""


MOST_LOOK_UPS = 4
"""Names that a family may have looked up at once: each takes a thread, which cannot be stopped."""


class Family:
    """Counts the live descendants of one message or actor, their memory, and the host calls that are open."""

    def __init__(self, policy: Policy) -> None:
        """A family with nobody in it but its root, whose limits hold for all of it."""
        self.max_subtasks = policy.max_subtasks
        self.max_ram, self.ram = policy.family_ram_bytes, policy.ram_bytes
        fuel = policy.family_fuel
        self.account = None if fuel is None or fuel >= UNMETERED else FuelAccount(fuel)
        self.live = self._text = 0
        self._max_text = policy.ram_bytes
        self._open_calls = 0

    @cached_property
    def tool_threads(self) -> anyio.CapacityLimiter:
        """Its share of the threads for tools."""
        return anyio.CapacityLimiter(MOST_TOOL_THREADS)

    @cached_property
    def open_requests(self) -> anyio.CapacityLimiter:
        """Its share of the HTTP connections."""
        return anyio.CapacityLimiter(MOST_OPEN_REQUESTS)

    @cached_property
    def look_ups(self) -> anyio.CapacityLimiter:
        """Its share of the threads that look names up."""
        return anyio.CapacityLimiter(MOST_LOOK_UPS)

    @contextmanager
    def child(self, ram: int) -> Iterator[None]:
        """Holds for as long as one descendant with a sandbox of `ram` bytes lives. Raises Denied beyond a limit."""
        self.enter(ram)
        try:
            yield
        finally:
            self.leave(ram)

    def enter(self, ram: int, text: int = 0) -> None:
        """Count one more descendant, which is taken out again by `leave`. Raises Denied beyond a limit.

        `text` is what the host keeps for it as long as it lives: together that is at most what the root may have.
        """
        if self.live >= self.max_subtasks:
            raise Denied(f"more than {self.max_subtasks} live sub-tasks", "a larger max_subtasks in the Policy")
        if self.max_ram is not None and self.ram + ram > self.max_ram:
            raise Denied(
                f"a family with more than {format_size(self.max_ram)} of ram", "a larger family_ram in the Policy"
            )
        if text and self._text + text > self._max_text:
            raise Denied("live actors with arguments of more than the ram of what started them", "a larger ram")
        self.live += 1
        self.ram += ram
        self._text += text

    def leave(self, ram: int, text: int = 0) -> None:
        """A descendant has ended."""
        self.live -= 1
        self.ram -= ram
        self._text -= text

    def begin_call(self) -> bool:
        """Count one more host call, which is ended by `end_call`. False if there are too many."""
        if self._open_calls >= MOST_OPEN_CALLS:
            return False
        self._open_calls += 1
        return True

    def end_call(self) -> None:
        """One that was begun has ended."""
        self._open_calls -= 1
