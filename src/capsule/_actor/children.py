"""The actors that a message or an actor started: they end with it, and what escalates from them comes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .actor import Actor
    from .admission import Place


class Owner(Protocol):
    """A message or an actor."""

    def child_failed(self, child: Actor, reason: str) -> None:
        """One that it started has failed for good."""


class Children:
    """What one owner started. It hears when one of them has failed for good."""

    def __init__(self, owner: Owner, number: int | None = None) -> None:
        self._owner: Owner | None = owner
        self.number = number
        self.place: Place | None = None
        """The place of the owner's sandbox."""
        self._actors: dict[Actor, None] = {}

    def close(self) -> None:
        """The owner is no more, and hears of nothing."""
        self._owner = None

    def tell_failure(self, child: Actor, reason: str) -> None:
        """One of them has failed for good."""
        if self._owner is not None:
            self._owner.child_failed(child, reason)

    def add(self, actor: Actor) -> None:
        """One more."""
        self._actors[actor] = None

    def discard(self, actor: Actor) -> None:
        """It has ended."""
        self._actors.pop(actor, None)

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
