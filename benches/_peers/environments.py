"""Virtual environments of the peers, in `benches/.peers`, made when they are first needed."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "capsule-run": ("capsule-run==0.8.10", "componentize-py==0.25.1"),
    "pydantic-monty": ("pydantic-monty==1.4.0",),
}
FOLDER = Path(__file__).parents[1] / ".peers"
DRIVERS = Path(__file__).parent


class Missing(Exception):
    """A peer that cannot be had here; the text says why."""


def python_of(name: str | None) -> Path:
    """The interpreter of that peer's environment, made if need be; without a name it is this one.

    Raises Missing if the peer cannot be installed.
    """
    if name is None:
        return Path(sys.executable)
    wanted = REQUIREMENTS[name]
    home = FOLDER / name
    python, mark = home / "bin" / "python", home / "installed"
    if not mark.exists() or mark.read_text("utf-8").split() != list(wanted):
        print(f"installing {', '.join(wanted)}...", file=sys.stderr, flush=True)
        venv.create(home, clear=True, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"{name} cannot be installed: {(done.stderr.strip() or 'pip failed').splitlines()[-1]}")
        mark.write_text("\n".join(wanted), "utf-8")
    return python


def environment_of(python: Path) -> dict[str, str]:
    """The variables for a process there: its commands come first, and Python's own settings are not inherited."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])}
