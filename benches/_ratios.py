"""The arithmetic: from the samples of rounds to figures, ratios with their spread, and verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from benches._values import Row

Samples = Sequence[Sequence[float]]
"""Of one contender, round by round."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A median with the least and the greatest beside it."""

    median: float
    low: float
    high: float


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What one contender reached in one row."""

    contender: str
    is_ours: bool = False
    language: str = "python"
    value: float | None = None
    """The row's statistic, over the samples of all rounds."""

    rounds: tuple[float, ...] = ()
    """The same, of each round."""

    low: float | None = None
    high: float | None = None
    samples: int = 0
    ratio: Spread | None = None
    """To the row's reference, round by round."""

    verdict: Literal["met", "missed"] | None = None
    note: str = ""
    """Why there is no value."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One row with the figures of all who took part."""

    bench: str
    row: Row
    figures: tuple[Figure, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    when: str
    machine: Mapping[str, object]
    versions: Mapping[str, str]
    settings: Mapping[str, object]
    results: tuple[Result, ...] = ()


def percentile(samples: Sequence[float], percent: float) -> float:
    """The sample below which `percent` of all lie, by the nearest rank."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def summed_up(samples: Sequence[float], statistic: str) -> float:
    """The median or the p99."""
    return percentile(samples, 99) if statistic == "p99" else statistics.median(samples)


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest."""
    return Spread(median=statistics.median(values), low=min(values), high=max(values))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """Of rounds that were measured in turn, each with its neighbour; None where there is no pair."""
    pairs = [one / other for one, other in zip(ours, theirs, strict=False) if other]
    return spread(pairs) if pairs else None


def figures(row: Row, samples: Mapping[str, Samples]) -> dict[str, Figure]:
    """A figure for each contender that has samples, with its ratio to the row's reference."""
    rounds = {name: tuple(summed_up(each, row.statistic) for each in taken) for name, taken in samples.items() if taken}
    reference = rounds.get(row.against or "")
    found = {}
    for name, values in rounds.items():
        pooled = [sample for each in samples[name] for sample in each]
        found[name] = Figure(
            contender=name,
            value=summed_up(pooled, row.statistic),
            rounds=values,
            low=min(pooled),
            high=max(pooled),
            samples=len(pooled),
            ratio=ratio(values, reference) if reference and name != row.against else None,
        )
    return found


def judged(figure: Figure, row: Row) -> Figure:
    """With a verdict, if the row has a goal and there is something to hold against it."""
    if row.goal is None:
        return figure
    reached = figure.value if row.goal.of == "value" else figure.ratio and figure.ratio.median
    if reached is None:
        return figure
    return msgspec.structs.replace(figure, verdict="met" if row.goal.is_met(reached) else "missed")
