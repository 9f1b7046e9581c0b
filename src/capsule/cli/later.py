"""Modules that are loaded when they are asked for a name, and not where they are imported.

What asyncio and anyio import for TLS, sockets and child processes, a run that has none of them never touches: ssl
alone takes as long to load as three sandboxes to start. Python 3.15 has `lazy import` for it (PEP 810); this does the
same for a few modules of others. importlib.util.LazyLoader does not: on 3.11 a second `import` of a name loads its
module.

Only the console script does this: no application's imports are touched.
"""

from __future__ import annotations

import sys
from _thread import RLock
from importlib.machinery import ModuleSpec, PathFinder

from .promises import CONSTANTS, KEPT, keep_promises, promise

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes longer to load than all of this
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

    from .bundle import Bundle
else:
    ModuleType = type(sys)

LATER = frozenset(
    {
        *("anyio._core._sockets", "anyio._core._streams"),
        *("asyncio.sslproto", "asyncio.staggered", "asyncio.trsock", "ssl"),
        *("ast", "base64", "copy", "dis", "fnmatch", "ipaddress", "locale", "textwrap", "tokenize", "urllib.parse"),
        *("msgspec.inspect", "msgspec.msgpack", "msgspec.toml", "msgspec.yaml"),
    }
)
"""Each is imported by what a run loads, and asked for nothing, or for what `promises` has. No packages: what is in one
is found by its path. And no two whose loading asks for each other, by whatever way: threads could wait for ever, unseen
by the locks of the import system."""

_OWN = {"__name__", "__loader__", "__package__", "__spec__", "__file__", "__cached__", "__class__", "__dict__"}
"""What the import system sets, and asks for."""


class Later:
    """Finds these modules first, as others would, and puts off what is in them."""

    def __init__(self, kept: Bundle | None = None) -> None:
        self._kept = kept

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the import system asks for it."""
        if name not in LATER or name in sys.modules:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            if find is None:  # one of the older kind, which 3.11 still asks
                return None
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                if spec.loader is not None and spec.submodule_search_locations is None:
                    later: Any = _Loader(spec.loader, self._constants(name, spec.origin))
                    spec.loader = later
                return spec
        return None

    def _constants(self, name: str, origin: str | None) -> dict[str, Any]:
        _, kept_origin, *_, stamp, _ = self._kept.entries.get(name, (None,) * 4) if self._kept else (None,) * 4
        known = self._kept.made.get((KEPT, name, stamp)) if self._kept and stamp and origin == kept_origin else None
        return known if type(known) is dict else {}


class _Loader:
    """Another loader's, but for the moment in which it does its work."""

    def __init__(self, real: Any, constants: dict[str, Any]) -> None:
        self.real, self.constants, self.lock, self.is_at_work = real, constants, RLock(), False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """A module without names."""
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Not yet."""


class StandIn(ModuleType):
    """A module that loads itself at the first question, and is one like any other from then on."""

    def __getattribute__(self, name: str) -> Any:
        if name not in _OWN:
            loader = ModuleType.__getattribute__(self, "__spec__").loader
            if type(loader) is not _Loader:
                _settle(self)
            elif loader.is_at_work:
                with loader.lock:  # a part of it is there, and another thread waits for the rest
                    pass
        return ModuleType.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        if name in _OWN or name == "__path__":  # which the import system asks for; it is no package
            raise AttributeError(name)
        loader: Any = ModuleType.__getattribute__(self, "__spec__").loader
        if type(loader) is _Loader and not loader.is_at_work:
            who = sys._getframe(1).f_globals.get("__name__")  # noqa: SLF001
            promised = promise(who, self, name)
            if promised is not None:
                return promised
            known = loader.constants.get(name) if (who, self.__name__, name) in CONSTANTS else None
            if type(known) is dict:
                return dict(known)
        _load(self)
        if type(self) is StandIn:  # what it is being loaded with asks for something that is not there yet
            raise AttributeError(f"module {self.__name__!r} is being loaded and has no {name!r} yet")
        return getattr(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _OWN:
            _load(self)
        ModuleType.__setattr__(self, name, value)  # it may be no stand-in any more

    def __delattr__(self, name: str) -> None:
        _load(self)
        ModuleType.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        _load(self)
        return dir(self) if type(self) is not StandIn else [*self.__dict__]


def _load(module: Any) -> None:
    """Load it in its own place. Whoever asks meanwhile waits, but for what it is being loaded with."""
    spec = module.__spec__
    loader: Any = spec.loader
    if type(loader) is not _Loader:  # another thread was first, or somebody loaded it by hand
        _settle(module)
        return
    with loader.lock:
        if loader.is_at_work or type(module) is not StandIn:
            return
        before, there = {*module.__dict__}, sys.modules.get(module.__name__)
        try:
            loader.is_at_work = True
            sys.modules[module.__name__] = module  # where it may look for itself, whatever somebody has done to it
            loader.real.exec_module(module)
            keep_promises(module)  # before anybody sees that it is loaded
            spec.loader = module.__loader__ = loader.real
            module.__class__ = ModuleType  # type: ignore[assignment]
        except BaseException:
            for name in {*module.__dict__} - before:
                del module.__dict__[name]
            spec.loader = module.__loader__ = loader
            module.__class__ = StandIn
            raise
        finally:
            loader.is_at_work = False
            if there is None:
                sys.modules.pop(module.__name__, None)
            else:
                sys.modules[module.__name__] = there


def _settle(module: Any) -> None:
    """Somebody loaded it past us: it is one like any other from now on."""
    keep_promises(module)
    module.__class__ = ModuleType


def put_off(kept: Bundle | None = None) -> None:
    """From now on. What is loaded already stays."""
    if PathFinder in sys.meta_path:
        sys.meta_path.insert(0, Later(kept))
