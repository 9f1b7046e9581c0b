"""Imports a kept module in one step.

For each module the import system asks six finders, takes three locks and makes a dozen objects: 24 us where 6 are
enough, three hundred times. Here its one door, through which each `import` of what is not loaded yet goes, lets kept
modules through at once: same order, same attributes, same exceptions. It is for one thread alone, and for the finders
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
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any
else:
    ModuleType = type(sys)

_HARMLESS = "_distutils_hack"
"""What setuptools puts first into each environment. It finds distutils, and nothing else that anybody keeps."""


class Loading:
    """The door, and what stood behind it at the start."""

    def __init__(self, kept: Bundle) -> None:
        self._kept, self._finders = kept, [*sys.meta_path]
        self._system: Any = sys.modules["_frozen_importlib"]
        self._usual: Callable[[str, Callable[[str], Any]], Any] = self._system._find_and_load  # noqa: SLF001

    def begin(self) -> None:
        """From now on, if nobody else may have something to say about which module is found."""
        where = self._finders.index(PathFinder) if PathFinder in self._finders else 0
        if where and all(map(self._is_known, self._finders[:where])):
            self._system._find_and_load = self._find_and_load  # noqa: SLF001

    def _is_known(self, finder: object) -> bool:
        known = finder in (BuiltinImporter, FrozenImporter) or type(finder) in (Bundle, Later)
        return known or type(finder).__module__ == _HARMLESS

    def _find_and_load(self, name: str, import_: Callable[[str], Any]) -> Any:
        """What the interpreter calls for `import name`; `import_` does the same for another name."""
        if name in self._kept.entries and name not in LATER and name not in sys.modules and not _thread._count():  # noqa: SLF001
            parent, _, child = name.rpartition(".")
            if parent and parent not in sys.modules:
                import_(parent)
            package = sys.modules.get(parent)
            is_plain = type(package) is ModuleType or not parent
            if is_plain and name not in sys.modules and sys.meta_path == self._finders:
                spec = self._kept.find_spec(name, getattr(package, "__path__", None))
                if spec is not None and type(spec.loader) is Kept:
                    module = _load(spec)
                    if package is not None:
                        setattr(package, child, module)
                    return module
        return self._usual(name, import_)


def _load(spec: ModuleSpec) -> ModuleType:
    """Make the module, and run its code. Raises what that raises, and leaves nothing behind then."""
    loader: Any = spec.loader
    code = loader.get_code(spec.name)
    module: Any = ModuleType(spec.name)
    module.__loader__, module.__spec__, module.__package__ = loader, spec, spec.parent
    module.__file__, module.__cached__ = spec.origin, spec.cached
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    spec._initializing = True  # type: ignore[attr-defined]  # noqa: SLF001 - for what it imports, and asks for it again
    sys.modules[spec.name] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 - it is a module's
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    finally:
        spec._initializing = False  # type: ignore[attr-defined]  # noqa: SLF001
    loaded = sys.modules[spec.name] = sys.modules.pop(spec.name)  # it may have put another into its place
    return loaded
