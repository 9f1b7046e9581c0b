"""The text of a project file: its tables and keys, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ._guest.settings import SETTINGS
from ._toml import TooMuch, check_shape
from .errors import InvalidPolicy, InvalidProject
from .policy import Policy

__all__ = ["TABLES", "InvalidKey", "bad_item", "read_tables", "table_of"]

_MOST_TEXT = 200  # characters of a name or a version
_MOST_LINES = 2000

Place = tuple[str, ...]
"""A key with the tables that it stands in."""


class InvalidKey(Exception):
    """What is wrong with the file, and at which key; of a list, at which item."""

    def __init__(self, reason: str, place: Place, item: int | None = None) -> None:
        self.reason, self.place, self.item = reason, place, item
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
        check_shape(text)
        return tomllib.loads(text)
    except TooMuch as error:
        raise InvalidProject(error.reason, path=path, line=error.line) from None
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        found = re.match(r"line (\d+)", place)
        line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
        raise InvalidProject(f"this is not TOML: {reason}", path=path, line=line) from None


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
            item = bad_item(value, partial(check, key))
            raise InvalidKey(str(error), (name, key), item) from None
    return values


def bad_item(value: Any, check: Callable[[Any], Any]) -> int | None:
    """The first item with which `check` raises InvalidPolicy for `value`; None if it is no list, or none to check."""

    def is_bad(size: int) -> bool:
        try:
            check(value[:size])
        except InvalidPolicy:
            return True
        return False

    if not isinstance(value, list) or is_bad(0):
        return None
    from bisect import bisect_left  # only for the line of a mistake

    return bisect_left(range(1, len(value) + 1), True, key=is_bad)


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
