"""Packages as they are kept: one archive of our own making for each set, and one with its byte code.

Written aside and renamed, so that what is there is whole. Nothing is ever unpacked: a file is read out of the archive
by the very name that stands in its table of contents, so that no name leads anywhere else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from ..errors import InvalidPackages
from .wheel import Wheel

__all__ = ["DAMAGED", "Code", "PackageSet", "key_of", "write_code", "write_set"]

FORMAT = "1"
_ABOUT, _IMPORTS = "about.json", "imports.json"

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError)
"""What reading an archive with a wrong byte in it may raise."""


class Code(msgspec.Struct, frozen=True, array_like=True):
    """Byte code of a Python file as text, and the names of what it imports first, of its own set alone."""

    text: str
    imports: tuple[str, ...]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive says of itself."""

    packages: dict[str, str]
    """Each package with its version."""

    names: tuple[str, ...]
    """What can be imported, by top-level name."""


def key_of(requirements: Sequence[str]) -> str:
    """A key for what is asked for and where pip would look for it, fit for a file name."""
    place = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("PIP_")]
    digest = hashlib.sha256("\n".join([FORMAT, *requirements, "", *place]).encode("utf-8", "replace"))
    for text in _configuration():
        digest.update(b"\0" + text)
    return digest.hexdigest()[:24]


def _configuration() -> Iterator[bytes]:
    """What stands in pip's configuration files, which lie where its documentation says ("Configuration Files")."""
    import platformdirs

    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    folders = [
        platformdirs.site_config_path("pip", appauthor=False),
        platformdirs.user_config_path("pip", appauthor=False, roaming=True),
        *([Path("/etc"), Path("~/.pip").expanduser()] if sys.platform != "win32" else []),
        Path(sys.prefix),
    ]
    for file in [*(folder / name for folder in folders), Path(os.environ.get("PIP_CONFIG_FILE") or os.devnull)]:
        with contextlib.suppress(OSError, RuntimeError):  # it is not there, or there is no home
            yield file.read_bytes()


def write_set(target: Path, wheels: Iterable[Wheel], taken: Collection[str]) -> None:
    """Put the files of all `wheels` into one archive. Names in `taken` are the sandbox's own: nothing hides them.

    Raises InvalidPackages for a damaged wheel; nothing is left behind then.
    """
    versions: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for wheel in wheels:
        versions[wheel.name] = str(wheel.version)
        files |= dict(wheel.files())
    names = {path.partition("/")[0].removesuffix(".py") for path in files if path.endswith(".py")}
    importable = tuple(sorted(name for name in names if name.isidentifier() and name not in taken))
    about = msgspec.json.encode(About(packages=versions, names=importable))
    with _archive(target, zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_ABOUT, about)
        for path, content in files.items():
            archive.writestr(f"files/{path}", content)


def write_code(target: Path, code: Mapping[str, Code]) -> None:
    """Put byte code, by the path of its source, into an archive."""
    with _archive(target, zipfile.ZIP_STORED) as archive:
        archive.writestr(_IMPORTS, msgspec.json.encode({path: each.imports for path, each in code.items()}))
        for path, each in code.items():
            archive.writestr(path, each.text)


@contextlib.contextmanager
def _archive(target: Path, compression: int) -> Iterator[zipfile.ZipFile]:
    handle, name = tempfile.mkstemp(prefix=f"{target.stem}-", suffix=".new", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as opened, zipfile.ZipFile(opened, "w", compression) as archive:
            yield archive
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


class PackageSet:
    """One set of packages, open for reading, also from several threads. `close` gives its files back."""

    def __init__(self, content: Path, code: Path | None = None) -> None:
        """Raises OSError for an archive that is missing, and one of DAMAGED."""
        self.is_damaged = False
        with contextlib.ExitStack() as stack:
            self._content = stack.enter_context(zipfile.ZipFile(content))
            self._code = stack.enter_context(zipfile.ZipFile(code)) if code else None
            self.about = msgspec.json.decode(self._content.read(_ABOUT), type=About)
            self._stack = stack.pop_all()
        self._sizes = {
            info.filename.removeprefix("files/"): info.file_size
            for info in self._content.infolist()
            if info.filename != _ABOUT
        }
        self._compiled = set(self._code.namelist()) if self._code else set()
        self._imports: dict[str, tuple[str, ...]] = {}
        if self._code is not None:
            self._imports = msgspec.json.decode(self._code.read(_IMPORTS), type=dict[str, tuple[str, ...]])
        self._folders: dict[str, dict[str, int | None]] = {}
        for path, size in self._sizes.items():
            rest, _, last = path.rpartition("/")
            self._folders.setdefault(rest, {}).setdefault(last, size)
            while rest:
                rest, _, last = rest.rpartition("/")
                self._folders.setdefault(rest, {})[last] = None

    @property
    def names(self) -> tuple[str, ...]:
        """What can be imported, by top-level name."""
        return self.about.names

    def sources(self) -> list[str]:
        """The paths of all Python files."""
        return sorted(path for path in self._sizes if path.endswith(".py"))

    def find(self, module: str) -> tuple[str, bool] | None:
        """The path of a module's file and whether it is a package; a folder without one has the path of the folder."""
        if module.partition(".")[0] not in self.names or not all(map(str.isidentifier, module.split("."))):
            return None
        path = module.replace(".", "/")
        if f"{path}/__init__.py" in self._sizes:
            return f"{path}/__init__.py", True
        if f"{path}.py" in self._sizes:
            return f"{path}.py", False
        return (path, True) if path in self._folders else None

    def code(self, path: str) -> str | None:
        """The byte code of the Python file at `path` as text, or None if there is none. Raises as `read` does."""
        if self._code is None or path not in self._compiled:
            return None
        return self._read(self._code, path).decode("ascii")

    def with_packages(self, names: Iterable[str]) -> Iterator[str]:
        """Those of `names` that are modules of the set, each behind the packages that it is in."""
        for name in names:
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                part = ".".join(parts[:end])
                if self.find(part) is None:
                    break
                yield part

    def ahead(self, module: str, seen: set[str]) -> Iterator[str]:
        """The modules that will be imported because `module` is, in turn, but for those in `seen`, which gets them."""
        todo = [module]
        while todo:
            where = self.find(todo.pop())
            names = [name for name in self._imports.get(where[0], ()) if name not in seen] if where else []
            for name in names:
                seen.add(name)
                yield name
            todo.extend(reversed(names))

    def code_size(self, path: str) -> int:
        """Characters of the byte code of the Python file at `path`; 0 if there is none."""
        return self._code.getinfo(path).file_size if self._code is not None and path in self._compiled else 0

    def size(self, path: str) -> int | None:
        """Bytes of the file at `path`; None if there is no such file."""
        return self._sizes.get(path)

    def read(self, path: str) -> bytes:
        """The file at `path`, for which `size` has an answer.

        Raises InvalidPackages if the archive is damaged, which is removed then, so that the next run makes it again.
        """
        return self._read(self._content, f"files/{path}")

    def _read(self, archive: zipfile.ZipFile, member: str) -> bytes:
        try:
            return archive.read(member)
        except DAMAGED:
            if archive.fp is None:  # closed meanwhile
                raise
            self.is_damaged = True
            _remove(archive)
            raise InvalidPackages(
                "the packages that this machine kept are damaged, and were removed; run it again to fetch them anew"
            ) from None

    def entries(self, folder: str) -> dict[str, int | None] | None:
        """What is in a folder ("" is the outermost): names with bytes, None for folders. None for what is no folder."""
        found = self._folders.get(folder)
        return dict(sorted(found.items())) if found is not None else None

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder at `path`."""
        return path in self._folders

    def close(self) -> None:
        """Close the files."""
        self._stack.close()


def _remove(archive: zipfile.ZipFile) -> None:
    """Remove the file of an open archive, unless another one took its place."""
    assert archive.fp is not None
    assert archive.filename is not None
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(archive.fp.fileno()), os.stat(archive.filename)):
            Path(archive.filename).unlink()
