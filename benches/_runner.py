"""One bench: its contenders as processes, asked in turn, round by round (A B A B)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from benches._contender import load
from benches._peers.environments import DRIVERS, Missing, environment_of, python_of
from benches._ratios import Figure, Result, figures, judged
from benches._values import Here, Peer

ROOT = Path(__file__).parents[1]
PATIENCE = 900.0
"""Seconds that one round may take at most; capsule-run compiles a program for a minute where others are at work."""


class Failed(Exception):
    """A contender that could not do a round; the text says why."""


class Process:
    """A contender that was started."""

    def __init__(self, bench: str, contender: Here | Peer) -> None:
        if isinstance(contender, Peer):
            python = python_of(contender.needs)
            spec = {"programs": contender.programs, "rows": contender.rows}
            driver = DRIVERS / f"{contender.driver}.py"
            command, environment = [python, driver, msgspec.json.encode(spec).decode()], environment_of(python)
        else:
            command, environment = [sys.executable, "-m", "benches._contender", bench, contender.name], None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        try:
            self.rows: list[str] = self._answer()["ready"]
        except Failed:
            self.close()
            raise

    def round(self, key: str) -> list[float]:
        """The samples of one round. Raises Failed."""
        try:
            self._process.stdin.write(f"{key}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        answer = self._answer()
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer["samples"]

    def _answer(self) -> dict:
        timer = threading.Timer(PATIENCE, self._kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise self._ended()
        return json.loads(line)

    def _ended(self) -> Failed:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return Failed(f"its process ended with {code}: {lines[-1] if lines else 'it said nothing'}")

    def _kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let it end, and end what it left."""
        self._process.stdin.close()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=120)
        finally:
            with suppress(ProcessLookupError):  # nothing is left
                self._kill()
            self._process.wait()
            self._process.stdout.close()
            self._errors.close()


@contextmanager
def started(bench: str, contender: Here | Peer) -> Iterator[Process]:
    """A contender that lives as long as the block."""
    process = Process(bench, contender)
    try:
        yield process
    finally:
        process.close()


def run(name: str, *, rounds: int | None, with_peers: bool, say: Callable[[str], None]) -> list[Result]:
    """Measure one bench. A contender that fails is noted and the others go on."""
    bench = load(name)
    notes: dict[tuple[str, str], str] = {}
    samples: dict[str, dict[str, list[list[float]]]] = {row.key: {} for row in bench.rows}
    with ExitStack() as stack:
        processes: dict[str, Process] = {}
        for contender in bench.contenders:
            if contender.needs and not with_peers:
                continue
            say(f"{name}: {contender.name} begins")
            try:
                if contender.needs:
                    python_of(contender.needs)
                processes[contender.name] = stack.enter_context(started(name, contender))
            except (Missing, Failed) as error:
                notes |= {(row.key, contender.name): str(error) for row in bench.rows}
        count = rounds or bench.rounds
        for number in range(count):
            for row in bench.rows:
                for who, process in processes.items():
                    if row.key not in process.rows or (row.key, who) in notes or number >= (row.rounds or count):
                        continue
                    say(f"{name}: {row.key}, round {number + 1} of {count}, {who}")
                    try:
                        samples[row.key].setdefault(who, []).append(process.round(row.key))
                    except Failed as error:
                        notes[row.key, who] = str(error)
    return [
        Result(bench=name, row=row, figures=tuple(_all_figures(bench.contenders, row, samples[row.key], notes)))
        for row in bench.rows
    ]


def _all_figures(contenders, row, samples, notes) -> Iterator[Figure]:
    found = figures(row, samples)
    for contender in contenders:
        note = notes.get((row.key, contender.name), "")
        if contender.name not in found and not note:
            continue
        figure = msgspec.structs.replace(
            found.get(contender.name) or Figure(contender=contender.name),
            is_ours=contender.is_ours,
            language=contender.language,
            note=note,
        )
        yield judged(figure, row) if contender.is_ours else figure
