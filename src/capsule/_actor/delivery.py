"""One message from the caller to its outcome: an attempt in a sandbox, and again if it failed."""

from __future__ import annotations

import logging
import time
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from msgspec.structs import replace

from .._events import Ended, Printed, Requested, Retried, Started
from .._values import Execution, Failure, HostRequest, Outcome
from ..abc import CallContext, Ending
from ..errors import Denied
from .admission import Place
from .call import Call
from .children import Children
from .family import Family
from .grants import Grants
from .outcomes import PAGE, RETRIED, Reply, failure_in, read_reply, refused_reply
from .printout import Printout
from .sandbox import OpenSandbox
from .world import World

if TYPE_CHECKING:
    from .actor import Actor
    from .requests import Requests

log = logging.getLogger("capsule")

CANCELLED = Failure(error_type="cancelled", message="the task was cancelled")
SMALL = 1000
"""Characters of a request that may be kept for as long as what it has started lives."""

MOST_REFUSED, MOST_REFUSAL = 20, 1000
"""Refusals of one attempt that are remembered, and characters of each."""


class Home(Protocol):
    """Where the attempts of a message happen."""

    @property
    def is_last(self) -> bool:
        """Whether the sandbox ends with the attempt."""

    async def enter(self, delivery: Delivery) -> OpenSandbox:
        """The sandbox for the next attempt. Raises NotCreated if it could not be made ready for it."""

    def may_retry(self, failure: Failure) -> bool:
        """Whether another attempt would be right after `failure`."""


class NotCreated(Exception):
    """An actor's constructor failed in a fresh sandbox, so the message behind it has no attempt."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class FreshHome:
    """A fresh sandbox for every attempt."""

    is_last = True

    def __init__(self, parent: Place | None) -> None:
        self._parent = parent

    async def enter(self, delivery: Delivery) -> OpenSandbox:
        """Wait for a place and open a sandbox there."""
        return await OpenSandbox.open(delivery.world, delivery.call.policy, delivery.family, self._parent)

    def may_retry(self, failure: Failure) -> bool:
        """Always: nothing is lost with the sandbox."""
        return True


class Delivery:
    """Delivers one message. `run` answers with its outcome and never raises for a guest's fault."""

    def __init__(
        self,
        world: World,
        call: Call,
        home: Home,
        *,
        family: Family,
        grants: Grants,
        caller: Delivery | None = None,
        depth: int = 0,
        actor: Actor | None = None,
        tools: object = None,
    ) -> None:
        """`caller` is the message whose guest asked for this one, `actor` who handles it. `tools` is what it may
        call, for the capability that knows what that is.
        """
        self.world, self.call, self._home = world, call, home
        self.family, self.grants, self.depth, self.actor = family, grants, depth, actor
        self.tools = tools
        self.number = next(world.numbers)
        self._caller = caller
        self.parent = caller.number if caller else None
        self.tool_calls: dict[str, int] = caller.tool_calls if caller else {}
        """How often each tool was called, for a message and its sub-tasks together."""
        self.children: Children = actor.children if actor else Children(self)
        self._attempting: anyio.CancelScope | None = None
        self._ended_as: Failure | None = None
        self.cancelled_as = CANCELLED
        """What its outcome says if it is cancelled."""
        self._printed: Printout | None = None
        self._refused: list[str] = []
        self._end: Outcome | None = None
        self._began = time.monotonic_ns()
        self._fuel = self._ram = self.retries = 0

    @cached_property
    def requests(self) -> Requests:
        """Its HTTP requests, counted together with those of whoever asked for it. Made when first needed."""
        from .requests import Requests

        caller = self._caller.requests if self._caller else None
        # Not a method of this one, which they would keep alive and it them.
        pass_on = partial(_tell_request, self.world, self.number, self.call.name)
        return Requests(self.call.policy, self.family, caller, self.world.secrets, pass_on)

    @property
    def context(self) -> CallContext:
        """What a capability may know of this message. Made anew each time: kept, it would be a cycle, and a message
        can be large.
        """
        return CallContext(program=self.call.program, task_name=self.call.name, depth=self.depth, state=self)

    async def run(self) -> Outcome:
        """Attempt until there is an answer or no attempt is left. Cancelling ends the sandbox and raises."""
        name = self.call.name
        self.world.notify(self._started())
        try:
            self._end = await self._attempts()
        finally:
            self._end = self._end or self.cancelled()
            self.world.notify(Ended(number=self.number, task_name=name, outcome=self._end))
            if len(self.call.body) > SMALL:  # what this message has started may live for long
                self.call = replace(self.call, body="")
            self._printed = None
            if self.actor is None:
                self.children.close()
        end, self._end = self._end, None  # a large result must not live as long as what this message has started
        return end

    def _started(self) -> Started:
        actor = self.actor.number if self.actor else None
        return Started(number=self.number, task_name=self.call.name, parent=self.parent, actor=actor)

    async def _attempts(self) -> Outcome:
        attempt = self._attempt if self.actor is None else self._attempt_once
        while self._ended_as is None:
            outcome = await attempt()
            failure = outcome.error
            if failure is None or self.retries >= self.call.policy.max_retries:
                return outcome
            if failure.error_type not in RETRIED or not self._home.may_retry(failure):
                return outcome
            self.retries += 1
            self.world.notify(Retried(number=self.number, task_name=self.call.name, error=failure, retry=self.retries))
        return self.failed(self._ended_as)

    def cancelled(self) -> Outcome:
        """The outcome of a message whose delivery was cancelled: one and the same for everyone who asks."""
        return self._end or self.failed(self.cancelled_as)

    def failed(self, failure: Failure) -> Outcome:
        """The outcome of a message that failed, with what it cost so far."""
        return Outcome(success=False, error=failure, execution=self._execution())

    async def _attempt(self) -> Outcome:
        """One attempt that no actor handles. What it started ends with it; if one of these fails, it fails too."""
        outcome = None
        try:
            with self.world.new_scope() as self._attempting:
                outcome = await self._attempt_once()
        finally:
            if len(self.children):
                with anyio.CancelScope(shield=True):
                    await self.children.end_all("the task that started it ended")
        if outcome is None:
            assert self._ended_as is not None
            return self.failed(self._ended_as)
        return outcome

    def end(self, failure: Failure) -> None:
        """End it in the middle, with `failure` as its outcome. Only for one that no actor handles."""
        self._ended_as = failure
        if self._attempting is not None:
            self._attempting.cancel()

    def child_failed(self, child: Actor, reason: str) -> None:
        """One that it started has failed for good, and so has this attempt."""
        self.end(Failure(error_type="stopped", message=f"{child.label}, which it had started, failed: {reason}"))

    async def _attempt_once(self) -> Outcome:
        self._printed, self._refused = Printout(self.world.secrets, self._pass_on), []
        try:
            sandbox = await self._home.enter(self)
            self.children.place = sandbox.place
            request = self.call.body if sandbox.is_loaded else self._first_request()
            ending = await sandbox.call(request, self.call.policy.timeout_seconds, self, is_last=self._home.is_last)
        except NotCreated as failed:
            return self.failed(failed.failure)
        except Exception as error:
            log.exception("the engine failed")
            return self.failed(
                Failure(error_type="internal_error", message=f"the engine failed: {type(error).__name__}")
            )
        return self._outcome(ending, sandbox)

    def _first_request(self) -> str:
        environment, code = self.world.environment(self.call.policy), self.world.code_of(self.call.program)
        return self.call.with_program(environment, code, is_last=self._home.is_last)

    def print_text(self, stream: str, text: str) -> None:
        """Keep what the guest printed, and pass it on."""
        if self._printed is not None:
            self._printed.add(stream, text)

    def _pass_on(self, stream: str, text: str) -> None:
        self.world.notify(Printed(number=self.number, task_name=self.call.name, stream=stream, text=text))

    def refuse(self, text: str) -> None:
        """Remember what the guest was refused: its failure may be that."""
        self._refused = [*self._refused[1 - MOST_REFUSED :], text[:MOST_REFUSAL]]

    def _outcome(self, ending: Ending, sandbox: OpenSandbox) -> Outcome:
        reply = read_reply(ending.reply)
        sandbox.is_loaded = reply.loaded
        result: Any = None
        if ending.reply is not None and reply.error is None:
            try:
                result = self.world.secrets.scrub_value(self.grants.resolve(reply.ok, ending.reply))
            except (Denied, RecursionError) as error:
                reply = refused_reply(f"the result cannot be used: {error}")
        failure = failure_in(ending, reply, self._refused, self.world.secrets)
        printed = self._printed
        assert printed is not None
        printed.end(is_cut=ending.output_truncated)
        self._fuel += ending.fuel_consumed
        self._ram = max(self._ram, self._ram_used(reply))
        return Outcome(
            success=failure is None,
            result=result if failure is None else None,
            error=failure,
            execution=self._execution(),
            stdout=printed.text("stdout"),
            stderr=printed.text("stderr"),
            output_truncated=ending.output_truncated,
        )

    def _ram_used(self, reply: Reply) -> int:
        """What the guest reports, held to what is possible; a guest that did not answer used at least its start."""
        return max(self.world.engine.min_ram, min(reply.pages * PAGE, self.call.policy.ram_bytes))

    def _execution(self) -> Execution:
        return Execution(
            task_name=self.call.name,
            duration_ms=(time.monotonic_ns() - self._began) // 1000 / 1000,
            retries=self.retries,
            fuel_consumed=self._fuel,
            ram_used=self._ram,
            host_requests=self.requests.told if "requests" in self.__dict__ else (),
        )


def _tell_request(world: World, number: int, task_name: str, request: HostRequest) -> None:
    world.notify(Requested(number=number, task_name=task_name, request=request))
