"""The actors that a message or an actor started: they end with it, and what escalates from them comes to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .actor import Actor
    from .admission import Place


class Children:
    """What one owner started. `on_failure` hears (child, reason) when one of them has failed for good."""

    def __init__(self, on_failure: Callable[[Actor, str], None], number: int | None = None) -> None:
        self.on_failure, self.number = on_failure, number
        self.place: Place | None = None
        """The place of the owner's sandbox."""
        self._actors: set[Actor] = set()

    def add(self, actor: Actor) -> None:
        """One more."""
        self._actors.add(actor)

    def discard(self, actor: Actor) -> None:
        """It has ended."""
        self._actors.discard(actor)

    def __len__(self) -> int:
        return len(self._actors)

    def __contains__(self, actor: Actor) -> bool:
        return actor in self._actors

    async def end_all(self, reason: str) -> None:
        """Kill them all and wait until they are gone. What fails among them meanwhile is no news any more."""
        actors = list(self._actors)
        for actor in actors:
            actor.is_let_go = True
            actor.kill(reason)
        for actor in actors:
            await actor.ended.wait()
