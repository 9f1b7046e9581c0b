"""The packages of a program on this machine: found in the cache, or fetched and checked once by a process of its own.

A process of its own, because pip takes seconds and must end when its caller does, and because what it reads are
strangers' archives. `python -m capsule._installing NAME...` is that process: one JSON line for each phase and one for
the end.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import anyio
import msgspec

from ._child import follow, how_it_ended
from ._guest.cache import cache_folder, prepare_folder
from ._guest.modules import STANDARD
from ._packages.shelf import DAMAGED, PackageSet, key_of, write_set
from .errors import CacheUnwritable, InvalidPackages, SetupError

Progress = Callable[[str], None]

PHASES = {
    "wait": "waiting for another process that fetches the same packages",
    "fetch": "fetching packages",
}
CHILD = [sys.executable, "-P", "-m", "capsule._installing"]
OURS = frozenset({"capsule", "capsule_sdk", "main", "wit_world", "componentize_py_runtime", "componentize_py_types"})
"""Names that no package can take: the sandbox has modules of its own under them."""

MAX_DOWNLOAD = 64 << 20
"""Bytes of a file that is fetched. What is larger than a wheel may be is refused when it is read."""

INSTALL_TIMEOUT = 600.0
"""Seconds for all of it, waiting for another process included."""

_WHAT = "the process that fetches packages"


class _Line(msgspec.Struct, omit_defaults=True):
    phase: str = ""
    done: bool = False
    error: str = ""
    package: str = ""
    folder: str = ""
    is_invalid: bool = False


def content_file(key: str) -> Path:
    """Where the packages under `key` are kept."""
    return cache_folder() / f"packages-{key}.zip"


def code_file(key: str, guest: str) -> Path:
    """Where their byte code for one guest is kept."""
    return cache_folder() / f"packages-{key}-code-{guest}.zip"


def open_set(key: str, code: Path | None = None) -> PackageSet | None:
    """The packages under `key`, or None if they are missing or damaged. The caller closes them. Blocks."""
    try:
        return PackageSet(content_file(key), code)
    except (OSError, *DAMAGED):
        return None


def cached_packages() -> tuple[int, int]:
    """How many sets of packages are kept, and how many bytes they take with their byte code."""
    files = _files()
    return sum("-code-" not in file.name for file in files), sum(file.stat().st_size for file in files)


def clear_packages() -> tuple[int, int]:
    """Remove every set of packages that no process fetches now; answers how many, and how many bytes they took.

    A runtime that has one open keeps reading it. Raises CacheUnwritable.
    """
    from filelock import FileLock, Timeout

    count = size = 0
    folder = cache_folder()
    try:
        for key in sorted({re.split(r"[-.]", file.name)[1] for file in folder.glob("packages-*")}):
            lock = folder / f"packages-{key}.lock"
            with contextlib.suppress(Timeout), FileLock(lock, blocking=False):
                count += content_file(key).exists()
                for file in folder.glob(f"packages-{key}*"):
                    size += file.stat().st_size if file.is_file() else 0
                    shutil.rmtree(file) if file.is_dir() else file.unlink()
    except OSError as error:
        raise CacheUnwritable(str(folder), error.strerror or str(error)) from None
    return count, size


def _files() -> list[Path]:
    return list(cache_folder().glob("packages-*.zip"))


async def install(requirements: tuple[str, ...], progress: Progress) -> None:
    """Fetch what meets `requirements`, check it, and put it where `open_set` finds it.

    Raises InvalidPackages, which says which package is in the way and why; SetupError if there is no pip or no index,
    CacheUnwritable if there is no room. Cancelling ends pip and leaves the cache as it was.
    """
    last = _Line()

    def hear(line: bytes) -> None:
        nonlocal last
        try:
            last = msgspec.json.decode(line, type=_Line)
        except ValueError:  # none of ours, such as a debug print
            return
        if last.phase:
            progress(PHASES[last.phase])

    status: int | None = None
    with anyio.move_on_after(INSTALL_TIMEOUT) as limit:
        status = await follow([*CHILD, *requirements], hear, _WHAT)
    if limit.cancelled_caught:
        raise SetupError(
            f"fetching packages took longer than {INSTALL_TIMEOUT:.0f} s; check the connection to the index"
        )
    if last.done:
        return
    if last.folder:
        raise CacheUnwritable(last.folder, last.error)
    if last.is_invalid:
        raise InvalidPackages(last.error, package=last.package or None)
    raise SetupError(last.error or how_it_ended(status, _WHAT))


# The child process.


def _install(requirements: list[str]) -> None:
    from filelock import FileLock, Timeout

    from ._packages.resolving import resolve

    key = key_of(requirements)
    folder = prepare_folder()
    lock = FileLock(folder / f"packages-{key}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        _tell(_Line(phase="wait"))
        lock.acquire()
    try:
        if (there := open_set(key)) is not None:
            there.close()
            return
        left_overs = [*folder.glob(f"packages-{key}-*.new"), *folder.glob(f"packages-{key}-code-*.zip")]
        for left_over in left_overs:  # of one that was killed, and byte code of what is gone; the lock is ours
            shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink(missing_ok=True)
        _tell(_Line(phase="fetch"))
        with tempfile.TemporaryDirectory(prefix=f"packages-{key}-", suffix=".new", dir=folder) as place:
            os.environ["TMPDIR"] = place  # pip's own files too are gone with it
            wheels = resolve(requirements, Path(place))
            try:
                write_set(content_file(key), wheels, STANDARD | OURS)
            except OSError as error:
                raise CacheUnwritable(str(folder), error.strerror or str(error)) from None
    finally:
        lock.release()


def _bound_files() -> None:
    """No file that pip or this process writes gets larger than any wheel that would be taken."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        most = MAX_DOWNLOAD if hard == resource.RLIM_INFINITY else min(MAX_DOWNLOAD, hard)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))


def _tell(line: _Line) -> None:
    with contextlib.suppress(BrokenPipeError):  # who started this was killed; what is fetched is kept for the next one
        os.write(sys.stdout.fileno(), msgspec.json.encode(line) + b"\n")


def _main() -> None:
    def leave(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not disturb the cleaning up
        sys.exit(1)

    signal.signal(signal.SIGTERM, leave)  # so that pip ends too
    _bound_files()
    try:
        _install(sys.argv[1:])
        _tell(_Line(done=True))
    except InvalidPackages as error:
        _tell(_Line(error=error.reason, package=error.package or "", is_invalid=True))
    except CacheUnwritable as error:
        _tell(_Line(error=error.reason, folder=error.folder))
    except SetupError as error:
        _tell(_Line(error=str(error)))


if __name__ == "__main__":
    _main()
