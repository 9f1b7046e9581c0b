"""One message from the caller to its outcome: a place, an attempt in a fresh sandbox, and again if it failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .._values import (
    Ended,
    ErrorType,
    Event,
    Execution,
    Failure,
    Outcome,
    Printed,
    Program,
    Retried,
    Started,
    TaskSpec,
)
from ..abc import CallContext, Capability, Ending, Engine, Limits
from ..policy import Policy
from .admission import Admission, Place
from .attempt import Attempt, Switchboard
from .decoding import decode
from .family import Family

log = logging.getLogger("capsule")

PAGE = 65536

MOST_TEXT = 32_000
"""Characters kept of what a guest says of its failure: these texts go into logs and into the messages of callers."""

MOST_NAME = 200

RETRIED: frozenset[ErrorType] = frozenset(
    {"task_error", "timeout", "fuel_exhausted", "memory_exhausted", "stack_overflow", "trap", "internal_error"}
)
"""Failures after which another attempt makes sense. A bad result or a refusal would only come again."""

_FROM_GUEST: tuple[ErrorType, ...] = ("task_error", "memory_exhausted", "invalid")
"""The kinds that a guest can report of itself. All others are what the host saw."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A call of one task of one program."""

    program: Program
    spec: TaskSpec
    policy: Policy
    arguments: str
    """`[args, kwargs]` as JSON."""

    number: int
    depth: int = 0
    parent: int | None = None


class _GuestError(msgspec.Struct):
    kind: str = "task_error"
    message: str = ""
    exception: str | None = None
    traceback: str | None = None


class _Reply(msgspec.Struct):
    ok: Any = msgspec.UNSET
    error: _GuestError | None = None
    pages: int = 0


class Delivery:
    """Delivers one message. `run` answers with its outcome and never raises for a guest's fault."""

    def __init__(
        self,
        message: Message,
        engine: Engine,
        switchboard: Switchboard,
        admission: Admission,
        capabilities: Mapping[str, Capability],
        notify: Callable[[Event], None],
        caller: Delivery | None = None,
    ) -> None:
        self.message = message
        self._engine, self._switchboard, self._admission = engine, switchboard, admission
        self._capabilities, self._notify = capabilities, notify
        self._parent_place = caller.place if caller else None
        self.family: Family = caller.family if caller else Family(message.policy.max_subtasks)
        self.place: Place | None = None
        """The place of the attempt that runs now."""
        self._end: Outcome | None = None
        self._began = time.monotonic()
        self._fuel = self._ram = self._retries = 0

    async def run(self) -> Outcome:
        """Attempt until there is an answer or no attempt is left. Cancelling ends the sandbox and raises."""
        message = self.message
        self._notify(Started(number=message.number, task_name=message.spec.name, parent=message.parent))
        try:
            self._end = await self._attempts()
        finally:
            self._end = self._end or self.cancelled()
            self._notify(Ended(number=message.number, task_name=message.spec.name, outcome=self._end))
        return self._end

    async def _attempts(self) -> Outcome:
        message = self.message
        while True:
            outcome = await self._attempt()
            failure = outcome.error
            if failure is None or failure.error_type not in RETRIED or self._retries >= message.policy.max_retries:
                return outcome
            self._retries += 1
            self._notify(
                Retried(number=message.number, task_name=message.spec.name, error=failure, retry=self._retries)
            )

    def cancelled(self) -> Outcome:
        """The outcome of a message whose delivery was cancelled: one and the same for everyone who asks."""
        if self._end is not None:
            return self._end
        failure = Failure(error_type="cancelled", message="the task was cancelled")
        return Outcome(success=False, error=failure, execution=self._execution())

    async def _attempt(self) -> Outcome:
        policy = self.message.policy
        place = self.place = await self._admission.enter(policy.ram_bytes, self._parent_place)
        try:
            attempt = self._open(place)
            ending = await attempt.run(self._request(), policy.timeout_seconds)
        except Exception as error:
            log.exception("the engine failed")
            failure = Failure(error_type="internal_error", message=f"the engine failed: {type(error).__name__}")
            return Outcome(success=False, error=failure, execution=self._execution())
        return self._outcome(ending, attempt)

    def _open(self, place: Place) -> Attempt:
        message, policy = self.message, self.message.policy
        context = CallContext(program=message.program, task_name=message.spec.name, depth=message.depth, state=self)
        limits = Limits(
            fuel=policy.fuel,
            ram=policy.ram_bytes,
            max_output=policy.max_output_bytes,
            max_message=policy.max_message_bytes,
        )
        try:
            return Attempt(
                self._engine,
                self._switchboard,
                self._capabilities,
                context,
                limits,
                self._print_text,
                lambda: self._admission.leave(place),
                self.family,
            )
        except BaseException:
            self._admission.leave(place)
            raise

    def _print_text(self, stream: str, text: str) -> None:
        message = self.message
        self._notify(Printed(number=message.number, task_name=message.spec.name, stream=stream, text=text))

    def _request(self) -> str:
        program, spec = self.message.program, self.message.spec
        head = msgspec.json.encode(
            {"program": {"path": program.path, "source": program.source}, "function": spec.function}
        ).decode()
        return f'{head[:-1]},"call":{self.message.arguments}}}'

    def _outcome(self, ending: Ending, attempt: Attempt) -> Outcome:
        reply = _Reply() if ending.reply is None else _decode(ending.reply)
        failure = _failure(ending, reply)
        self._fuel += ending.fuel_consumed
        self._ram = max(self._ram, self._ram_used(reply))
        return Outcome(
            success=failure is None,
            result=reply.ok if failure is None else None,
            error=failure,
            execution=self._execution(),
            stdout="".join(attempt.stdout),
            stderr="".join(attempt.stderr),
            output_truncated=ending.output_truncated,
        )

    def _ram_used(self, reply: _Reply) -> int:
        """What the guest reports, held to what is possible; a guest that did not answer used at least its start."""
        return max(self._engine.min_ram, min(reply.pages * PAGE, self.message.policy.ram_bytes))

    def _execution(self) -> Execution:
        return Execution(
            task_name=self.message.spec.name,
            duration_ms=round((time.monotonic() - self._began) * 1000, 3),
            retries=self._retries,
            fuel_consumed=self._fuel,
            ram_used=self._ram,
        )


def _decode(reply: str) -> _Reply:
    try:
        return decode(reply, _Reply)
    except (msgspec.MsgspecError, RecursionError) as error:
        return _Reply(error=_GuestError(kind="invalid", message=f"the sandbox's answer does not decode: {error}"))


def _failure(ending: Ending, reply: _Reply) -> Failure | None:
    if ending.error_type is not None:
        return Failure(error_type=ending.error_type, message=ending.message)
    error = reply.error
    if error is None and reply.ok is not msgspec.UNSET:
        return None
    if error is None:
        return Failure(error_type="invalid", message="the sandbox's answer holds neither a result nor an error")
    kind: ErrorType = next((known for known in _FROM_GUEST if known == error.kind), "task_error")
    silent = "the task wanted more memory than its ram allows" if kind == "memory_exhausted" else ""
    return Failure(
        error_type=kind,
        message=error.message[:MOST_TEXT] or silent,
        exception=error.exception and error.exception[:MOST_NAME],
        traceback=error.traceback and error.traceback[-MOST_TEXT:],
    )
