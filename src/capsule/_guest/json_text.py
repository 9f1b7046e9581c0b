"""A value as JSON text, or the place and type of what is not JSON.

Standard library only: the build copies this file into the guest, so both sides of the wall say the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

Default = Callable[[Any], Any]
"""What to write for a value that is no JSON; raises TypeError for one that has no such thing."""


_PLAIN = json.JSONEncoder(allow_nan=False)
"""Made once: `json.dumps` makes one at each call that is not of its usual kind."""


class NotJSON(Exception):
    """The value cannot be written as JSON; the text says where and why."""


def to_json(value: Any, name: str = "result", default: Default | None = None) -> str:
    """`value` as JSON text. Raises NotJSON, which names the type and the place of the culprit below `name`."""
    try:
        return _PLAIN.encode(value)
    except (TypeError, ValueError) as error:
        reason = str(error)
    if default is not None:
        try:
            return json.dumps(value, allow_nan=False, default=default)
        except (TypeError, ValueError) as error:
            reason = str(error)
    raise NotJSON(_explain(value, name, reason, default))


def _explain(value: Any, name: str, reason: str, default: Default | None) -> str:
    found = _culprit(value, name, (), default)
    place, what = found or (name, reason)
    return f"{what} at {place} is not JSON"


def _culprit(value: Any, place: str, above: tuple[int, ...], default: Default | None) -> tuple[str, str] | None:
    """The first place, depth first, that JSON cannot say, with a word on what stands there."""
    if value is None or isinstance(value, (str, bool, int)):
        return None
    if isinstance(value, float):
        return None if value - value == 0 else (place, f"the float {value!r}")
    if isinstance(value, (list, tuple, dict)):
        if id(value) in above:
            return place, f"a {type(value).__name__} that contains itself"
        return _culprit_in(value, place, (*above, id(value)), default)
    kind = type(value).__name__
    what = "a coroutine that nobody awaited" if kind == "coroutine" else f"a value of type {kind}"
    return None if _has_default(value, default) else (place, what)


def _has_default(value: Any, default: Default | None) -> bool:
    try:
        if default is None:
            return False
        default(value)
    except TypeError:
        return False
    return True


def _culprit_in(value: Any, place: str, above: tuple[int, ...], default: Default | None) -> tuple[str, str] | None:
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(value, dict) and not isinstance(key, (str, int, float, bool, type(None))):
            return place, f"a key of type {type(key).__name__}"
        found = _culprit(item, f"{place}[{key!r}]", above, default)
        if found is not None:
            return found
    return None
