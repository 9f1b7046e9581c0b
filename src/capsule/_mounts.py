"""Folders that a sandbox sees: what a policy says of them, where they lie on this machine, and how a ceiling cuts them.

    ./data                   read-only, at /data inside, which is also what "data" means there
    ./data:rw                the same to read and write
    /srv/models::/models:ro  a folder of the machine under another name

Inside, the current folder is `/`, so that a path below the project root works as it is written.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal

import msgspec

from .cache import VARIABLE, cache_place

__all__ = ["WORKSPACE", "Mount", "anchored", "beyond", "from_here", "narrowed", "normal_mounts", "project_root"]

Mode = Literal["ro", "rw"]

_MODES: Mapping[str, Mode] = {"ro": "ro", "read-only": "ro", "rw": "rw", "read-write": "rw"}
_MOST_PATH = 1000
_MOST_MOUNTS = 100
_SYSTEM = ("/dev", "/proc", "/sys")
"""What is in them are no files."""


WORKSPACE = "/tmp"  # noqa: S108 - a name inside
"""Where the private folder of a sandbox is."""

_MARKS = ("capsule.toml", "pyproject.toml", ".git")
"""What makes a folder the root of a project."""


class Mount(msgspec.Struct, frozen=True):
    """One folder: where it is, what it is called inside, and whether it can be written."""

    host: str
    guest: str
    mode: Mode = "ro"

    @classmethod
    def parse(cls, value: Mount | str | Mapping[str, Any]) -> Mount:
        """`HOST[::GUEST][:ro|:rw]`, or `{"path", "mode"}`. Raises ValueError with a reason."""
        if isinstance(value, Mount):  # checked again: it may come from JSON
            return cls._of(value.host, value.guest, value.mode)
        if isinstance(value, str):
            return cls._of(*_split(value))
        if not isinstance(value, Mapping) or not {"path"} <= set(value) <= {"path", "mode"}:
            raise ValueError(f'{value!r} is neither a path nor {{"path": ..., "mode": ...}}')
        return cls._of(value["path"], None, value.get("mode", "ro"))

    @classmethod
    def _of(cls, host: object, guest: str | None, mode: object) -> Mount:
        path = _host_path(host)
        if not isinstance(mode, str) or mode not in _MODES:
            raise ValueError(f'{mode!r} is no mode; the modes are "read-only" (or "ro") and "read-write" (or "rw")')
        return cls(path, _default_name(path) if guest is None else _guest_path(guest), _MODES[mode])

    @property
    def is_writable(self) -> bool:
        """Whether it may be changed."""
        return self.mode == "rw"

    def holds(self, other: Mount) -> bool:
        """Whether the folder of `other` is this one, or below it."""
        return _below(other.host, self.host) is not None

    def meet(self, limit: Mount) -> Mount | None:
        """What of this one `limit` allows, which is at most a part of it with the stricter mode."""
        mode: Mode = "rw" if self.is_writable and limit.is_writable else "ro"
        if limit.holds(self):
            return Mount(self.host, self.guest, mode)
        rest = _below(limit.host, self.host)
        return None if rest is None else Mount(limit.host, posixpath.join(self.guest, rest), mode)

    def __str__(self) -> str:
        """As it is written in a policy and behind `--mount`."""
        name = "" if self.guest == _default_name(self.host) else f"::{self.guest}"
        return f"{self.host}{name}{':rw' if self.is_writable else ''}"


def normal_mounts(values: Iterable[Any]) -> tuple[Mount, ...]:
    """A list of folders in its normal form. Raises ValueError with a reason."""
    found: dict[str, Mount] = {}
    for mount in map(Mount.parse, values):
        known = found.setdefault(mount.guest, mount)
        if known.host != mount.host:
            raise ValueError(f"{known.host!r} and {mount.host!r} would both be called {mount.guest} inside")
        if mount.is_writable:
            found[mount.guest] = mount
    if len(found) > _MOST_MOUNTS:
        raise ValueError(f"more than {_MOST_MOUNTS} folders")
    return tuple(found.values())


def narrowed(mounts: Iterable[Mount], ceiling: Iterable[Mount]) -> tuple[Mount, ...]:
    """What of `mounts` is left below `ceiling`."""
    wanted, limits = list(mounts), list(ceiling)
    met = (mount.meet(limit) for mount in wanted for limit in limits)
    best: dict[tuple[str, str], Mount] = {}
    for mount in filter(None, met):
        known = best.get((mount.host, mount.guest))
        if known is None or mount.is_writable:
            best[mount.host, mount.guest] = mount
    whole = [mount for mount in wanted if _is_within(mount, limits)]
    for mount in whole:  # to be read, in a folder that can be written: so it was meant, and so it stays
        if any(other.is_writable and other != mount and mount.meet(other) == mount for other in whole):
            best[mount.host, mount.guest] = mount
    return tuple(best.values())


def beyond(mounts: Iterable[Mount], ceiling: Iterable[Mount]) -> tuple[Mount, ...]:
    """Those of `mounts` that are more than one of `ceiling` allows."""
    limits = list(ceiling)
    return tuple(mount for mount in mounts if not _is_within(mount, limits))


def _is_within(mount: Mount, limits: Iterable[Mount]) -> bool:
    return any(mount.meet(limit) == mount for limit in limits)


def anchored(mounts: Iterable[Mount], root: str | os.PathLike[str], *, inside: bool) -> tuple[Mount, ...]:
    """The same with the folders' real, absolute paths; relative ones start from `root` and stay below it.

    With `inside` absolute ones do, too. A link does not lead out. Raises ValueError with a reason for what lies
    outside, and for what is no folder.
    """
    wanted = tuple(mounts)
    try:
        real = os.path.realpath(root) if wanted else ""
    except OSError:
        raise ValueError("the folder that paths start from is gone") from None
    return tuple(_anchor(mount, Path(real), inside=inside) for mount in wanted)


def project_root(file: str | os.PathLike[str]) -> str:
    """The nearest folder above `file` with a project file in it, or a repository; if there is none, the file's own."""
    own = folder = os.path.dirname(os.path.realpath(file))
    while not any(os.path.lexists(os.path.join(folder, mark)) for mark in _MARKS):
        above = os.path.dirname(folder)
        if above == folder:
            return own
        folder = above
    return folder


def from_here(folder: str) -> str:
    """The shortest way to write an absolute path in a policy: from the current folder, if it lies below that."""
    try:
        below = _below(folder, os.path.realpath("."))
    except OSError:  # the current folder is gone
        return folder
    return folder if below is None else f"./{below}"


def _anchor(mount: Mount, root: Path, *, inside: bool) -> Mount:
    named = root / mount.host
    try:
        real = Path(os.path.realpath(named))
        is_folder, is_there = real.is_dir(), real.exists()
    except (OSError, ValueError) as error:
        raise ValueError(f"{mount.host!r} cannot be looked at ({getattr(error, 'strerror', None) or error})") from None
    if inside and not real.is_relative_to(root):
        raise ValueError(f"{mount.host!r} lies outside of the project root; only what is below it can be given")
    if not os.path.isabs(mount.host) and not real.is_relative_to(root):
        raise ValueError(f"{mount.host!r} is a link to {str(real)!r}; if that is meant, write where it leads to")
    if not is_folder:
        what = "is no folder; name the folder that it is in" if is_there else "is not there; make the folder first"
        raise ValueError(f"{mount.host!r} {what}")
    if real.as_posix() == "/" or any(real.as_posix() == place or real.is_relative_to(place) for place in _SYSTEM):
        raise ValueError(f"{mount.host!r} is not given to any sandbox; name a folder of files")
    found = Mount(str(real), mount.guest, mount.mode)
    if found.is_writable and _is_about_the_cache(found):
        reason = "is, or holds, the cache that capsule loads code from, so no program may write there"
        raise ValueError(f"{mount.host!r} {reason}; give a folder beside it, or move the cache ({VARIABLE})")
    return found


def _is_about_the_cache(mount: Mount) -> bool:
    """Whether the folder is the cache, in it, or above it. Who writes there writes what the next process runs."""
    try:
        cache = os.path.realpath(cache_place())
    except OSError:  # below a current folder that is gone
        return False
    return _below(cache, mount.host) is not None or _below(mount.host, cache) is not None


def _split(text: str) -> tuple[str, str | None, str]:
    rest, colon, mode = text.rpartition(":")
    if not colon or mode not in ("ro", "rw") or not rest:
        rest, mode = text, "ro"
    host, colons, guest = rest.partition("::")
    if ":" in guest:
        raise ValueError(f"{text!r}: a name inside has no colon, as in HOST::/name:ro")
    return host, guest if colons else None, mode


def _host_path(host: object) -> str:
    if isinstance(host, os.PathLike):
        host = os.fspath(host)
    if not isinstance(host, str) or not host.strip() or not host.isprintable():
        raise ValueError(f"{host!r} is no path")
    if len(host) > _MOST_PATH:
        raise ValueError(f"a path of {len(host):,} characters; the longest is {_MOST_PATH:,}")
    if ".." in PurePath(host).parts or ".." in host.split("/"):
        raise ValueError(f'{host!r} leads upwards; write the path without ".."')
    if host.startswith("~"):
        raise ValueError(f"{host!r}: ~ is not expanded here; write the path out")
    return PurePath(host).as_posix()


def _default_name(host: str) -> str:
    """What a folder is called inside when nothing is said: the same as outside."""
    drive, rest = os.path.splitdrive(host)
    return posixpath.normpath(posixpath.join("/", drive.rstrip(":").lower(), rest.lstrip("/")))


def _guest_path(text: str) -> str:
    if not text.startswith("/") or not text.isprintable() or len(text) > _MOST_PATH or ".." in text.split("/"):
        raise ValueError(f"{text!r} is no name for a folder inside; write it as /name")
    return "/" + posixpath.normpath(text).lstrip("/")


def _below(path: str, folder: str) -> str | None:
    """What leads from `folder` to `path`, or None if it is elsewhere."""
    try:
        rest = PurePath(os.path.normcase(path)).relative_to(os.path.normcase(folder))
    except ValueError:
        return None
    parts = PurePath(path).parts
    return "/".join(parts[len(parts) - len(rest.parts) :])
