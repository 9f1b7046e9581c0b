"""The guest of this machine: found in the cache, or built and compiled once by a process of its own.

A process of its own, because it can be ended at any moment (compiling is one long call into C), and because the
gigabyte that compiling takes goes back to the system. `python -m capsule._setup` is that process: it prints one
JSON line for each phase and one for the end.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from ._guest import cache, key
from ._guest.cache import CompiledGuest
from .errors import CacheUnwritable, SetupError

Progress = Callable[[str], None]
"""Hears what is being done, in a few words, when something takes longer than a moment."""

PHASES = {
    "wait": "waiting for another process that prepares the guest",
    "build": "building the Python guest, once for this machine",
    "compile": "compiling it for this processor",
    "check": "trying it out",
}
CHILD = [sys.executable, "-P", "-m", "capsule._setup"]
"""The process that builds. -P, because without it Python would import from the current folder, which may belong to
the very program that nobody trusts."""

_WHAT = "the process that builds the guest"


class _Line(msgspec.Struct, omit_defaults=True):
    phase: str = ""
    file: str = ""
    min_ram: int = 0
    error: str = ""
    folder: str = ""


def find_guest() -> CompiledGuest | None:
    """The guest if the cache has it whole. Never builds."""
    return cache.find(key.key_here(_engine()))


async def ensure_guest(progress: Progress | None = None) -> CompiledGuest:
    """The guest of this machine, built first if need be (ten to thirty seconds, once).

    `progress` hears each phase; by default a line goes to stderr. Raises SetupError if it cannot be built and
    CacheUnwritable if it cannot be kept. Cancelling ends the build and leaves the cache as it was.
    """
    found = find_guest()
    if found is not None:
        return found
    cache.prepare_folder()
    return await _build_in_child(progress or say)


def say(phase: str) -> None:
    """Tell a phase on stderr: what a runtime does that was given no `progress`."""
    sys.stderr.write(f"capsule: {phase}...\n")
    sys.stderr.flush()


async def _build_in_child(progress: Progress) -> CompiledGuest:
    from ._child import follow, how_it_ended  # as signal and subprocess, only a build needs it

    last, status = _Line(), None

    def hear(line: bytes) -> None:
        """A line that is none of ours, such as a debug print, is left out."""
        nonlocal last
        try:
            last = msgspec.json.decode(line, type=_Line)
        except ValueError:
            return
        if last.phase:
            progress(PHASES[last.phase])

    try:
        status = await follow(CHILD, hear, _WHAT)
    finally:
        if status != 0:  # what it began, if it could not clean up itself
            cache.sweep(key.key_of(_facts()))
    if last.folder:
        raise CacheUnwritable(last.folder, last.error)
    if not last.file:
        raise SetupError(last.error or how_it_ended(status, _WHAT, "; it takes about a gigabyte of memory"))
    return CompiledGuest(file=last.file, min_ram=last.min_ram)


def _facts() -> dict[str, str]:
    return key.made_with(_engine())


def _engine() -> str:
    from ._engine.version import tools_version

    return tools_version()


# The child process.


def _make(file: Path) -> int:
    from wasmtime import wat2wasm

    from ._engine.loaded import compile_guest
    from ._engine.measure import measure_min_ram
    from ._engine.version import HAS_SLOTS, SNAPSHOT
    from ._guest.build import build_guest, take_snapshot_out

    _tell(_Line(phase="build"))
    wasm = build_guest(lambda text: bytes(wat2wasm(text)), file.parent, is_metered=HAS_SLOTS)
    if HAS_SLOTS:
        wasm, snapshot = take_snapshot_out(wasm)
        file.with_suffix(SNAPSHOT).write_bytes(snapshot)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a handler would wait until C is done; our parent cleans up
    _tell(_Line(phase="compile"))
    file.write_bytes(compile_guest(wasm, counts=not HAS_SLOTS))
    _tell(_Line(phase="check"))
    return measure_min_ram(file)


def _tell(line: _Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _main() -> None:
    def leave(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not disturb the cleaning up
        sys.exit(1)

    signal.signal(signal.SIGTERM, leave)  # so that componentize-py ends too
    facts = _facts()
    try:
        guest = cache.find_or_make(key.key_of(facts), _make, facts, lambda: _tell(_Line(phase="wait")))
        _tell(_Line(file=guest.file, min_ram=guest.min_ram))
    except CacheUnwritable as error:
        _tell(_Line(error=error.reason, folder=error.folder))
    except SetupError as error:
        _tell(_Line(error=str(error)))


if __name__ == "__main__":
    _main()
