"""Which pages of a private mapping were written: Linux's `PAGEMAP_SCAN`, which there is since Linux 6.7.

A page of a private mapping that was written is not the file's any more. So what is present or swapped out, and neither
a page of a file nor the page of zeros, is what was written. Swapped pages count: to leave them out would leave a
guest's data in memory that the next one gets.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

_PATH = "/proc/self/pagemap"
_PAGEMAP_SCAN = 0xC0606610  # _IOWR('f', 16, struct pm_scan_arg), from linux/fs.h, as all that follows
_FILE, _PRESENT, _SWAPPED, _PFNZERO = 1 << 2, 1 << 3, 1 << 4, 1 << 5
_MOST_RANGES = 1024
_WORDS = 3  # of a range: where it begins, where it ends, its categories


class _Scan(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            *("size", "flags", "start", "end", "walk_end", "vec", "vec_len", "max_pages"),
            *("category_inverted", "category_mask", "category_anyof_mask", "return_mask"),
        )
    ]


class Pagemap:
    """The page map of this process, open. Raises OSError where there is none, or none that can be scanned."""

    def __init__(self) -> None:
        self._file = os.open(_PATH, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.written(0, 0, 1)
        except OSError:
            self.close()
            raise

    def written(self, start: int, end: int, most: int) -> list[tuple[int, int]] | None:
        """Where pages between two addresses were written, as ranges of addresses; None if there are more than `most`
        pages, or more ranges than are worth looking at one by one.
        """
        import fcntl  # not on Windows

        found = (ctypes.c_uint64 * (_WORDS * _MOST_RANGES))()
        scan = _Scan(
            size=ctypes.sizeof(_Scan),
            start=start,
            end=end,
            vec=ctypes.addressof(found),
            vec_len=_MOST_RANGES,
            max_pages=most,
            category_inverted=_FILE | _PFNZERO,
            category_mask=_FILE | _PFNZERO,
            category_anyof_mask=_PRESENT | _SWAPPED,
        )
        count = fcntl.ioctl(self._file, _PAGEMAP_SCAN, scan)
        if scan.walk_end != end:
            return None
        numbers = found[: _WORDS * count]
        return list(zip(numbers[0::_WORDS], numbers[1::_WORDS], strict=True))

    def close(self) -> None:
        """Close it."""
        os.close(self._file)


def open_pagemap() -> Pagemap | None:
    """None on a system where written pages cannot be told from others."""
    with contextlib.suppress(OSError):
        return Pagemap()
    return None
