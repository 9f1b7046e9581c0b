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

import contextlib
import ctypes
import itertools
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from . import bindings as c
from .handles import new_error
from .pagemap import open_pagemap

MOST_HOT: Final = 16
"""Memories that are kept for the next sandboxes. As many as start and end close together; more would only hold memory."""

MOST_KEPT: Final = 1024
"""Written pages, 4 MB, up to which a memory is restored page by page. Beyond, the kernel takes all of them back."""

_PAGE = mmap.PAGESIZE
_NONE, _READ, _BOTH = 0, 1, 3  # PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE
_PRIVATE, _FIXED, _ANONYMOUS, _NORESERVE = 0x02, 0x10, 0x20, 0x4000
_DONTNEED = 4
_FAILED = ctypes.c_void_p(-1).value


def _of_libc(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the C library that sets errno. They are called with the interpreter lock given away."""
    function = ctypes.CDLL(None, use_errno=True)[name] if os.name == "posix" else None
    if function is not None:
        function.restype, function.argtypes = result, arguments
    return function


_mmap = _of_libc(
    "mmap",
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
)
_munmap = _of_libc("munmap", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_mprotect = _of_libc("mprotect", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_madvise = _of_libc("madvise", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
# A few kilobytes each: to give the interpreter lock away and ask for it back would take longer.
_copy = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(ctypes._memmove_addr)  # type: ignore[attr-defined]
_fill = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)(ctypes._memset_addr)  # type: ignore[attr-defined]


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mapped(address: int | None, size: int, protection: int, flags: int, file: int = -1) -> int:
    place = _mmap(address, size, protection, flags, file, 0)
    if place is None or place == _FAILED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(place)


class Snapshot:
    """The bytes that every memory begins with: a file, mapped once to be read."""

    def __init__(self, file: Path) -> None:
        self.file = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size = -(-os.fstat(self.file).st_size // _PAGE) * _PAGE
            self.address = _mapped(None, self.size, _READ, _PRIVATE, self.file)
        except BaseException:
            os.close(self.file)
            raise

    def close(self) -> None:
        """Unmap and close it."""
        _checked(_munmap(self.address, self.size))
        os.close(self.file)


class Slot:
    """Address space for one memory: the snapshot, then zeros up to `accessible`, then nothing that can be touched."""

    __slots__ = ("accessible", "base", "capacity", "size", "_snapshot", "_whole")

    def __init__(self, snapshot: Snapshot, reserved: int, guard: int) -> None:
        self._snapshot, self.capacity, self._whole = snapshot, reserved, reserved + guard
        self.base = _mapped(None, self._whole, _NONE, _PRIVATE | _ANONYMOUS | _NORESERVE)
        self.size = self.accessible = 0
        try:
            _mapped(self.base, snapshot.size, _BOTH, _PRIVATE | _FIXED | _NORESERVE, snapshot.file)
            self.accessible = snapshot.size
        except BaseException:
            self.unmap()
            raise

    def grow(self, size: int) -> None:
        """Let the memory have `size` bytes. Raises OSError, and nothing has changed."""
        if not self.size <= size <= self.capacity:
            raise OSError("a memory grows within its reservation")
        if size > self.accessible:
            _checked(_mprotect(self.base + self.accessible, size - self.accessible, _BOTH))
            self.accessible = size
        self.size = size

    def restore(self, ranges: list[tuple[int, int]] | None, size: int) -> None:
        """Make it a memory of `size` bytes that nobody has written to. `ranges` is what was written, if that is known.

        Raises OSError, after which it must not be used.
        """
        if ranges is None:
            _checked(_madvise(self.base, self.accessible, _DONTNEED))
        elif self.accessible > size:
            _checked(_madvise(self.base + size, self.accessible - size, _DONTNEED))
        if self.accessible > size:
            _checked(_mprotect(self.base + size, self.accessible - size, _NONE))
            self.accessible = size
        self._rewrite(ranges or [], self.base + size)
        self.size = 0

    def _rewrite(self, ranges: list[tuple[int, int]], end: int) -> None:
        to_snapshot = self._snapshot.address - self.base
        snapshot_end = self.base + self._snapshot.size
        for start, stop in ranges:
            copied, filled = min(stop, snapshot_end), min(stop, end)
            if start < copied:
                _copy(start, start + to_snapshot, copied - start)
            if (begin := max(start, snapshot_end)) < filled:
                _fill(begin, 0, filled - begin)

    def unmap(self) -> None:
        """Give the address space back."""
        _checked(_munmap(self.base, self._whole))


class Slots:
    """The memories of one engine: those in use, and the hot ones. Made and freed by carriers, any of them at a time.

    `creator` is for wasmtime's configuration. Close it when the engine is gone.
    """

    def __init__(self, file: Path) -> None:
        self._snapshot = Snapshot(file)
        self._pagemap = open_pagemap()
        self._hot: list[Slot] = []  # a list's ends are atomic
        self._first_size = 0
        self._number = next(_numbers)
        _pools[self._number] = self
        self.creator = c.MemoryCreator(env=self._number, new_memory=_new_memory)

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
            slot = Slot(self._snapshot, reserved, guard)
        try:
            slot.grow(size)
        except BaseException:
            slot.unmap()
            raise
        self._first_size = size
        return slot

    def give_back(self, slot: Slot) -> None:
        """A sandbox is gone, and with it whatever it wrote. Raises OSError only if memory cannot be unmapped."""
        if len(self._hot) < MOST_HOT and self._restored(slot):
            self._hot.append(slot)
        else:
            slot.unmap()

    def _restored(self, slot: Slot) -> bool:
        try:
            ranges = None
            if self._pagemap is not None:
                ranges = self._pagemap.written(slot.base, slot.base + slot.accessible, MOST_KEPT)
            slot.restore(ranges, self._first_size)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give everything back. No sandbox may be left."""
        del _pools[self._number]
        for slot in self._hot:
            slot.unmap()
        self._hot.clear()
        self._snapshot.close()
        if self._pagemap is not None:
            self._pagemap.close()


# What wasmtime calls. As in `callbacks`: module-level, because ctypes frees a callback that nobody holds, and nothing
# may raise through them. A memory's `env` is the number under which it stands here; never 0, which comes back as None.

_numbers = itertools.count(1)
_pools: dict[int, Slots] = {}
_live: dict[int, tuple[Slots, Slot]] = {}


def _refusing(work: Callable[[], None]) -> int:
    """Run `work`; what it raises becomes wasmtime's error."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - the border to C
        with contextlib.suppress(BaseException):
            return new_error(f"no memory for a sandbox: {error}")
        return new_error("no memory for a sandbox")
    return 0


@c.NewMemoryCallback
def _new_memory(env: int, kind: Any, size: int, most: int, reserved: int, guard: int, place: Any) -> int:
    def make() -> None:
        pool, number, memory = _pools[env], next(_numbers), place[0]
        _live[number] = pool, pool.take(size, reserved, guard)
        memory.env, memory.finalizer = number, _forget
        memory.get_memory, memory.grow_memory = _get, _grow

    return _refusing(make)


@c.MemoryGetCallback
def _get(env: int, size: Any, capacity: Any) -> int:
    slot = _live[env][1]
    size[0], capacity[0] = slot.size, slot.capacity
    return slot.base


@c.MemoryGrowCallback
def _grow(env: int, size: int) -> int:
    return _refusing(lambda: _live[env][1].grow(size))


@c.Finalizer
def _forget(env: int) -> None:
    with contextlib.suppress(OSError):  # what cannot be unmapped stays mapped; it is nobody's any more
        pool, slot = _live.pop(env)
        pool.give_back(slot)
