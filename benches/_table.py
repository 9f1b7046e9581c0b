"""What a run looks like in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benches._ratios import Figure, Report, Result, Spread

WIDTHS = {"who": 24, "value": 13, "spread": 18, "ratio": 24, "goal": 18, "": 6}
WIDTH = sum(WIDTHS.values()) + len(WIDTHS) * 2 + 2
STYLES = {"met": "green", "missed": "bold red", None: ""}


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    size = abs(value)
    if size < 0.0001:
        return "0"
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3g}"


def between(low: float, high: float) -> str:
    """From the least to the greatest."""
    return f"{number(low)} - {number(high)}"


def ratio(found: Spread | None) -> str:
    """The median of the rounds' ratios, with their spread."""
    return f"{number(found.median)} ({between(found.low, found.high)})" if found else ""


def table(results: Iterable[Result]) -> RenderableType:
    """All rows, each with its contenders, ratios and goals."""
    parts: list[RenderableType] = []
    for curve, points in groupby(results, key=lambda result: result.row.curve):
        shown = list(points)
        parts += _curve(shown) if curve else [part for result in shown for part in _block(result)]
    return Group(*parts)


def _curve(points: Sequence[Result]) -> list[RenderableType]:
    """One line for each point, one column for each contender."""
    row = points[0].row
    made = Table(box=None, padding=(0, 1), header_style="")
    made.add_column(row.axis, justify="right")
    names = list(dict.fromkeys(figure.contender for result in points for figure in result.figures))
    for name in names:
        made.add_column(name, justify="right")
    for result in points:
        values = {figure.contender: figure for figure in result.figures}
        made.add_row(f"{result.row.at:,g}", *(_point(values.get(name), row.unit) for name in names))
    return [Text.assemble((row.curve or "", "bold")), made, Text("")]


def _point(figure: Figure | None, unit: str) -> str:
    if figure is None or figure.value is None:
        return figure.note if figure else ""
    return f"{number(figure.value)} {unit}"


def _block(result: Result) -> Iterator[RenderableType]:
    row = result.row
    against = f", against {row.against}" if row.against else ""
    yield Text.assemble((row.key, "bold"), f"  {row.what}{against}")
    made = Table(box=None, padding=(0, 1), show_header=False)
    for name, width in WIDTHS.items():
        made.add_column(name, width=width, justify="right" if name == "value" else "left")
    for figure in result.figures:
        made.add_row(*_cells(result, figure))
        if figure.note:
            yield Text(f"  {figure.contender}: {figure.note}", style="yellow")
    yield made
    yield Text("")


def _cells(result: Result, figure: Figure) -> list[Text | str]:
    row, who = result.row, Text(figure.contender, style="cyan" if figure.is_ours else "")
    if figure.value is None:
        return [who, "no figure", "", "", "", ""]
    kind = "p99 " if row.statistic == "p99" else ""
    return [
        who,
        f"{kind}{number(figure.value)} {row.unit}",
        between(figure.low, figure.high) if figure.samples > 1 else "",
        ratio(figure.ratio),
        (f"{row.goal} {'' if row.goal.of == 'ratio' else row.unit}" if row.goal and figure.is_ours else ""),
        Text(figure.verdict or "", style=STYLES[figure.verdict]),
    ]


def caption(report: Report) -> Text:
    """Where the figures come from."""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    return Text(f"{report.when}; {machine}\n{versions}", style="dim")
