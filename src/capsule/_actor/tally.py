"""What an actor has done and cost, added up."""

from __future__ import annotations

import time

import msgspec

from .._values import Outcome, Statistics


class Tally(msgspec.Struct, eq=False, gc=False):
    """Counts messages and their costs. Numbers only, so the collector need not look into it, for each that lives."""

    answered: int = 0
    failed: int = 0
    retries: int = 0
    restarts: int = 0
    restarts_in_a_row: int = 0
    """Since the last message."""

    _fuel: int = 0
    _ram: int = 0
    _busy: float = 0.0
    _born: float = msgspec.field(default_factory=time.monotonic)

    @property
    def messages(self) -> int:
        """Messages that have an outcome."""
        return self.answered + self.failed

    def count(self, outcome: Outcome, seconds: float) -> None:
        """A message has its outcome, after so many seconds of work."""
        if outcome.success:
            self.answered += 1
        else:
            self.failed += 1
        self._busy += seconds
        self.cost(outcome)

    def cost(self, outcome: Outcome) -> None:
        """What something cost that is no message of anybody's."""
        self.retries += outcome.execution.retries
        self._fuel += outcome.execution.fuel_consumed
        self._ram = max(self._ram, outcome.execution.ram_used)

    def statistics(self, waiting: int) -> Statistics:
        """All of it as a value."""
        return Statistics(
            waiting=waiting,
            answered=self.answered,
            failed=self.failed,
            retries=self.retries,
            restarts=self.restarts,
            fuel_consumed=self._fuel,
            ram_used=self._ram,
            busy_ms=round(self._busy * 1000, 3),
            age_ms=round((time.monotonic() - self._born) * 1000, 3),
        )
