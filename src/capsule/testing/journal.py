"""A journal in memory, and the checks that it and the real one pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio

from .._events import Ended, Event, Printed, Spawned, Started, Stopped
from .._values import Execution, Failure, Outcome, Statistics
from ..abc import Journal
from ..errors import UsageError

__all__ = ["JOURNAL_CHECKS", "MakeJournal", "MemoryJournal", "check_journal"]

PATIENCE = 20.0
"""Seconds that a check waits for what should happen soon."""


class MemoryJournal(Journal):
    """Keeps events in `runs`, a list for each run, whole and as they came."""

    def __init__(self) -> None:
        self.runs: list[list[Event]] = []
        self.endings: list[type[BaseException] | None] = []
        """How each run ended: the exception that its block was left with, or None."""

        self.is_open = False

    async def __aenter__(self) -> Self:
        if self.is_open:
            raise UsageError("this journal is open already")
        self.is_open = True
        self.runs.append([])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.is_open = False
        self.endings.append(kind)

    def put(self, event: Event) -> None:
        """Keep an event, if a run is open."""
        if self.is_open:
            self.runs[-1].append(event)

    def events(self) -> list[Event]:
        """Those of the newest run."""
        return self.runs[-1] if self.runs else []


MakeJournal = Callable[[], tuple[Journal, Callable[[], list[Event]]]]
"""Makes a journal of its own, and what reads the events of its newest run when that has ended."""

Check = Callable[[MakeJournal], Awaitable[None]]


async def check_journal(make_journal: MakeJournal) -> None:
    """Run every check. Raises AssertionError at the first promise that is broken."""
    for check in JOURNAL_CHECKS:
        await check(make_journal)


def _story(first: int = 1) -> list[Event]:
    execution = Execution(task_name="work", duration_ms=2.5, fuel_consumed=1000, ram_used=65536, retries=1)
    failure = Failure(error_type="task_error", message="no \x1b[0m luck", exception="ValueError")
    return [
        Spawned(actor=first, task_name="work", name="worker"),
        Started(number=first, task_name="work", actor=first),
        Started(number=first + 1, task_name="part", parent=first),
        Printed(number=first + 1, task_name="part", stream="stdout", text="one\ntwo\x00\n"),
        Ended(
            number=first + 1,
            task_name="part",
            outcome=Outcome(success=False, error=failure, execution=Execution(task_name="part")),
        ),
        Ended(number=first, task_name="work", outcome=Outcome(success=True, execution=execution)),
        Stopped(actor=first, task_name="work", reason="done", failed=False, statistics=Statistics(answered=1)),
    ]


async def check_order(make_journal: MakeJournal) -> None:
    """All that was put is there afterwards, in that order."""
    journal, read = make_journal()
    story = [event for first in range(1, 300, 3) for event in _story(first)]
    async with journal:
        for event in story:
            journal.put(event)
    assert read() == story


async def check_again(make_journal: MakeJournal) -> None:
    """A journal that was left can be entered again, and begins a run of its own; an empty one is a run too."""
    journal, read = make_journal()
    async with journal:
        for event in _story():
            journal.put(event)
    async with journal:
        journal.put(_story()[0])
    assert read() == _story()[:1]
    async with journal:
        pass
    assert read() == []


async def check_one_at_a_time(make_journal: MakeJournal) -> None:
    """Entered while it is open, it raises UsageError, and the run that is open goes on."""
    journal, read = make_journal()
    async with journal:
        try:
            await journal.__aenter__()
        except UsageError:
            journal.put(_story()[0])
        else:
            raise AssertionError("an open journal can be entered")
    assert read() == _story()[:1]


async def check_closed(make_journal: MakeJournal) -> None:
    """What is put outside a run is nobody's, and no error."""
    journal, read = make_journal()
    journal.put(_story()[0])
    async with journal:
        journal.put(_story()[1])
    journal.put(_story()[2])
    assert read() == _story()[1:2]


async def check_cancelled(make_journal: MakeJournal) -> None:
    """What was put before a cancellation is kept, and the cancellation goes on."""
    journal, read = make_journal()
    with anyio.fail_after(PATIENCE), anyio.CancelScope() as scope:
        async with journal:
            for event in _story():
                journal.put(event)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert read() == _story()


JOURNAL_CHECKS: tuple[Check, ...] = (check_order, check_again, check_one_at_a_time, check_closed, check_cancelled)
"""Every check, for those who would rather run them one by one, as test cases."""
