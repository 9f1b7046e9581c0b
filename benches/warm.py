"""Run a file that has not changed, as a whole process, and where each millisecond of it goes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from benches._values import Bench, Here, Rounds, size
from benches.edit import SOURCE, command, row, timed

COUNT = size(5, quick=2)

STAGES = {
    "Python alone": "pass",
    "+ the command": "import capsule.cli.commands",
    "+ the engine": "import capsule.cli.commands, anyio, asyncio, capsule._engine.engine",
    "+ the guest": (
        "import pathlib, capsule.cli.commands, anyio, capsule._engine.loaded as loaded, capsule.guest as guest; "
        "loaded.LoadedGuest(pathlib.Path(anyio.run(guest.ensure_guest).file))"
    ),
}
"""What a Python process does that gets as far as this."""


@asynccontextmanager
async def running(peer: str | None) -> AsyncIterator[Rounds]:
    """`capsule run`, after a run that fills every cache."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "warm.py"
        file.write_text(SOURCE.format(number=4711), "utf-8")
        words, env = command(peer, "run", str(file))
        timed(words, "4711", file.parent, env)

        async def run() -> list[float]:
            return [timed(words, "4711", file.parent, env) for _ in range(COUNT)]

        yield {"warm": run}


@asynccontextmanager
async def stage(code: str) -> AsyncIterator[Rounds]:
    """A process that ends there."""
    words = [sys.executable, "-c", f"{code}\nprint('there')"]
    with tempfile.TemporaryDirectory() as folder:

        async def run() -> list[float]:
            return [timed(words, "there", Path(folder)) for _ in range(COUNT)]

        await run()
        yield {"warm": run}


BENCH = Bench(
    rows=(row("warm", "run a file that has not changed", 8),),
    contenders=(
        Here(name="capsule", is_ours=True, open=partial(running, None)),
        Here(name="capsule-run", needs="capsule-run", open=partial(running, "capsule-run")),
        *(Here(name=name, open=partial(stage, code)) for name, code in STAGES.items()),
    ),
)
