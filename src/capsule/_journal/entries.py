"""What of an event is kept: an entry of bounded size. Decided on the event loop, without waiting for anything."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
from msgspec.structs import replace

from .._events import Ended, Event, Left, Missed, Printed, Requested, Restarted, Retried, Spawned, Started, Stopped
from .._values import Failure, Outcome

MOST_PRINTED = 10_000
"""Characters kept of what one message prints, all attempts together."""

MOST_MESSAGE, MOST_TRACEBACK, MOST_URL = 2_000, 4_000, 500
"""Characters kept of a message that says why something failed, of the end of a traceback, and of a request's URL."""

MOST_REQUESTS = 100
"""HTTP requests kept of one message; the first ones. The others are counted."""

MOST_RUN = 64_000_000
"""Bytes kept of one run. What comes later is counted."""

KINDS: dict[str, type[Any]] = {
    "spawned": Spawned,
    "restarted": Restarted,
    "stopped": Stopped,
    "started": Started,
    "retried": Retried,
    "printed": Printed,
    "requested": Requested,
    "ended": Ended,
    "left": Left,
    "missed": Missed,
}
"""How each kind of event is called in the database."""

_NAME_OF = {kind: name for name, kind in KINDS.items()}
_encoder = msgspec.json.Encoder()


class Row(msgspec.Struct, frozen=True):
    """An entry as it is stored."""

    at: float
    """When, in seconds since 1970."""

    kind: str
    body: bytes


class Totals(msgspec.Struct, frozen=True):
    """What a run comes to so far."""

    tasks: int = 0
    """Messages that were started."""

    failed: int = 0
    requests: int = 0
    fuel: int = 0
    dropped: int = 0
    """Events that are not in the journal."""


class Entries:
    """Turns the events of one run into rows. `rows` that wait for a slow disk are the writer's to bound."""

    def __init__(self, most: int = MOST_RUN) -> None:
        self._left = most
        self._printed: dict[int, int] = {}
        self._requested: dict[int, int] = {}
        self._tasks = self._failed = self._requests = self._fuel = 0
        self._missed = self._dropped = 0

    @property
    def totals(self) -> Totals:
        """Of all events, kept or not."""
        return Totals(self._tasks, self._failed, self._requests, self._fuel, self._dropped)

    def rows(self, event: Event, *, has_room: bool = True) -> list[Row]:
        """What is to be stored of an event: nothing if there is no room, with a row before it for what is missing."""
        self._count(event)
        kept = self._cut(event)
        if kept is None:
            return []
        if not has_room or self._left <= 0 or self._has_enough(kept):
            self._missed += 1
            self._dropped += 1
            return []
        now = time.time()
        rows = [*self.rest(now), Row(now, _NAME_OF[type(kept)], encoded(kept))]
        self._left -= len(rows[-1].body)
        return rows

    def rest(self, now: float) -> list[Row]:
        """A row for what is missing since the last one, if anything is."""
        missed, self._missed = self._missed, 0
        return [Row(now, "missed", encoded(Missed(count=missed)))] if missed else []

    def _count(self, event: Event) -> None:
        if isinstance(event, Started):
            self._tasks += 1
        elif isinstance(event, Ended):
            self._failed += not event.outcome.success
            self._fuel += event.outcome.execution.fuel_consumed
        elif isinstance(event, Requested):
            self._requests += 1

    def _has_enough(self, event: Event) -> bool:
        """Whether it is a request, and as many of its message are kept already as may be."""
        if not isinstance(event, Requested):
            return False
        before = self._requested.get(event.number, 0)
        self._requested[event.number] = before + 1
        return before >= MOST_REQUESTS

    def _cut(self, event: Event) -> Event | None:
        """What is kept of it, or None if nothing is."""
        if isinstance(event, Printed):
            return self._cut_text(event)
        if isinstance(event, Ended):
            self._printed.pop(event.number, None)
            self._requested.pop(event.number, None)
            return replace(event, outcome=_cut_outcome(event.outcome))
        if isinstance(event, Requested):
            return replace(event, request=replace(event.request, url=event.request.url[:MOST_URL]))
        if isinstance(event, Left):
            return replace(event, message=event.message[:MOST_MESSAGE])
        if isinstance(event, Restarted | Retried):
            return replace(event, error=_cut_failure(event.error))
        return event

    def _cut_text(self, event: Printed) -> Printed | None:
        left = MOST_PRINTED - self._printed.get(event.number, 0)
        if left <= 0:
            return None
        self._printed[event.number] = MOST_PRINTED - left + len(event.text)
        if len(event.text) <= left:
            return event
        return replace(event, text=event.text[:left] + f"\n[the journal keeps {MOST_PRINTED} characters]\n")


def encoded(event: Event) -> bytes:
    """As JSON. Halves of characters, which no file can hold, become question marks."""
    try:
        return _encoder.encode(event)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(event), ensure_ascii=False).encode("utf-8", "replace")


def _cut_outcome(outcome: Outcome) -> Outcome:
    execution = replace(outcome.execution, host_requests=())
    error = outcome.error and _cut_failure(outcome.error)
    # Results belong to those who asked. What was printed and requested is in entries of its own.
    return replace(outcome, result=None, stdout="", stderr="", error=error, execution=execution)


def _cut_failure(failure: Failure) -> Failure:
    if len(failure.message) <= MOST_MESSAGE and len(failure.traceback or "") <= MOST_TRACEBACK:
        return failure
    return replace(
        failure,
        message=failure.message[:MOST_MESSAGE],
        traceback=failure.traceback and failure.traceback[-MOST_TRACEBACK:],
    )
