"""What a caller holds of an actor: a way to ask it, to wait for it and to end it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import anyio

from .._events import Stopped
from .._values import Outcome, Statistics
from ..errors import UsageError
from ..policy import parse_duration
from .bonds import Block, Monitor, link
from .grants import Grantable
from .sending import AskNow, Sender, Tell, TellNow, ask_value
from .states import ActorState

if TYPE_CHECKING:
    from .actor import Actor

GRACE = 5.0
"""Seconds that `stop` gives by default: OTP's default for a worker."""


class ActorRef(Grantable):
    """A living task, actor or session. The runtime owns it; see `stop`, and `async with`, for who ends it.

    `await ref(...)` asks an actor of a task, `await ref.method(...)` one of a class: the message waits for room in the
    mailbox and for its turn, and the value comes back. Asking raises TaskFailed if the guest failed, ActorStopped if
    the actor ended before it came to the message, UnknownMethod and InvalidArguments for a wrong call. Cancelling an
    ask withdraws the message; if the actor is at work on it, its sandbox is ended, and it goes on with fresh state.

    `ref.tell(...)` and `ref.tell.method(...)` do not wait for an answer. A ref can be an argument or a result: a
    sandbox that is given one can ask and tell that actor.

    `async with ref:` owns the actor for a block: it is stopped at the end of the block, killed if the block raises,
    and if it fails for good and its policy says "escalate", the block is cancelled and raises ActorFailed.
    """

    def __init__(self, actor: Actor) -> None:
        self._capsule_actor = actor
        self._blocks: dict[int, list[Block]] = {}  # by task: each leaves its own

    @property
    def name(self) -> str:
        """The name it was spawned with, or else what it is an actor of."""
        return self._capsule_actor.label

    @property
    def number(self) -> int:
        """Its number within the runtime, as in events."""
        return self._capsule_actor.number

    @property
    def state(self) -> ActorState:
        """Where it stands: "starting", "idle", "busy", "restarting", "stopping" or "stopped"."""
        return self._capsule_actor.state

    def statistics(self) -> Statistics:
        """What it has done and cost so far, and how many messages wait."""
        return self._capsule_actor.statistics()

    # Messages.

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask an actor of a task, and wait for the value."""
        return await ask_value(self._capsule_actor, None, args, kwargs)

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        if method.startswith("_"):
            raise AttributeError(method)
        actor = self._capsule_actor
        actor.subject.check_method(method)

        async def ask(*args: Any, **kwargs: Any) -> Any:
            return await ask_value(actor, method, args, kwargs)

        ask.__name__ = ask.__qualname__ = method
        return ask

    @property
    def tell(self) -> Sender[Tell]:
        """`ref.tell.method(...)` sends and goes on. Awaiting it waits for room in the mailbox, if there is none."""
        return Sender(self._capsule_actor, Tell)

    @property
    def tell_nowait(self) -> Sender[TellNow]:
        """`ref.tell_nowait.method(...)` sends now. Raises MailboxFull if there is no room."""
        return Sender(self._capsule_actor, TellNow)

    @property
    def ask_nowait(self) -> Sender[AskNow]:
        """`await ref.ask_nowait.method(...)` sends now, and waits for the value. Raises MailboxFull if there is no
        room, at the call and not when it is awaited.
        """
        return Sender(self._capsule_actor, AskNow)

    # The call that it was spawned with.

    @property
    def is_done(self) -> bool:
        """Whether the outcome of the call that it was spawned with is there."""
        first = self._capsule_actor.first
        return first is not None and first.outcome is not None

    async def outcome(self) -> Outcome:
        """Wait for the outcome of the call that it was spawned with: the task's, or the class's constructor.

        Never raises for a guest's fault. Cancelling the wait leaves the actor alone. Raises UsageError for one that
        was spawned without a call, to wait for messages.
        """
        first = self._capsule_actor.first
        if first is None:
            raise UsageError(f"{self.name} was spawned without a call and waits for messages: await ref(...)")
        return await first.wait()

    async def result(self) -> Any:
        """Wait for the value of that call. Raises TaskFailed if there is none."""
        return (await self.outcome()).unwrap()

    # Its end.

    async def stop(self, *, grace: float | str | None = GRACE) -> None:
        """Take no more messages, handle those that are there, end, and wait until the sandbox is gone.

        After `grace` (seconds, or "5s"; None: as long as it takes) it is killed, and what still waits is refused
        with ActorStopped. Cancelling kills it too. Harmless once it has stopped.
        """
        seconds = (
            None if grace is None else 0.0 if grace == 0 and grace is not False else parse_duration(grace, "grace")
        )
        self._capsule_actor.stop_soon("it was stopped")
        try:
            with anyio.move_on_after(seconds):
                await self._capsule_actor.ended.wait()
                return
            self._capsule_actor.kill(f"it did not end within its grace of {seconds:g}s")
        except BaseException:
            self._capsule_actor.kill("it was stopped, and whoever stopped it was cancelled")
            raise
        await self._capsule_actor.ended.wait()

    def kill(self) -> None:
        """End it within a slice, in the middle of a message if there is one: its outcome is then "cancelled"."""
        self._capsule_actor.kill("it was killed")

    async def wait_stopped(self) -> Stopped:
        """Wait until it has ended and its sandbox is gone; the answer says why. Cancelling leaves it alone."""
        await self._capsule_actor.ended.wait()
        assert self._capsule_actor.end is not None
        return self._capsule_actor.end

    def monitor(self, tell: Callable[[Stopped], None] | None = None) -> Monitor:
        """Watch it: `await monitor.down()` answers when it has ended, and `tell` is called with the same.

        As in OTP, its end does no more than tell, and one that has ended already tells at once.
        """
        return Monitor(self._capsule_actor, tell)

    @overload
    def link(self) -> Block: ...
    @overload
    def link(self, other: ActorRef) -> None: ...
    def link(self, other: ActorRef | None = None) -> Block | None:
        """Tie it to another actor, or to a block: `async with ref.link():`.

        As in OTP, ends that are not normal pass along a link in both directions: if one of two linked actors fails or
        is killed, the other is killed. If it fails or is killed, the block is cancelled and raises ActorFailed; if
        the block raises, the actor is killed. Raises ForeignRef for an actor of another runtime.
        """
        if other is None:
            return Block(self._capsule_actor, stops=False)
        link(self._capsule_actor, other._capsule_actor)
        return None

    def unlink(self, other: ActorRef) -> None:
        """Undo `link`. Harmless if there is none."""
        self._capsule_actor.links -= {other._capsule_actor}
        other._capsule_actor.links -= {self._capsule_actor}

    async def __aenter__(self) -> Self:
        block = Block(self._capsule_actor, stops=True)
        await block.__aenter__()
        self._blocks.setdefault(anyio.get_current_task().id, []).append(block)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        task = anyio.get_current_task().id
        if task not in self._blocks:
            raise UsageError(f"the block of {self.name} was entered in another task: leave it where it was entered")
        block = self._blocks[task].pop()
        if not self._blocks[task]:
            del self._blocks[task]
        return await block.__aexit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<actor {self.name} {self.state}>"
