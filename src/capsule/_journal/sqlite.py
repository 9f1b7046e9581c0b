"""The journal that applications use: it starts a writer when its runtime opens, and waits for it at the end."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread

from .._events import Event
from ..abc import Journal
from ..errors import UsageError

if TYPE_CHECKING:  # SQLite is loaded when something is written: whoever keeps no journal has none of it
    from .writer import Writer

KEEP = 100
"""Runs that one database holds."""


class SqliteJournal(Journal):
    """A journal in the SQLite database at `path`; the file and its folder are made if need be, for their owner alone.

    `title` is what `capsule ps` shows for the run. At the start of each run the oldest beyond `keep` are removed.
    Several journals, of this and other processes, may write into one file. What cannot be written is logged once, and
    the run goes on without. Raises UsageError from `async with` while another runtime has it open.
    """

    def __init__(self, path: str | os.PathLike[str], *, title: str = "", keep: int = KEEP) -> None:
        if keep < 1:
            raise UsageError(f"keep: {keep!r} is not a whole number of 1 or more")
        self._path, self._title, self._keep = Path(os.path.abspath(path)), title, keep
        self._writer: Writer | None = None

    async def __aenter__(self) -> Self:
        from .writer import Writer

        if self._writer is not None:
            raise UsageError("this journal is open already: give each runtime one of its own; they may share a file")
        self._writer = Writer(self._path, self._title, self._keep)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._writer is not None
        writer, self._writer = self._writer, None
        writer.close_soon(_ending(kind))
        with anyio.CancelScope(shield=True):  # what happened is written down also when it is cancelled
            await anyio.to_thread.run_sync(writer.join, limiter=anyio.CapacityLimiter(1))
        writer.log_fault()

    def put(self, event: Event) -> None:
        """Keep an event, unless too many wait; then it is counted. Never waits."""
        if self._writer is not None:
            self._writer.put(event)


def journal_of(given: Journal | str | os.PathLike[str] | None) -> Journal | None:
    """What `Runtime(journal=...)` was given, as a journal."""
    return given if given is None or isinstance(given, Journal) else SqliteJournal(given)


def _ending(kind: type[BaseException] | None) -> str:
    if kind is None:
        return "ended"
    return "failed" if issubclass(kind, Exception) else "cancelled"
