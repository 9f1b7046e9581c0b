"""A run against an earlier one: what has clearly become worse."""

from __future__ import annotations

from collections.abc import Iterator

from benches._ratios import Figure, Report, Result, Spread, spread
from benches._table import number

MARGIN = 1.05
"""Whatever the spread says, less than a twentieth is no regression."""


def regressions(earlier: Report, now: Report) -> Iterator[str]:
    """A sentence for each row in which capsule is worse than before, beyond the spread of both runs.

    Ratios to the row's reference are compared, because the machine's own speed cancels out in them. A row without a
    reference is compared by its values.
    """
    before = {key: figure for result in earlier.results for key, (_, figure) in _ours(result)}
    for result in now.results:
        for key, (row, figure) in _ours(result):
            if key not in before:
                continue
            old, new = _compared(before[key]), _compared(figure)
            if old and new and is_worse(old, new, is_least=bool(row.goal and row.goal.is_least)):
                yield f"{row.key}, {figure.contender}: {_told(old)} before, {_told(new)} now"


def is_worse(old: Spread, new: Spread, *, is_least: bool = False) -> bool:
    """Whether the medians have changed places with both spreads."""
    if is_least:
        return new.median < old.low and new.high < old.median and new.median * MARGIN < old.median
    return new.median > old.high and new.low > old.median and new.median > old.median * MARGIN


def _ours(result: Result) -> Iterator[tuple[tuple[str, str], tuple]]:
    for figure in result.figures:
        if figure.is_ours:
            yield (result.row.key, figure.contender), (result.row, figure)


def _compared(figure: Figure) -> Spread | None:
    return figure.ratio or (spread(figure.rounds) if figure.rounds else None)


def _told(found: Spread) -> str:
    return f"{number(found.median)} ({number(found.low)} to {number(found.high)})"
