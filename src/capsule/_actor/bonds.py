"""Who hears of an actor's end: monitors, links between actors, and blocks of the application."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from .._events import Stopped
from ..errors import ActorFailed, ForeignRef

if TYPE_CHECKING:
    from .actor import Actor

log = logging.getLogger("capsule")


class Monitor:
    """Watches one actor until it has ended, or until `close`."""

    def __init__(self, actor: Actor, tell: Callable[[Stopped], None] | None) -> None:
        self._actor, self._tell = actor, tell
        self._is_open = True
        if actor.end is not None:
            self._hear(actor)
        else:
            actor.watchers += (self._hear,)

    async def down(self) -> Stopped:
        """Wait for its end. Cancelling leaves the actor alone."""
        await self._actor.ended.wait()
        assert self._actor.end is not None
        return self._actor.end

    def close(self) -> None:
        """Do not call `tell` any more."""
        self._is_open = False
        self._actor.watchers = tuple(each for each in self._actor.watchers if each != self._hear)

    def _hear(self, actor: Actor) -> None:
        if self._is_open and self._tell is not None and actor.end is not None:
            try:
                self._tell(actor.end)
            except Exception:
                log.exception("the function of a monitor raised; the runtime goes on")


def link(one: Actor, other: Actor) -> None:
    """Let ends that are not normal pass between two actors. One that has ended so already ends the other now."""
    if one.world is not other.world:
        raise ForeignRef(other.label)
    one.links |= {other}
    other.links |= {one}
    for ended in (one, other):
        if ended.end is not None:
            pass_on(ended)


def pass_on(actor: Actor) -> None:
    """An actor has ended: those that are linked to it go the same way, unless its end was normal."""
    links, actor.links = actor.links, frozenset()
    for other in links:
        other.links -= {actor}
        if not actor.ended_normally:
            other.kill(f"{actor.label}, to which it was linked, ended: {actor.reason}", failed=True)


class Block:
    """An `async with` block tied to an actor. `stops`: the block owns it, and its end stops it."""

    def __init__(self, actor: Actor, *, stops: bool) -> None:
        self._actor, self._stops = actor, stops
        self._failed: ActorFailed | None = None

    async def __aenter__(self) -> Self:
        self._scope = anyio.CancelScope()
        self._scope.__enter__()
        self._is_open = True
        if self._actor.end is not None:
            self._hear(self._actor)
        else:
            self._actor.watchers += (self._hear,)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        leaving: BaseException | None = None
        try:
            await self._leave(error)
        except BaseException as raised:  # noqa: BLE001 - raised again below; often the cancellation that our own scope brings
            leaving = raised
            kind, error, traceback = type(raised), raised, raised.__traceback__
        self._is_open = False
        self._actor.watchers = tuple(each for each in self._actor.watchers if each != self._hear)
        swallowed = self._scope.__exit__(kind, error, traceback)
        if self._failed is not None and (error is None or swallowed):
            raise self._failed from None
        if leaving is not None and not swallowed:
            raise leaving
        return swallowed

    async def _leave(self, error: BaseException | None) -> None:
        if error is not None:
            self._actor.kill("the block that it was tied to raised")
            with anyio.CancelScope(shield=True):
                await self._actor.ended.wait()
        elif self._stops:
            try:
                await self._actor.ref().stop(grace=None)
            finally:
                with anyio.CancelScope(shield=True):  # a cancelled stop has killed it
                    await self._actor.ended.wait()

    def _hear(self, actor: Actor) -> None:
        concerns = actor.has_escalated if self._stops else not actor.ended_normally
        if self._is_open and concerns:
            self._failed = ActorFailed(actor.label, actor.reason)
            self._scope.cancel()
