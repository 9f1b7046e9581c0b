"""Who is still at work: the process of an open run holds the lock of a file. The system frees it, however it ends.

A process number alone says nothing: after a while it is another process's.
"""

from __future__ import annotations

from pathlib import Path

PATIENCE = 0.05
"""Seconds for another reader, who holds the lock for the moment in which it looks."""


def lock_file(path: Path, key: str) -> Path:
    """The lock of the run `key` in the database at `path`."""
    return path.with_name(f"{path.name}-{key}.lock")


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
