"""What modules of others compile anew at each start, kept with their byte code.

Byte code spares a module the compiler, but not what it compiles itself while it runs: patterns, and functions that
dataclasses and named tuples make from texts. In a run that is 25 patterns and 85 functions, 8 of 90 ms. What becomes of
them depends on the text and on the version of Python alone, so nothing of that gets stale. And anyio reads and parses
two of its own sources to learn which name comes from which module, for which others are loaded as well: what it learnt
is good for as long as their byte code is, by the same stamp.

Only the console script does this: nothing that an application compiles is touched.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import marshal
import os
import re
import sys
from importlib.machinery import ModuleSpec
from types import CodeType, FunctionType, ModuleType, SimpleNamespace

from .bundle import MOST_MADE, names_of, stamp_of
from .promises import CONSTANTS, KEPT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .bundle import Bundle, Made

    Build = Callable[[ModuleType], Any]

MAPS = "anyio._lazyimport"
_BUILD, _MAP = "_build_lazy_map", "map"

MOST_TEXT = 10_000
"""Characters of a text that is kept."""

_KINDS = {"str": str, "bytes": bytes}
_LIBRARY = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - as in the rest of the way to a run

_compiler: Any = vars(re)["_compiler"]
_sre: Any = _compiler._sre  # noqa: SLF001
_cache: dict[Any, Any] = vars(re).get("_cache", {})


class Compiled:
    """Answers these modules from what is kept, and finds out what they asked for besides.

    In `kept.made` are the byte code of a text, by how it is compiled and the text; what `_sre.compile` is given for a
    pattern, by its type, itself and its flags; the map of a module of anyio's, by its name and its stamp; constants of
    modules that are put off, likewise.
    """

    def __init__(self, kept: Bundle) -> None:
        self._bundle, self._entries, self._kept = kept, kept.entries, kept.made
        self._texts: Made = {}
        self._build: Build | None = None

    def begin(self) -> None:
        """From now on. The patterns go where `re` itself keeps those that it has compiled."""
        vars(dataclasses)["exec"] = self._exec
        vars(collections)["eval"] = self._eval
        for key, arguments in self._kept.items():
            with contextlib.suppress(Exception):  # it is damaged
                if key[0] in _KINDS:
                    _cache[_KINDS[key[0]], *key[1:]] = _sre.compile(*arguments)

    def answer_anyio(self, maps: ModuleType) -> None:
        """The module `MAPS` has been loaded, and asked for nothing yet."""
        build: Build | None = names_of(maps).get(_BUILD)
        if build is not None:
            self._build, names_of(maps)[_BUILD] = build, lambda module: self._map(module, build)

    def new(self) -> Made:
        """What was asked for and not kept: all texts, and those patterns that are constants of the standard library. No
        others: one of somebody else's, or that is made while something runs, may hold what belongs into no file.
        """
        constants = {*_constants()}
        asked = [(kind.__name__, *rest) for kind, *rest in [*_cache] if kind in (str, bytes)]
        patterns = {key: _arguments(*key[1:]) for key in asked if key not in self._kept and key[:2] in constants}
        rest = {key: made for key, made in [*self._maps(), *self._constants()] if key not in self._kept}
        return {key: made for key, made in {**self._texts, **patterns, **rest}.items() if _is_plain(made)}

    def _maps(self) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Those of anyio's modules, made anew: after the stamp, for a source may change meanwhile."""
        build = self._build or names_of(sys.modules.get(MAPS)).get(_BUILD)
        for name, module in [*sys.modules.items()]:
            names = names_of(module)
            if build is not None and getattr(names.get("__getattr__"), "__module__", None) == MAPS:
                yield (_MAP, name, stamp_of(names.get("__file__") or "")), build(module)

    def _constants(self) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Those that are asked of modules that are put off and were loaded, from sources that were there before."""
        for _, module, name in CONSTANTS:
            names = names_of(sys.modules.get(module))
            source = names.get("__file__") or ""
            if name in names and self._bundle.is_settled([source]):
                yield (KEPT, module, stamp_of(source)), {name: names[name]}

    def _map(self, module: ModuleType, build: Build) -> Any:
        *_, stamp, _ = self._entries.get(module.__name__, (None, None))
        match self._kept.get((_MAP, module.__name__, stamp)):
            case (dict(), dict(), list()) as known:
                return known
        return build(module)

    def _exec(self, text: str, of: dict[str, Any], within: dict[str, Any]) -> None:
        exec(self._code("exec", text), of, within)  # noqa: S102 - as dataclasses does

    def _eval(self, text: str, of: dict[str, Any]) -> Any:
        return eval(self._code("eval", text), of)  # noqa: S307 - as collections does

    def _code(self, how: str, text: str) -> CodeType:
        code = self._kept.get((how, text))
        if type(code) is not CodeType:
            code = compile(text, "<string>", how, dont_inherit=True)
            if len(self._texts) < MOST_MADE and len(text) < MOST_TEXT:
                self._texts[how, text] = code
        return code


def _arguments(pattern: Any, flags: int) -> tuple[Any, ...] | None:
    """What is given to `_sre.compile` in the end; None if that changes from time to time, or cannot be found out with
    this version of `re`.
    """
    seen = SimpleNamespace(compile=lambda *arguments: tuple(map(_plain, arguments)))
    compiled = FunctionType(_compiler.compile.__code__, {**vars(_compiler), "_sre": seen})
    with contextlib.suppress(Exception):
        return None if flags & re.LOCALE else compiled(pattern, flags)
    return None


def _is_plain(made: Any) -> bool:
    """Whether it is something that marshal can write."""
    try:
        return made is not None and bool(marshal.dumps(made))
    except ValueError:
        return False


def _plain(argument: Any) -> Any:
    """As marshal takes it: numbers have names there."""
    if isinstance(argument, list):
        return [*map(int, argument)]
    return int(argument) if isinstance(argument, int) else argument


def _constants() -> Iterator[tuple[str, Any]]:
    """The patterns that stand in modules of the standard library, or in classes of theirs."""
    for name, module in [*sys.modules.items()]:
        spec = names_of(module).get("__spec__")
        if name.partition(".")[0] not in sys.stdlib_module_names or type(spec) is not ModuleSpec:
            continue
        if (spec.origin or "").startswith(_LIBRARY):
            values = [*names_of(module).values()]
            within = [value for kind in values if issubclass(type(kind), type) for value in [*vars(kind).values()]]
            patterns = [value.pattern for value in values + within if type(value) is re.Pattern]
            yield from ((type(pattern).__name__, pattern) for pattern in patterns)
