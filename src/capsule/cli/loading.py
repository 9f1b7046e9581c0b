"""Imports a kept module in one step.

For each module the import system asks six finders and makes a dozen objects: 24 us where 10 are enough, three hundred
times. Here its one door, through which each `import` of what is not loaded yet goes, lets kept modules through at once:
same order, same lock, same attributes, same exceptions. It is for processes without other threads, and for the finders
that stood there at the start; whenever anything is otherwise, the import system does it as ever.

Only the console script does this: no application's imports are touched.
"""

from __future__ import annotations

import _thread
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

from .bundle import Bundle, Kept
from .later import LATER, Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, TypeVar

    F = TypeVar("F")
else:
    ModuleType = type(sys)

_DOOR, _LOCK = "_find_and_load", "_ModuleLockManager"
"""Where the interpreter asks for a module that is not there, and what makes other threads wait until it is whole."""

_HARMLESS = "_distutils_hack"
"""What setuptools puts first into each environment. It finds distutils, and nothing else that anybody keeps."""


def _unseen(name: str) -> Callable[[F], F]:
    """The function has no place in tracebacks, nor where warnings come from: as the import system's own, which Python
    knows by the name of their file and, but for an ImportError, by that of the innermost.
    """

    def unseen(function: Any) -> Any:
        function.__code__ = function.__code__.replace(co_filename="<frozen importlib._bootstrap>", co_name=name)
        return function

    return unseen


class Loading:
    """The door, and what stood behind it at the start."""

    def __init__(self, kept: Bundle) -> None:
        self._kept, self._finders = kept, [*sys.meta_path]
        self.then: dict[str, Callable[[ModuleType], None]] = {}  # what is to be done with a module once it is loaded
        self._system: Any = sys.modules["_frozen_importlib"]
        self._usual: Any = getattr(self._system, _DOOR, None)
        self._lock: Any = getattr(self._system, _LOCK, None)

    def begin(self) -> None:
        """From now on, if nobody else may have something to say about which module is found."""
        where = self._finders.index(PathFinder) if PathFinder in self._finders else 0
        if where and all(map(self._is_known, self._finders[:where])) and self._usual and self._lock:
            setattr(self._system, _DOOR, self._find_and_load)

    def _is_known(self, finder: object) -> bool:
        known = finder in (BuiltinImporter, FrozenImporter) or type(finder) in (Bundle, Later)
        return known or type(finder).__module__ == _HARMLESS

    @_unseen("_find_and_load")
    def _find_and_load(self, name: str, import_: Callable[[str], Any]) -> Any:
        """What the interpreter calls for `import name`; `import_` does the same for another name."""
        if name in self._kept.entries and name not in LATER and name not in sys.modules and not _thread._count():  # noqa: SLF001
            above = name.rpartition(".")[0]
            if above and above not in sys.modules:
                import_(above)
            with self._lock(name):
                module = self._loaded(name, above)
            if module is not None:
                return module
        return self._usual(name, import_)

    @_unseen("_find_and_load_unlocked")
    def _loaded(self, name: str, above: str) -> ModuleType | None:
        package: Any = sys.modules.get(above)
        path = package.__dict__.get("__path__") if type(package) is ModuleType else None
        if name in sys.modules or sys.meta_path != self._finders or (path is None and above):
            return None
        spec = self._kept.find_spec(name, path)
        if spec is None or type(spec.loader) is not Kept:
            return None
        module = _load(spec, package)
        if name in self.then:
            self.then[name](module)
        return module


@_unseen("_call_with_frames_removed")
def _load(spec: Any, package: Any) -> ModuleType:
    """Make the module, run its code, and tell its package. Raises what that raises, and leaves nothing behind then."""
    above, _, child = spec.name.rpartition(".")
    code = spec.loader.get_code(spec.name)
    module: Any = ModuleType(spec.name)
    module.__loader__, module.__spec__, module.__package__ = spec.loader, spec, spec.parent
    module.__file__, module.__cached__ = spec.origin, spec.cached
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    waiting = getattr(getattr(package, "__spec__", None), "_uninitialized_submodules", [])  # for what an error says
    waiting.append(child)
    spec._initializing = True  # noqa: SLF001 - for what it imports, and asks for it again
    sys.modules[spec.name] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 - it is a module's
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    finally:
        spec._initializing = False  # noqa: SLF001
        waiting.pop()
    loaded = sys.modules[spec.name] = sys.modules.pop(spec.name)  # it may have put another into its place
    if above:
        _tell(above, child, loaded)
    return loaded


def _tell(above: str, child: str, module: ModuleType) -> None:
    package = sys.modules[above]  # as it is now
    try:
        setattr(package, child, module)
    except AttributeError:
        import warnings

        text = f"Cannot set an attribute on {above!r} for child module {child!r}"
        warnings.warn(text, ImportWarning, stacklevel=2)
