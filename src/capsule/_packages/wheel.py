"""One wheel: whether a sandbox can take it, what it needs, and its files. Nothing is unpacked to a disk.

A wheel is a stranger's archive. Names that lead elsewhere, links and twins refuse all of it; nothing of it is read
before its size is known, and never more than that.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import Parser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from ..errors import InvalidPackages
from .requirements import GUEST_PYTHON

__all__ = ["NATIVE", "WITH_FALLBACK", "Wheel", "read_wheel"]

MAX_WHEEL = 32 << 20
MAX_FILE = 8 << 20
MAX_FILES = 10_000
MAX_DIRECTORY = 4 << 20
"""Bytes of the archive's table of contents, which is read as a whole."""
MOST_NAME = 300
MOST_NEEDS = 1_000

NATIVE = (
    "needs compiled code, which a sandbox cannot load; use a package in pure Python, or do this part outside the task"
)
WITH_FALLBACK = frozenset({"markupsafe", "pyyaml"})
"""Packages whose wheels are native, and whose Python code works as well without the compiled part, which it tries to
import and does not miss. That part is left out."""

_LEFT_OUT = (".so", ".pyd", ".dll", ".dylib", ".exe", ".pyc", ".pth")
"""Native code that pure wheels carry by mistake, and what only an installed Python looks at."""


@dataclass(frozen=True)
class Wheel:
    """A wheel that a sandbox can take."""

    name: str
    version: Version
    needs: tuple[Requirement, ...]
    file: Path
    members: dict[str, str] = field(repr=False)
    """The paths of its files when installed, each with the archive's name for it."""
    size: int

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Each path with its content. Raises InvalidPackages for a damaged archive."""
        with zipfile.ZipFile(self.file) as archive:
            for path, member in self.members.items():
                yield path, _content(archive, member, self.name)


def read_wheel(file: Path) -> Wheel:
    """The wheel in `file`, checked. Raises InvalidPackages, which names the package and what is wrong with it."""
    try:
        name, version, _, tags = parse_wheel_filename(file.name)
    except InvalidWheelFilename:
        raise InvalidPackages(f"{file.name[:80]!r} is not named as wheels are") from None
    if name not in WITH_FALLBACK and not any(tag.abi == "none" and tag.platform == "any" for tag in tags):
        raise InvalidPackages(f"{name} {NATIVE}", package=name)
    if file.stat().st_size > MAX_WHEEL or not _has_small_directory(file):
        raise _refused(name, f"its wheel is larger than {MAX_WHEEL >> 20} MB, or holds too much")
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            members = _members(infos, name)
            info = next((path for path in members if _is_metadata(path, name)), None)
            if info is None:
                raise _refused(name, "its wheel has no METADATA")
            about = Parser().parsestr(_content(archive, members[info], name).decode("utf-8", "replace"))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        raise _refused(name, "its wheel is no archive that can be read") from None
    _check_python(about.get("Requires-Python", ""), name)
    needs = tuple(_need(str(line), name) for line in (about.get_all("Requires-Dist") or [])[:MOST_NEEDS])
    return Wheel(name, version, needs, file, members, sum(info.file_size for info in infos))


def _members(infos: list[zipfile.ZipInfo], name: str) -> dict[str, str]:
    if len(infos) > MAX_FILES:
        raise _refused(name, f"its wheel holds more than {MAX_FILES:,} files")
    members: dict[str, str] = {}
    seen: set[str] = set()
    for info in infos:
        raw = info.filename
        if raw in seen or not _is_inside(raw.removesuffix("/")) or stat.S_ISLNK(info.external_attr >> 16):
            raise _refused(name, "its wheel holds a link, a twin, or a name that leads out of its folder")
        seen.add(raw)
        if info.flag_bits & 1:
            raise _refused(name, "its wheel is encrypted")
        path = _installed(raw)
        if info.is_dir() or path is None or path.endswith(_LEFT_OUT):
            continue
        if info.file_size > MAX_FILE:
            raise _refused(name, f"a file in it is larger than {MAX_FILE >> 20} MB")
        members[path] = raw
    return members


def _is_inside(path: str) -> bool:
    if not 0 < len(path) <= MOST_NAME or not path.isprintable() or re.search(r"[\\:]", path):
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))


def _installed(raw: str) -> str | None:
    """Where a member goes when it is installed; None for one that goes nowhere here, such as a script."""
    first, _, rest = raw.partition("/")
    if not first.endswith(".data"):
        return raw
    kind, _, path = rest.partition("/")
    return path if kind in ("purelib", "platlib") and path else None


def _is_metadata(path: str, name: str) -> bool:
    folder, _, file = path.partition("/")
    return (
        file == "METADATA"
        and folder.endswith(".dist-info")
        and canonicalize_name(folder.removesuffix(".dist-info").rpartition("-")[0]) == name
    )


def _has_small_directory(file: Path) -> bool:
    """Whether the archive's table of contents is small, as its end says; what it says is what is read."""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - (1 << 16) - 64))
        tail = opened.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22 or b"PK\6\7" in tail:  # the last one marks an archive of more than 4 GB
        return False
    return int(struct.unpack_from("<I", tail, at + 12)[0]) <= MAX_DIRECTORY


def _content(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    try:
        with archive.open(member) as opened:
            data = opened.read(MAX_FILE + 1)  # an archive may say less than it holds
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        raise _refused(name, "its wheel is damaged") from None
    if len(data) > MAX_FILE:
        raise _refused(name, f"a file in it is larger than {MAX_FILE >> 20} MB")
    return data


def _need(line: str, name: str) -> Requirement:
    try:
        return Requirement(line)
    except (InvalidRequirement, RecursionError):
        raise _refused(name, f"it asks for {line[:80]!r}, which cannot be read") from None


def _check_python(wanted: str, name: str) -> None:
    try:
        suits = SpecifierSet(wanted).contains(GUEST_PYTHON)
    except InvalidSpecifier:
        suits = True  # old releases are careless, and their code may run
    if not suits:
        raise _refused(name, f"it asks for Python {wanted[:80]}, and the sandbox runs {GUEST_PYTHON}")


def _refused(name: str, why: str) -> InvalidPackages:
    return InvalidPackages(f"{name} cannot be used: {why}", package=name)
