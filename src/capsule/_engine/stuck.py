"""Guests that wait for a file which does not open, or for a device that does not answer.

To open a pipe that nobody writes to takes until somebody does, and so may reading from a device; a carrier would wait
as long. wasmtime opens, reads and writes files on threads of its own; a signal ends the wait of such a thread with an
error, which the guest gets. It only goes to threads that are opening a file, or that read or write what is neither a
file on a disk nor a folder and lies in a guest's folder; and its handler does nothing. wasmtime reads again after a
signal, so such a descriptor is told first that nobody waits for it.
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
from collections.abc import Sequence

PATIENCE = 0.25
"""Seconds of one slice before somebody looks what it waits for."""

SOON = 0.05
"""Seconds within which a slice ends that was stuck, once it is let go."""

_OPENINGS = frozenset({"2", "56", "257", "437"})
"""System calls that open files, on the processors that we know: open, openat (two numbers), openat2."""

_TRANSFERS = {
    "x86_64": frozenset({"0", "1", "17", "18", "19", "20", "295", "296", "327", "328"}),
    **dict.fromkeys(("aarch64", "riscv64"), frozenset({"63", "64", "65", "66", "67", "68", "69", "70", "286", "287"})),
}
"""Those that read and write, whose first argument is the descriptor: read, write, pread64, pwrite64, readv, writev, and
of the last two the forms with a p, and with a 2."""

_THREAD = "tokio-r"


class Slice:
    """One sandbox with folders, while it runs and while it does not."""

    __slots__ = ("_freed", "_since", "roots")

    def __init__(self, roots: Sequence[str]) -> None:
        """`roots` are its folders, as real paths."""
        self.roots = roots
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
    """Called by the ticker: where slices are overdue, interrupt the threads that wait for what may never come."""
    if not _running:
        return
    now = time.monotonic()
    overdue = [each for each in list(_running) if each.is_overdue(now)]
    if not overdue or _our_signal() is None:
        return
    threads = _waiting_threads([f"{root}/" for each in overdue for root in each.roots])
    if threads:
        for each in overdue:  # first: they may come back at once
            each.let_go(now)
    for thread in threads:
        _interrupt(thread)


def _waiting_threads(roots: Sequence[str]) -> list[int]:
    found = list[int]()
    with contextlib.suppress(OSError):  # no descriptor is left: the next tick looks again
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError):  # it has ended
                if _is_waiting(f"/proc/self/task/{task}", roots):
                    found.append(int(task))
    return found


def _is_waiting(task: str, roots: Sequence[str]) -> bool:
    with open(f"{task}/comm", errors="replace") as name:  # another's may be cut within a character
        if not name.read().startswith(_THREAD):
            return False
    try:
        with open(f"{task}/syscall") as call:
            number, *arguments = call.read().split()
    except PermissionError:  # a hardened system does not say: the signal does no harm to one that waits for a disk
        return True
    if number in _TRANSFERS[os.uname().machine]:
        return _has_let_go(int(arguments[0], 16) & 0xFFFFFFFF, roots)
    return number in _OPENINGS


def _has_let_go(descriptor: int, roots: Sequence[str]) -> bool:
    """Whether it is a special file below one of `roots`; then whoever waits for it fails after the next signal.

    Somebody else's may have the number in the next moment, if the device answers just now. A regular file does not
    care, so at worst a pipe or a socket that was opened in this very moment does not block.
    """
    if not os.readlink(f"/proc/self/fd/{descriptor}").startswith(tuple(roots)) or not _is_special(descriptor):
        return False
    os.set_blocking(descriptor, False)
    return True


_TGKILL = {"x86_64": 234, "aarch64": 131, "riscv64": 131}
_STATX = {"x86_64": 332, "aarch64": 291, "riscv64": 291}
_WITHOUT_WAITING = 0x1000 | 0x4000
"""AT_EMPTY_PATH, AT_STATX_DONT_SYNC: of the descriptor itself, and as far as is known here. Python's own would ask a
server that does not answer, and every guest would wait with the ticker."""


def _is_special(descriptor: int) -> bool:
    """Whether it is open, and neither a regular file nor a folder."""
    about = ctypes.create_string_buffer(256)
    number = ctypes.c_long(_STATX[os.uname().machine])
    if ctypes.CDLL(None).syscall(number, descriptor, b"", _WITHOUT_WAITING, 1, about):
        return False
    mode = int.from_bytes(about.raw[28:30], sys.byteorder)
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


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
