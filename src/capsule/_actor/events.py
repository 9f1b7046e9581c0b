"""The stream of what happens in a runtime, for those who would rather read than be called."""

from __future__ import annotations

from collections import deque
from typing import Self

import anyio
from msgspec.structs import replace

from .._events import Ended, Event, Missed, Printed, Requested
from ..errors import UsageError

MOST_TEXT = 16_000_000
"""Characters that wait for one reader: guests print what they like, and ask for URLs of any length."""


class EventStream:
    """Events from now on, as `async for`; it ends when the runtime is left or it is closed.

    What ended is told with its costs and without its result and output. At most `size` events wait for the reader,
    with at most 16 million characters of what was printed and of URLs. When it is too slow the oldest are dropped, and
    a Missed event stands in their place: nothing that happens in a runtime ever waits for a reader.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise UsageError(f"size: {size!r} is not a whole number of 1 or more")
        self._size = size
        self._events: deque[Event] = deque()
        self._missed = self._text = 0
        self._arrival = anyio.Event()
        self._is_open = True

    def put(self, event: Event) -> None:
        """For the runtime alone: something happened."""
        if not self._is_open:
            return
        if isinstance(event, Ended):  # a result can be large, and here it may wait for long
            event = replace(event, outcome=replace(event.outcome, result=None, stdout="", stderr=""))
        self._events.append(event)
        self._text += _text_of(event)
        while len(self._events) > self._size or (self._text > MOST_TEXT and len(self._events) > 1):
            self._text -= _text_of(self._events.popleft())
            self._missed += 1
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
                event = self._events.popleft()
                self._text -= _text_of(event)
                return event
            if not self._is_open:
                raise StopAsyncIteration
            if self._arrival.is_set():
                self._arrival = anyio.Event()
            await self._arrival.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


def _text_of(event: Event) -> int:
    if isinstance(event, Printed):
        return len(event.text)
    return len(event.request.url) if isinstance(event, Requested) else 0
