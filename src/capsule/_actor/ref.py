"""What a caller holds of an actor: a way to wait for it and to end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from .._values import Outcome


class ActorRef:
    """A task at work in a sandbox of its own. The runtime owns the actor; dropping the ref changes nothing."""

    def __init__(self, name: str, kill: Callable[[], None]) -> None:
        self.name = name
        self._kill = kill
        self._outcome: Outcome | None = None
        self._ended = anyio.Event()

    @property
    def is_done(self) -> bool:
        """Whether the outcome is there."""
        return self._outcome is not None

    async def outcome(self) -> Outcome:
        """Wait for how it ended; never raises for a guest's fault. Cancelling the wait leaves the actor alone."""
        await self._ended.wait()
        assert self._outcome is not None
        return self._outcome

    async def result(self) -> Any:
        """Wait for the value. Raises TaskFailed if there is none."""
        return (await self.outcome()).unwrap()

    def kill(self) -> None:
        """End the sandbox within a slice; the outcome is then "cancelled". Harmless once it is done."""
        self._kill()

    def settle(self, outcome: Outcome) -> None:
        """For the runtime alone: the outcome is there."""
        self._outcome = outcome
        self._ended.set()

    def __repr__(self) -> str:
        return f"<actor {self.name} {'done' if self.is_done else 'at work'}>"
