"""Run a file that has not changed, as a whole process, and where each millisecond of it goes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from benches._peers.environments import environment_of
from benches._values import Bench, Here, Rounds, size
from benches.edit import SOURCE, command, row, timed

COUNT = size(5, quick=2)

ALONE = "import sys\nprint('there')\n"
SCRIPT = """
import gc, os, sys
gc.disable()
from capsule.cli.main import hasten
keep = hasten()
{code}
print("there", flush=True)
keep()
os._exit(0)
"""
"""As the command begins and ends."""

STAGES = {
    "Python alone": None,
    "+ anyio, asyncio, msgspec": "import msgspec, anyio._backends._asyncio",
    "+ the runtime": "import anyio._backends._asyncio, capsule.cli.run",
    "+ the engine": "import anyio._backends._asyncio, capsule.cli.run, capsule._engine.engine, capsule._journal.writer",
    "+ the guest": (
        "import anyio, anyio._backends._asyncio, pathlib, capsule.cli.run, capsule._engine.engine, "
        "capsule._journal.writer, capsule._engine.loaded as loaded, capsule.guest as guest; "
        "loaded.LoadedGuest(pathlib.Path(anyio.run(guest.ensure_guest).file))"
    ),
}
"""What a Python process does that gets as far as this; what the command does beyond the last is the run itself."""


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
async def stage(code: str | None) -> AsyncIterator[Rounds]:
    """A process that ends there."""
    with tempfile.TemporaryDirectory() as folder:
        script = _script(folder, ALONE if code is None else SCRIPT.format(code=code))
        words, env = [sys.executable, script], environment_of(Path(sys.executable))

        async def run() -> list[float]:
            return [timed(words, "there", Path(folder), env) for _ in range(COUNT)]

        await run()
        yield {"warm": run}


def _script(folder: str, text: str) -> str:
    file = Path(folder, "script.py")
    file.write_text(text, "utf-8")
    os.utime(folder, (1, 1))  # the command keeps nothing while a folder has just changed
    return str(file)


BENCH = Bench(
    rows=(row("warm", "run a file that has not changed", 8),),
    contenders=(
        Here(name="capsule", is_ours=True, open=partial(running, None)),
        Here(name="capsule-run", needs="capsule-run", open=partial(running, "capsule-run")),
        *(Here(name=name, open=partial(stage, code)) for name, code in STAGES.items()),
    ),
)
