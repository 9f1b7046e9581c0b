"""What `slots` needs of Linux's memory management, through the C library: address space, protections, copies.

Each raises OSError for what the kernel refuses.
"""

from __future__ import annotations

import array
import ctypes
import mmap
import os
from typing import Any

PAGE = mmap.PAGESIZE
_NONE, _READ, _BOTH = 0, 1, 3  # PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE
_PRIVATE, _FIXED, _ANONYMOUS, _NORESERVE = 0x02, 0x10, 0x20, 0x4000
_DONTNEED = 4
_FAILED = ctypes.c_void_p(-1).value
_LIBRARY: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None


def _function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the C library that sets errno, called with the interpreter lock given away; None without it."""
    found = getattr(_LIBRARY, name, None)
    if found is not None:
        found.restype, found.argtypes = result, arguments
    return found


def _brief(name: str, *arguments: Any) -> Any:
    """One of a microsecond: to give the interpreter lock away and ask for it back would take longer."""
    if _LIBRARY is None:
        return None
    return ctypes.PYFUNCTYPE(ctypes.c_void_p, *arguments)((name, _LIBRARY))


_mmap = _function(
    "mmap",
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
)
_munmap = _function("munmap", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_mprotect = _function("mprotect", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_madvise = _function("madvise", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_trim = _function("malloc_trim", ctypes.c_int, ctypes.c_size_t)
_write = _function(
    "process_vm_writev",
    *(ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong),
)
_copy = _brief("memmove", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_fill = _brief("memset", ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mapped(address: int | None, size: int, protection: int, flags: int, file: int = -1) -> int:
    place = _mmap(address, size, protection, flags, file, 0)
    if place is None or place == _FAILED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(place)


def reserve(size: int) -> int:
    """Address space that cannot be touched."""
    return _mapped(None, size, _NONE, _PRIVATE | _ANONYMOUS | _NORESERVE)


def map_to_read(file: int, size: int) -> int:
    """The first bytes of a file, anywhere."""
    return _mapped(None, size, _READ, _PRIVATE, file)


def map_privately(address: int, file: int, size: int) -> None:
    """The first bytes of a file in reserved space, copied page by page where they are written to."""
    _mapped(address, size, _BOTH, _PRIVATE | _FIXED | _NORESERVE, file)


def open_up(address: int, size: int) -> None:
    """Reserved space can be read and written from now on."""
    _checked(_mprotect(address, size, _BOTH))


def shut_off(address: int, size: int) -> None:
    """It cannot any more, and what was in it is gone."""
    forget(address, size)
    _checked(_mprotect(address, size, _NONE))


def forget(address: int, size: int) -> None:
    """What was written is gone: pages of a file are the file's again, all others zeros."""
    _checked(_madvise(address, size, _DONTNEED))


def unmap(address: int, size: int) -> None:
    """Give address space back."""
    _checked(_munmap(address, size))


def trim() -> None:
    """Give back to the system what the C library keeps of what was freed, where it can be asked to (glibc)."""
    if _trim is not None:
        _trim(0)


def fill_with_zeros(address: int, size: int) -> None:
    """Write zeros."""
    _fill(address, 0, size)


class Copies:
    """Places to read from and places to write to, with sizes, ready to be copied in one call."""

    def __init__(self, sources: array.array[int], targets: array.array[int]) -> None:
        """Both are addresses and sizes in turn; the sizes are the same."""
        self._sources, self._targets = sources, targets
        self.size = sum(sources[1::2])
        """Bytes that are copied."""

    @classmethod
    def of(cls, ranges: list[tuple[int, int]], from_target_to_source: int) -> Copies:
        """Copies to ranges of addresses, from places that all lie as far away."""
        targets = array.array("Q", [number for start, end in ranges for number in (start, end - start)])
        sources = array.array("Q", targets)
        sources[0::2] = array.array("Q", [start + from_target_to_source for start, _ in ranges])
        return cls(sources, targets)

    def moved(self, by: int) -> Copies:
        """The same to places that lie `by` bytes behind."""
        targets = array.array("Q", self._targets)
        targets[0::2] = array.array("Q", [address + by for address in targets[0::2]])
        return Copies(self._sources, targets)

    def run(self) -> None:
        """Copy them all. Where the system does not let a process write to itself so, one by one."""
        if self._sources and not self._run_at_once():
            triples = zip(self._targets[0::2], self._sources[0::2], self._sources[1::2], strict=True)
            for target, source, size in triples:
                _copy(target, source, size)

    def _run_at_once(self) -> bool:
        if _write is None:
            return False
        count = len(self._sources) // 2
        sources, targets = self._sources.buffer_info()[0], self._targets.buffer_info()[0]
        return bool(_write(os.getpid(), sources, count, targets, count, 0) == self.size)
