"""Where capsule keeps what it can make again, and whether that place is private.

Light, for the command line asks before anything is loaded.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "CAPSULE_CACHE_DIR"

_OTHERS_WRITE = 0o022
_PRIME = 2**64 - 59
_DIGITS, _REST, _HEX = 16, 8, frozenset("0123456789abcdef")


def cache_place() -> str:
    """`CAPSULE_CACHE_DIR`, or the user's cache folder. Raises OSError if the current folder is gone and matters."""
    named = os.environ.get(VARIABLE)
    if named:
        named = os.path.expanduser(named)
        return named if os.path.isabs(named) else os.path.join(os.getcwd(), named)
    if sys.platform == "linux":  # what platformdirs answers there; to load it takes longer than a sandbox to start
        cache, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
        if cache.startswith("/"):
            return f"{cache}/capsule"
        if home.startswith("/"):
            return f"{home}/.cache/capsule"
    import platformdirs

    return platformdirs.user_cache_dir("capsule", appauthor=False)


def short_name(text: str) -> str:
    """Some letters and digits, for the name of a file about what `text` says. Two texts share them by chance alone, and
    whoever reads the file looks whether it is about the right one.

    The remainder by the largest prime below 2**64: each character matters, and no module is loaded for it.
    """
    return f"{int.from_bytes(text.encode('utf-8', 'surrogatepass'), 'little') % _PRIME:016x}"


def why_not_private(status: os.stat_result) -> str | None:
    """Why a file or folder is none that code may be loaded from; None for one that only its user and root can write."""
    if sys.platform == "win32":
        return None
    if status.st_uid not in (os.getuid(), 0):
        return "it belongs to another user"
    if status.st_mode & _OTHERS_WRITE:
        return "others can write it, and native code is loaded from it"
    return None


def replace_file(file: str, parts: Iterable[bytes]) -> None:
    """Write a file there anew, as a whole or not at all, for its owner alone. Raises OSError, also if the folder is not
    private.
    """
    reason = why_not_private(os.stat(os.path.dirname(file)))
    if reason is not None:
        raise PermissionError(errno.EPERM, reason)
    aside = f"{file}-{os.urandom(4).hex()}"
    try:
        with open(aside, "xb", opener=_for_its_owner) as written:
            written.writelines(parts)
            written.flush()
            os.fsync(written.fileno())  # or the name may be there before the content, if the power goes
        os.replace(aside, file)
    except BaseException:
        remove(aside)
        raise


def remove(file: str) -> None:
    """A file that may not be there. Raises OSError for anything else."""
    try:
        os.unlink(file)
    except FileNotFoundError:
        return


def keep_newest(start: str, most: int) -> None:
    """Remove all but so many of them. Raises OSError."""
    for old in files_of(start)[most:]:
        remove(old)


def files_of(start: str) -> list[str]:
    """The files that `replace_file` wrote in the cache, whose names begin so and go on with a `short_name`; what
    a killed process left of one, too. Those that were written last come first.
    """
    folder = cache_place()
    try:
        names = [name for name in os.listdir(folder) if _is_name(name, start)]
    except OSError:  # it is not there, or is none
        return []
    times = {f"{folder}/{name}": _time_of(f"{folder}/{name}") for name in names}
    return sorted((file for file, time in times.items() if time is not None), key=lambda file: -(times[file] or 0))


def _time_of(file: str) -> float | None:
    """When it was written; None if it is no file, or gone meanwhile."""
    try:
        status = os.lstat(file)
    except OSError:
        return None
    return status.st_mtime if stat.S_ISREG(status.st_mode) else None


def _is_name(name: str, start: str) -> bool:
    if not name.startswith(start):
        return False
    key, dash, rest = name[len(start) :].partition("-")
    return len(key) == _DIGITS and _HEX.issuperset(key + rest) and len(rest) == (_REST if dash else 0)


def _for_its_owner(file: str, flags: int) -> int:
    return os.open(file, flags, 0o600)
