"""A process of our own for work that is long, or that handles what nobody trusts: it can be ended at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

import anyio
import anyio.abc

from .errors import SetupError

__all__ = ["follow", "how_it_ended"]

GRACE = 2.0
"""Seconds that a process gets to clean up after it was cancelled."""


async def follow(command: Sequence[str], hear: Callable[[bytes], None], what: str) -> int | None:
    """Start `command`, pass each line of its output to `hear`, and answer its exit status.

    Raises SetupError, in which the process is called `what`, if it does not start. Cancelling ends it, and whatever it
    started, before this returns.
    """
    try:  # in a session of its own: Ctrl-C in a terminal reaches only us, and we end it
        process = await anyio.open_process(list(command), stdin=None, stderr=None, start_new_session=True)
    except OSError as error:
        raise SetupError(f"{what} does not start: {error}") from None
    try:
        assert process.stdout is not None
        buffer = b""
        async for chunk in process.stdout:
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                hear(line)
        await process.wait()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)
    return process.returncode


def how_it_ended(status: int | None, what: str, why_killed: str = "") -> str:
    """In words, for a process that said nothing itself."""
    if status is not None and status < 0:
        return f"{what} was killed by signal {-status}{why_killed}"
    return f"{what} ended with status {status}; stderr says why"


async def _end(process: anyio.abc.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with anyio.move_on_after(GRACE):
            await process.wait()
        if process.returncode is None:
            _kill(process)
    await process.aclose()


def _kill(process: anyio.abc.Process) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own, with what it started in it
