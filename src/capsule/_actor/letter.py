"""A message on its way to an actor, and the one outcome that it gets."""

from __future__ import annotations

import anyio

from .._values import Outcome
from .call import Call
from .delivery import Delivery


class Letter:
    """One message to one actor. `call` is None for a request to begin anew with fresh state."""

    __slots__ = ("_answered", "call", "caller", "is_strangers", "is_taken", "outcome", "scope", "was_withdrawn")

    def __init__(self, call: Call | None, caller: Delivery | None = None, *, is_strangers: bool = False) -> None:
        """`is_strangers` for one from a sandbox that was merely given a ref: its going away ends no work."""
        self.is_strangers = is_strangers
        self.call, self.caller = call, caller
        self.outcome: Outcome | None = None
        self.scope: anyio.CancelScope | None = None
        """Around its delivery, while the actor is at work on it."""
        self.is_taken = False
        self.was_withdrawn = False
        self._answered: anyio.Event | None = None

    @property
    def size(self) -> int:
        """Characters that it holds."""
        return len(self.call.body) if self.call else 0

    def settle(self, outcome: Outcome) -> None:
        """The outcome is there. Only the first holds."""
        if self.outcome is None:
            self.outcome = outcome
            if self._answered is not None:
                self._answered.set()
                self._answered = None  # the first letter lives as long as its actor

    async def wait(self) -> Outcome:
        """Wait for the outcome."""
        if self.outcome is None:
            answered = self._answered = self._answered or anyio.Event()
            await answered.wait()
        assert self.outcome is not None
        return self.outcome
