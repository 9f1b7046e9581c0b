"""A process that begins and ends as the command does, with the byte code that an earlier one has kept."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

HAS_SETTLED = """
import os
from capsule.cli import bundle
bundle._SETTLED -= int(os.environ["SETTLED"])
"""
"""Seconds ago: no test can set the time at which the system saw a change."""

SCRIPT = f"""
import sys
{HAS_SETTLED}
if os.environ["HOW"] == "found":
    from capsule.cli.bundle import Bundle
    kept = Bundle()
    kept.open()
    keep = kept.keep
else:
    from capsule.cli.main import hasten
    keep = hasten()
exec(sys.argv[1])
keep()
"""

SAY = "import thing; print(thing.WORD, type(thing.__spec__.loader).__name__)"

Run = Callable[..., str]

MOMENTS = itertools.count(1_000_000_000)


def settle(folder: Path) -> None:
    """As if what has changed below had done so a while ago."""
    for place in (folder, *folder.rglob("*")):
        if place.is_dir() and place.stat().st_mtime > time.time() - 10:
            os.utime(place, (1, next(MOMENTS)))


def environment(folder: Path, cache: Path) -> dict[str, str]:
    """The variables of a process whose byte code does not lie beside its sources: it would change their folders."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "byte code"), "CAPSULE_CACHE_DIR": str(cache)}


def script_in(folder: Path, text: str) -> Path:
    """In a folder of its own, for that is the first on `sys.path`."""
    folder.mkdir()
    (folder / "script.py").write_text(text, "utf-8")
    return folder / "script.py"
