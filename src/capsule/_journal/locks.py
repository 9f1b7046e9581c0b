"""Who is still at work: the process of an open run holds the lock of a file. The system frees it, however it ends.

A process number alone says nothing: after a while it is another process's.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 0.05
"""Seconds for another reader, who holds the lock for the moment in which it looks."""

_LENGTH, _DIGITS = 12, frozenset("0123456789abcdef")
"""Of a run's key."""

_held: set[int] = set()


def lock_file(path: Path, key: str) -> Path:
    """The lock of the run `key` in the database at `path`."""
    return path.with_name(f"{path.name}-{key}.lock")


def keys_of_locks(path: Path) -> list[str]:
    """The runs that have a lock beside the database at `path`, whoever holds it. Raises OSError."""
    start, end = f"{path.name}-", ".lock"
    with os.scandir(path.parent) as found:
        files = [file.name for file in found if file.name.startswith(start) and file.is_file(follow_symlinks=False)]
    keys = [name[len(start) : -len(end)] for name in files if name.endswith(end)]
    return [key for key in keys if len(key) == _LENGTH and _DIGITS.issuperset(key)]


@contextlib.contextmanager
def holding(file: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made, and removed at the end. Raises OSError if that is not possible.

    The lock is filelock's, taken without it: to load it takes as long as to write a run.
    """
    try:
        with _locked(file):
            yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink()


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = None if sys.platform == "win32" else _flocked(file)
    if descriptor is None:
        from filelock import FileLock

        with FileLock(file, timeout=0, thread_local=False, mode=0o600):
            yield
        return
    _held.add(descriptor)
    try:
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


if sys.platform != "win32":

    def _flocked(file: Path) -> int | None:
        """A descriptor with the lock; None where there are no such locks, as in some folders of a network."""
        import fcntl

        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(file, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def _let_go() -> None:
        """In a child by fork, which has all descriptors of its parent: the run is the parent's."""
        while _held:
            os.close(_held.pop())

    os.register_at_fork(after_in_child=_let_go)


def is_free(file: Path, patience: float = PATIENCE) -> bool:
    """Whether nobody holds it. Raises OSError if that cannot be found out."""
    from filelock import FileLock, Timeout

    if not file.exists():
        return True
    try:
        with FileLock(file, timeout=patience, poll_interval=0.01, thread_local=False):
            return True
    except Timeout:
        return False
