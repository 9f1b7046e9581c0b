"""What a guest with folders finds at `/`, unless that is one of them: an empty folder for each name, to be read.

Without it the current folder is not there: `os.makedirs("./out", exist_ok=True)`, `os.chdir("/")` and `glob("*")` fail
as nobody expects. What is mounted never shows in it: WASI takes the longest name that fits a path.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

MOST_SKELETONS = 1000
"""Sets of names that are remembered, each on the disk. Programs name what they like: others get an empty folder."""


class Skeletons:
    """Those of one engine's sandboxes, one for each set of names. On carriers; `close` removes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._home: Path | None = None
        self._made: dict[frozenset[str], str] = {}

    def of(self, names: Iterable[str]) -> str:
        """The real path of a folder with an empty one for each of `names`, which begin with `/`. Raises OSError."""
        wanted = frozenset(names)
        with self._lock:
            if wanted not in self._made and len(self._made) >= MOST_SKELETONS:
                wanted = frozenset()
            top = self._made.setdefault(wanted, f"{len(self._made)}")
            return str(self._whole(top, wanted))

    def _whole(self, top: str, names: frozenset[str]) -> Path:
        """Looked at each time: what lies in a temporary folder for days is removed by many systems."""
        if self._home is None or not _is_ours(self._home):
            import tempfile  # here and below: most guests have no folders

            self._home = Path(tempfile.mkdtemp(prefix="capsule-names-")).resolve()
        folders = [self._home / top / name.lstrip("/") for name in ("", *names)]
        for folder in folders:
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
        return folders[0]

    def close(self) -> None:
        """Remove them all. No sandbox may be left."""
        if self._home is not None and _is_ours(self._home):
            import shutil

            shutil.rmtree(self._home, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether it is there, and still ours alone: if it was removed, anybody may have put something in its place."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    is_private = sys.platform == "win32" or (status.st_uid == os.geteuid() and not status.st_mode & 0o077)
    return stat.S_ISDIR(status.st_mode) and is_private
