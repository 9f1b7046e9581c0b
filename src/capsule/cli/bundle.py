"""The byte code of all modules that a run loads, in one file of the cache, found and read at once.

A run that computes nothing is three hundred imports: each module is looked for in folders, opened and read, which is a
sixth of its time. So what a run has loaded is kept together when it ends, and the next command takes it from there,
under Python's own rule for byte code: it is good while its source has the time and size that it was compiled from. What
is not kept, or has changed, is imported as ever, and the file is written anew. If a folder has changed in which modules
are looked for, nothing is taken from the file, for what came there could hide another; and nothing is written while one
has just changed, for who can say whether that was before or after a module was found.

Only the console script does this: no application's imports are touched.
"""

from __future__ import annotations

import _imp
import marshal
import mmap
import os
import stat
import sys
import time
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder, SourceFileLoader

from capsule.cache import cache_place, keep_newest, replace_file, short_name, why_not_private

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes longer to load than all of this
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import CodeType, ModuleType
    from typing import Any

    Time = tuple[int, int]
    """When something changed, in seconds; its size, if it is no folder."""

    Stamp = tuple[int, int]
    """Time and size of a source. Python's own byte code has the same two."""

    Entry = tuple[str, str, str | None, bool, Stamp | None, int]
    """The folder that it was found in; its file; where Python keeps its byte code; whether it is a package; the stamp
    of its source, None for native code; the number of its part."""

    Made = dict[Any, Any]
    """What modules compile themselves while they run: see `compiled`."""

PREFIX = "modules-"
MOST_FILES = 8
"""One for each environment that has the command. Those that were written first go first."""

MOST_PARTS = 16
"""In one file. What a run loads that others did not is one more, and what it reads and does not load."""

MOST_MADE = 1000
"""Of what modules compile, in one part. A run has a hundred; more has gathered from versions that are gone."""

_FORMAT, _NUMBER = 2, 8
_LAST = MOST_PARTS - 1  # takes in what has no room for a part of its own
_NOWHERE = -1  # the part of what was found and put off: if it is loaded after all, Python's own byte code is read
_SETTLED = 2  # seconds without a change: folders have their times in whole ones, as in the layers of an image


_CODE = type((lambda: None).__code__)
MODULE = type(sys)


class Bundle:
    """Finds modules, in front of Python's own finder of files.

    Modules that were written together are one part, and read together: they share their names, and to read them one by
    one takes an eighth longer. What a run reads of a part and does not load, as what the first one needed to make the
    guest, is put into another one.
    """

    def __init__(self) -> None:
        self._file, self._path, self._began = "", list(sys.path), int(time.time())
        self.entries: dict[str, Entry] = {}  # by the names of modules
        self._parts: list[memoryview] = []
        self._read: dict[int, dict[str, CodeType]] = {}
        self._taken: set[str] = set()
        self.made: Made = {}

    def open(self) -> None:
        """Take up what is kept for this interpreter and its `sys.path`, if it is whole, private and not stale, and find
        modules from now on.
        """
        try:
            made_for = _made_for()
            self._file = f"{cache_place()}/{PREFIX}{short_name(repr(made_for))}"
            self._take_up(mapped(self._file), made_for)
        except (OSError, EOFError, ValueError, TypeError):
            pass  # there is none, or it is damaged: then all is imported as ever
        if PathFinder in sys.meta_path:
            sys.meta_path.insert(sys.meta_path.index(PathFinder), self)

    def _take_up(self, whole: memoryview, made_for: tuple[Any, ...]) -> None:
        begin = 2 * _NUMBER + int.from_bytes(whole[:_NUMBER], "little")
        index = whole[2 * _NUMBER : begin]
        if number_of(index) != whole[_NUMBER : 2 * _NUMBER]:
            return
        known_for, times, entries, sizes = marshal.loads(index)  # noqa: S302 - private, as the guest is
        if known_for == made_for and len(whole) == begin + sum(sizes) and _times(times) == times:
            for size in sizes:
                self._parts.append(whole[begin : begin + size])
                begin += size
            self.entries = entries

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the import system asks for it; None for what Python's own finder has to find."""
        entry = self.entries.get(name)
        if entry is None:
            return None
        folder, origin, cached, is_package, stamp, part = entry
        if list(path) != [folder] if path is not None else sys.path != self._path or "." in name:
            return None
        if stamp is not None and stamp != stamp_of(origin):
            del self.entries[name]
            return None
        loader = ExtensionFileLoader(name, origin) if stamp is None else Kept(name, origin, self, part)
        spec = ModuleSpec(name, loader, origin=origin, is_package=is_package)
        spec.has_location = True
        spec.cached = cached
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(origin)]
        return spec

    def take(self, name: str, part: int) -> CodeType | None:
        """The byte code of a module, which is there once; None if it is not, or the part is damaged."""
        if part == _NOWHERE or name in self._taken:
            return None
        if part not in self._read:
            self._read[part], made = self._content(part)
            self.made.update(made)
            if not self._read[part]:
                self.entries, self._parts = {}, []
        code = self._read[part].get(name)
        self._taken.add(name)
        return code if type(code) is _CODE else None

    def _content(self, part: int) -> tuple[dict[str, CodeType], Made]:
        """Byte code by module, and what modules compile themselves. Nothing of a part that is damaged."""
        try:
            codes, made = marshal.loads(self._parts[part])  # noqa: S302 - as above
            return dict(codes), dict(made)
        except Exception:  # noqa: BLE001 - whatever marshal says of bytes that are none of its own
            return {}, {}

    def keep(self, new: Callable[[], Made] = dict) -> None:
        """Write down what this process has loaded that was not kept, with what `new` answers for `made`. Never raises:
        whatever is odd about a module, or about the cache, costs nobody the run.
        """
        try:
            if not sys.dont_write_bytecode and all(map(os.path.isabs, sys.path)):
                self._keep(new)
        except BaseException:  # noqa: BLE001 - see above
            return

    def _keep(self, new: Callable[[], Made]) -> None:
        free = [part for part in range(MOST_PARTS) if not self._parts[part : part + 1] or not self._parts[part]]
        places = [*free, _LAST, _LAST]
        apart = self._apart(places[0])
        entries = {**self.entries, **apart, **self._new(places[bool(apart)])}
        if entries == self.entries:
            return
        folders = _looked_through(entries)
        times = _times(folders)
        if self.is_settled(folders):
            fresh = {name: entry for name, entry in entries.items() if entry[-2] in (None, stamp_of(entry[1]))}
            replace_file(self._file, self._written(fresh, times, new()))
            keep_newest(PREFIX, MOST_FILES)

    def is_settled(self, places: Iterable[str]) -> bool:
        """Whether they are as they were before this process began."""
        return max(map(_last_change, places)) + _SETTLED < self._began

    def _apart(self, place: int) -> dict[str, Entry]:
        """What has been read and was not loaded goes there; from the last part nothing goes."""
        left = [name for codes in self._read.values() for name in codes if name not in self._taken]
        known = {name: self.entries[name] for name in left if name in self.entries}
        return {name: (*entry[:-1], place) for name, entry in known.items() if entry[-1] in {*self._read} - {_LAST}}

    def _new(self, part: int) -> dict[str, Entry]:
        """What is loaded and not kept."""
        made = ((name, _entry(name, part)) for name in [*sys.modules] if name not in self.entries)
        return {name: entry for name, entry in made if entry is not None}

    def _written(self, entries: dict[str, Entry], times: dict[str, Time | None], new: Made) -> Iterator[bytes]:
        """The file, with those parts written anew in which something came or went."""
        parts_of = {name: entry[-1] for name, entry in entries.items() if entry[-1] != _NOWHERE}
        before = {name: entry[-1] for name, entry in self.entries.items()}
        came = {part for name, part in parts_of.items() if before.get(name) != part}
        moved = {part for name, part in parts_of.items() if before.get(name, part) != part}
        left = {name: part for part, codes in self._read.items() for name in codes if name not in self._taken}
        anew = came | {part for name, part in left.items() if parts_of.get(name) != part} & {*parts_of.values()}
        parts = [*self._parts, *[memoryview(b"")] * (max(anew, default=-1) + 1 - len(self._parts))]
        for part in sorted(anew):
            codes, made = self._content(part) if part < len(self._parts) else ({}, {})
            content = {name: self._code(name, entries[name], codes) for name in parts_of if parts_of[name] == part}
            known = {**(new if part == max(anew) else {}), **(self.made if part in moved else {}), **made}
            parts[part] = memoryview(marshal.dumps((content, dict([*known.items()][:MOST_MADE]))))
        parts = [content if part in parts_of.values() else memoryview(b"") for part, content in enumerate(parts)]
        index = marshal.dumps((_made_for(), times, entries, [len(part) for part in parts]))
        yield len(index).to_bytes(_NUMBER, "little")
        yield number_of(index)
        yield index
        yield from map(bytes, parts)

    def _code(self, name: str, entry: Entry, codes: dict[str, CodeType]) -> CodeType | None:
        """What is kept of a module: what was kept of it, if that was for this entry, wherever it was then."""
        before = self.entries.get(name)
        if before is None or before[:-1] != entry[:-1]:
            return SourceFileLoader(name, entry[1]).get_code(name)  # after its stamp: what changed meanwhile is stale
        return self._read.get(before[-1], codes).get(name)


class Kept(SourceFileLoader):
    """Loads a module from its kept byte code."""

    def __init__(self, name: str, origin: str, bundle: Bundle, part: int) -> None:
        self.name, self.path = name, origin  # all that the other one does, a third of a microsecond later
        self._bundle, self._part = bundle, part

    def get_code(self, fullname: str) -> CodeType | None:
        """From the file, or as ever."""
        return self._bundle.take(fullname, self._part) or super().get_code(fullname)


def _made_for() -> tuple[Any, ...]:
    """What else decides what is found. A folder may be a link that leads elsewhere tomorrow."""
    path = tuple((folder, os.path.realpath(folder)) for folder in sys.path)
    hooks = tuple(getattr(hook, "__qualname__", "") for hook in sys.path_hooks)
    return _FORMAT, sys.version, _imp.is_frozen("os"), sys.flags.optimize, sys.pycache_prefix, path, hooks


def mapped(file: str) -> memoryview:
    """The content of a file of the cache. Raises OSError also if others can write it or its folder."""
    with open(file, "rb", buffering=0) as opened:
        if why_not_private(os.fstat(opened.fileno())) or why_not_private(os.stat(os.path.dirname(file))):
            raise PermissionError(file)
        if sys.platform == "win32":  # where a file that is mapped cannot be replaced
            return memoryview(opened.read())
        return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


def number_of(content: memoryview | bytes) -> bytes:
    """What changes if damage makes it say other things: eight bytes, Python's own digest of a source."""
    return _imp.source_hash(_FORMAT, content)


def stamp_of(file: str) -> Stamp | None:
    """Of a source; None if it cannot be looked at."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return int(status.st_mtime), status.st_size


def _times(places: Iterable[str]) -> dict[str, Time | None]:
    return {place: _time(place) for place in places}


def _time(place: str) -> Time | None:
    try:
        status = os.stat(place)
    except OSError:
        return None
    return int(status.st_mtime), 0 if stat.S_ISDIR(status.st_mode) else status.st_size


def _last_change(place: str) -> int:
    """Whatever time somebody gave it afterwards; 0 if it is not there."""
    try:
        status = os.stat(place)
    except OSError:
        return 0
    return int(max(status.st_mtime, status.st_ctime))


def _looked_through(entries: dict[str, Entry]) -> set[str]:
    """The folders that decide where these are found: those of the path, those that they are in, and those that have the
    name of one and may be, or become, a package in its place.
    """
    within = {(folder, name) for folder in sys.path for name in entries if "." not in name}
    beside = {(entry[0], name.rpartition(".")[2]) for name, entry in entries.items()}
    named = {f"{folder}/{name}" for folder, name in within | beside}
    return {*sys.path, *(entry[0] for entry in entries.values()), *filter(os.path.isdir, named)}


def _entry(name: str, part: int) -> Entry | None:
    """What is kept of a loaded module; None if it is none that Python's own finder finds in a file, and will again."""
    spec: Any = names_of(sys.modules.get(name)).get("__spec__")
    if type(spec) is not ModuleSpec:
        return None
    put_off = getattr(spec, "loader", None)
    loader = getattr(put_off, "real", put_off)
    if type(loader) not in (SourceFileLoader, Kept, ExtensionFileLoader) or spec.name != name:
        return None
    origin = spec.origin or ""
    is_package, is_native = spec.submodule_search_locations is not None, type(loader) is ExtensionFileLoader
    folder = os.path.dirname(os.path.dirname(origin) if is_package else origin)
    stamp = None if is_native else stamp_of(origin)
    if not (stamp or is_native) or _is_of_another_kind(spec.cached) or not _is_found(name, folder, origin):
        return None
    return folder, origin, spec.cached, is_package, stamp, part if stamp and put_off is loader else _NOWHERE


def _is_found(name: str, folder: str, origin: str) -> bool:
    """Whether an import finds it there: in the path, or in the one folder of the package that it is in."""
    above, path = name.rpartition(".")[0], None
    if above:
        package = names_of(sys.modules.get(above))
        path = list(package.get("__path__") or ())
        if path != [os.path.dirname(package.get("__file__") or "")] or path != [folder]:
            return False
    found = PathFinder.find_spec(name, path)
    return found is not None and found.origin == origin


def _is_of_another_kind(cached: str | None) -> bool:
    """Whether Python's own byte code has another rule than time and size: a digest of the source, or none (PEP 552)."""
    try:
        with open(cached or "", "rb", buffering=0) as file:
            return file.read(8)[4:] != bytes(4)
    except OSError:
        return False


def names_of(module: Any) -> dict[str, Any]:
    """A module's names, and none of what is no module. It is not asked: whoever puts a module off, or stands in for
    something, does that for those who need it.
    """
    return MODULE.__getattribute__(module, "__dict__") if issubclass(type(module), MODULE) else {}
