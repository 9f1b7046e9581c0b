"""Sessions: an actor whose messages are code, as agents and notebooks write it."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec.structs import replace

from .._events import Stopped
from .._secrets import Secrets
from .._values import Evaluation, Outcome, Variable
from ..errors import UsageError
from .actor import Actor
from .call import Call
from .letter import Letter
from .ref import GRACE, ActorRef
from .subject import SessionSubject


class _Value(msgspec.Struct):
    value: Any = None
    repr: str = ""


class Session:
    """A live sandbox for code that comes in pieces; names last from one to the next.

    Made by `runtime.session()`, which owns it; `async with` stops it at the end of the block. Several runs at once
    are done one after another, in order.
    """

    def __init__(self, actor: Actor, subject: SessionSubject) -> None:
        self._actor, self._subject, self._ref = actor, subject, actor.ref()
        self._told = 0  # lost sandboxes that a run has told of

    @property
    def ref(self) -> ActorRef:
        """The actor behind it: its state, statistics, links and end."""
        return self._ref

    async def run(self, code: str) -> Evaluation:
        """Run `code`: the value of its last expression, what it printed, or its error with the line.

        `await` may stand at the top of it. Never raises for a fault of the code. Each run has the whole policy: its
        fuel, its timeout. One that uses them up costs the sandbox, and `names_lost` says so. Raises InvalidArguments
        for what is no text, ActorStopped for a session that has ended. Cancelling ends the sandbox, if the code had
        begun, and the session goes on in a fresh one; the next run says so.
        """
        outcome = await self._ask(self._subject.run(code))
        losses, self._told = self._told, self._actor.home.losses
        return evaluation_of(outcome, self._actor.world.secrets, names_lost=self._told > losses)

    async def variables(self) -> dict[str, Variable]:
        """The names that the code has made, each with its type and a short text. Raises TaskFailed if the sandbox
        does not answer, which costs it.
        """
        found = (await self._ask(self._subject.variables())).unwrap()
        try:
            variables = msgspec.convert(found, dict[str, Variable])
        except msgspec.ValidationError:  # the code inside has changed what answers; that is its own business
            return {}
        scrub = self._actor.world.secrets.scrub_end
        return {name: replace(each, repr=scrub(each.repr)) for name, each in variables.items()}

    async def reset(self) -> None:
        """Go on in a fresh sandbox, when the runs before this one are done."""
        await self._actor.asks.ask(Letter(None))
        self._told = self._actor.home.losses

    async def stop(self, *, grace: float | str | None = GRACE) -> None:
        """End it, as ActorRef.stop."""
        await self._ref.stop(grace=grace)

    def kill(self) -> None:
        """End it now, in the middle of a run if there is one."""
        self._ref.kill()

    async def wait_stopped(self) -> Stopped:
        """Wait until it has ended; the answer says why."""
        return await self._ref.wait_stopped()

    async def _ask(self, call: Call) -> Outcome:
        return await self._actor.asks.ask(Letter(call))

    def __await__(self) -> Generator[Any, None, Self]:
        """`await runtime.session()` works too, as for `spawn`."""
        return self
        yield

    async def __aenter__(self) -> Self:
        await self._ref.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._ref.__aexit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<session {self._ref.state}>"


def evaluation_of(outcome: Outcome, secrets: Secrets, *, names_lost: bool) -> Evaluation:
    """What a guest answered to a piece of code, as users see it."""
    found = _Value()
    if outcome.success:
        try:
            found = msgspec.convert(outcome.result, _Value)
        except msgspec.ValidationError:  # as above
            found = _Value(outcome.result)
    return Evaluation(
        execution=outcome.execution,
        value=found.value,
        repr=secrets.scrub_end(found.repr),
        stdout=outcome.stdout,
        stderr=outcome.stderr,
        output_truncated=outcome.output_truncated,
        error=outcome.error,
        names_lost=names_lost,
    )


def check_language(language: str) -> None:
    """Raises UsageError for a language that there is no guest for."""
    if language != "python":
        raise UsageError(f"language: there is no guest for {language!r}; use 'python'")
