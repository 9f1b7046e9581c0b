"""The shape of a text in TOML: its statements, their names and their lines, in one walk from its begin to its end.

tomllib keeps no positions, and takes quadratic time for a name of many parts. So a text is looked at here before it is
parsed, and once more when something in it turns out to be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

__all__ = ["TooMuch", "check_shape", "line_of"]

_MOST_DEPTH = 16
"""Brackets that may be open at once, and dots in a name."""

_MOST_WORD = 640
"""Characters of a name or a number without quotes: whatever Python is told, it reads a number of so many digits."""

_MARK = r"""
      \"{3} (?:\\.?|[^\\])*? (?:\"{3,5}|\Z)
    | '{3} .*? (?:'{3,5}|\Z)
    | " (?:\\[^\n]|[^"\\\n])*+ "?
    | ' [^'\n]*+ '?
    | \#[^\n]*+
    | [\n.,=\[\]{}]
    | [^\s"'\#.,=\[\]{}]++
"""
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}

Mark: TypeAlias = tuple[int, str]
"""A line, 1-based, and what stands there."""


class TooMuch(ValueError):
    """What of a text's shape is beyond the bounds, and on which line."""

    def __init__(self, reason: str, line: int) -> None:
        self.reason, self.line = reason, line
        super().__init__(reason)


def check_shape(text: str) -> None:
    """Raises TooMuch for what a reader of TOML would take long for, or could not read though it is TOML."""
    for statement in _statements(text):
        depth = dots = 0
        for line, mark in statement:
            depth += _STEP.get(mark, 0)
            if mark == ".":
                dots += 1
            elif mark in _STEP or mark in ("=", ","):
                dots = 0
            elif len(mark) > _MOST_WORD and mark[0] not in "\"'":
                raise TooMuch("a name or a number is too long", line)
            if depth > _MOST_DEPTH:
                raise TooMuch("a value is nested too deeply", line)
            if dots > _MOST_DEPTH:
                raise TooMuch("a name has too many parts", line)


def line_of(text: str, place: tuple[str, ...], item: int | None = None) -> int:
    """The line of the statement in a valid text that says `place` first; with `item`, that of its list's item."""
    table: tuple[str, ...] = ()
    for statement in _statements(text):
        is_header, here = statement[0][1] == "[", _name_of(statement)
        if is_header:
            table = here
        else:
            here = table + here
        if here == place and item is not None:
            return _line_of_item(statement, item)
        if here[: len(place)] == place or (here == place[: len(here)] and not is_header):
            return statement[0][0]
    return 1


def _statements(text: str) -> Iterator[list[Mark]]:
    """The marks of each. It ends with its line, or where its brackets are closed."""
    found: list[Mark] = []
    depth = 0
    for line, mark in _marks(text):
        if mark != "\n":
            found.append((line, mark))
            depth += _STEP.get(mark, 0)
        elif found and (depth <= 0 or found[0][1] == "["):
            yield found
            found, depth = [], 0
    if found:
        yield found


def _marks(text: str) -> Iterator[Mark]:
    """All but blanks and comments."""
    line = 1
    for mark in re.findall(_MARK, text, re.VERBOSE | re.DOTALL):
        if mark[0] != "#":
            yield line, mark
        line += mark.count("\n")


def _name_of(statement: list[Mark]) -> tuple[str, ...]:
    """The parts of the name that a statement begins with: a table's between brackets, or a key's."""
    parts = []
    for _, mark in statement:
        if mark in ("=", "]"):
            break
        if mark not in ("[", "."):
            parts.append(_unquoted(mark))
    return tuple(parts)


def _unquoted(name: str) -> str:
    if name[0] != '"':
        return name.strip("'")
    import tomllib

    return str(tomllib.loads(f"name = {name}")["name"])


def _line_of_item(statement: list[Mark], item: int) -> int:
    depth = commas = 0
    begin = next(number for number, (_, mark) in enumerate(statement) if mark == "=")
    for line, mark in statement[begin + 1 :]:
        if depth == 1 and mark == ",":
            commas += 1
        elif depth and commas == item:
            return line
        depth += _STEP.get(mark, 0)
    return statement[0][0]
