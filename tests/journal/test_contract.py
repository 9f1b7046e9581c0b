"""The journal in memory and the one in SQLite keep the same promises."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from capsule import Event
from capsule.abc import Journal
from capsule.journal import JournalReader, SqliteJournal
from capsule.testing import JOURNAL_CHECKS, MemoryJournal, check_journal

Made = tuple[Journal, Callable[[], list[Event]]]


@pytest.fixture(params=["memory", "sqlite"])
def make_journal(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Made]:
    """Makes journals of one kind, each in a place of its own."""
    numbers = itertools.count()

    def make() -> Made:
        if request.param == "memory":
            memory = MemoryJournal()
            return memory, memory.events
        path = tmp_path / f"trace{next(numbers)}.db"
        return SqliteJournal(path), lambda: events_of(path)

    return make


def events_of(path: Path) -> list[Event]:
    with JournalReader(path) as reader:
        return [entry.event for entry in reader.entries(reader.run("last"))]


@pytest.mark.parametrize("check", JOURNAL_CHECKS, ids=lambda check: check.__name__)
async def test_a_journal_keeps_the_contract(check, make_journal: Callable[[], Made]) -> None:
    """Each check holds for both, on both loops."""
    await check(make_journal)


async def test_a_journal_that_forgets_is_caught() -> None:
    """One that drops an event fails."""

    class Forgetful(MemoryJournal):
        def put(self, event: Event) -> None:
            if len(self.runs[-1:]) == 0 or len(self.runs[-1]) != 3:
                super().put(event)

    def make() -> Made:
        journal = Forgetful()
        return journal, journal.events

    with pytest.raises(AssertionError):
        await check_journal(make)
