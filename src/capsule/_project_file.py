"""The text of a project file: its tables and keys, what is wrong with them, and on which line.

tomllib keeps no positions, so they are found by reading the text once more, one statement after the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ._guest.settings import SETTINGS
from .errors import InvalidPolicy, InvalidProject
from .policy import Policy

__all__ = ["TABLES", "InvalidKey", "line_of", "read_tables", "table_of"]

_MOST_TEXT = 200  # characters of a name or a version
_MOST_LINES = 2000

Place = tuple[str, ...]
"""A key with the tables that it stands in."""


class InvalidKey(Exception):
    """What is wrong with the file, and at which key."""

    def __init__(self, reason: str, place: Place) -> None:
        self.reason, self.place = reason, place
        super().__init__(reason)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > _MOST_TEXT:
        raise InvalidPolicy(f'{key}: {_shown(value)} is no text of one line; write it as {key} = "..."')
    return value


def _setting(key: str, value: Any) -> Any:
    Policy().with_settings({key: value})
    return value


def _default(key: str, value: Any) -> Any:
    try:
        return _setting(key.removeprefix("default_"), value)
    except InvalidPolicy as error:
        raise InvalidPolicy(f"default_{error}") from None


TABLES: Mapping[str, tuple[tuple[str, ...], Callable[[str, Any], Any]]] = {
    "workflow": (("name", "version", "entrypoint"), _text),
    "tasks": (tuple(f"default_{name}" for name in SETTINGS if name != "name"), _default),
    "ceiling": (Policy.__struct_fields__, _setting),
}
"""Each table with its keys and what checks a value. The keys follow from the settings of `@task` and from the policy:
a new one of theirs is a new key here."""


def read_tables(text: str, path: str) -> dict[str, Any]:
    """The file's tables as they stand there. Raises InvalidProject for what is no TOML."""
    if text.count("\n") > _MOST_LINES:
        raise InvalidProject(f"the file has more than {_MOST_LINES:,} lines", path=path, line=_MOST_LINES)
    import tomllib  # most runs have no project file

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        found = re.match(r"line (\d+)", place)
        line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
        raise InvalidProject(f"this is not TOML: {reason}", path=path, line=line) from None
    except (ValueError, RecursionError):  # a number too long for Python, or brackets within brackets
        reason = "a value is nested too deeply, or a number is too long"
        raise InvalidProject(reason, path=path, line=_first_bad_line(text)) from None


def table_of(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The checked values of one table, `default_` removed from the keys. Raises InvalidKey, for other tables too."""
    for key, value in tables.items():
        if key not in TABLES:
            raise InvalidKey(_unknown_table(key, value), (key,))
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise InvalidKey(f"[{name}] is a table; write [{name}] on a line of its own, and its keys below", (name,))
    keys, check = TABLES[name]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            raise InvalidKey(f"[{name}] has no key {_shown(key)}; {_nearest(key, keys)}", (name, key))
        try:
            values[key.removeprefix("default_")] = check(key, value)
        except InvalidPolicy as error:
            raise InvalidKey(str(error), (name, key)) from None
    return values


def _unknown_table(key: str, value: Any) -> str:
    if not isinstance(value, dict):
        homes = [name for name, (keys, _) in TABLES.items() if key in keys]
        if homes:
            return f"{key} stands in no table; write it below [{homes[0]}]"
        return f"{_shown(key)} stands in no table; the tables are {', '.join(f'[{name}]' for name in TABLES)}"
    return f"there is no table [{_shown(key)[1:-1]}]; {_nearest(key, tuple(TABLES))}"


def _nearest(key: str, known: tuple[str, ...]) -> str:
    by_stem = {name.removeprefix("default_"): name for name in known}  # what all have in common says nothing
    import difflib  # only here, as a run without mistakes need not load it

    near = difflib.get_close_matches(key.removeprefix("default_")[:_MOST_TEXT], by_stem, 1)
    return f"did you mean {by_stem[near[0]]!r}?" if near else f"there are {', '.join(known)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."


def line_of(text: str, place: Place) -> int:
    """The line, 1-based, of the statement in a valid text that says `place` first."""
    table: Place = ()
    for line, statement, value in _statements(text):
        if statement.lstrip().startswith("["):
            table = tuple(_only_path(value))
            found: Any = value
        else:
            found = value
            for key in reversed(table):
                found = {key: found}
        if _has(found, place):
            return line
    return 1


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Each statement with its first line and what it says by itself.

    A statement is the shortest run of lines that is TOML: what is open at the end of a line, a text of many lines or a
    list, makes no TOML before it is closed.
    """
    import tomllib

    begin, lines = 1, text.split("\n")
    for end in range(1, len(lines) + 1):
        statement = "\n".join(lines[begin - 1 : end])
        try:
            value = tomllib.loads(statement)
        except (ValueError, RecursionError):
            continue
        if value:
            yield begin, statement, value
        begin = end + 1


def _first_bad_line(text: str) -> int:
    """Where a text that is no TOML goes wrong: below its last good statement."""
    line = 1
    lines = text.split("\n")
    for begin, statement, _ in _statements(text):
        line = begin + statement.count("\n") + 1
    while line < len(lines) and (not lines[line - 1].strip() or lines[line - 1].lstrip().startswith("#")):
        line += 1
    return min(line, len(lines))


def _only_path(value: Any) -> Iterator[str]:
    """The keys that lead to the innermost table of a header."""
    while value:
        value = value[0] if isinstance(value, list) else value
        if value:
            ((key, value),) = value.items()
            yield key


def _has(value: Any, place: Place) -> bool:
    for key in place:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True
