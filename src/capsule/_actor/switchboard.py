"""Where host calls begin: sandboxes speak in callbacks of the event loop, where no task can be started."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint


class Switchboard:
    """Hands the calls of sandboxes to a task that can start others, and that owns them."""

    def __init__(self) -> None:
        # Unbounded, but each sandbox has a bounded number of open calls, and the number of sandboxes is bounded.
        self._calls: deque[Callable[[], Coroutine[Any, Any, None]]] = deque()
        self._ring = anyio.Event()
        self._is_open = True

    def connect(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin a host call soon, or never if the runtime is being left. Never waits, never raises."""
        if self._is_open:
            self._calls.append(call)
            self._ring.set()

    async def serve(self, tasks: TaskGroup) -> None:
        """Begin calls in `tasks` until `close`, and those that came before it; none any more once it is cancelled."""
        try:
            while self._is_open or self._calls:
                await self._ring.wait()
                while self._calls:
                    await checkpoint()  # trio begins what was started in one go in any order, and messages have theirs
                    tasks.start_soon(self._calls.popleft())
                if self._is_open:
                    self._ring = anyio.Event()
        finally:
            self.close()
            self._calls.clear()

    def close(self) -> None:
        """Take no more calls."""
        self._is_open = False
        self._ring.set()
