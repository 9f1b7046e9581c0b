"""The stream of what happens in a runtime, for those who would rather read than be called."""

from __future__ import annotations

from collections import deque
from typing import Self

import anyio

from .._values import Event, Missed
from ..errors import UsageError


class EventStream:
    """Events from now on, as `async for`; it ends when the runtime is left or it is closed.

    At most `size` events wait for the reader. When it is too slow the oldest are dropped, and a Missed event stands
    in their place: nothing that happens in a runtime ever waits for a reader.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise UsageError(f"size: {size!r} is not a whole number of 1 or more")
        self._size = size
        self._events: deque[Event] = deque()
        self._missed = 0
        self._arrival = anyio.Event()
        self._is_open = True

    def put(self, event: Event) -> None:
        """For the runtime alone: something happened."""
        if not self._is_open:
            return
        if len(self._events) >= self._size:
            self._events.popleft()
            self._missed += 1
        self._events.append(event)
        self._arrival.set()

    def close(self) -> None:
        """Nothing more comes; what is there can still be read."""
        self._is_open = False
        self._arrival.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            if self._missed:
                missed, self._missed = Missed(count=self._missed), 0
                return missed
            if self._events:
                return self._events.popleft()
            if not self._is_open:
                raise StopAsyncIteration
            if self._arrival.is_set():
                self._arrival = anyio.Event()
            await self._arrival.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
