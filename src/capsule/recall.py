"""What was found out about texts, which one process may hand on to the next.

To read what a source declares takes a syntax tree, whose classes alone take longer to load than its task to run. While
a text is the same, so is what was read from it. The console script hands it on (`cli/readings.py`); elsewhere nobody
does, and each text is read anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

Key = tuple[str, ...]
"""What was looked for, and all that the answer depends on: the whole text, for example."""


class Recall:
    """What an earlier process found, and what this one has asked for."""

    def __init__(self, found: dict[Key, Any]) -> None:
        """`found` has plain data, as `asked` of the earlier one had it."""
        self._found = found
        self.asked: dict[Key, Any] = {}
        self.has_new = False

    def recalled(
        self, key: Key, make: Callable[[], T], of_plain: Callable[[Any], T], is_short: Callable[[T], bool]
    ) -> T:
        """See the function of this name."""
        if key in self._found:
            try:
                known = of_plain(self._found[key])
            except (TypeError, ValueError, KeyError):  # it is of another kind than what this writes
                pass
            else:
                self.asked[key] = self._found[key]
                return known
        made = make()
        if is_short(made):
            self._note(key, made, of_plain)
        return made

    def _note(self, key: Key, made: T, of_plain: Callable[[Any], T]) -> None:
        with contextlib.suppress(TypeError, ValueError):  # it holds what plain data cannot say
            plain = msgspec.to_builtins(made)
            if of_plain(plain) == made:
                self.asked[key], self.has_new = plain, True


_recall: Recall | None = None


@contextlib.contextmanager
def recalling(found: dict[Key, Any]) -> Iterator[Recall]:
    """In here, `recalled` looks into `found` first, and believes it: whoever calls this knows where it is from."""
    global _recall  # noqa: PLW0603 - one for a process, which is one command
    before, _recall = _recall, Recall(found)
    try:
        yield _recall
    finally:
        _recall = before


def _always(_: object) -> bool:
    return True


def recalled(
    key: Key, make: Callable[[], T], of_plain: Callable[[Any], T], is_short: Callable[[T], bool] = _always
) -> T:
    """What is known under `key`, which `of_plain` makes of plain data. If nothing is, what `make` answers, with
    whatever it raises; it is noted for the next process if `is_short` of it, for as plain data it may be larger: a part
    that many others share is there once for each.
    """
    return make() if _recall is None else _recall.recalled(key, make, of_plain, is_short)
