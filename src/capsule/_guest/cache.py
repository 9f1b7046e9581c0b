"""The cache of compiled guests: one folder for each key, written aside and renamed, checked when it is read.

A compiled guest is native code that this process will run, so it is taken only from a folder that nobody else can
write, and only if it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from ..errors import CacheUnwritable

VARIABLE = "CAPSULE_CACHE_DIR"
_CODE, _ABOUT, _SEEN = "guest.cwasm", "guest.json", "guest.seen"


class CompiledGuest(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled guest in the cache."""

    file: str
    min_ram: int
    """Bytes of linear memory that it needs to start."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the native code, to notice a damaged file and to list what is there."""

    sha256: str
    size: int
    min_ram: int
    made_with: dict[str, str]


def cache_folder() -> Path:
    """Where compiled guests are kept: `CAPSULE_CACHE_DIR`, or the user's cache folder."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("capsule", appauthor=False)


def prepare_folder() -> Path:
    """The cache folder, made if it is missing. Raises CacheUnwritable, which names the variable that moves it."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_owner(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CacheUnwritable(str(folder), error.strerror or str(error)) from None
    return folder


def _check_owner(folder: Path) -> None:
    if sys.platform == "win32":
        return
    status = folder.stat()
    if status.st_uid not in (os.getuid(), 0):
        raise CacheUnwritable(str(folder), "it belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheUnwritable(str(folder), "others can write it, and native code is loaded from it")


def entries() -> Iterator[tuple[Path, About | None]]:
    """Every guest in the cache with what is known of it; None for one that is damaged."""
    folder = cache_folder()
    for entry in sorted(folder.glob("guest-*")) if folder.is_dir() else ():
        if entry.is_dir():
            yield entry, _read_about(entry)


def find(key: str) -> CompiledGuest | None:
    """The guest under `key`, or None if it is missing or damaged."""
    folder = cache_folder() / f"guest-{key}"
    about = _read_about(folder)
    if about is None or not _is_whole(folder / _CODE, about):
        return None
    _check_owner(folder.parent)
    return CompiledGuest(file=str(folder / _CODE), min_ram=about.min_ram)


def _read_about(folder: Path) -> About | None:
    try:
        return msgspec.json.decode((folder / _ABOUT).read_bytes(), type=About)
    except (OSError, msgspec.MsgspecError):
        return None


def _is_whole(file: Path, about: About) -> bool:
    """Whether `file` is what was written. Hashing its 50 MB takes 60 ms, so a file that has not been touched since
    it was last hashed is not hashed again: writing to it would have changed its times."""
    seen = file.with_name(_SEEN)
    try:
        stamp = _stamp(file)
        if seen.exists() and seen.read_text("ascii") == stamp:
            return True
        with file.open("rb") as code:
            if os.fstat(code.fileno()).st_size != about.size or _digest(code) != about.sha256:
                return False
    except (OSError, ValueError):
        return False
    with contextlib.suppress(OSError):  # a read-only cache is hashed each time
        seen.write_text(stamp, "ascii")
    return True


def _stamp(file: Path) -> str:
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _digest(code: BinaryIO) -> str:
    return hashlib.file_digest(code, "sha256").hexdigest()


def find_or_make(
    key: str, make: Callable[[Path], int], made_with: dict[str, str], on_wait: Callable[[], None]
) -> CompiledGuest:
    """The guest under `key`; if it is not there whole, `make(file)` writes it and answers its `min_ram`.

    `on_wait` is called once if another process is making it. Two processes that ask at once make it once: the second waits for the first. Raises CacheUnwritable, and
    whatever `make` raises, which leaves nothing behind.
    """
    from filelock import FileLock, Timeout

    folder = prepare_folder()
    lock = FileLock(folder / f"guest-{key}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        return find(key) or _make(folder, key, make, made_with)
    finally:
        lock.release()


def _make(folder: Path, key: str, make: Callable[[Path], int], made_with: dict[str, str]) -> CompiledGuest:
    target = folder / f"guest-{key}"
    for left_over in folder.glob(f"new-{key}-*"):  # of a build that was killed: we hold the lock, so nobody uses it
        shutil.rmtree(left_over, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=f"new-{key}-", dir=folder))
    try:
        min_ram = make(aside / _CODE)
        with (aside / _CODE).open("rb") as code:
            about = About(
                sha256=_digest(code), size=os.fstat(code.fileno()).st_size, min_ram=min_ram, made_with=made_with
            )
        (aside / _ABOUT).write_bytes(msgspec.json.encode(about))
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    except OSError as error:
        raise CacheUnwritable(str(folder), error.strerror or str(error)) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return CompiledGuest(file=str(target / _CODE), min_ram=min_ram)


def clear() -> tuple[int, int]:
    """Remove every guest; answers how many there were and how many bytes they took.

    A runtime that has one of them open keeps working. Raises CacheUnwritable.
    """
    folder = cache_folder()
    count = size = 0
    for entry in sorted(folder.glob("*")) if folder.is_dir() else ():
        if entry.name.startswith(("guest-", "new-")):
            count += entry.is_dir() and entry.name.startswith("guest-")
            size += sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
            try:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            except OSError as error:
                raise CacheUnwritable(str(folder), error.strerror or str(error)) from None
    return count, size
