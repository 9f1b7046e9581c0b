"""The curves of a run, drawn: one picture for each bench that has some."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from benches._ratios import Report, Result

COLOURS = {"capsule": "#1f6feb", "capsule on trio": "#57a5ff", "capsule-run": "#d1622b"}
COLUMNS = 3


def draw(report: Report, folder: Path, kind: str = "svg") -> None:
    """Write `folder/BENCH.svg` (or of another kind) for each bench with curves."""
    for bench, results in groupby(report.results, key=lambda result: result.bench):
        curves = [list(points) for name, points in groupby(results, key=lambda result: result.row.curve) if name]
        if curves:
            _picture(curves, folder / f"{bench}.{kind}")


def _picture(curves: list[list[Result]], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {
        "svg.hashsalt": "capsule",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    from matplotlib import pyplot as plt

    rows = -(-len(curves) // COLUMNS)
    figure, places = plt.subplots(rows, COLUMNS, figsize=(4 * COLUMNS, 2.9 * rows), squeeze=False)
    for place, points in zip(places.flat, curves, strict=False):
        _curve(place, points)
    for place in places.flat[len(curves) :]:
        place.set_axis_off()
    handles = {
        label: handle for place in places.flat for handle, label in zip(*place.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="upper center", ncols=len(handles), frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _curve(place, points: list[Result]) -> None:
    row = points[0].row
    names = dict.fromkeys(figure.contender for result in points for figure in result.figures)
    for name in names:
        found = [(result.row.at, figure) for result in points for figure in result.figures if figure.contender == name]
        known = [(at, figure) for at, figure in found if figure.value is not None]
        across = [at for at, _ in known]
        colour = COLOURS.get(name, "#777777")
        place.plot(across, [figure.value for _, figure in known], "o-", color=colour, label=name, markersize=3.5)
        lows, highs = [min(figure.rounds) for _, figure in known], [max(figure.rounds) for _, figure in known]
        place.fill_between(across, lows, highs, color=colour, alpha=0.15, linewidth=0)
    place.set_title(row.curve, fontsize=10, loc="left")
    place.set_xlabel(row.axis)
    place.set_ylabel(row.unit)
    place.set_ylim(bottom=0)
    ats = [result.row.at for result in points]
    if ats[0] and ats[-1] / ats[0] > 20:
        place.set_xscale("log")
        place.minorticks_off()
    place.set_xticks(ats, [f"{at:,g}" for at in ats], rotation=45 if len(ats) > 6 else 0)
    place.grid(axis="y", alpha=0.3)
