"""Data files and metadata of packages: for `open` beside `__file__`, `importlib.resources` and `importlib.metadata`.

There is no such folder: what is read comes from the host, a file at a time, by way of the functions of `os` and `io`
that read. Those that write are WASI's, which knows no such path and refuses it. What is for importlib is imported when
it is first asked for: few programs do, and it takes a while.
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
_MOST_PATH = 400  # characters that the host takes; there is no longer one
_TIME = 315_532_800  # 1980, before which an archive of files knows no time


@functools.cache
def _reader_class():
    from importlib.resources import abc

    class Reader(abc.TraversableResources):
        """The folder of one package."""

        def __init__(self, folder):
            self.folder = folder

        def files(self):
            return self.folder

    return Reader


def reader(name):
    """What `importlib.resources.files(name)` stands on."""
    from pathlib import Path

    return _reader_class()(Path(ROOT, *name.split(".")))


def distributions(loader, context):
    """What is installed, as `importlib.metadata` asks for it: by name, or all."""
    from importlib.metadata import PathDistribution
    from pathlib import Path

    wanted = None if context.name is None else _plain(context.name)
    for folder in loader.listed("") or ():
        if folder.endswith(".dist-info") and wanted in (None, _plain(folder[:-10].rpartition("-")[0])):
            yield PathDistribution(Path(ROOT, folder))


def _plain(name):
    return name.lower().replace("-", "_").replace(".", "_")


def be_found(loader):
    """Let `open` and what looks in `os`, and with them `os.path`, `pathlib` and `glob`, find what is below ROOT."""
    if not getattr(io.open, "is_ours", False):
        io.open = builtins.open = _opening(loader, io.open)
        if "tokenize" in sys.modules:  # it keeps the builtin under a name of its own, and tracebacks read by it
            sys.modules["tokenize"]._builtin_open = io.open
        for name, answer in _ANSWERS.items():
            _replace(name, _looking(loader, getattr(os, name), answer))
        sys.path_hooks.insert(0, functools.partial(_Folder, loader))


def _replace(name, function):
    """In `os`, and in its sets of functions with further arguments, which others ask what they may pass."""
    for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
        if function.__wrapped__ in known:
            known.add(function)
    setattr(os, name, function)


class _Folder:
    """What `pkgutil.iter_modules` asks for the modules of a folder. Nothing is loaded by way of it."""

    def __init__(self, loader, path):
        self.loader, self.path = loader, _below(loader, path)
        if self.path is None:
            raise ImportError("no folder of the packages", path=path)

    def find_spec(self, name, target=None):
        return None

    def iter_modules(self, prefix=""):
        for name, size in (self.loader.listed(self.path) or {}).items():
            if name.endswith(".py") and name != "__init__.py":
                yield prefix + name.removesuffix(".py"), False
            elif size is None and "." not in name and self._has_code(name):
                yield prefix + name, True

    def _has_code(self, name):
        return self.loader.size(posixpath.join(self.path, name, "__init__.py")) is not None


class _Function:
    """In the place of a builtin. As that one, it is no method of a class that keeps it."""

    is_ours = True

    def __init__(self, real, call):
        functools.update_wrapper(self, real)
        self._call = call

    def __call__(self, *args, **kwargs):
        return self._call(*args, **kwargs)


def _opening(loader, real):
    def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        path = _below(loader, file)
        is_known = isinstance(mode, str) and mode in _MODES
        if path is None or not (is_known or set("wax+") & set(mode)):
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not is_known:
            raise OSError(errno.EROFS, "Packages are read-only", os.fspath(file))
        if loader.size(path) == -1:
            raise IsADirectoryError(errno.EISDIR, "Is a directory", os.fspath(file))
        if "b" in mode:
            if any(each is not None for each in (encoding, errors, newline)):
                raise ValueError("binary mode takes no encoding, errors or newline")
            return _Data(loader.get_data(ROOT + path), file)
        text = io.TextIOWrapper(_Data(loader.get_data(ROOT + path), file), encoding, errors, newline)
        text.mode = mode
        return text

    return _Function(real, opened)


_MODES = {"r", "rt", "tr", "rb", "br"}


class _Data(io.BytesIO):
    """A file that was opened to be read."""

    mode = "rb"

    def __init__(self, data, name):
        super().__init__(data)
        self.name = name

    def writable(self):
        return False

    def write(self, *_):
        raise io.UnsupportedOperation("not writable")

    writelines = truncate = write


def _looking(loader, real, answer):
    def look(*args, **kwargs):
        given = args[0] if args else kwargs.get("path")
        found = _below(loader, given)
        if found is None:
            return real(*args, **kwargs)
        kwargs.pop("path", None)
        return answer(loader, found, given, *args[1:], **kwargs)

    return _Function(real, look)


def _status(loader, path, given, *, dir_fd=None, follow_symlinks=True):  # noqa: ARG001 - as os.stat has them
    return _status_of(path, _size(loader, path, given))


def _status_of(path, size):
    mode, size = (stat.S_IFDIR | 0o555, 0) if size == -1 else (stat.S_IFREG | 0o444, size)
    times = {f"st_{which}time_ns": _TIME * 1_000_000_000 for which in "amc"}
    number = hash(path) & 0xFFFF_FFFF  # or all of them would be the same file
    return os.stat_result((mode, number, 0, 1, 0, 0, size, _TIME, _TIME, _TIME), times)


def _size(loader, path, given):
    size = loader.size(path)
    if size is None:
        raise FileNotFoundError(errno.ENOENT, "No such file in the packages", os.fspath(given))
    return size


def _names(loader, path, given):
    return list(_listed(loader, path, given))


def _listed(loader, path, given):
    found = loader.listed(path)
    if found is None:
        _size(loader, path, given)
        raise NotADirectoryError(errno.ENOTDIR, "No folder in the packages", os.fspath(given))
    return found


def _may(
    loader,
    path,
    _given,
    mode,
    *,
    dir_fd=None,  # noqa: ARG001 - as os.access has them
    effective_ids=False,  # noqa: ARG001
    follow_symlinks=True,  # noqa: ARG001
):
    size = loader.size(path)
    return size is not None and not mode & (os.W_OK if size == -1 else os.W_OK | os.X_OK)


def _entries(loader, path, given):
    return _Entries(
        _Entry(name, posixpath.join(given, name), f"{path}/{name}".lstrip("/"), -1 if size is None else size)
        for name, size in _listed(loader, path, given).items()
    )


class _Entries:
    """What `os.scandir` answers."""

    def __init__(self, entries):
        self._entries = entries

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Nothing more comes."""
        self._entries.close()


class _Entry:
    """A file or folder, as `os.scandir` knows them."""

    __slots__ = ("_size", "_within", "name", "path")

    def __init__(self, name, path, within, size):
        self.name, self.path, self._within, self._size = name, path, within, size

    def is_dir(self, *, follow_symlinks=True):
        return self._size == -1

    def is_file(self, *, follow_symlinks=True):
        return self._size != -1

    def is_symlink(self):
        return False

    is_junction = is_symlink

    def stat(self, *, follow_symlinks=True):
        return _status_of(self._within, self._size)

    def inode(self):
        return self.stat().st_ino

    def __fspath__(self):
        return self.path

    def __repr__(self):
        return f"<DirEntry {self.name!r}>"


_ANSWERS = {"stat": _status, "lstat": _status, "access": _may, "listdir": _names, "scandir": _entries}


def _below(loader, file):
    """The path of `file` below ROOT; None for any other, for bytes and descriptors, and while there are no packages."""
    if not loader.names or not isinstance(file, str | os.PathLike):
        return None
    path = os.fspath(file)
    if not isinstance(path, str) or not path.startswith(ROOT.rstrip("/")):
        return None
    path = posixpath.normpath(path) + "/"
    if not path.startswith(ROOT) or len(path) > len(ROOT) + _MOST_PATH or not path.isprintable():
        return None  # it is no file of a package, and WASI says that it is not there
    return path.removeprefix(ROOT).rstrip("/")
