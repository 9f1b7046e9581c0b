"""Where host calls begin: sandboxes speak in callbacks of the event loop, where no task can be started."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup


class Switchboard:
    """Hands the calls of sandboxes to a task that can start others, and that owns them."""

    def __init__(self) -> None:
        # Unbounded, but each sandbox has a bounded number of open calls, and the number of sandboxes is bounded.
        self._calls, self._incoming = anyio.create_memory_object_stream[Callable[[], Coroutine[Any, Any, None]]](
            math.inf
        )

    def connect(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin a host call soon, or never if the runtime is being left. Never waits, never raises."""
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._calls.send_nowait(call)

    async def serve(self, tasks: TaskGroup) -> None:
        """Begin calls in `tasks` until `close`."""
        with self._incoming:
            async for call in self._incoming:
                tasks.start_soon(call)

    def close(self) -> None:
        """Take no more calls."""
        self._calls.close()
