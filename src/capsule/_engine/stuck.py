"""Guests that wait for a file which does not open.

To open a pipe that nobody writes to takes until somebody does, and a carrier would wait as long. wasmtime opens files
on threads of its own; a signal ends the wait of such a thread with an error, which the guest gets. It only goes to
threads that are opening a file, and its handler does nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import stat
import sys
import time

PATIENCE = 0.25
"""Seconds of one slice before somebody looks what it waits for."""

SOON = 0.05
"""Seconds within which a slice ends that was stuck, once it is let go."""

_OPENINGS = frozenset({"2", "56", "257", "437"})
"""System calls that open files, on the processors that we know: open, openat (two numbers), openat2."""

_THREAD = "tokio-r"


class Slice:
    """One sandbox with folders, while it runs and while it does not."""

    __slots__ = ("_freed", "_since")

    def __init__(self) -> None:
        self._since = self._freed = 0.0

    def begin(self) -> None:
        """The guest is about to run."""
        self._freed, self._since = 0.0, time.monotonic()
        _running.add(self)

    def end(self) -> bool:
        """The guest came back. True if it was stuck."""
        _running.discard(self)
        return self._freed > 0 and time.monotonic() - self._freed < SOON

    def is_overdue(self, now: float) -> bool:
        """Whether it has run for longer than a slice should, since it began or was let go the last time."""
        return now - max(self._since, self._freed) > PATIENCE

    def let_go(self, now: float) -> None:
        """What it may be waiting for is about to be interrupted."""
        self._freed = now


_running: set[Slice] = set()  # adding and discarding are atomic


def watch() -> None:
    """Called by the ticker: where slices are overdue, interrupt the threads that wait for a file to open."""
    if not _running:
        return
    now = time.monotonic()
    overdue = [each for each in list(_running) if each.is_overdue(now)]
    if not overdue or _our_signal() is None:
        return
    threads = _opening_threads()
    if threads:
        for each in overdue:  # first: they may come back at once
            each.let_go(now)
    for thread in threads:
        _interrupt(thread)


def _opening_threads() -> list[int]:
    found = list[int]()
    with contextlib.suppress(OSError):  # no descriptor is left: the next tick looks again
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError):  # it has ended
                if _is_opening(f"/proc/self/task/{task}"):
                    found.append(int(task))
    return found


def _is_opening(task: str) -> bool:
    with open(f"{task}/comm", errors="replace") as name:  # another's may be cut within a character
        if not name.read().startswith(_THREAD):
            return False
    try:
        with open(f"{task}/syscall") as call:
            return call.read().partition(" ")[0] in _OPENINGS
    except PermissionError:  # a hardened system does not say: the signal does no harm to one that opens nothing
        return True


_TGKILL = {"x86_64": 234, "aarch64": 131, "riscv64": 131}


def _interrupt(task: int) -> None:
    number = _our_signal()
    if number is not None:
        ctypes.CDLL(None).syscall(ctypes.c_long(_TGKILL[os.uname().machine]), os.getpid(), task, number)


@functools.cache
def _our_signal() -> int | None:
    """A signal that nobody else uses, with a handler that does nothing and lets calls end early."""
    if sys.platform != "linux" or os.uname().machine not in _TGKILL:
        return None
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    nothing = ctypes.cast(libc.getpid, ctypes.c_void_p)  # takes no argument and changes nothing
    for number in range(signal.SIGRTMAX - 2, signal.SIGRTMIN, -1):
        before = libc.signal(number, nothing)
        if not before:
            libc.siginterrupt(number, 1)
            return number
        libc.signal(number, ctypes.c_void_p(before))  # somebody has it
    return None


def refuse_special_files(root: str) -> None:
    """Raises ValueError if there is a pipe, device or socket below `root`, where a wait for it could not be ended."""
    if sys.platform == "win32" or _our_signal() is not None:
        return
    for folder, _, files in os.walk(root):
        for name in files:
            mode = os.lstat(os.path.join(folder, name)).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                raise ValueError("a special file")
