"""The bytes that every memory begins with, and where the kernel finds them."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

from . import address_space
from .address_space import PAGE

MANY: Final = 32
"""Memories in use from which on new ones begin with a copy of the snapshot. Each of them saves about a fortieth of what
the copy costs."""

SHARING: Final = 2048
"""Memories that begin with the same copy. When the kernel asks whether a page of a file was used lately, it looks at
every place where it is mapped, and meanwhile none can be mapped or unmapped: with thousands of memories and pages as
large as the disk's cache makes them, up to a second."""

_PIECE = 1 << 16
"""Written at once, so that the cache keeps it as one page of this size. That much the kernel maps around a page that is
read first, each page of 4 KB by itself or all in one go."""


class Snapshot:
    """The bytes that every memory begins with: a file, mapped once to be read."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        self._folder = file.parent
        self._copies: list[int] = []
        self._lock = threading.Lock()
        try:
            self._length = os.fstat(self._file).st_size
            self.size = -(-self._length // PAGE) * PAGE
            self.address = address_space.map_to_read(self._file, self.size)
        except BaseException:
            os.close(self._file)
            raise

    def file_among(self, memories: int) -> int:
        """What the next memory is mapped from, when there are so many."""
        if memories < MANY:
            return self._file
        with self._lock:
            while memories >= len(self._copies) * SHARING:
                self._copies.append(_copied(self._file, self._length, self.size, self._folder))
        return self._copies[memories // SHARING]

    def close(self) -> None:
        """Unmap and close it."""
        address_space.unmap(self.address, self.size)
        for file in {self._file, *self._copies}:
            os.close(file)


def _copied(file: int, length: int, size: int, folder: Path) -> int:
    """A copy of `length` bytes, and zeros up to `size`, that has no name and can only be read: in the same folder if
    there is room, else where such files go. The file itself if there is none.
    """
    import tempfile  # most processes need none of it

    for place in (folder, None):
        with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=place, buffering=0) as copy:
            pieces = (os.pread(file, _PIECE, start) for start in range(0, length, _PIECE))
            if sum(copy.write(piece) for piece in pieces) == length:  # else it is full, or the file not what it was
                copy.truncate(size)  # whole pages
                return os.open(f"/proc/self/fd/{copy.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    return file
