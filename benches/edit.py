"""Edit a file and run it again from the shell, as whole processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from benches._peers.environments import environment_of, python_of
from benches._values import Bench, Goal, Here, Rounds, Row

SOURCE = """
from capsule import task
@task(name="main", compute="LOW", ram="64MB")
def main():
    return {number}
"""
PLAIN = "print({number})"


def command(peer: str | None, *words: str) -> tuple[list[str], dict[str, str]]:
    """The command of capsule, or of the peer that has the same, and its variables."""
    python = python_of(peer)
    return [str(python.parent / "capsule"), *words], environment_of(python)


def timed(words: list[str], expected: str, folder: Path, env: Mapping[str, str] | None = None) -> float:
    """Milliseconds of a whole process; its last line must hold what is expected.

    It runs in `folder`, one of its own: capsule and capsule-run both keep a `.capsule/trace.db` where they run, each in
    its own form.
    """
    began = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env, cwd=folder)
    seconds = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    assert "journal" not in done.stderr, done.stderr  # to refuse one and to say so takes time, too
    assert expected in done.stdout.strip().splitlines()[-1], done
    return seconds * 1000


@asynccontextmanager
async def editing(run: Callable[[Path, str], float], source: str = SOURCE) -> AsyncIterator[Rounds]:
    """Each round writes the file anew, with a number that was never there."""
    numbers = iter(range(1_000_000, 2_000_000))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "edited.py"

        async def edit_and_run() -> list[float]:
            number = next(numbers)
            file.write_text(source.format(number=number), "utf-8")
            return [run(file, str(number))]

        await edit_and_run()
        yield {"edit": edit_and_run}


def through(peer: str | None, file: Path, expected: str) -> float:
    """`capsule run` of capsule or of the peer."""
    words, env = command(peer, "run", str(file))
    return timed(words, expected, file.parent, env)


def plainly(file: Path, expected: str) -> float:
    """Python alone."""
    return timed([sys.executable, str(file)], expected, file.parent)


def row(key: str, what: str, bound: float) -> Row:
    """Whole processes, beside those of the peer."""
    return Row(key=key, what=f"{what}, whole process", unit="ms", against="capsule-run", goal=Goal(bound=bound))


BENCH = Bench(
    rows=(row("edit", "edit a file and run it again", 0.03),),
    contenders=(
        Here(name="capsule", is_ours=True, open=partial(editing, partial(through, None))),
        Here(name="capsule-run", needs="capsule-run", open=partial(editing, partial(through, "capsule-run"))),
        Here(name="CPython", open=partial(editing, plainly, PLAIN)),
    ),
    rounds=3,
)
