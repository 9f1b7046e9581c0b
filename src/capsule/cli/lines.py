"""What happened in a run, line by line: the words of `capsule log`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from capsule import (
    Ended,
    Event,
    Failure,
    HostRequest,
    Left,
    Missed,
    Printed,
    Requested,
    Restarted,
    Retried,
    Spawned,
    Started,
    Stopped,
)
from capsule.journal import Entry

from .story import describe_cost


def count(number: int, what: str) -> str:
    """So many of something."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def missing(number: int) -> str:
    """That so many events are."""
    return f"{count(number, 'event')} {'is' if number == 1 else 'are'} missing"


def why(error: Failure) -> str:
    """A failure in a few words."""
    return f"{error.exception or error.error_type}: {error.message}"


def reason(left: Left) -> str:
    """Why a run's block was left."""
    return f"{left.exception}: {left.message}" if left.message else left.exception


def not_begun_anew(entries: Iterable[Entry]) -> set[int]:
    """The restarts that nothing came of: an actor whose sandbox is gone gets another for its next message."""
    found: set[int] = set()
    last: dict[int, int] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, Restarted):
            last[event.actor] = entry.number
            found.add(entry.number)
        elif isinstance(event, Started):
            found.discard(last.pop(event.actor or 0, 0))
    return found


class Lines:
    """Tells events as lines, without their times. A line that is printed in pieces is told when it has ended."""

    def __init__(self) -> None:
        self._begun: dict[tuple[int, str], str] = {}
        """What is printed of a line so far, by message and stream."""

    def of(self, event: Event) -> Iterator[str]:
        """The lines of one event, if it has any."""
        if isinstance(event, Ended | Retried):
            yield from self.rest(event.number)
        if isinstance(event, Started):
            by = f", asked for by #{event.parent}" if event.parent else ""
            yield f"#{event.number} {event.task_name} started{by}{_in_actor(event.actor)}"
        elif isinstance(event, Printed):
            yield from self._whole(event)
        elif isinstance(event, Requested):
            yield f"#{event.number} {_request(event.request)}"
        elif isinstance(event, Retried):
            yield f"#{event.number} {event.task_name} failed, retry {event.retry}: {why(event.error)}"
        elif isinstance(event, Ended):
            error = event.outcome.error
            how = "done" if error is None else f"failed: {why(error)}"
            yield f"#{event.number} {event.task_name} {how} ({describe_cost(event.outcome.execution)})"
        elif isinstance(event, Missed):
            yield f"{missing(event.count)} here"
        elif isinstance(event, Left):
            yield reason(event)
        else:
            yield f"actor {event.actor} {event.task_name} {_turn(event)}"

    def rest(self, number: int | None = None) -> Iterator[str]:
        """The lines that are begun and will not end, of one message or (default) all."""
        for which in [which for which in self._begun if number in (None, which[0])]:
            yield _printed(which, self._begun.pop(which))

    def _whole(self, event: Printed) -> Iterator[str]:
        which = (event.number, event.stream)
        *lines, begun = (self._begun.pop(which, "") + event.text).split("\n")
        yield from (_printed(which, line) for line in lines)
        if begun:
            self._begun[which] = begun


def _printed(which: tuple[int, str], line: str) -> str:
    number, stream = which
    return f"#{number} {stream}: {line}"


def _request(request: HostRequest) -> str:
    came = f"{request.status}, {count(request.bytes, 'byte')}" if request.status else "no response"
    return f"{request.method} {request.url}: {came}, {request.duration_ms:.1f} ms"


def traceback_of(event: Event) -> list[str]:
    """That of a failure, to stand below its line."""
    error: Failure | None = None
    if isinstance(event, Ended):
        error = event.outcome.error
    elif isinstance(event, Retried):
        error = event.error
    return (error.traceback or "").splitlines() if error is not None else []


def _turn(event: Spawned | Restarted | Stopped) -> str:
    if isinstance(event, Spawned):
        name = f" as {event.name!r}" if event.name else ""
        return f"spawned{name}" + (f" by actor {event.parent}" if event.parent else "")
    if isinstance(event, Restarted):
        return f"began anew, restart {event.restart}: {why(event.error)}"
    return f"{'failed' if event.failed else 'stopped'}: {event.reason}"


def _in_actor(actor: int | None) -> str:
    return "" if actor is None else f", in actor {actor}"
