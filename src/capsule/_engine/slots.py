"""Linear memories that are used again, on Linux: what makes a fresh sandbox cheap.

A sandbox begins with the guest's snapshot, mapped copy-on-write. Each page that it writes is a page fault, and these
were most of what a fresh sandbox took. So the memory of one that has ended is not thrown away: the pages that were
written, which the kernel tells us, get the snapshot's content back, and the next sandbox finds them there, without a
fault. Nothing else of a sandbox is used twice: its store, its instance and all that it knows are new.

wasmtime asks for memories through callbacks, and relies on what they promise: the address never moves, what lies
between the end of a memory and `reserved + guard` bytes can not be touched, and a memory begins with the snapshot's
bytes and zeros behind them. The guest's module has no data of its own (see `_guest/merging`).
"""

from __future__ import annotations

import array
import ctypes
import itertools
from pathlib import Path
from typing import Final

from . import address_space
from .address_space import PAGE, Copies
from .pagemap import WORDS, Pagemap, open_pagemap, room_for_ranges
from .snapshot import Snapshot

MOST_HOT: Final = 16
"""Memories that are kept for the next sandboxes: as many as start and end close together. More only hold memory."""

MOST_KEPT: Final = 1024
"""Written pages, 4 MB, up to which a memory is restored page by page. Beyond, the kernel takes all of them back."""

LEAST_USUAL, MOST_USUAL = 32, 256
"""How many written pages are what a sandbox usually writes. Fewer are one that ended before it began, more a large
program."""


class Written:
    """Ranges of one slot that were written, ready to be given their first content again.

    A sandbox writes to the same pages as the one before it, so the same ranges come again and again.
    """

    def __init__(self, raw: bytes, base: int, snapshot: Snapshot) -> None:
        self.raw = raw
        numbers = array.array("Q", raw)
        to_snapshot, end_of_snapshot = snapshot.address - base, base + snapshot.size
        ranges = list(zip(numbers[0::WORDS], numbers[1::WORDS], numbers[2::WORDS], strict=True))
        behind = [(max(start, end_of_snapshot), end) for start, end, zeros in ranges if not zeros]
        self._zeros = [(start, end) for start, end in behind if start < end]
        within = [(start, min(end, end_of_snapshot)) for start, end, _ in ranges if start < end_of_snapshot]
        self.copies = Copies.of(within, to_snapshot)

    def undo(self) -> None:
        """Write what was there at first."""
        for start, end in self._zeros:
            address_space.fill_with_zeros(start, end - start)
        self.copies.run()


class Slot:
    """Address space for one memory: the snapshot, then zeros up to `accessible`, then nothing that can be touched."""

    __slots__ = ("_found", "_snapshot", "_whole", "accessible", "base", "capacity", "size", "written")

    def __init__(self, snapshot: Snapshot, reserved: int, guard: int, neighbours: int = 0) -> None:
        """`neighbours` is how many others there are."""
        self._snapshot, self.capacity, self._whole = snapshot, reserved, reserved + guard
        self.base = address_space.reserve(self._whole)
        self.size = self.accessible = 0
        self._found: ctypes.Array[ctypes.c_uint64] | None = None
        self.written: Written | None = None
        try:
            address_space.map_privately(self.base, snapshot.file_among(neighbours), snapshot.size)
            self.accessible = snapshot.size
        except BaseException:
            self.unmap()
            raise

    def grow(self, size: int) -> None:
        """Let the memory have `size` bytes. Raises OSError, and nothing has changed."""
        if not self.size <= size <= self.capacity:
            raise OSError("a memory grows within its reservation")
        if size > self.accessible:
            address_space.open_up(self.base + self.accessible, size - self.accessible)
            self.accessible = size
        self.size = size

    def restore(self, size: int, pagemap: Pagemap | None) -> None:
        """Make it a memory that nobody has written to, of which `size` bytes can be touched.

        Raises OSError, after which it must not be used.
        """
        if self.accessible > size:
            address_space.shut_off(self.base + size, self.accessible - size)
            self.accessible = size
        written = self._look(pagemap) if pagemap is not None else None
        if written is None:
            address_space.forget(self.base, size)
        else:
            written.undo()
        self.size = 0

    def _look(self, pagemap: Pagemap) -> Written | None:
        if self._found is None:
            self._found = room_for_ranges()
        count = pagemap.written(self.base, self.base + self.accessible, MOST_KEPT, self._found)
        if count is None:
            return None
        raw = ctypes.string_at(self._found, count * WORDS * 8)
        if self.written is None or raw != self.written.raw:
            self.written = Written(raw, self.base, self._snapshot)
        return self.written

    def unmap(self) -> None:
        """Give the address space back."""
        address_space.unmap(self.base, self._whole)


class Slots:
    """The memories of one engine that wait for a sandbox, and where new ones come from.

    Used by carriers, any of them at a time. Close it when the engine is gone.
    """

    def __init__(self, file: Path) -> None:
        self._snapshot = Snapshot(file)
        self._pagemap = open_pagemap()
        self._hot: list[Slot] = []  # a list's ends are atomic
        self._first_size = 0
        self._is_closed = False
        # Two counts that only grow: any thread may count.
        self._mappings, self._unmappings = itertools.count(1), itertools.count(1)
        self._mapped = self._unmapped = 0
        self._usual: Copies | None = None  # to addresses that begin with 0
        self._usual_size = MOST_USUAL * PAGE

    @property
    def hot(self) -> int:
        """How many memories wait for a sandbox."""
        return len(self._hot)

    def take(self, size: int, reserved: int, guard: int) -> Slot:
        """A memory of `size` bytes that nobody has written to. Raises OSError."""
        if size < self._snapshot.size:
            raise OSError("a memory that is smaller than the snapshot")
        try:
            slot = self._hot.pop()
        except IndexError:
            slot = Slot(self._snapshot, reserved, guard, self._mapped - self._unmapped)
            self._mapped = next(self._mappings)
            self._write_ahead(slot)
        try:
            slot.grow(size)
        except BaseException:
            self._unmap(slot)
            raise
        self._first_size = size
        return slot

    def give_back(self, slot: Slot) -> None:
        """A sandbox is gone, and with it whatever it wrote. Raises OSError only if memory cannot be unmapped."""
        if len(self._hot) < MOST_HOT and not self._is_closed and self._restored(slot):
            self._hot.append(slot)
        else:
            self._unmap(slot)

    def _unmap(self, slot: Slot) -> None:
        slot.unmap()
        self._unmapped = next(self._unmappings)

    def _restored(self, slot: Slot) -> bool:
        try:
            slot.restore(self._first_size, self._pagemap)
        except OSError:
            return False
        copies = slot.written.copies if slot.written is not None else None
        if copies is not None and LEAST_USUAL * PAGE <= copies.size < self._usual_size:
            self._usual, self._usual_size = copies.moved(-slot.base), copies.size
        return True

    def _write_ahead(self, slot: Slot) -> None:
        """Write to a new memory, in one call, what it begins with, where every sandbox writes.

        A page that is read first and written later is copied then, and each processor that runs one of our threads is
        told to forget the old one: of all that two carriers do to each other, this was the most.
        """
        if self._usual is not None:
            self._usual.moved(slot.base).run()

    def close(self) -> None:
        """Give everything back. A memory that comes back later is unmapped."""
        self._is_closed = True
        for slot in self._hot:
            slot.unmap()
        self._hot.clear()
        self._snapshot.close()
        if self._pagemap is not None:
            self._pagemap.close()
