"""What an actor has done and cost, added up."""

from __future__ import annotations

import time

from .._values import Outcome, Statistics


class Tally:
    """Counts messages and their costs."""

    def __init__(self) -> None:
        self.answered = self.failed = self.retries = self.restarts = 0
        self.restarts_in_a_row = 0
        """Since the last message."""
        self._fuel = self._ram = 0
        self._busy = 0.0
        self._born = time.monotonic()

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
