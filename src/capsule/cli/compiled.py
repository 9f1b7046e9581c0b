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
import re
import sys
from types import CodeType, FunctionType, ModuleType, SimpleNamespace

from .bundle import MOST_MADE, stamp_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .bundle import Bundle, Made

_EACH_TIME = int(re.DEBUG | re.LOCALE)
"""Flags of patterns that print something when they are compiled, or depend on more than their text."""

MAPS = "anyio._lazyimport"
_BUILD, _MAP = "_build_lazy_map", "map"

_compiler: Any = vars(re)["_compiler"]
_sre: Any = _compiler._sre  # noqa: SLF001
_compile_pattern = _compiler.compile


class Compiled:
    """Answers these modules from what is kept, and notes what they asked for besides.

    In `kept.made` are the byte code of a text, by how it is compiled and the text; what `_sre.compile` is given for a
    pattern, by its type, itself and its flags; the map of a module of anyio's, by its name and its stamp.
    """

    def __init__(self, kept: Bundle) -> None:
        self._entries, self._kept = kept.entries, kept.made
        self._texts: Made = {}
        self._patterns: dict[tuple[str, Any, int], None] = {}

    def begin(self) -> None:
        """From now on."""
        vars(dataclasses)["exec"] = self._exec
        vars(collections)["eval"] = self._eval
        _compiler.compile = self._compile

    def answer_anyio(self, maps: ModuleType) -> None:
        """The module `MAPS` has been loaded, and asked for nothing yet."""
        build = vars(maps).get(_BUILD)
        if build is not None:
            vars(maps)[_BUILD] = lambda module: self._map(module, build)

    def new(self) -> Made:
        """What was asked for and not kept: all texts, and those patterns that are constants of the standard library. No
        others: one of somebody else's, or that is made while something runs, may hold what belongs into no file.
        """
        constants = {*_constants()}
        patterns = {asked: _arguments(*asked[1:]) for asked in [*self._patterns] if asked[:2] in constants}
        maps = {key: made for key, made in _maps() if key not in self._kept}
        return {key: made for key, made in {**self._texts, **patterns, **maps}.items() if _is_plain(made)}

    def _map(self, module: ModuleType, build: Callable[[ModuleType], Any]) -> Any:
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
            if len(self._texts) < MOST_MADE:
                self._texts[how, text] = code
        return code

    def _compile(self, pattern: Any, flags: Any = 0) -> Any:
        if type(pattern) not in (str, bytes) or type(flags) is not int:  # parsed already, or no pattern at all
            return _compile_pattern(pattern, flags)
        asked = type(pattern).__name__, pattern, flags  # the type first: to compare text with bytes may be an error
        arguments = self._kept.get(asked)
        if arguments is not None:
            with contextlib.suppress(Exception):  # it is damaged
                return _sre.compile(*arguments)
        compiled = _compile_pattern(pattern, flags)
        if len(self._patterns) < MOST_MADE and not flags & _EACH_TIME:
            self._patterns[asked] = None
        return compiled


def _arguments(pattern: Any, flags: int) -> tuple[Any, ...] | None:
    """What is given to `_sre.compile` in the end; None if that cannot be found out with this version of `re`."""
    seen = SimpleNamespace(compile=lambda *arguments: tuple(map(_plain, arguments)))
    with contextlib.suppress(Exception):
        return FunctionType(_compile_pattern.__code__, {**vars(_compiler), "_sre": seen})(pattern, flags)  # type: ignore[no-any-return]
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
    """The patterns that stand in modules of the standard library, or in classes of theirs. Nobody is asked anything: a
    stand-in of somebody's, whatever it stands for, would answer.
    """
    for name, module in [*sys.modules.items()]:
        if type(module) is ModuleType and name.partition(".")[0] in sys.stdlib_module_names:
            values = [*vars(module).values()]
            within = [value for kind in values if issubclass(type(kind), type) for value in [*vars(kind).values()]]
            patterns = [value.pattern for value in values + within if type(value) is re.Pattern]
            yield from ((type(pattern).__name__, pattern) for pattern in patterns)


def _maps() -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Those of the modules of anyio's that have one, made anew: after the stamp, for a source may change meanwhile."""
    build = vars(sys.modules.get(MAPS, sys)).get(_BUILD)
    for name, module in [*sys.modules.items()]:
        finds = vars(module).get("__getattr__") if type(module) is ModuleType else None
        if build is not None and getattr(finds, "__module__", None) == MAPS:
            yield (_MAP, name, stamp_of(getattr(module, "__file__", None) or "")), build(module)
