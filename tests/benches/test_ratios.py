"""The arithmetic of the suite: statistics, ratios of rounds in turn, verdicts, and what counts as slower."""

from __future__ import annotations

import msgspec
import pytest

from benches._check import is_worse, regressions
from benches._ratios import Figure, Report, Result, Spread, figures, judged, percentile, ratio
from benches._values import Goal, Row

ROW = Row(key="fresh", what="a fresh sandbox", unit="ms", against="peer", goal=Goal(bound=0.7))


def figure(*rounds: float, peer: tuple[float, ...] = (2.0, 2.0, 2.0), row: Row = ROW) -> Figure:
    """Of capsule, beside a peer."""
    samples = {"capsule": [[each] for each in rounds], "peer": [[each] for each in peer]}
    return msgspec.structs.replace(figures(row, samples)["capsule"], is_ours=True)


def report(*rounds: float, row: Row = ROW) -> Report:
    result = Result(bench="fresh", row=row, figures=(figure(*rounds, row=row),))
    return Report(when="", machine={}, versions={}, settings={}, results=(result,))


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 51), (99, 100), (100, 100)])
def test_percentiles_are_samples(percent: float, expected: float) -> None:
    """The nearest rank, never a value that was not measured."""
    assert percentile([*range(100, 0, -1)], percent) == expected


def test_a_ratio_pairs_neighbours() -> None:
    """A slow moment of the machine is in both of a pair, so it is not in their ratio."""
    assert ratio([1, 10, 2], [2, 20, 4]) == Spread(median=0.5, low=0.5, high=0.5)
    assert ratio([1, 1, 1], [2, 4, 1]) == Spread(median=0.5, low=0.25, high=1)


def test_a_ratio_needs_a_pair() -> None:
    """Rounds without a neighbour are left out; without any pair there is no ratio."""
    assert ratio([1, 2, 3], [2]) == Spread(median=0.5, low=0.5, high=0.5)
    assert ratio([1], []) is None
    assert ratio([1], [0]) is None


def test_figures_hold_the_statistic_of_rounds_and_of_all() -> None:
    """A p99 is one of each round's samples, and one of all samples together."""
    row = Row(key="stop", what="a stop", unit="ms", statistic="p99", against="peer")
    found = figures(row, {"capsule": [[1, 9], [2, 4]], "peer": [[3, 3], [1, 2]], "absent": []})
    assert set(found) == {"capsule", "peer"}
    assert found["capsule"].rounds == (9, 4)
    assert (found["capsule"].value, found["capsule"].low, found["capsule"].high) == (9, 1, 9)
    assert found["capsule"].ratio == Spread(median=2.5, low=2, high=3)
    assert found["peer"].ratio is None


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (None, None),
        (Goal(bound=0.7), "met"),
        (Goal(bound=0.4), "missed"),
        (Goal(bound=1.0, of="value"), "met"),
        (Goal(bound=0.9, of="value"), "missed"),
        (Goal(bound=0.9, of="value", is_least=True), "met"),
        (Goal(bound=1.1, of="value", is_least=True), "missed"),
    ],
)
def test_a_goal_is_met_or_missed(goal: Goal | None, expected: str | None) -> None:
    """By the ratio or by the value, at most or at least."""
    row = msgspec.structs.replace(ROW, goal=goal)
    assert judged(figure(1.0, 1.0, 1.0, row=row), row).verdict == expected


def test_without_its_reference_a_goal_is_open() -> None:
    """A ratio that could not be measured is neither met nor missed."""
    assert judged(figure(1.0, peer=()), ROW).verdict is None


@pytest.mark.parametrize(
    ("old", "new", "is_least", "expected"),
    [
        ((0.5, 0.6, 0.7), (0.5, 0.6, 0.7), False, False),
        ((0.5, 0.6, 0.7), (0.8, 0.9, 1.0), False, True),
        ((0.5, 0.6, 0.7), (0.2, 0.3, 0.4), False, False),
        ((0.5, 0.6, 1.2), (0.8, 0.9, 1.0), False, False),
        ((0.5, 0.6, 0.7), (0.55, 0.9, 1.0), False, False),
        ((0.600, 0.600, 0.600), (0.620, 0.620, 0.620), False, False),
        ((1.8, 1.9, 2.0), (1.2, 1.3, 1.4), True, True),
        ((1.2, 1.3, 1.4), (1.8, 1.9, 2.0), True, False),
    ],
)
def test_worse_is_beyond_both_spreads(
    old: tuple[float, float, float], new: tuple[float, float, float], is_least: bool, expected: bool
) -> None:
    """Each median lies outside the other's spread, and by more than a twentieth."""
    before, now = (Spread(low=low, median=median, high=high) for low, median, high in (old, new))
    assert is_worse(before, now, is_least=is_least) is expected


def test_ratios_are_what_is_compared() -> None:
    """Twice the time on a machine that is twice as slow is no regression; twice the ratio is one, and is told."""
    (told,) = regressions(report(1.0, 1.1, 1.2), report(2.0, 2.1, 2.2))
    assert told == "fresh, capsule: 0.55 (0.5 to 0.6) before, 1.05 (1 to 1.1) now"
    assert list(regressions(report(2.0, 2.1, 2.2), report(1.0, 1.1, 1.2))) == []


def test_a_row_without_a_reference_is_compared_by_its_values() -> None:
    """Where more is better, less is worse."""
    row = Row(key="cores", what="two cores", unit="x", goal=Goal(bound=1.7, of="value", is_least=True))
    assert list(regressions(report(1.9, 1.8, row=row), report(1.0, 1.1, row=row))) != []
    assert list(regressions(report(1.0, 1.1, row=row), report(1.9, 1.8, row=row))) == []


def test_rows_that_were_not_there_are_no_regression() -> None:
    """A run of other benches can be compared."""
    other = msgspec.structs.replace(ROW, key="other")
    assert list(regressions(report(1.0, row=other), report(9.0))) == []


def test_a_run_survives_its_file() -> None:
    """What is written as JSON is read as the same values."""
    found = report(1.0, 1.1)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Report) == found
