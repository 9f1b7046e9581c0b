"""`--verbose`: each message's start, end and cost, live on stderr, indented below the one that called it."""

from __future__ import annotations

from capsule import Ended, Event, Execution, Restarted, Retried, Started, Stopped

from .screen import Screen
from .terminal import one_line

_MILLION = 1_000_000


class Story:
    """Tells events as lines."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._depth: dict[int, int] = {}
        self._about_to_begin: dict[int, Restarted] = {}

    def tell(self, event: Event) -> None:
        """One line for a start, a retry or an end, and for what goes wrong with an actor."""
        if isinstance(event, Started):
            self._begin_anew(self._about_to_begin.pop(event.actor or 0, None))
            self._depth[event.number] = self._depth.get(event.parent or 0, -1) + 1
            self._line(event.number, f"> {event.task_name} started", "cyan")
        elif isinstance(event, Retried):
            self._line(
                event.number, f"~ {event.task_name} failed ({event.error.error_type}), retry {event.retry}", "yellow"
            )
        elif isinstance(event, Ended):
            self._end(event)
        elif isinstance(event, Restarted):
            self._about_to_begin[event.actor] = event
        elif isinstance(event, Stopped):
            self._about_to_begin.pop(event.actor, None)
            if event.failed:
                self._tell(f"< {event.task_name} ended: {event.reason}", "red")

    def _begin_anew(self, event: Restarted | None) -> None:
        """An actor of a task is without a sandbox until its next message, which may never come."""
        if event is not None:
            self._tell(f"~ {event.task_name} begins anew ({event.error.error_type})", "yellow")

    def _end(self, event: Ended) -> None:
        outcome = event.outcome
        cost = describe_cost(outcome.execution)
        if outcome.success:
            self._line(event.number, f"< {event.task_name} done: {cost}", "green")
        else:
            kind = outcome.error.error_type if outcome.error else ""
            self._line(event.number, f"< {event.task_name} failed ({kind}): {cost}", "red")
        self._depth.pop(event.number, None)

    def _line(self, number: int, text: str, style: str) -> None:
        self._tell("  " * self._depth.get(number, 0) + text, style)

    def _tell(self, text: str, style: str) -> None:
        self._screen.note(one_line(text), style)


def describe_cost(cost: Execution) -> str:
    """Time, fuel, memory and retries in a few words. What a sandbox used that was ended from outside is not known."""
    words = [f"{cost.duration_ms:.1f} ms"]
    words += [f"{cost.fuel_consumed / _MILLION:.1f}M fuel"] if cost.fuel_consumed else []
    words += [f"{cost.ram_used / 2**20:.0f} MB"] if cost.ram_used else []
    if cost.retries:
        words.append(f"{cost.retries} {'retry' if cost.retries == 1 else 'retries'}")
    return ", ".join(words)
