"""How many sandboxes fit into the memory mappings that Linux allows one process.

A sandbox takes five mappings, and a process has 65,530 unless its machine says otherwise. Whoever asks for one more
fails, and that may be anybody: wasmtime, which panics where it cannot unmap and so ends the process with every sandbox
in it, or the event loop, in the middle of its own work, with a MemoryError. So no store is made near the limit.
"""

from __future__ import annotations

import threading
from pathlib import Path

_EACH = 5  # three of a linear memory: the snapshot, zeros behind it, what cannot be touched; two of a stack
_MANY = 500  # stores after which it is worth a look at what the C library still holds
_KEPT_FREE = 10  # one part in ten of the limit stays for the application, its threads and its own memory


class NoRoom(Exception):
    """One more sandbox would not fit; the text says what would help."""


class Mappings:
    """Counts the stores of the process. `enter` and `leave` run on carriers, of several engines at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores = self._peak = 0
        self._allowed = 0
        self._most: int | None = None

    def measure(self) -> None:
        """Look at what the process has mapped and what it may; where nothing limits that, neither does this."""
        try:
            self._allowed = int(Path("/proc/sys/vm/max_map_count").read_text())
            with Path("/proc/self/maps").open("rb", buffering=1 << 16) as lines:  # else a kilobyte with each look
                mapped = sum(1 for _ in lines)
        except (OSError, ValueError):  # not Linux
            return
        free = self._allowed - self._allowed // _KEPT_FREE - mapped
        with self._lock:
            self._most = self._stores + max(0, free // _EACH)

    def enter(self) -> None:
        """A store is about to be made. Raises NoRoom if it must not."""
        with self._lock:
            if self._most is not None and self._stores >= self._most:
                raise NoRoom(
                    f"no room for another sandbox: {self._stores} live ones are what fits into the {self._allowed} "
                    "memory mappings that Linux allows a process; raise vm.max_map_count or lower max_sandboxes"
                )
            self._stores += 1
            self._peak = max(self._peak, self._stores)

    def leave(self) -> bool:
        """A store is gone; whether many were there, and nine in ten of them have gone."""
        with self._lock:
            self._stores -= 1
            have_gone = self._peak >= _MANY and self._stores <= self._peak // 10
            if have_gone:
                self._peak = self._stores
            return have_gone


mappings = Mappings()
"""The one of this process, because the limit is the process's."""
