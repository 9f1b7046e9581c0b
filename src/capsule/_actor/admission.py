"""Who may start a sandbox now, and who waits: a cap on live sandboxes and on the memory they may take.

Nobody is refused; those who do not fit wait in order. A sandbox that waits for a task it called holds its own
place meanwhile, so a family could wait for itself for ever. That is why each place has a lane: one child at a
time goes ahead in its parent's lane, beyond the caps, and at most `max_depth` such children can be live for each
place. Everything here runs on the event loop and decides without waiting; only `enter` waits. No step looks at
all who wait: a guest can make them many.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

import anyio
import anyio.lowlevel
import msgspec

from ..errors import InvalidPolicy
from ..policy import format_size

log = logging.getLogger("capsule")

PATIENCE = 10.0
"""Seconds of waiting for a place after which the log says so."""


class Place(msgspec.Struct, eq=False):
    """A place that one live sandbox holds."""

    ram: int
    lane_of: Place | None = None
    lane_is_taken: bool = False
    waiting: OrderedDict[_Waiter, None] | None = None
    """The children of this place that wait, in order, if there ever were any."""

    def queue(self) -> OrderedDict[_Waiter, None]:
        """Where its children wait."""
        if self.waiting is None:
            self.waiting = OrderedDict()
        return self.waiting


class _Waiter(msgspec.Struct, eq=False):
    ram: int
    parent: Place | None
    place: Place | None = None
    admitted: anyio.Event = msgspec.field(default_factory=anyio.Event)


class Admission:
    """Hands out places. `max_memory` (bytes) bounds the sum of what the sandboxes may take, not what they do take."""

    def __init__(self, max_sandboxes: int, max_memory: int) -> None:
        self.max_sandboxes, self.max_memory = max_sandboxes, max_memory
        self.live = 0
        self.memory = 0
        self._waiters: OrderedDict[_Waiter, None] = OrderedDict()
        self._has_complained = False
        self.on_shortage: Callable[[], object] = lambda: None
        """Called when somebody has to wait, and each time a place came free and was not enough: whoever holds a
        place that it does not need may give it up."""

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
        await anyio.lowlevel.checkpoint_if_cancelled()
        if not self._waiters and self._has_room(ram):
            return self._taken(ram)
        waiter = _Waiter(ram, parent)
        self._join(waiter)
        try:
            with anyio.move_on_after(PATIENCE):
                await waiter.admitted.wait()
            if waiter.place is None:
                self._complain()
                await waiter.admitted.wait()
        except BaseException:
            self._withdraw(waiter)
            raise
        assert waiter.place is not None
        return waiter.place

    def _complain(self) -> None:
        """Say once why nothing happens: waiting for a place has no limit of its own."""
        if not self._has_complained:
            self._has_complained = True
            log.warning(
                "%d wait for a place for more than %g s: %d sandboxes live (max_sandboxes=%d), with %s of ram together "
                "(max_memory=%s); stop what is idle, or raise the limit that is used up",
                *(self.waiting, PATIENCE, self.live, self.max_sandboxes),
                *(format_size(self.memory), format_size(self.max_memory)),
            )

    def leave(self, place: Place) -> None:
        """Give a place back."""
        if place.lane_of is not None:
            place.lane_of.lane_is_taken = False
            self._admit_child(place.lane_of)
        else:
            self.live -= 1
            self.memory -= place.ram
            self._admit_front()
        if self._waiters:
            self.on_shortage()

    def _join(self, waiter: _Waiter) -> None:
        """At the end of the queue, and out of it at once if there is room or the parent's lane is free."""
        self._waiters[waiter] = None
        if waiter.parent is not None:
            waiter.parent.queue()[waiter] = None
        self._admit_front()
        if waiter.place is None and waiter.parent is not None:
            self._admit_child(waiter.parent)
        if waiter.place is None:
            self.on_shortage()

    def _withdraw(self, waiter: _Waiter) -> None:
        if waiter.place is not None:  # cancelled in the moment of being admitted
            self.leave(waiter.place)
        else:
            self._forget(waiter)
            self._admit_front()  # it may have been the one that did not fit

    def _forget(self, waiter: _Waiter) -> None:
        del self._waiters[waiter]
        if waiter.parent is not None:
            del waiter.parent.queue()[waiter]

    def _admit_front(self) -> None:
        """Admit from the front until one does not fit: nobody overtakes it, or large ones would starve."""
        while self._waiters:
            waiter = next(iter(self._waiters))
            if not self._has_room(waiter.ram):
                return
            self._admit(waiter, self._taken(waiter.ram))

    def _admit_child(self, parent: Place) -> None:
        """Admit the first child that waits for `parent`'s lane, if it is free."""
        if parent.waiting and not parent.lane_is_taken:
            parent.lane_is_taken = True
            child = next(iter(parent.waiting))
            self._admit(child, Place(child.ram, lane_of=parent))
            self._admit_front()  # the child may have stood there, and held up those behind it

    def _has_room(self, ram: int) -> bool:
        return self.live < self.max_sandboxes and self.memory + ram <= self.max_memory

    def _taken(self, ram: int) -> Place:
        self.live += 1
        self.memory += ram
        return Place(ram)

    def _admit(self, waiter: _Waiter, place: Place) -> None:
        self._forget(waiter)
        waiter.place = place
        waiter.admitted.set()
