"""The application's own modules: which they are, and their sources, found as Python would without importing them."""

from __future__ import annotations

import functools
import importlib.util
import sys
import sysconfig
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path

from ..errors import InvalidProgram
from .modules import STANDARD, why_missing
from .program import shown_path

__all__ = ["Library", "Sibling"]

_ABROAD = {"site-packages", "dist-packages"}
_TAKEN_NAMES = {"capsule_sdk", "componentize_py_runtime", "componentize_py_types", "main", "wit_world"}
_TAKEN = "a module of the application, but the sandbox has one of its own under this name; call yours something else"
_NO_SOURCE = "a module of the application without Python source, and a sandbox runs nothing else; do this part outside"
_NOWHERE = "a module of the application that cannot be found"


@dataclass(frozen=True)
class Sibling:
    """A module of the application as its file has it."""

    name: str
    path: str
    """As tracebacks show it."""

    source: str
    is_package: bool

    @property
    def package(self) -> str:
        """Where its relative imports start from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


class Library:
    """Looks modules up by their names. What was found once stays, so that one slice sees one state of the files."""

    def __init__(self, home: str, packages: frozenset[str] = frozenset()) -> None:
        """`home` is the module whose slice is made, and which the caller has at hand. `packages` are the top-level
        names that the sandbox can import beside the standard library's.
        """
        self._home, self.packages = home, packages
        self._specs: dict[str, ModuleSpec | None] = {}
        self._origins: dict[str, Path | None] = {}
        self._siblings: dict[str, Sibling] = {}

    def is_standard(self, package: str) -> bool:
        """Whether the top-level `package` is the standard library's, and no file of the application hides it."""
        if package == "__main__":  # what runs, which no sandbox has
            return True
        if package not in STANDARD and package not in sys.stdlib_module_names:
            return False
        origin = self._origin(package)
        return origin is None or _is_below_the_library(origin)

    def is_application(self, name: str) -> bool:
        """Whether the module `name` belongs to the application, as far as its top-level package tells."""
        package = name.partition(".")[0]
        if package == "capsule" or self.is_standard(package):
            return False
        origin = self._origin(package)
        return origin is not None and not _is_abroad(origin) and not _is_below_the_library(origin)

    def why_not(self, name: str) -> str | None:
        """Why the application's module `name` cannot go along; None if it can."""
        if name == self._home:
            return None
        if name.partition(".")[0] in _TAKEN_NAMES:
            return _TAKEN
        spec = self._spec(name)
        if spec is None:
            return _NOWHERE
        origin = spec.origin if spec.has_location else None
        if origin is None:
            return None if spec.submodule_search_locations is not None else _NO_SOURCE
        if _is_abroad(Path(origin)):  # a package that is spread over several folders
            return self.why_missing(name)
        return None if origin.endswith(".py") else _NO_SOURCE

    def why_missing(self, name: str) -> str | None:
        """Why the sandbox does not have the module `name`, which is not the application's; None if it has it."""
        return None if name.partition(".")[0] in self.packages else why_missing(name)

    def is_there(self, name: str) -> bool:
        """Whether there is a module `name`, with or without source."""
        return self._spec(name) is not None

    def sibling(self, name: str) -> Sibling:
        """The application's module `name`, which `why_not` lets pass. Raises InvalidProgram if it cannot be read."""
        if name not in self._siblings:
            self._siblings[name] = self._read(name)
        return self._siblings[name]

    def _read(self, name: str) -> Sibling:
        spec = self._spec(name)
        is_package = spec is None or spec.submodule_search_locations is not None  # None: a package made by hand
        if spec is None or not spec.has_location or spec.origin is None:
            places = self._locations(name) or [name]
            return Sibling(name, shown_path(places[0]), "", is_package)
        path = shown_path(spec.origin)
        try:
            source = SourceFileLoader(name, spec.origin).get_source(name)
        except (ImportError, OSError, SyntaxError, ValueError):
            raise InvalidProgram(
                "the file cannot be read as text in the encoding that it declares", path=path
            ) from None
        return Sibling(name, path, source or "", is_package)

    def _spec(self, name: str) -> ModuleSpec | None:
        if name not in self._specs:
            self._specs[name] = _loaded_spec(name) or self._find_spec(name)
        return self._specs[name]

    def _find_spec(self, name: str) -> ModuleSpec | None:
        parent = name.rpartition(".")[0]
        try:
            if not parent:
                return importlib.util.find_spec(name)
            return PathFinder.find_spec(name, self._locations(parent))
        except (ImportError, ValueError, AttributeError):  # ValueError: loaded without a spec, as __main__ is
            return None

    def _locations(self, name: str) -> list[str]:
        """The folders that the submodules of the package `name` are looked for in."""
        if name in sys.modules:
            return [str(place) for place in getattr(sys.modules[name], "__path__", ())]
        spec = self._spec(name)
        if spec is None or spec.submodule_search_locations is None:
            return []
        if spec.has_location:
            return list(spec.submodule_search_locations)
        parent, _, last = name.rpartition(".")  # a folder without __init__.py, whose own list would import its parent
        places = self._locations(parent) if parent else sys.path
        return [str(folder) for folder in (Path(place, last) for place in places) if folder.is_dir()]

    def _origin(self, package: str) -> Path | None:
        """The file or folder of a module found by its top-level name."""
        if package not in self._origins:
            spec = self._spec(package)
            places = self._locations(package) if spec and not spec.has_location else []
            place = spec.origin if spec and spec.has_location else places[0] if places else None
            self._origins[package] = Path(place).resolve() if place else None
        return self._origins[package]


def _loaded_spec(name: str) -> ModuleSpec | None:
    module = sys.modules.get(name)
    spec, file = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    if isinstance(spec, ModuleSpec) or module is None:
        return spec
    return importlib.util.spec_from_file_location(name, file) if isinstance(file, str) else None


def _is_abroad(origin: Path) -> bool:
    return not _ABROAD.isdisjoint(origin.parts)


def _is_below_the_library(origin: Path) -> bool:
    return any(origin.is_relative_to(folder) for folder in _standard_folders()) and not _is_abroad(origin)


@functools.cache
def _standard_folders() -> list[Path]:
    paths = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), f"{sys.base_prefix}/DLLs"]
    return [Path(path).resolve() for path in paths]
