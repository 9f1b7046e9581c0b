"""A listener that writes down what a sandbox does, to be compared with what it should have done."""

from __future__ import annotations

from typing import Any

import anyio

__all__ = ["RecordingListener"]

Entry = tuple[Any, ...]


class RecordingListener:
    """Hears a sandbox and keeps its history, in order:

    `("submit", ticket, operation, payload)`, `("cancel", ticket)`, `("output", stream, text)`, `("closed",)`.
    """

    def __init__(self) -> None:
        self.history: list[Entry] = []
        self._news = anyio.Event()

    def on_submit(self, ticket: int, operation: str, payload: str) -> None:
        """Write down a host call."""
        self._add(("submit", ticket, operation, payload))

    def on_cancel(self, ticket: int) -> None:
        """Write down that a host call was given up."""
        self._add(("cancel", ticket))

    def on_output(self, stream: str, text: str) -> None:
        """Write down what was printed."""
        self._add(("output", stream, text))

    def on_closed(self) -> None:
        """Write down that the sandbox is gone."""
        self._add(("closed",))

    def count(self, kind: str) -> int:
        """How many entries of that kind there are."""
        return sum(entry[0] == kind for entry in self.history)

    async def wait_for(self, kind: str, count: int = 1) -> Entry:
        """Wait until there are `count` entries of that kind, and answer the last of these."""
        while self.count(kind) < count:
            await self._news.wait()
        return [entry for entry in self.history if entry[0] == kind][count - 1]

    def printed(self) -> list[tuple[str, str]]:
        """What was printed, as (stream, text), neighbours on one stream joined."""
        joined: list[tuple[str, str]] = []
        for _, stream, text in (entry for entry in self.history if entry[0] == "output"):
            if joined and joined[-1][0] == stream:
                joined[-1] = (str(stream), joined[-1][1] + str(text))
            else:
                joined.append((str(stream), str(text)))
        return joined

    def _add(self, entry: Entry) -> None:
        self.history.append(entry)
        news, self._news = self._news, anyio.Event()
        news.set()
