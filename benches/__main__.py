"""Measure capsule beside its peers: `python -m benches [NAME ...]`."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec
from rich.console import Console

from benches import NAMES
from benches._check import regressions
from benches._machine import machine, versions
from benches._markdown import markdown
from benches._plot import draw
from benches._ratios import Report
from benches._runner import ROOT, run
from benches._table import WIDTH, caption, table
from benches._values import QUICK

DEFAULT = ROOT / "build" / "benches.json"


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, help="rounds of each row (default: as each bench says)")
    parser.add_argument("--quick", action="store_true", help="little work, one round: shows that all of it runs")
    parser.add_argument("--no-peers", action="store_true", help="install and start no peers")
    parser.add_argument("--json", type=Path, default=DEFAULT, metavar="FILE", help="default: build/benches.json")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw the curves there; needs the extra 'bench'")
    parser.add_argument("--from", type=Path, dest="given", metavar="FILE", help="show a run instead of measuring")
    parser.add_argument("--markdown", action="store_true", help="print tables for the documents instead")
    parser.add_argument("--check", type=Path, metavar="FILE", help="an earlier run; exit 1 if clearly slower")
    found = parser.parse_args()
    unknown = [name for name in found.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no bench {unknown[0]!r}; the benches are {', '.join(NAMES)}")
    if found.plot and find_spec("matplotlib") is None:  # before anything is measured for it
        parser.error("--plot needs the extra 'bench'; install it: pip install -e '.[bench]'")
    return found


def main() -> int:
    """Measure or read, show, compare."""
    asked = arguments()
    earlier = read(asked.check) if asked.check else None
    console = Console(width=None if sys.stdout.isatty() else WIDTH, quiet=asked.markdown)
    if asked.given:
        report = read(asked.given)
        console.print(table(report.results))
    else:
        report = measured(asked, console)
    console.print(caption(report))
    if asked.markdown:
        print(markdown(report))
    if asked.plot:
        draw(report, asked.plot)
    slower = list(regressions(earlier, report)) if earlier else []
    for line in slower:
        print(f"slower: {line}", file=sys.stderr)
    return 1 if slower else 0


def read(file: Path) -> Report:
    """An earlier run."""
    return msgspec.json.decode(file.read_bytes(), type=Report)


def measured(asked: argparse.Namespace, console: Console) -> Report:
    """Run bench after bench; show each when it is done, and keep what is there by then."""
    if asked.quick:
        os.environ[QUICK] = "1"
    rounds = 1 if asked.quick else asked.rounds
    report = Report(
        when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        machine=machine(),
        versions=versions(),
        settings={"quick": asked.quick, "rounds": rounds, "peers": not asked.no_peers},
    )
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    progress = Console(stderr=True)
    with progress.status("") as status:
        say = status.update if progress.is_terminal else progress.print
        for name in asked.names or NAMES:
            found = tuple(run(name, rounds=rounds, with_peers=not asked.no_peers, say=say))
            console.print(table(found))
            report = msgspec.structs.replace(report, results=report.results + found)
            asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return report


if __name__ == "__main__":
    sys.exit(main())
