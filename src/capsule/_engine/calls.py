"""The host's end of the completion queue of one sandbox: what the guest submitted, and what came back.

Runs on two sides: `begin_message`, `submit`, `cancel`, `begin_wait` and `take` on the carrier that runs the guest,
`complete` on the event loop. The two meet in one deque, whose ends are atomic.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from ..abc import Limits


class Refused(Exception):
    """The guest broke a rule of the queue; it is ended with this text."""


_TOO_MUCH = (
    '{"error":{"error_type":"invalid","message":"the answers that wait to be taken exceed the memory of the sandbox"}}'
)


def nobody(*_: object) -> None:
    """Hears what a sandbox that is gone says."""


class CallQueue:
    """Open operations and arrived completions of one sandbox.

    What is held here for a guest lies outside its memory, so it is held to the same size: the payloads of open
    operations together, and the answers that it has not taken yet, each at most `ram` bytes.
    An operation counts as open until the host has answered it, also when the guest has given it up: otherwise a
    guest that submits and cancels in a loop could pile up work on the event loop.
    """

    def __init__(
        self,
        limits: Limits,
        on_submit: Callable[[int, str, str], None],
        on_cancel: Callable[[int], None],
    ) -> None:
        self._limits = limits
        self._on_submit, self._on_cancel = on_submit, on_cancel
        self._arrived: deque[tuple[int, str]] | None = None  # made when something arrives: most make no host call
        self._open: dict[int, bool] = {}  # ticket -> still wanted
        self._payloads: dict[int, int] = {}  # ticket -> characters
        self._sent = 0
        # Two counters that only grow, each written on one side, so that neither needs a lock.
        self._answered = self._taken = 0
        self._last_ticket = 0
        self.wait_until: float | None = None
        """While the guest waits in `next`: the time at which it wants to be woken in any case."""

    def begin_message(self) -> None:
        """What earlier messages left open is no business of the next one: its answers are dropped, those that are
        here already and those that come. The host is not told: it ends such operations with the message.
        """
        for ticket in self._open:
            self._open[ticket] = False
        while self._arrived:
            self._take_next(self._arrived)

    def close(self) -> None:
        """Nobody hears of what the guest submits any more."""
        self._on_submit = self._on_cancel = nobody

    def submit(self, operation: str, payload: str) -> int:
        """A new ticket for an operation, which goes to the event loop. Raises Refused beyond a limit."""
        if len(self._open) >= self._limits.max_open_calls:
            raise Refused(f"more than {self._limits.max_open_calls} host calls open at once")
        if self._sent + len(payload) > self._limits.ram:
            raise Refused("the host calls open at once carry more than the sandbox's own memory")
        self._last_ticket += 1
        self._open[self._last_ticket] = True
        self._payloads[self._last_ticket] = len(payload)
        self._sent += len(payload)
        self._on_submit(self._last_ticket, operation, payload)
        return self._last_ticket

    def cancel(self, ticket: int) -> None:
        """The guest gives an operation up. Unknown and finished tickets are ignored."""
        if self._open.get(ticket):
            self._open[ticket] = False
            self._on_cancel(ticket)

    def complete(self, ticket: int, reply: str) -> None:
        """The host's answer to one operation. The guest must be woken by the caller."""
        if self._answered - self._taken + len(reply) > self._limits.ram:
            reply = _TOO_MUCH
        self._answered += len(reply)
        if self._arrived is None:
            self._arrived = deque()
        self._arrived.append((ticket, reply))

    def begin_wait(self, seconds: float) -> None:
        """The guest calls `next`. A number that is no number counts as "do not wait"."""
        now = time.monotonic()
        self.wait_until = float("inf") if seconds < 0 else now if math.isnan(seconds) else now + seconds

    def take(self) -> tuple[int, str] | None:
        """What ends the guest's wait: a completion, (0, "") when its time is up, or None to go on waiting."""
        while self._arrived:
            ticket, reply, is_wanted = self._take_next(self._arrived)
            if is_wanted:
                self.wait_until = None
                return ticket, reply
        if self.wait_until is None or time.monotonic() >= self.wait_until:
            self.wait_until = None
            return 0, ""
        return None

    def _take_next(self, arrived: deque[tuple[int, str]]) -> tuple[int, str, bool]:
        ticket, reply = arrived.popleft()
        self._taken += len(reply)
        self._sent -= self._payloads.pop(ticket, 0)
        return ticket, reply, self._open.pop(ticket, False)
