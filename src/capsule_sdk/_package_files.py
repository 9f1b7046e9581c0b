"""Data files and metadata of packages, for `importlib.resources` and `importlib.metadata`.

Their own parents are imported when they are first asked for: few programs do, and it takes a while.
"""

import functools
import io

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
