"""How a caller's words become a letter: asking, and telling with and without waiting for room."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio.lowlevel

from ..errors import ActorStopped
from .letter import Letter

if TYPE_CHECKING:
    from .actor import Actor


async def ask_value(actor: Actor, method: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Ask, and wait for the value. Raises as ActorRef says."""
    if actor.mailbox.closed_because is not None:
        await anyio.lowlevel.checkpoint()  # whoever asks in a loop until it works must not hold the event loop
    return (await actor.asks.ask(write(actor, method, args, kwargs))).unwrap()


def write(actor: Actor, method: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Letter:
    """The letter of a call. Raises UnknownMethod, InvalidArguments, and ActorStopped for an actor that is no more."""
    if actor.mailbox.closed_because is not None:
        raise ActorStopped(actor.label, actor.mailbox.closed_because)
    return Letter(actor.subject.call(method, args, kwargs, actor.grants))


class Tell:
    """A message that nobody waits for. Await it to wait for room in a full mailbox."""

    def __init__(self, actor: Actor, letter: Letter) -> None:
        self._actor, self._letter = actor, letter
        self._is_sent = actor.mailbox.try_put(letter)

    def __await__(self) -> Generator[Any, Any, None]:
        return self._send().__await__()

    async def _send(self) -> None:
        if not self._is_sent:
            self._is_sent = True
            await self._actor.mailbox.put(self._letter)

    def __del__(self) -> None:
        # As Python does for a coroutine that was never awaited: the message is not sent, and somebody should know.
        if not getattr(self, "_is_sent", True):
            text = f"the mailbox of {self._actor.label} was full and the tell was not awaited: the message is lost"
            warnings.warn(text, RuntimeWarning, stacklevel=2)


class TellNow:
    """A message that nobody waits for, sent at once. Raises MailboxFull when made."""

    def __init__(self, actor: Actor, letter: Letter) -> None:
        actor.mailbox.put_nowait(letter)


class AskNow:
    """A message that was sent at once; await it for the value. Raises MailboxFull when made."""

    def __init__(self, actor: Actor, letter: Letter) -> None:
        actor.mailbox.put_nowait(letter)
        self._actor, self._letter = actor, letter

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        return (await self._actor.asks.wait_for(self._letter)).unwrap()


T = TypeVar("T")
Way = Callable[["Actor", Letter], T]
"""Tell, TellNow or AskNow."""


class Sender(Generic[T]):
    """`ref.tell` and its like: call it for a task, or one of its attributes for a method."""

    def __init__(self, actor: Actor, way: Way[T]) -> None:
        self._actor, self._way = actor, way

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        """Send to an actor of a task. Raises as asking does."""
        return self._way(self._actor, write(self._actor, None, args, kwargs))

    def __getattr__(self, method: str) -> _Method[T]:
        if method.startswith("_"):
            raise AttributeError(method)
        self._actor.subject.check_method(method)
        return _Method(self._actor, self._way, method)


class _Method(Generic[T]):
    def __init__(self, actor: Actor, way: Way[T], method: str) -> None:
        self._actor, self._way, self._method = actor, way, method

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        return self._way(self._actor, write(self._actor, self._method, args, kwargs))
