"""A run as tables for the documents."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from benches._ratios import Figure, Report, Result
from benches._table import number, ratio


def markdown(report: Report) -> str:
    """One table of all rows, and one for each curve."""
    plain = [result for result in report.results if not result.row.curve]
    lines = list(_rows(plain)) if plain else []
    for curve, points in groupby(report.results, key=lambda result: result.row.curve):
        lines += _curve(list(points)) if curve else []
    return "\n".join(lines)


def _rows(results: list[Result]) -> Iterator[str]:
    yield "| bench | work | who | value | ratio | goal | |\n| --- | --- | --- | --- | --- | --- | --- |"
    for result in results:
        for place, figure in enumerate(result.figures):
            row = result.row
            first = [f"`{row.key}`", row.what] if place == 0 else ["", ""]
            against = f" of {row.against}" if figure.ratio else ""
            goal = f"{row.goal}{'' if row.goal.of == 'ratio' else f' {row.unit}'}" if figure.verdict else ""
            told = [figure.contender, _value(figure, row.unit), ratio(figure.ratio) + against, goal]
            yield f"| {' | '.join([*first, *told, figure.verdict or ''])} |"


def _value(figure: Figure, unit: str) -> str:
    return figure.note if figure.value is None else f"{number(figure.value)} {unit}".strip()


def _curve(points: list[Result]) -> Iterator[str]:
    row = points[0].row
    yield f"\n{row.curve}:\n\n| {row.axis} | {' | '.join(f'{result.row.at:,g}' for result in points)} |"
    yield f"| --- |{' --- |' * len(points)}"
    for name in dict.fromkeys(figure.contender for result in points for figure in result.figures):
        found = [next((each for each in result.figures if each.contender == name), None) for result in points]
        yield f"| {name} | {' | '.join(_value(each, row.unit) if each else '' for each in found)} |"
