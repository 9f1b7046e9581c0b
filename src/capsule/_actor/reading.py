"""Large payloads of host calls, decoded on the event loop, which waits for each: one at a time in a runtime."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


class Reading:
    """Whose turn it is. Before each but the first the loop is free for as long as the last one held it."""

    def __init__(self) -> None:
        self._turn = anyio.Lock()
        self._free_until = 0.0

    async def read(self, read: Callable[[], T]) -> T:
        """What `read` answers or raises, in the order of the calls. Cancelled while it waits, it leaves nothing."""
        async with self._turn:
            await anyio.sleep(max(0.0, self._free_until - time.monotonic()))
            began = time.monotonic()
            try:
                return read()
            finally:
                now = time.monotonic()
                self._free_until = now + (now - began)
