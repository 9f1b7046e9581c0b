"""What actors do for the guests of others: behind the capabilities "spawn", "ask", "tell" and "stop"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._values import ActorSpec
from ..abc import CallContext
from ..errors import Denied
from .actor import Actor
from .delivery import Delivery
from .letter import Letter
from .ref import GRACE, ActorRef

Spawn = Callable[[CallContext, ActorSpec, list[Any], dict[str, Any]], ActorRef]


def delivery_of(context: CallContext) -> Delivery:
    """The message whose guest makes a host call."""
    delivery: Delivery = context.state
    return delivery


class InsideActors:
    """The `Actors` of _host.actors. A payload has been read by then: what stands for an actor in it is its ref."""

    def __init__(self, spawn: Spawn) -> None:
        self.spawn = spawn

    def max_depth(self, context: CallContext) -> int:
        """As the caller's policy says."""
        return delivery_of(context).call.policy.max_depth

    async def ask(
        self, context: CallContext, ref: Any, method: str | None, args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Ask for the caller. An actor that asked itself would wait for itself, so that is refused."""
        actor, caller = _actor_of(ref), delivery_of(context)
        if actor is caller.actor:
            raise Denied("an actor that asks itself", "a tell")
        letter = self._letter(actor, caller, method, args, kwargs)
        return (await actor.asks.ask(letter)).unwrap()

    async def tell(
        self, context: CallContext, ref: Any, method: str | None, args: list[Any], kwargs: dict[str, Any]
    ) -> None:
        """Tell for the caller. One whose own mailbox is full cannot wait for room there: MailboxFull."""
        actor, caller = _actor_of(ref), delivery_of(context)
        letter = self._letter(actor, caller, method, args, kwargs)
        if actor is caller.actor:
            actor.mailbox.put_nowait(letter)
        else:
            await actor.mailbox.put(letter)

    def _letter(
        self, actor: Actor, caller: Delivery, method: str | None, args: list[Any], kwargs: dict[str, Any]
    ) -> Letter:
        call = actor.subject.call(method, args, kwargs, actor.grants)
        args.clear()  # it is written down, and may take many times its text while it waits
        kwargs.clear()
        return Letter(call, caller, is_strangers=actor not in caller.children)

    async def stop(self, context: CallContext, ref: Any) -> None:
        """Stop an actor that the caller started."""
        actor = _actor_of(ref)
        if actor not in delivery_of(context).children and actor.state != "stopped":
            raise Denied(f"stopping {actor.label}, which this sandbox did not start,", "being its owner")
        await actor.ref().stop(grace=GRACE)


def _actor_of(ref: Any) -> Actor:
    if not isinstance(ref, ActorRef):
        raise Denied("a message to what is no actor", "a ref passed to this sandbox")
    return ref._capsule_actor
