"""Removes workspaces: small ones where the sandbox ended, and the rest of large ones on a thread of its own.

A guest can leave ten thousand folders behind, which takes a slow disk many seconds, and carriers must not be held that
long. So a carrier removes for a few milliseconds; what is left then waits for the remover's thread, which goes from
one to the next, a while for each, so that none waits for all of another. A sandbox counts as gone, and gives its place
back, when its folder is gone: that bounds how many wait, and what they hold of the disk.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from . import descriptors
from .workspace import remove_some

log = logging.getLogger("capsule")

AT_ONCE = 0.004
"""Seconds that a carrier gives to it: as long as a slice."""

PAUSE = 0.001
"""Seconds before the next, for others; and for descriptors to come back, if the process has none left."""

IN_TURN = 0.1
"""Seconds after which the thread goes on with the next folder."""


class Remover:
    """Close it when nothing more is to be removed. The thread begins with the first large folder."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._waiting = deque[tuple[str, Callable[[], None]]]()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._on_end: Callable[[], None] = lambda: None

    def remove(self, root: str, on_gone: Callable[[], None]) -> None:
        """Remove `root` with all that is in it, and call `on_gone`: from here, or later from the thread."""
        is_gone = _is_gone(root, AT_ONCE)
        with self._change:
            if not is_gone and not self._is_closed and self._has_thread():
                self._waiting.append((root, on_gone))
                self._change.notify()
                return
        while not is_gone:  # the engine was left, or the system has no thread for us
            time.sleep(PAUSE)
            is_gone = _is_gone(root, IN_TURN)
        on_gone()

    def begin_close(self, on_end: Callable[[], None]) -> None:
        """Call `on_end` once all that waits is removed."""
        with self._change:
            self._is_closed, self._on_end = True, on_end
            self._change.notify()
        if self._thread is None:
            on_end()

    def close(self) -> None:
        """Wait until the thread has ended: not at all after `on_end` was called."""
        if self._thread is not None:
            self._thread.join()

    def _has_thread(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="capsule-remover", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while (each := self._next()) is not None:
            root, on_gone = each
            if _is_gone(root, IN_TURN):
                on_gone()
            else:
                self._waiting.append(each)
                time.sleep(PAUSE)
        self._on_end()

    def _next(self) -> tuple[str, Callable[[], None]] | None:
        with self._change:
            while not self._waiting:
                if self._is_closed:
                    return None
                self._change.wait()
            return self._waiting.popleft()


def _is_gone(root: str, seconds: float) -> bool:
    """Remove some of it. True also if it cannot be removed: its sandbox must end none the less."""
    try:
        return remove_some(root, seconds)
    except Exception as error:
        if descriptors.are_spent(error):
            return False
        log.exception("the workspace %s cannot be removed", root)
        return True
