"""The sandbox's specification: every row of the table, those with actors on both loops and the others on one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from pathlib import Path

import anyio
import pytest

from capsule import Policy, Runtime
from capsule._guest.cache import CompiledGuest
from capsule._values import Outcome
from escape.actor_programs import ACTOR_ROWS
from escape.programs import ANYTHING, Row
from escape.programs import ROWS as PLAIN_ROWS
from loops import in_turn

MOST_TEXT = 40_000  # characters that a guest's words about its own failure may take
ROWS = (*PLAIN_ROWS, *ACTOR_ROWS)
LIMITS = {"timeout": "2s"}  # for rows that do not say otherwise


def _cases(rows: Iterable[Row]) -> list[object]:
    return [pytest.param(row, id=row.name, marks=[pytest.mark.slow] if row.is_slow else []) for row in rows]


def _host_words() -> tuple[str, ...]:
    """Texts that name a place on this machine and must never reach a guest or its outcome."""
    places = (str(Path.cwd()), sys.prefix, str(Path(__file__).parents[2]), f"{Path.home()}/", "site-packages/capsule")
    return tuple(place for place in places if place.count("/") > 1)  # "/usr" stands in the guest's own library too


def _check_quiet(outcome: Outcome) -> None:
    """Nothing of the host in any text, and no text beyond its cap."""
    error = outcome.error
    texts = [repr(outcome.result), outcome.stdout, outcome.stderr]
    if error is not None:
        said = [error.message, error.exception or "", error.traceback or ""]
        assert max(map(len, said)) < MOST_TEXT
        texts += said
    for word in _host_words():
        assert not any(word in text for text in texts), word


def test_names_are_unique() -> None:
    """A row can be found by its name."""
    assert len({row.name for row in ROWS}) == len(ROWS)


@in_turn("row", {row.name: row for row in PLAIN_ROWS})
async def test_row(row: Row, guest: CompiledGuest, write, caplog: pytest.LogCaptureFixture) -> None:
    """The hostile program ends as the table says, the runtime still answers, and the neighbour passes."""
    await _check_row(row, write, caplog)


@pytest.mark.parametrize("row", _cases(ACTOR_ROWS))
async def test_row_of_actors(row: Row, guest: CompiledGuest, write, caplog: pytest.LogCaptureFixture) -> None:
    """The same for those whose actors are hostile."""
    await _check_row(row, write, caplog)


async def _check_row(row: Row, write, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    hostile, harmless, trivial = (
        write("hostile.py", row.hostile),
        write("harmless.py", row.harmless),
        write("t.py", "def main(): return 42"),
    )
    with anyio.fail_after(30):
        async with Runtime(policy=Policy(**{**LIMITS, **row.policy})) as runtime:
            outcome = await (await runtime.spawn(hostile)).outcome()
            assert await runtime.run(trivial) == 42
            _check_ending(row, outcome)
            _check_quiet(outcome)
            assert await runtime.run(harmless) == row.value
    assert [record for record in caplog.records if record.name == "capsule"] == [], "a guest can fill the host's log"


def _check_ending(row: Row, outcome: Outcome) -> None:
    if row.error_type is None:
        assert outcome.success, outcome.error
        assert row.result is ANYTHING or outcome.result == row.result
    else:
        assert outcome.error is not None, outcome.result
        assert outcome.error.error_type == row.error_type, outcome.error
        assert row.message in outcome.error.message
        assert row.exception in (None, outcome.error.exception)
    assert outcome.output_truncated == row.is_truncated
    assert outcome.execution.ram_used <= Policy(**row.policy).ram_bytes
    assert len(outcome.stdout) + len(outcome.stderr) <= Policy(**row.policy).max_output_bytes
