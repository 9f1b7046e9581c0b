"""The capabilities "spawn", "ask", "tell" and "stop": a guest starts actors of its own program and talks to others.

Whom it can talk to is decided before any of this runs: a payload names actors by numbers that this sandbox was given.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from .._values import ActorSpec
from ..abc import CallContext, Capability
from ..errors import Denied

__all__ = ["Actors", "make_actor_capabilities"]


class Actors(Protocol):
    """What the runtime does for these capabilities; `ref` is whatever stood in the payload."""

    def max_depth(self, context: CallContext) -> int:
        """How deep the actors that a caller starts may be."""

    def spawn(self, context: CallContext, spec: ActorSpec, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Start an actor below the caller's and answer its ref. Raises UsageError, Denied."""

    async def ask(self, context: CallContext, ref: Any, method: str | None, args: list[Any], kwargs: Any) -> Any:
        """Ask and wait for the value. Raises TaskFailed, ActorStopped, UsageError, Denied."""

    async def tell(self, context: CallContext, ref: Any, method: str | None, args: list[Any], kwargs: Any) -> None:
        """Send, after waiting for room. Raises ActorStopped, UsageError, Denied."""

    async def stop(self, context: CallContext, ref: Any) -> None:
        """Stop an actor that the caller started, and wait. Raises Denied for another."""


class _Spawn(msgspec.Struct, forbid_unknown_fields=True):
    actor: str
    args: list[Any]
    kwargs: dict[str, Any]


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    ref: Any
    method: str | None
    args: list[Any]
    kwargs: dict[str, Any]


T = TypeVar("T")


def _taken(payload: Any, shape: type[T]) -> T:
    """`payload` as a checked value. What it held is let go of: it may take many times its text while a call waits."""
    try:
        return msgspec.convert(payload, shape)
    finally:
        if isinstance(payload, dict):
            payload.clear()


class _Stop(msgspec.Struct, forbid_unknown_fields=True):
    ref: Any


def make_actor_capabilities(actors: Actors) -> dict[str, Capability]:
    """The capabilities by name."""

    async def spawn(context: CallContext, payload: Any) -> Any:
        wanted = _taken(payload, _Spawn)
        spec = context.program.actor(wanted.actor)
        if spec is None:
            raise Denied(
                f"spawning {wanted.actor!r}, which is no actor of {context.program.path},",
                "an @actor declaration of it",
            )
        depth = context.depth + 1
        if depth > actors.max_depth(context):
            raise Denied(f"an actor {depth} levels deep", f"Policy(max_depth={depth})")
        return actors.spawn(context, spec, wanted.args, wanted.kwargs)

    async def ask(context: CallContext, payload: Any) -> Any:
        message = _taken(payload, _Message)
        return await actors.ask(context, message.ref, message.method, message.args, message.kwargs)

    async def tell(context: CallContext, payload: Any) -> None:
        message = _taken(payload, _Message)
        await actors.tell(context, message.ref, message.method, message.args, message.kwargs)

    async def stop(context: CallContext, payload: Any) -> None:
        await actors.stop(context, msgspec.convert(payload, _Stop).ref)

    return {"spawn": spawn, "ask": ask, "tell": tell, "stop": stop}
