"""Tables for the documents."""

from __future__ import annotations

from benches._markdown import markdown
from benches._ratios import Figure, Report, Result, Spread
from benches._values import Goal, Row


def test_rows_and_curves_are_tables() -> None:
    """Rows come first, in one table; each curve is one of its own, with a column for each point."""
    row = Row(key="fresh", what="a fresh sandbox", unit="ms", against="peer", goal=Goal(bound=0.7))
    spread = Spread(median=0.5, low=0.4, high=0.6)
    ours = Figure(contender="capsule", is_ours=True, value=1.0, ratio=spread, verdict="met")
    rate = [Row(key=f"rate-{at}", what="rate", unit="a second", curve="rate", at=at, axis="at once") for at in (1, 2)]
    results = (
        Result(bench="model", row=rate[0], figures=(Figure(contender="capsule", value=100.0),)),
        Result(bench="model", row=rate[1], figures=(Figure(contender="capsule", note="it ended"),)),
        Result(bench="fresh", row=row, figures=(ours, Figure(contender="peer", value=2.0))),
    )
    report = Report(when="", machine={}, versions={}, settings={}, results=results)
    assert markdown(report).splitlines() == [
        "| bench | work | who | value | ratio | goal | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `fresh` | a fresh sandbox | capsule | 1 ms | 0.5 (0.4 - 0.6) of peer | at most 0.7 | met |",
        "|  |  | peer | 2 ms |  |  |  |",
        "",
        "rate:",
        "",
        "| at once | 1 | 2 |",
        "| --- | --- | --- |",
        "| capsule | 100 a second | it ended |",
    ]
