"""The bytes that every memory begins with, and where the kernel finds them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from . import address_space
from .address_space import PAGE

_NEVER_RUN = 0x8
"""MFD_NOEXEC_SEAL of linux/memfd.h, which Python 3.11 has no name for. Unknown to Linux before 6.3."""

MANY: Final = 256
"""Memories in use from which on new ones begin with a copy of the snapshot that lies in memory.

When the kernel asks whether a page of a file was used lately, it looks at every place where it is mapped, and in a
disk's cache a page is up to two megabytes large. With thousands of memories that takes up to a second, in which none
can be mapped or unmapped. A copy in memory has pages of 4 KB. It is not used from the first on, because it takes as
much memory again for each process, and a tenth more time for each sandbox."""


class Snapshot:
    """The bytes that every memory begins with: a file, mapped once to be read."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        self._copy: int | None = None  # the file itself, where there is no such thing
        self._lock = threading.Lock()
        try:
            self.size = -(-os.fstat(self._file).st_size // PAGE) * PAGE
            self.address = address_space.map_to_read(self._file, self.size)
        except BaseException:
            os.close(self._file)
            raise

    def file_among(self, memories: int) -> int:
        """What the next memory is mapped from, when there are so many."""
        if memories < MANY:
            return self._file
        with self._lock:
            if self._copy is None:
                self._copy = _copied(self._file, self.size)
        return self._copy

    def close(self) -> None:
        """Unmap and close it."""
        address_space.unmap(self.address, self.size)
        os.close(self._file)
        if self._copy not in (None, self._file):
            os.close(self._copy)


def _copied(file: int, size: int) -> int:
    """A copy in memory that nobody can change; the file itself if the system has none of the kind."""
    if not hasattr(os, "memfd_create"):  # as where Python was built for an old C library
        return file
    try:
        copy = os.memfd_create("capsule", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | _NEVER_RUN)
    except OSError:
        return file
    import fcntl  # not on Windows

    try:
        done = 0
        while sent := os.sendfile(copy, file, done, size - done):
            done += sent
        os.ftruncate(copy, size)
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except OSError:
        os.close(copy)
        return file
    return copy
