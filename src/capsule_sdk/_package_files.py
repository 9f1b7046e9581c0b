"""Data files and metadata of packages: for `open` beside `__file__`, `importlib.resources` and `importlib.metadata`.

There is no such folder: what is read comes from the host, a file at a time. The parents of the classes for importlib
are imported when they are first asked for: few programs do, and it takes a while.
"""

import builtins
import errno
import functools
import io
import os
import posixpath
import stat
import sys

ROOT = "/packages/"


class _Entry:
    """A file or folder of the packages, as a `Traversable`."""

    def __init__(self, loader, path):
        self.loader, self.path = loader, path

    @property
    def name(self):
        return self.path.rpartition("/")[2]

    def is_dir(self):
        return self.loader.listed(self.path) is not None

    def is_file(self):
        return self.name in (self.loader.listed(self.path.rpartition("/")[0]) or ()) and not self.is_dir()

    def iterdir(self):
        names = self.loader.listed(self.path)
        if names is None:
            raise NotADirectoryError(20, "No such folder in the packages", ROOT + self.path)
        return (self / name for name in names)

    def open(self, mode="r", *args, **kwargs):
        if mode not in ("r", "rb", "rt"):
            raise ValueError(f"packages are read-only, so no mode {mode!r}")
        data = io.BytesIO(self.read_bytes())
        return data if mode == "rb" else io.TextIOWrapper(data, *args, **kwargs)

    def read_bytes(self):
        return self.loader.get_data(ROOT + self.path)

    def read_text(self, encoding="utf-8", errors="strict"):
        return self.read_bytes().decode(encoding or "utf-8", errors)

    def joinpath(self, *more):
        parts = [part for each in more for part in str(each).split("/") if part not in ("", ".")]
        return type(self)(self.loader, "/".join([self.path, *parts]))

    def __truediv__(self, more):
        return self.joinpath(more)

    def __str__(self):
        return ROOT + self.path


@functools.cache
def _classes():
    import importlib.metadata
    from importlib.resources import abc

    class Entry(_Entry, abc.Traversable):
        """The same for those who ask for the class."""

    class Reader(abc.TraversableResources):
        """The folder of one package."""

        def __init__(self, folder):
            self.folder = folder

        def files(self):
            return self.folder

    class Installed(importlib.metadata.Distribution):
        """One package."""

        def __init__(self, folder):
            self.folder = folder

        def read_text(self, filename):
            file = self.folder / filename
            return file.read_text(errors="replace") if file.is_file() else None

        def locate_file(self, path):
            return ROOT + str(path)

    return Entry, Reader, Installed


def reader(loader, name):
    """What `importlib.resources.files(name)` stands on."""
    entry, its_reader, _ = _classes()
    return its_reader(entry(loader, name.replace(".", "/")))


def distributions(loader, context):
    """What is installed, as `importlib.metadata` asks for it: by name, or all."""
    entry, _, installed = _classes()
    wanted = None if context.name is None else _plain(context.name)
    for folder in loader.listed("") or ():
        if folder.endswith(".dist-info") and wanted in (None, _plain(folder[:-10].rpartition("-")[0])):
            yield installed(entry(loader, folder))


def _plain(name):
    return name.lower().replace("-", "_").replace(".", "_")


def be_found(loader):
    """Let `open`, `os.stat` and `os.listdir`, and with them `os.path` and `pathlib`, find what is below ROOT."""
    if not getattr(io.open, "is_ours", False):
        io.open = builtins.open = _opening(loader, io.open)
        if "tokenize" in sys.modules:  # it keeps the builtin under a name of its own, and tracebacks read by it
            sys.modules["tokenize"]._builtin_open = io.open
        os.stat = _looking(loader, os.stat, _status)
        os.listdir = _looking(loader, os.listdir, _names)
        sys.path_hooks.insert(0, functools.partial(_Folder, loader))


class _Folder:
    """What `pkgutil.iter_modules` asks for the modules of a folder. Nothing is loaded by way of it."""

    def __init__(self, loader, path):
        self.loader, self.path = loader, _below(loader, path)
        if self.path is None:
            raise ImportError("no folder of the packages", path=path)

    def find_spec(self, name, target=None):
        return None

    def iter_modules(self, prefix=""):
        for name in self.loader.listed(self.path) or ():
            if name.endswith(".py") and name != "__init__.py":
                yield prefix + name.removesuffix(".py"), False
            elif "." not in name and "__init__.py" in (self.loader.listed(f"{self.path}/{name}") or ()):
                yield prefix + name, True


def _opening(loader, real):
    @functools.wraps(real)
    def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        path = _below(loader, file)
        if path is None:
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if set(mode) - set("rbt"):
            raise OSError(errno.EROFS, "Packages are read-only", os.fspath(file))
        if loader.listed(path) is not None:
            raise IsADirectoryError(errno.EISDIR, "Is a directory", os.fspath(file))
        data = io.BytesIO(loader.get_data(ROOT + path))
        return data if "b" in mode else io.TextIOWrapper(data, encoding, errors, newline)

    opened.is_ours = True
    return opened


def _looking(loader, real, answer):
    @functools.wraps(real)
    def look(path=".", *args, **kwargs):
        found = _below(loader, path)
        return real(path, *args, **kwargs) if found is None else answer(loader, found)

    return look


def _status(loader, path):
    if loader.listed(path) is not None:
        return os.stat_result((stat.S_IFDIR | 0o555, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    return os.stat_result((stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, len(loader.get_data(ROOT + path)), 0, 0, 0))


def _names(loader, path):
    names = loader.listed(path)
    if names is None:
        raise NotADirectoryError(errno.ENOTDIR, "No such folder in the packages", ROOT + path)
    return list(names)


def _below(loader, file):
    """The path of `file` below ROOT; None for any other, for bytes and descriptors, and while there are no packages."""
    if not loader.names or not isinstance(file, str | os.PathLike):
        return None
    path = os.fspath(file)
    if not isinstance(path, str) or not path.startswith(ROOT.rstrip("/")):
        return None
    path = posixpath.normpath(path) + "/"
    return path.removeprefix(ROOT).rstrip("/") if path.startswith(ROOT) else None
