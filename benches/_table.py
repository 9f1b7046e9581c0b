"""What a run looks like in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benches._ratios import Figure, Report, Result, Spread

WIDTHS = {"who": 24, "value": 13, "spread": 18, "ratio": 24, "goal": 14, "": 6}
WIDTH = sum(WIDTHS.values()) + len(WIDTHS) * 2 + 2
STYLES = {"met": "green", "missed": "bold red", None: ""}


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3g}"


def between(low: float, high: float) -> str:
    """From the least to the greatest."""
    return f"{number(low)} - {number(high)}"


def ratio(found: Spread | None) -> str:
    """The median of the rounds' ratios, with their spread."""
    return f"{number(found.median)} ({between(found.low, found.high)})" if found else ""


def table(report: Report) -> RenderableType:
    """All rows, each with its contenders, ratios and goals."""
    return Group(*(part for result in report.results for part in _block(result)), _caption(report))


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


def _caption(report: Report) -> Text:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    return Text(f"{report.when}; {machine}\n{versions}", style="dim")
