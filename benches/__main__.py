"""Measure capsule beside its peers: `python -m benches [NAME ...]`."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from benches import NAMES
from benches._check import regressions
from benches._machine import machine, versions
from benches._ratios import Report
from benches._runner import ROOT, run
from benches._table import WIDTH, table
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
    parser.add_argument("--check", type=Path, metavar="FILE", help="an earlier run; exit 1 if clearly slower")
    found = parser.parse_args()
    unknown = [name for name in found.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no bench {unknown[0]!r}; the benches are {', '.join(NAMES)}")
    return found


def main() -> int:
    """Run what was asked for, print the table, and write the figures."""
    asked = arguments()
    if asked.quick:
        os.environ[QUICK] = "1"
    rounds = 1 if asked.quick else asked.rounds
    earlier = msgspec.json.decode(asked.check.read_bytes(), type=Report) if asked.check else None
    console, progress = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = WIDTH
    results = []
    with progress.status("") as status:
        for name in asked.names or NAMES:
            results += run(name, rounds=rounds, with_peers=not asked.no_peers, say=status.update)
    report = Report(
        when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        machine=machine(),
        versions=versions(),
        settings={"quick": asked.quick, "rounds": rounds, "peers": not asked.no_peers},
        results=tuple(results),
    )
    console.print(table(report))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    slower = list(regressions(earlier, report)) if earlier else []
    for line in slower:
        console.print(f"slower: {line}", style="bold red", highlight=False)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
