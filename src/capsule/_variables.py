"""Variables that a sandbox finds in `os.environ`: what a policy says of them, and how a ceiling cuts them.

API_KEY       the host's variable of that name; without one, nothing runs
MODE=test     the same, or "test" if the host has none
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["name_of", "normal_variables", "variables_beyond", "variables_narrowed", "variables_of"]

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_MOST_VARIABLES = 1000
_MOST_TEXT = 32 << 10


def normal_variables(values: Iterable[Any]) -> tuple[str, ...]:
    """A list of variables in its normal form, one for each name. Raises ValueError with a reason."""
    found: dict[str, str] = {}
    for text in values:
        if not isinstance(text, str):
            raise ValueError(f"a variable is a text, not {type(text).__name__}")  # noqa: TRY004 - the policy's error
        if not re.fullmatch(_NAME, name_of(text)):
            raise ValueError(f"{text[:200]!r} names no variable")
        if len(text) > _MOST_TEXT or "\0" in text:
            raise ValueError(f"{name_of(text)}: this is no value of a variable")
        if found.setdefault(name_of(text), text) != text:
            raise ValueError(f"{name_of(text)} stands there twice")
    if len(found) > _MOST_VARIABLES:
        raise ValueError(f"more than {_MOST_VARIABLES:,} variables")
    return tuple(found.values())


def name_of(variable: str) -> str:
    """The name in `NAME` or `NAME=default`."""
    return variable.partition("=")[0]


def variables_narrowed(variables: Iterable[str], ceiling: Iterable[str]) -> tuple[str, ...]:
    """Those of `variables` whose names stand in `ceiling`; a default is the asker's own."""
    names = set(map(name_of, ceiling))
    return tuple(text for text in variables if name_of(text) in names)


def variables_beyond(variables: Iterable[str], ceiling: Iterable[str]) -> tuple[str, ...]:
    """The names of those of `variables` that `ceiling` does not have."""
    names = set(map(name_of, ceiling))
    return tuple(name_of(text) for text in variables if name_of(text) not in names)


def variables_of(variables: Iterable[str], environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What is in `os.environ` inside, and the names for which there is neither a value nor a default."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for text in variables:
        name, has_default, default = text.partition("=")
        if name in environment:
            found[name] = environment[name]
        elif has_default:
            found[name] = default
        else:
            missing.append(name)
    return found, missing
