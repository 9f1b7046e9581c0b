"""A journal, read: its runs, and what happened in each."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec.structs import replace

from .._events import Event
from ..errors import InvalidJournal, UsageError
from .database import open_for_reading, unreadable
from .entries import KINDS
from .locks import is_free, lock_file

_COLUMNS = (*("key", "title", "pid", "began", "ended", "ending"), *("tasks", "failed", "requests", "fuel", "dropped"))
_ENDING = _COLUMNS.index("ending")

_MOST_NAMED = 5
"""Runs that an error names."""

Time = Annotated[float, msgspec.Meta(ge=0, lt=32_000_000_000)]
"""Seconds since 1970, of which every system can say the date: until about the year 2984."""

RunState = Literal["running", "ended", "failed", "cancelled", "interrupted", "unknown"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One runtime, from the opening to the end of its block."""

    key: str
    """What it is called by; the beginning is enough where only one run begins like that."""

    title: str
    """What was run, if whoever ran it said so."""

    state: RunState
    """"ended", or "failed" or "cancelled" if the block was left by an exception or a cancellation. "interrupted" if its
    process is gone and it never said how it ended. "unknown" if this user cannot find out."""

    pid: int
    began: Time
    """When, in seconds since 1970."""

    ended: Time | None
    tasks: int = 0
    """Messages that were started."""

    failed: int = 0
    """Messages that ended without an answer."""

    requests: int = 0
    """HTTP requests."""

    fuel: int = 0
    dropped: int = 0
    """Events that are missing, because the disk was too slow or the run too long."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a run."""

    number: int
    at: float
    """When, in seconds since 1970."""

    kind: str
    event: Event
    """As it was, with texts cut. An end has no result, no output and no requests: these are entries of their own."""


class JournalReader:
    """Reads the journal in the database at `path`, while others write to it or not. Used in a `with` block.

    Raises InvalidJournal if there is none, if it is damaged, or not a journal of this version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(os.path.abspath(path))
        if not os.path.lexists(self._path):
            raise InvalidJournal("there is no journal", path=str(self._path))
        self._connection = open_for_reading(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def runs(self, limit: int | None = None) -> list[Run]:
        """The newest `limit` runs (default: all), newest first."""
        return self._runs("ORDER BY id DESC LIMIT ?", (-1 if limit is None else limit,))

    def run(self, prefix: str) -> Run:
        """The run whose key begins with `prefix`, or the newest for "last". Raises UsageError for none or several."""
        if prefix == "last":
            found = self.runs(1)
        else:
            limit = _MOST_NAMED + 1
            found = self._runs("WHERE substr(key, 1, ?) = ? ORDER BY id DESC LIMIT ?", (len(prefix), prefix, limit))
        if not found:
            raise UsageError(
                "no run is in the journal"
                if prefix == "last"
                else f"no run {prefix!r} is in the journal; `capsule ps` lists those that are"
            )
        if len(found) > 1:
            keys = ", ".join([run.key for run in found[:_MOST_NAMED]] + ["..."] * (len(found) > _MOST_NAMED))
            raise UsageError(f"several runs begin with {prefix!r}: {keys}")
        return found[0]

    def entries(self, run: Run) -> Iterator[Entry]:
        """What happened in a run, in the order in which it did."""
        query = (
            "SELECT number, at, kind, body FROM entries WHERE run = (SELECT id FROM runs WHERE key = ?) ORDER BY number"
        )
        with self._translated():
            for row in self._connection.execute(query, (run.key,)):
                number, at, kind, body = msgspec.convert(row, tuple[int, Time, str, bytes])
                yield Entry(number=number, at=at, kind=kind, event=msgspec.json.decode(body, type=KINDS[kind]))

    def _runs(self, where: str, values: tuple[Any, ...]) -> list[Run]:
        query = f"SELECT {', '.join(_COLUMNS)} FROM runs {where}"  # noqa: S608 - constant text
        with self._translated():
            rows = self._connection.execute(query, values).fetchall()
            # With a state that always fits: who is at work is asked only of a row that is sound.
            runs = [msgspec.convert(dict(zip(_COLUMNS, row, strict=True)) | {"state": "unknown"}, Run) for row in rows]
            return [
                replace(run, state=msgspec.convert(self._state(run.key, row[_ENDING]), RunState))
                for run, row in zip(runs, rows, strict=True)
            ]

    def _state(self, key: str, ending: str | None) -> str:
        if ending is not None:
            return ending
        try:
            if not is_free(lock_file(self._path, key)):
                return "running"
        except OSError:
            return "unknown"
        # It may have ended since it was read, and freed its lock then.
        row = self._connection.execute("SELECT ending FROM runs WHERE key = ?", (key,)).fetchone()
        return (row and row[0]) or "interrupted"

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise unreadable(self._path, error) from None
        except (KeyError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            raise InvalidJournal(f"an entry in it does not decode ({error})", path=str(self._path)) from None
