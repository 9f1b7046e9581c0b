"""What was read of a program's sources, kept for the next run of the same file.

A run of a file that has not changed knows from here what it declares and imports, and does not load syntax trees, an
eighth of all classes that a run makes. What is kept is about a text, letter by letter, and good for as long as
capsule's own reading is the same; whatever is odd about the file, everything is read as ever.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import sys

import capsule
from capsule.cache import cache_place, keep_newest, replace_file, short_name
from capsule.recall import Key, Recall, recalling

from .bundle import mapped, number_of, stamp_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

PREFIX = "readings-"
MOST_FILES = 32
"""One for each program. Those that were written first go first."""

MOST_BYTES = 1 << 20
"""Of one file. A larger program is read each time."""

READERS = (
    *("_guest/actors", "_guest/arguments", "_guest/bindings", "_guest/declarations", "_guest/names"),
    *("_guest/neighbours", "_guest/parsing", "_guest/program", "_guest/settings"),
    *("_hosts", "_mounts", "_units", "_values", "_variables", "errors", "policy", "recall"),
)
"""The modules of capsule's that decide what is read."""

_FORMAT, _NUMBER = 1, 8


class Readings:
    """Of one program."""

    def __init__(self, target: str) -> None:
        """`target` is what is run, as the command line names it."""
        self._made_for = _made_for(target)
        self._file = ""
        self._known = Recall({})

    @contextlib.contextmanager
    def known(self) -> Iterator[None]:
        """What is kept of them is known in here, if it is whole, private, and made for this."""
        with recalling(self._found()) as self._known:
            yield

    def _found(self) -> dict[Key, Any]:
        with contextlib.suppress(OSError, EOFError, ValueError, TypeError):
            self._file = f"{cache_place()}/{PREFIX}{short_name(repr(self._made_for[2:4]))}"
            content = mapped(self._file)
            if number_of(content[_NUMBER:]) == content[:_NUMBER]:
                made_for, found = marshal.loads(content[_NUMBER:])  # noqa: S302 - private, as the guest is
                return dict(found) if made_for == self._made_for and None not in made_for[-1] else {}
        return {}

    def keep(self) -> None:
        """Write down what was read in there, if it is new. A cache that cannot be written costs nobody the run."""
        if not self._known.has_new or not self._file or sys.dont_write_bytecode or None in self._made_for[-1]:
            return
        with contextlib.suppress(OSError, ValueError):
            content = marshal.dumps((self._made_for, self._known.asked))
            if len(content) <= MOST_BYTES:
                replace_file(self._file, (number_of(content), content))
                keep_newest(PREFIX, MOST_FILES)


def _made_for(target: str) -> tuple[Any, ...]:
    """What else decides what is read, and where. If capsule has no sources, nothing says whether it is the same."""
    home = os.path.dirname(capsule.__file__)  # noqa: PTH120 - as in the rest of the way to a run
    stamps = tuple(stamp_of(f"{home}/{name}.py") for name in READERS)
    return _FORMAT, sys.version, home, os.path.abspath(target), stamps
