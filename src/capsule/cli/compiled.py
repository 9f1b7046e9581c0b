"""What Python's own modules compile anew at each start, kept with their byte code.

Byte code spares a module the compiler, but not what it compiles itself while it runs: patterns, and functions that
dataclasses and named tuples make from texts. In a run that is 25 patterns and 85 texts, 8 of 90 ms. What becomes of
them depends on the text and on the version of Python alone, so nothing that is kept here gets stale.

Only the console script does this: nothing that an application compiles is touched.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import re
import sys
import warnings
from types import CodeType, ModuleType, SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Made = dict[Any, Any]
    """The byte code of a text, by how it is compiled and the text; what `_sre.compile` is given for a pattern, by
    pattern and flags. All of it is what marshal can write."""

_SPEAKS, _DEPENDS = int(re.DEBUG), int(re.LOCALE)  # flags of patterns that have to be compiled each time

_compiler: Any = vars(re)["_compiler"]
_sre: Any = _compiler._sre  # noqa: SLF001


class Compiled:
    """Answers these modules from what is kept, and notes what they asked for besides."""

    def __init__(self, kept: Made) -> None:
        self._kept = kept
        self._texts: Made = {}
        self._patterns: set[tuple[Any, int]] = set()
        self._compile_pattern = _compiler.compile

    def begin(self) -> None:
        """From now on."""
        vars(dataclasses)["exec"] = self._exec
        vars(collections)["eval"] = self._eval
        _compiler.compile = self._compile

    def new(self) -> Made:
        """What was asked for and not kept: all texts, and those patterns that are constants of some module. No others:
        a pattern that is made while something runs may hold what belongs into no file.
        """
        constants = {*_constants()}
        patterns = {asked: self._arguments(*asked) for asked in self._patterns if asked[0] in constants}
        return {**self._texts, **{asked: arguments for asked, arguments in patterns.items() if arguments is not None}}

    def _exec(self, text: str, of: dict[str, Any], within: dict[str, Any]) -> None:
        exec(self._code("exec", text), of, within)  # noqa: S102 - as dataclasses does

    def _eval(self, text: str, of: dict[str, Any]) -> Any:
        return eval(self._code("eval", text), of)  # noqa: S307 - as collections does

    def _code(self, how: str, text: str) -> CodeType:
        code = self._kept.get((how, text))
        if type(code) is not CodeType:
            code = self._texts[how, text] = compile(text, "<string>", how, dont_inherit=True)
        return code

    def _compile(self, pattern: Any, flags: int = 0) -> Any:
        if type(pattern) not in (str, bytes):  # parsed already
            return self._compile_pattern(pattern, flags)
        arguments = self._kept.get((pattern, flags))
        if arguments is not None:
            with contextlib.suppress(Exception):  # it is damaged
                return _sre.compile(*arguments)
        self._patterns.add((pattern, int(flags)))
        return self._compile_pattern(pattern, flags)

    def _arguments(self, pattern: Any, flags: int) -> tuple[Any, ...] | None:
        """What is given to `_sre.compile` in the end; None for what says something when it is compiled."""
        if flags & (_SPEAKS | _DEPENDS):
            return None
        _compiler._sre = SimpleNamespace(**{**vars(_sre), "compile": lambda *arguments: arguments})  # noqa: SLF001
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return tuple(map(_plain, self._compile_pattern(pattern, flags)))
        except Warning:
            return None
        finally:
            _compiler._sre = _sre  # noqa: SLF001


def _plain(argument: Any) -> Any:
    """As marshal takes it: numbers have names there."""
    if isinstance(argument, list):
        return [*map(int, argument)]
    return int(argument) if isinstance(argument, int) else argument


def _constants() -> Iterator[str | bytes]:
    """The patterns that stand in modules, or in classes of theirs."""
    for module in [*sys.modules.values()]:
        if isinstance(module, ModuleType):
            values = [*vars(module).values()]
            within = [value for kind in values if isinstance(kind, type) for value in [*vars(kind).values()]]
            yield from (value.pattern for value in values + within if type(value) is re.Pattern)
