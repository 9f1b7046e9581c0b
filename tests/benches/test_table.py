"""What a run looks like in a terminal."""

from __future__ import annotations

import pytest
from rich.console import Console

from benches._ratios import Figure, Result, Spread
from benches._table import WIDTH, number, table
from benches._values import Goal, Row

ROW = Row(key="fresh", what="a fresh sandbox", unit="ms", against="peer", goal=Goal(bound=0.7))


def shown(*results: Result) -> str:
    console = Console(width=WIDTH)
    with console.capture() as captured:
        console.print(table(results))
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).rstrip()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (4e-06, "0"),
        (0.00123, "0.00123"),
        (0.12345, "0.123"),
        (1.5, "1.5"),
        (12.34, "12.3"),
        (123.4, "123"),
        (10_000, "10,000"),
    ],
)
def test_numbers_are_short(value: float, expected: str) -> None:
    """Three digits say what a bench can know."""
    assert number(value) == expected


def test_a_row_is_a_block() -> None:
    """The work, then each contender with its value, ratio, goal and verdict."""
    spread = Spread(median=0.5, low=0.4, high=0.6)
    ours = Figure(
        contender="capsule", is_ours=True, value=1.0, low=0.9, high=1.2, samples=9, ratio=spread, verdict="met"
    )
    peer = Figure(contender="peer", value=2.0, low=1.9, high=2.2, samples=9)
    assert shown(Result(bench="fresh", row=ROW, figures=(ours, peer))).splitlines() == [
        "fresh  a fresh sandbox, against peer",
        " capsule                            1 ms  0.9 - 1.2           0.5 (0.4 - 0.6)           at most 0.7         met",
        " peer                               2 ms  1.9 - 2.2",
    ]


def test_who_could_not_take_part_is_told() -> None:
    """The reason stands there, and no verdict."""
    absent = Figure(contender="peer", note="peer cannot be installed: no such package")
    text = shown(Result(bench="fresh", row=ROW, figures=(absent,)))
    assert "peer: peer cannot be installed: no such package" in text
    assert "no figure" in text
    assert "missed" not in text


def test_the_points_of_a_curve_are_one_table() -> None:
    """A line for each point, a column for each contender."""
    points = [
        Result(
            bench="model",
            row=Row(key=f"rate-{at}", what="rate", unit="a second", curve="rate", at=at, axis="at once"),
            figures=(Figure(contender="capsule", value=at * 100.0), Figure(contender="peer", note="it ended")),
        )
        for at in (1, 2)
    ]
    assert shown(*points).splitlines() == [
        "rate",
        " at once       capsule      peer",
        "       1  100 a second  it ended",
        "       2  200 a second  it ended",
    ]
