"""What a guest may burn, and when it has to come back: told to its code, and read from it.

There are two of them. Where the guest's code counts for itself (see `_guest/merging/metering`), both are numbers in a
cell of memory beside it, which we read and write. Elsewhere the engine counts, with its fuel and its epochs.
"""

from __future__ import annotations

import ctypes
import threading
from abc import ABC, abstractmethod
from typing import Final

from . import bindings as c
from .handles import take_error

FUEL_SLICE: Final = 50_000_000
"""Fuel after which a guest comes back even within one epoch, about 5 ms."""

FUEL_HERE: Final = 1_000_000
"""The same for the first slice of a message on the event loop: some half a millisecond."""

FIRST_EPOCHS: Final = 10
"""Epochs that the first slice of a message may take, and the first after each wait; the others take one. A guest that
is cut goes behind everything that is new, and keeps its memory meanwhile. Much of what passes is not its own time: its
host calls wait for the interpreter lock, and its thread for a processor. With two, of three hundred guests with one
host call each, most were cut, and none ended before the last had begun. One that computes is cut by FUEL_SLICE."""

EPOCHS_HERE: Final = 2
"""The same on the event loop. Not one: the thread that counts epochs waits for the interpreter lock, which the loop
gives away when it polls, so one of them most often ends just then."""

CELL_SIZE: Final = 16
"""Bytes of a cell, as its guest knows it: what is left of the slice, and below 0 if we want it back."""

_LINE: Final = 64  # bytes of a cache line, which two guests must not share: each of them writes all the time


_YES = ctypes.create_string_buffer(b"1")


class FuelSpent(Exception):
    """The guest has burnt all that it was given."""


class Epochs:
    """The epochs of one engine, and who runs in them. Any thread may ask; one begins them."""

    def __init__(self) -> None:
        self.count = 0
        """How many have begun; counted before they do."""
        self.running: dict[int, CellMeter] = {}
        """By the thread that polls it."""

    def begin(self) -> None:
        """Whoever has run for as many as it may comes back."""
        self.count += 1
        for meter in list(self.running.values()):
            meter.look_up(self.count)


class Meter(ABC):
    """Fuel and slices of one guest. One thread at a time, which is the one that polls it."""

    @abstractmethod
    def renew(self, fuel: int, *, is_here: bool = False) -> None:
        """What the guest may burn from now on, and a whole slice to begin with: epochs went by while it was idle.

        A short one if it `is_here`, on the event loop.
        """

    @abstractmethod
    def begin_slice(self) -> None:
        """A whole slice: with a deadline that passed while the guest waited, it would come back at its first check,
        and go behind all others.
        """

    @abstractmethod
    def leave_here(self) -> None:
        """The slice on the event loop is over, and the message is not: the next ones are whole ones."""

    @abstractmethod
    def yield_after(self, fuel: int) -> None:
        """How much the guest may burn in one slice."""

    @abstractmethod
    def fuel_left(self) -> int:
        """What it has not burnt yet."""

    @abstractmethod
    def checkpoint(self) -> int:
        """The guest says that its slice is over. Answers where it says whether it may go on, for `bindings.IS_TEXT`.
        Raises FuelSpent.
        """

    def enter(self) -> None:  # noqa: B027 - most have nothing to do
        """The guest is about to run on this thread."""

    def leave(self) -> None:  # noqa: B027
        """It came back."""


class CellMeter(Meter):
    """For a guest whose code counts. Its cell is the guest's second memory."""

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs
        self._room = ctypes.create_string_buffer(3 * _LINE)
        self.address = -(-ctypes.addressof(self._room) // _LINE) * _LINE
        self._left = ctypes.c_int64.from_address(self.address)
        self._wanted = ctypes.c_int64.from_address(self.address + 8)
        self._may_go_on = ctypes.c_uint8.from_address(self.address + CELL_SIZE)
        """Behind what the guest can touch: whether its call of `checkpoint` is over."""
        self._reserve = 0
        self._slice = FUEL_SLICE
        self._deadline = 0

    def renew(self, fuel: int, *, is_here: bool = False) -> None:
        self._reserve = fuel
        self._left.value = 0
        self._slice = FUEL_HERE if is_here else FUEL_SLICE
        self._begin(EPOCHS_HERE if is_here else FIRST_EPOCHS)

    def begin_slice(self) -> None:
        self._begin(FIRST_EPOCHS)

    def leave_here(self) -> None:
        self.yield_after(FUEL_SLICE)

    def yield_after(self, fuel: int) -> None:
        self._slice = fuel
        self._split()

    def fuel_left(self) -> int:
        return max(0, self._reserve + self._left.value)

    def enter(self) -> None:
        self._may_go_on.value = 1
        self._epochs.running[threading.get_ident()] = self

    def leave(self) -> None:
        del self._epochs.running[threading.get_ident()]

    def look_up(self, epoch: int) -> None:
        """An epoch has begun, as another thread says: the guest must come back if it was its last."""
        if epoch >= self._deadline:
            self._wanted.value = -1

    def checkpoint(self) -> int:
        """It may go on when it is polled the next time."""
        if self._reserve + self._left.value < 0:
            raise FuelSpent
        self._begin(1)
        self._may_go_on.value = 0
        return self.address + CELL_SIZE

    def _begin(self, epochs: int) -> None:
        self._deadline = self._epochs.count + epochs
        self._wanted.value = 0
        self._split()

    def _split(self) -> None:
        whole = self._reserve + self._left.value
        self._left.value = min(whole, self._slice)
        self._reserve = whole - self._left.value


class EngineMeter(Meter):
    """For a guest whose fuel the engine counts.

    Compiled code keeps its count in a register then and only writes it back now and then; in a tight loop FUEL_SLICE is
    when, so that is how exact the count is of a guest that was ended in the middle. For one that answered it is exact.
    """

    def __init__(self, context: c.Pointer, epochs: Epochs) -> None:
        self._context, self._epochs = context, epochs
        # The header declares an error for this one, but the function returns nothing: what comes back is noise.
        c.context_yield_at_epoch(context, 1)
        self._interval = self._since = 0

    def renew(self, fuel: int, *, is_here: bool = False) -> None:
        self._since = self._epochs.count  # before the deadline: one that is over by then is never missed
        c.context_set_epoch_deadline(self._context, EPOCHS_HERE if is_here else FIRST_EPOCHS)
        self.yield_after(FUEL_HERE if is_here else FUEL_SLICE)
        _check(c.context_set_fuel(self._context, fuel))

    def begin_slice(self) -> None:
        c.context_set_epoch_deadline(self._context, FIRST_EPOCHS)

    def leave_here(self) -> None:
        """If it did not end with an epoch.

        None may have begun since its deadline was set: on a busy machine the deadline may be over as the slice begins.
        Compiled code that came back for an epoch has its fuel in a register, and would write an old count over ours.
        """
        if self._epochs.count == self._since:
            self.yield_after(FUEL_SLICE)

    def yield_after(self, fuel: int) -> None:
        """Not while a call came back for an epoch."""
        if fuel != self._interval:
            _check(c.context_yield_at_fuel(self._context, fuel))
            self._interval = fuel

    def fuel_left(self) -> int:
        left = ctypes.c_uint64()
        _check(c.context_get_fuel(self._context, ctypes.byref(left)))
        return left.value

    def checkpoint(self) -> int:
        """Its code has none; a program may call it all the same, and goes on at once."""
        return ctypes.addressof(_YES)


def _check(error: c.Pointer) -> None:
    if error:
        raise RuntimeError(take_error(error))
