"""The cache of compiled guests: one folder for each key, written aside and renamed, checked when it is read.

A compiled guest is native code that this process will run, so it is taken only from a folder that nobody else can
write, and only if it is whole.
"""

# No `from __future__ import annotations` here: msgspec would compile each text, which takes longer than to decode.

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ..cache import cache_place, keep_newest, why_not_private
from ..errors import CacheUnwritable
from .key import SEEN

_CODE, _ABOUT, _SEEN = "guest.cwasm", "guest.json", "guest.seen"


class CompiledGuest(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled guest in the cache."""

    file: str
    min_ram: int
    """Bytes of linear memory that it needs to start."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the native code and its snapshot, to notice a damaged file and to list what is there.

    `size` and `sha256` are those of all files together, so that none can be missing.
    """

    sha256: str
    size: int
    min_ram: int
    made_with: dict[str, str]


def cache_folder() -> Path:
    """Where compiled guests are kept: `CAPSULE_CACHE_DIR`, or the user's cache folder."""
    return Path(cache_place())


def prepare_folder() -> Path:
    """The cache folder, made if it is missing. Raises CacheUnwritable, which names the variable that moves it."""
    import tempfile  # here and below: to find a guest takes neither it nor shutil, which are long to load

    folder = cache_folder()
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_owner(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    return folder


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """What the system refuses in here is a CacheUnwritable."""
    try:
        yield
    except OSError as error:
        raise CacheUnwritable(str(folder), error.strerror or str(error)) from None


def _check_owner(folder: Path) -> None:
    reason = why_not_private(folder.stat())
    if reason is not None:
        raise CacheUnwritable(str(folder), reason)


def entries() -> Iterator[tuple[Path, About | None]]:
    """Every guest in the cache with what is known of it; None for one that is damaged."""
    folder = cache_folder()
    for entry in sorted(folder.glob("guest-*")) if folder.is_dir() else ():
        if entry.is_dir():
            about = _read_about(entry)
            yield entry, about if about and _is_whole(entry, about) else None


def find(key: str) -> CompiledGuest | None:
    """The guest under `key`, or None if it is missing or damaged. Raises CacheUnwritable if others can write it."""
    folder = cache_folder() / f"guest-{key}"
    about = _read_about(folder)
    if about is None or not _is_whole(folder, about):
        return None
    _check_owner(folder.parent)
    _check_owner(folder)
    return CompiledGuest(file=str(folder / _CODE), min_ram=about.min_ram)


def _read_about(folder: Path) -> About | None:
    try:
        return msgspec.json.decode((folder / _ABOUT).read_bytes(), type=About)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors, and so is text that is no UTF-8
        return None


def _is_whole(folder: Path, about: About) -> bool:
    """Whether the guest in `folder` is what was written.

    Hashing its 50 MB takes 60 ms, so files that have not been touched since they were last hashed are not hashed
    again: writing to one would have changed its times.
    """
    seen = folder / _SEEN
    try:
        parts = _parts(folder)
        stamp = b"".join(map(_stamp, parts))  # before hashing: a file that is written meanwhile is hashed again
        if seen.is_file() and seen.read_bytes() == stamp:
            return True
        if not (folder / _CODE).is_file() or _size(parts) != about.size or _digest(parts) != about.sha256:
            return False
    except OSError:
        return False
    with contextlib.suppress(OSError):  # a read-only cache is hashed each time
        seen.write_bytes(stamp)
    return True


def _parts(folder: Path) -> list[Path]:
    """What was made: all that is not about it."""
    return sorted(file for file in folder.iterdir() if file.name not in {_ABOUT, _SEEN})


def _stamp(file: Path) -> bytes:
    status = file.stat()
    return f"{file.name} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}\n".encode()


def _size(parts: list[Path]) -> int:
    return sum(file.stat().st_size for file in parts)


def _digest(parts: list[Path]) -> str:
    """Of names, sizes and contents."""
    import hashlib  # as in key.py

    whole = hashlib.sha256()
    for file in parts:
        with file.open("rb") as content:
            whole.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def find_or_make(
    key: str, make: Callable[[Path], int], made_with: dict[str, str], on_wait: Callable[[], None]
) -> CompiledGuest:
    """The guest under `key`; if it is not there whole, `make(file)` writes it and answers its `min_ram`.

    Two processes that ask at once make it once: the second calls `on_wait` and waits for the first. Raises
    CacheUnwritable (an OSError in `make` counts as one: most likely the disk is full), and whatever else `make`
    raises, which leaves nothing behind.
    """
    from filelock import FileLock, Timeout

    folder = prepare_folder()
    lock = FileLock(folder / f"guest-{key}.lock")
    with _writing(folder):
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
    import shutil
    import tempfile

    target = folder / f"guest-{key}"
    _remove_left_overs(folder, key)
    with _writing(folder):
        aside = Path(tempfile.mkdtemp(prefix=f"new-{key}-", dir=folder))
        try:
            min_ram = make(aside / _CODE)
            (aside / _CODE).stat()  # whatever else it wrote
            parts = _parts(aside)
            about = About(sha256=_digest(parts), size=_size(parts), min_ram=min_ram, made_with=made_with)
            (aside / _ABOUT).write_bytes(msgspec.json.encode(about))
            _remove(target)
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return CompiledGuest(file=str(target / _CODE), min_ram=min_ram)


def _remove_left_overs(folder: Path, key: str) -> None:
    """Remove what builds left that were killed. For the holder of the lock: then nobody uses it."""
    import shutil

    for left_over in folder.glob(f"new-{key}-*"):
        shutil.rmtree(left_over, ignore_errors=True)


def _remove(entry: Path) -> None:
    import shutil

    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def sweep(key: str) -> None:
    """Remove what a build of `key` left that was killed, unless another process is building it now."""
    from filelock import FileLock

    folder = cache_folder()
    with contextlib.suppress(OSError), FileLock(folder / f"guest-{key}.lock", blocking=False):
        _remove_left_overs(folder, key)


def clear() -> tuple[int, int]:
    """Remove every guest, damaged ones too; answers how many there were and how many bytes they took.

    A runtime that has one of them open keeps working, and one that is being built now stays. What is known of sources
    goes along. Raises CacheUnwritable.
    """
    from filelock import FileLock, Timeout

    folder = cache_folder()
    count = size = 0
    with _writing(folder):
        keep_newest(SEEN, 0)
        for key in sorted(_keys(folder)):
            lock = folder / f"guest-{key}.lock"
            with contextlib.suppress(Timeout), FileLock(lock, blocking=False):
                guest = folder / f"guest-{key}"
                count += guest.exists()
                for entry in (guest, *folder.glob(f"new-{key}-*")):
                    size += sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
                    _remove(entry)
                lock.unlink()
    return count, size


def _keys(folder: Path) -> set[str]:
    """The keys of all that is in the cache: whole, damaged or half made."""
    names = (re.fullmatch(r"(?:guest|new)-([^-.]+).*", entry.name) for entry in folder.glob("*"))
    return {name[1] for name in names if name}
