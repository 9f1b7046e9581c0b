"""The private folder of a sandbox: made when it starts, measured between its slices, removed when it ends.

Paths in it are a guest's: of any depth, and with names that only a file system can love. So nothing here follows a
link, recurses, or builds a path from what a guest has nested.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
import time

from . import descriptors

LEAST_FILE = 4096
"""What any file or folder counts as, so that the limit bounds their number too."""

MOST_FILES = 10_000
MOST_DEPTH = 64
_REST = 4
"""Times that a measurement took, before the next: a fifth of a guest's time at most goes into it."""

_lifted = itertools.count(1)
_CAN_STAND_IN_FOLDERS = os.open in os.supports_dir_fd and os.rename in os.supports_dir_fd


class Workspace:
    """A folder of at most `limit` bytes. On carriers only."""

    def __init__(self, limit: int) -> None:
        import tempfile  # here and below: most sandboxes have no folder

        self.limit = limit
        self.path = tempfile.mkdtemp(prefix="capsule-")
        self._real_path = os.path.realpath(self.path)
        self._next, self._free = 0.0, 0

    def is_full(self, *, now: bool = False) -> bool:
        """Whether it holds more than it may. Looks only now and then while it holds many things, unless it must be
        `now` or the disk has lost as much as it may hold: writing that takes about as long as looking at all of it.
        """
        began, free = time.monotonic(), _free_bytes(self.path)
        if began < self._next and not now and self._free - free < self.limit:
            return False
        self._free = free
        used = _measure(self.path, self.limit)
        used += _measure_removed(self._real_path) if used <= self.limit else 0
        ended = time.monotonic()
        self._next = ended + _REST * (ended - began)
        return used > self.limit


def _free_bytes(folder: str) -> int:
    """Bytes that are free on its disk; 0 if it is gone."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            import shutil

            return shutil.disk_usage(folder).free
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize
    return 0


def _measure(root: str, limit: int) -> int:
    """Bytes below `root`, or some number above `limit` once there are more."""
    used = count = 0
    folders = [(root, 0)]
    while folders:
        folder, depth = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    blocks = getattr(status, "st_blocks", 0) * 512
                    used += max(LEAST_FILE, status.st_size, blocks)
                    count += 1
                    if used > limit or count > MOST_FILES or depth >= MOST_DEPTH:
                        return limit + 1
                    if stat.S_ISDIR(status.st_mode):
                        folders.append((entry.path, depth + 1))
        except FileNotFoundError:
            continue
        except OSError as error:  # a path longer than the system takes
            return used if descriptors.are_spent(error) else limit + 1
    return used


def _measure_removed(root: str) -> int:
    """Bytes of files below `root` that were removed and are still open: the disk holds them, and no folder does.

    Only Linux tells of them. Elsewhere a guest has them beyond its limit, in as many files as it may have open.
    """
    found: dict[int, int] = {}  # a file may be open more than once
    for descriptor in descriptors.below([root]) or ():
        with contextlib.suppress(OSError):  # closed meanwhile, by another guest
            status = os.stat(descriptor)
            if not status.st_nlink:
                found[status.st_ino] = max(LEAST_FILE, status.st_size, status.st_blocks * 512)
    return sum(found.values())


def remove_some(root: str, seconds: float) -> bool:
    """Remove a folder with all that is in it, however deep, and leave alone whatever links in it lead to.

    Gives up after so many seconds, if there are many things in it. True if it is gone; if not, call it again: each call
    removes something. Raises OSError.
    """
    with contextlib.suppress(FileNotFoundError):
        if not _CAN_STAND_IN_FOLDERS:
            import shutil

            shutil.rmtree(root, ignore_errors=True)
        elif _flatten(root, time.monotonic() + seconds):
            os.rmdir(root)
        else:
            return False
    return True


def _flatten(root: str, until: float) -> bool:
    """Empty `root`; False if there was no time for all. What lies in a folder of it is moved up first, so that no path
    is longer than one name.
    """
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        while names := os.listdir(top):
            for name in names:
                if not _is_folder(name, top):
                    os.unlink(name, dir_fd=top)
                else:
                    os.chmod(name, 0o700, dir_fd=top)  # a guest cannot take it away; whoever else could, might
                    if not _lift(name, top, until):
                        return False
                    os.rmdir(name, dir_fd=top)
                if time.monotonic() > until:  # after a step, not before: each call gets further
                    return False
    finally:
        os.close(top)
    return True


def _lift(name: str, top: int, until: float) -> bool:
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for each in os.listdir(inner):
            if _is_folder(each, inner):
                lifted = f"capsule-removed-{os.getpid()}-{next(_lifted)}"
                os.rename(each, lifted, src_dir_fd=inner, dst_dir_fd=top)
            else:
                os.unlink(each, dir_fd=inner)
            if time.monotonic() > until:
                return False
    finally:
        os.close(inner)
    return True


def _is_folder(name: str, folder: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
