"""Which pages of a private mapping were written: Linux's `PAGEMAP_SCAN`, which there is since Linux 6.7.

A page of a private mapping that was written is not the file's any more. So what is present or swapped out, and no page
of a file, is what was written. Swapped pages count: to leave them out would leave a guest's data in memory that the
next one gets. The page of zeros is told apart: behind the file it stands where nobody wrote, but in place of the file
it is what a guest wrote, which the kernel has merged (KSM does).
"""

from __future__ import annotations

import contextlib
import ctypes
import os

_PATH = "/proc/self/pagemap"
_PAGEMAP_SCAN = 0xC0606610  # _IOWR('f', 16, struct pm_scan_arg), from linux/fs.h, as all that follows
_FILE, _PRESENT, _SWAPPED, _PFNZERO = 1 << 2, 1 << 3, 1 << 4, 1 << 5
MOST_RANGES = 1024
"""Ranges that one look can find."""

WORDS = 3
"""Numbers of 64 bits for each range: where it begins, where it ends, and ZEROS where that is the page of zeros."""

ZEROS = _PFNZERO


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
            self.written(0, 0, 1, room_for_ranges())
        except OSError:
            self.close()
            raise

    def written(self, start: int, end: int, most: int, found: ctypes.Array[ctypes.c_uint64]) -> int | None:
        """Look where pages between two addresses were written, and put the ranges of addresses into `found`, which has
        room for MOST_RANGES. Answers how many there are, or None if there are more than `most` pages, or too many
        ranges.
        """
        import fcntl  # not on Windows

        scan = _Scan(
            size=ctypes.sizeof(_Scan),
            start=start,
            end=end,
            vec=ctypes.addressof(found),
            vec_len=MOST_RANGES,
            max_pages=most,
            category_inverted=_FILE,
            category_mask=_FILE,
            category_anyof_mask=_PRESENT | _SWAPPED,
            return_mask=ZEROS,
        )
        count = fcntl.ioctl(self._file, _PAGEMAP_SCAN, scan)
        return count if scan.walk_end == end else None

    def close(self) -> None:
        """Close it."""
        os.close(self._file)


def room_for_ranges() -> ctypes.Array[ctypes.c_uint64]:
    """What `written` fills."""
    return (ctypes.c_uint64 * (WORDS * MOST_RANGES))()


def open_pagemap() -> Pagemap | None:
    """None on a system where written pages cannot be told from others."""
    with contextlib.suppress(OSError):
        return Pagemap()
    return None
