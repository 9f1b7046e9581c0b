"""Who may start a sandbox now, and who waits: a cap on live sandboxes and on the memory they may take.

Nobody is refused; those who do not fit wait in order. A sandbox that waits for a task it called holds its own
place meanwhile, so a family could wait for itself for ever. That is why each place has a lane: one child at a
time goes ahead in its parent's lane, beyond the caps, and at most `max_depth` such children can be live for each
place. Everything here runs on the event loop and decides without waiting; only `enter` waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import anyio

from ..errors import InvalidPolicy
from ..policy import format_size


@dataclass(eq=False)
class Place:
    """A place that one live sandbox holds."""

    ram: int
    lane_of: Place | None = None
    lane_is_taken: bool = False


@dataclass(eq=False)
class _Waiter:
    ram: int
    parent: Place | None
    place: Place | None = None
    admitted: anyio.Event = field(default_factory=anyio.Event)


class Admission:
    """Hands out places. `max_memory` (bytes) bounds the sum of what the sandboxes may take, not what they do take."""

    def __init__(self, max_sandboxes: int, max_memory: int) -> None:
        self.max_sandboxes, self.max_memory = max_sandboxes, max_memory
        self.live = 0
        self.memory = 0
        self._waiters: deque[_Waiter] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiters)

    def check(self, ram: int) -> None:
        """Raises InvalidPolicy if a sandbox of `ram` bytes could never be admitted."""
        if ram > self.max_memory:
            raise InvalidPolicy(
                f"ram: {format_size(ram)} is more than the runtime's max_memory of {format_size(self.max_memory)}"
            )

    async def enter(self, ram: int, parent: Place | None = None) -> Place:
        """Wait for a place for a sandbox of `ram` bytes, called from `parent`'s sandbox if there is one.

        Cancelling leaves the queue as if it had never been joined.
        """
        waiter = _Waiter(ram, parent)
        self._waiters.append(waiter)
        self._admit()
        try:
            await waiter.admitted.wait()
        except BaseException:
            self._withdraw(waiter)
            raise
        assert waiter.place is not None
        return waiter.place

    def leave(self, place: Place) -> None:
        """Give a place back."""
        if place.lane_of is not None:
            place.lane_of.lane_is_taken = False
        else:
            self.live -= 1
            self.memory -= place.ram
        self._admit()

    def _withdraw(self, waiter: _Waiter) -> None:
        if waiter.place is not None:  # cancelled in the moment of being admitted
            self.leave(waiter.place)
        else:
            self._waiters.remove(waiter)
            self._admit()  # it may have been the one that did not fit

    def _admit(self) -> None:
        """Admit from the front, and those behind it who can go ahead in their parent's lane."""
        still = deque[_Waiter]()
        is_blocked = False
        for waiter in self._waiters:
            place = self._lane(waiter) or (None if is_blocked else self._common(waiter))
            if place is None:
                is_blocked = True  # nobody overtakes the front of the queue, or large ones would starve
                still.append(waiter)
            else:
                waiter.place = place
                waiter.admitted.set()
        self._waiters = still

    def _lane(self, waiter: _Waiter) -> Place | None:
        parent = waiter.parent
        if parent is None or parent.lane_is_taken or self._fits(waiter):
            return None
        parent.lane_is_taken = True
        return Place(waiter.ram, lane_of=parent)

    def _common(self, waiter: _Waiter) -> Place | None:
        if not self._fits(waiter):
            return None
        self.live += 1
        self.memory += waiter.ram
        return Place(waiter.ram)

    def _fits(self, waiter: _Waiter) -> bool:
        return self.live < self.max_sandboxes and self.memory + waiter.ram <= self.max_memory
