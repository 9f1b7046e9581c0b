"""An actor: one mailbox, one sandbox, one message at a time, and what becomes of it when the sandbox is gone.

One task of the runtime's drives it from its spawn to its end. Whatever happens to that task, each letter is settled
once, what the actor started ends with it, and its sandbox is gone before it counts as stopped.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable

import anyio
import anyio.lowlevel
from anyio import TaskHandle
from msgspec.structs import replace

from .._backend import Flag
from .._events import Ended, Restarted, Spawned, Stopped
from .._values import Execution, Failure, Outcome, Statistics
from .asks import Asks
from .bonds import pass_on
from .call import Call
from .children import Children
from .delivery import Delivery, NotCreated
from .dwelling import Dwelling
from .family import Family
from .grants import Grants
from .letter import Letter
from .mailbox import Mailbox
from .ref import ActorRef
from .states import ActorState, Lifecycle
from .subject import Subject
from .supervision import Supervisor
from .tally import Tally
from .world import World

log = logging.getLogger("capsule")

MOST_REASON = 500  # characters, told to all who hold a ref
MOST_RESTARTS_IN_A_ROW = 10
"""Restarts without a message in between, after which a failure escalates in any case: an actor that fails by itself,
through its constructor or what that starts, and may restart as often as it likes, would be a busy loop for ever."""


class Actor:
    """The runtime's side of an actor. Users hold an ActorRef."""

    def __init__(
        self,
        world: World,
        subject: Subject,
        first: Call | None,
        *,
        grants: Grants,
        name: str | None = None,
        caller: Delivery | None = None,
        tools: object = None,
    ) -> None:
        """`first` is its first message, `caller` the message whose guest started it: it is of that family then, and
        ends with its owner.
        """
        policy = subject.policy
        self.world, self.subject, self.grants = world, subject, grants
        self.name = name
        self.owner = caller.children if caller else None
        self.family = caller.family if caller else Family(policy)
        self.depth = caller.depth + 1 if caller else 0
        self.number = world.registry.next_number()
        self.label = name or subject.name
        self.mailbox: Mailbox = Mailbox(self.label, policy.max_mailbox, policy.ram_bytes, world.new_event)
        self.first = None if first is None else Letter(first, caller)
        self._text = self.first.size if self.first else 0
        self.children = Children(self, self.number)
        self.ended = Flag(world.new_event)
        self.end: Stopped | None = None
        """How it ended, once it has."""
        self.watchers: tuple[Callable[[Actor], None], ...] = ()
        """Called once when it has ended."""
        self.links: frozenset[Actor] = frozenset()
        self.tools = tools
        self.was_killed = self.has_escalated = self.is_let_go = False
        self._lifecycle, self.tally = Lifecycle(), Tally()
        self._creation = first if subject.keeps_state else None
        self.home = Dwelling(self, self._creation)
        self.asks = Asks(self)
        self._idle_seconds = policy.idle_seconds
        self._supervisor = Supervisor(policy.on_failure, policy.max_restarts, policy.restart_window_seconds)
        self.task: TaskHandle[None, None] | None = None
        """The task that drives it, while it does."""
        self._scope = world.new_scope()
        self._working: tuple[Letter, Delivery] | None = None
        self._child_failure: Failure | None = None
        self._reason: str | None = None
        self._has_failed = False
        self._ref: weakref.ref[ActorRef] | None = None
        self._next = self.first  # ahead of the mailbox, where it would take somebody's room

    # For its owner and those who hold a ref. None of these waits, but for `ask`.

    @property
    def state(self) -> ActorState:
        """Where it stands."""
        return self._lifecycle.state

    @property
    def is_reachable(self) -> bool:
        """Whether anybody could still ask it something."""
        return self.name is not None or (self._ref is not None and self._ref() is not None)

    def ref(self) -> ActorRef:
        """The one ref to this actor."""
        ref = self._ref() if self._ref is not None else None
        if ref is None:
            ref = ActorRef(self)
            self._ref = weakref.ref(ref)
        return ref

    @property
    def reason(self) -> str:
        """Why it ended, or is about to."""
        return self._reason or ""

    @property
    def ended_normally(self) -> bool:
        """Whether it neither failed nor was killed."""
        return not (self._has_failed or self.was_killed)

    def statistics(self) -> Statistics:
        """What it has done and cost so far."""
        return self.tally.statistics(len(self.mailbox))

    def is_ready_for(self, letter: Letter) -> bool:
        """Whether nothing has to happen before its sandbox can work on a letter of the application's."""
        return (
            self.state == "idle"
            and self.mailbox.is_awaited
            and self.home.is_open
            and self._child_failure is None
            and self._idle_seconds is None
            and letter.call is not None
            and letter.caller is None
        )

    def rest(self) -> None:
        """An asker has done its work: idle again, unless there is something to do."""
        if self.asks.loss is None and self._child_failure is None and self.mailbox.is_awaited:
            self._lifecycle.move("idle")
        else:
            self.mailbox.poke()

    def stop_soon(self, reason: str) -> None:
        """Take no more messages, handle those that are there, and end."""
        if self.state not in ("stopping", "stopped"):
            self._lifecycle.move("stopping")
        self._reason = self._reason or reason
        self.mailbox.close(self._reason)

    def kill(self, reason: str, *, failed: bool = False) -> None:
        """End now, in the middle of a message if there is one."""
        if self.state == "stopped":
            return
        if not (self.was_killed or self._has_failed):
            # Also when it was about to stop: this is why it did not do so by itself.
            self._reason, self._has_failed = reason, failed
        self.was_killed = True
        self.mailbox.close(self._reason or reason)
        self._scope.cancel()

    def leave(self) -> None:
        """End now, because the runtime does."""
        if self.task is not None:
            self.task.cancel()

    def child_failed(self, child: Actor, reason: str) -> None:
        """One that it started has failed for good: as if its own sandbox were gone."""
        message = f"{child.label}, which it had started, failed: {reason}"
        self._child_failure = Failure(error_type="stopped", message=message)
        if self._working is None:
            self.mailbox.poke()
            return
        letter, delivery = self._working
        delivery.cancelled_as = self._child_failure
        if letter.scope is not None:
            letter.scope.cancel()

    # Its life.

    async def run(self) -> None:
        """Live until stopped, killed, idle for too long, or failed for good."""
        self.world.notify(
            Spawned(
                actor=self.number,
                task_name=self.subject.name,
                name=self.name,
                parent=self.owner.number if self.owner else None,
            )
        )
        try:
            with self._scope:
                await self._live()
        finally:
            with anyio.CancelScope(shield=True):
                await self._end()

    async def _live(self) -> None:
        while True:
            await anyio.lowlevel.checkpoint_if_cancelled()  # or what it would begin now would end as "cancelled"
            if await self.asks.wait_until_over():
                continue
            loss, self.asks.loss = self.asks.loss, None
            if self._child_failure is not None:  # which may have been what cost the sandbox, and is one failure
                loss, self._child_failure = (self._child_failure, True), None
                self.home.drop()
            if loss is not None:
                if not await self._recover(loss[0], is_fault=loss[1]):
                    return
                continue  # a child that its constructor has started may have failed meanwhile
            letter = self._take()
            if letter is not None:
                if not await self._handle(letter):
                    return
            elif self.mailbox.closed_because is not None or not await self._wait():
                return

    async def _wait(self) -> bool:
        """Wait for a letter. False if none came in time."""
        self._lifecycle.move("idle")
        is_spent = not self.subject.keeps_state and self.name is None and self.tally.messages == 1
        self.world.registry.mark_spent(self, is_spent and self.first is not None)
        if is_spent and self.world.admission.waiting:
            self.world.registry.free_one()
        if self._idle_seconds is None:
            await self.mailbox.wait()
            was_idle = False
        else:
            with anyio.move_on_after(self._idle_seconds) as waiting:
                await self.mailbox.wait()
            was_idle = waiting.cancelled_caught and self.mailbox.is_empty
        self.world.registry.mark_spent(self, is_spent=False)
        if was_idle:
            self._reason = "it was idle for its idle_timeout"
        return not was_idle

    async def _handle(self, letter: Letter) -> bool:
        """Work on one letter. False if the actor ends with it."""
        if letter.call is None:
            self._begin_anew(letter)
            return True
        outcome = await self.deliver(letter, letter.call)
        if letter.call is self._creation and outcome.error is not None:
            self._fail(outcome.error, "its constructor failed: ")
            return False
        if not self.home.is_lost or outcome.error is None or self._child_failure is not None:
            return True  # a child's failure is seen to next, and is one failure
        return await self._recover(outcome.error, is_fault=not letter.was_withdrawn)

    async def deliver(self, letter: Letter, call: Call) -> Outcome:
        """Work on one letter, in whoever's task, and settle it. Cancelling costs the sandbox."""
        self.be_busy()
        delivery = self.delivery(call, letter.caller)
        self._working = (letter, delivery)
        outcome, began = None, time.monotonic()
        try:
            with self.world.new_scope() as letter.scope:
                outcome = await delivery.run()
        finally:
            letter.scope = self._working = None
            outcome = outcome or delivery.cancelled()
            if call is self._creation:
                self.home.tool_calls = delivery.tool_calls
                outcome = replace(outcome, result=None)  # whatever it says; kept as long as the actor
                if outcome.success:
                    self.home.created()
            else:
                self.tally.restarts_in_a_row = 0
            self.tally.count(outcome, time.monotonic() - began)
            letter.settle(outcome)
        return outcome

    def delivery(self, call: Call, caller: Delivery | None) -> Delivery:
        """The delivery of a call to this actor, not begun."""
        return Delivery(
            self.world,
            call,
            self.home,
            family=self.family,
            grants=self.grants,
            caller=caller,
            depth=self.depth,
            actor=self,
            tools=self.tools,
        )

    def _begin_anew(self, letter: Letter) -> None:
        self.home.drop()
        letter.settle(Outcome(success=True, execution=Execution(task_name=self.subject.name)))

    async def _recover(self, failure: Failure, *, is_fault: bool = True) -> bool:
        """Decide what becomes of the actor, whose sandbox is gone. False if it ends."""
        while self.tally.restarts_in_a_row < MOST_RESTARTS_IN_A_ROW:
            decision = self._supervisor.decide(time.monotonic()) if is_fault else "restart"
            if decision != "restart":
                self._fail(failure, "", escalates=decision == "escalate")
                return False
            self.begin_again(failure)
            await self.children.end_all("the actor that started it began anew")
            if self._creation is None or self.mailbox.closed_because is not None:
                return True  # a sandbox is opened when there is a message for it
            try:
                await self.home.make_ready()
            except NotCreated as failed:
                failure, is_fault = failed.failure, True
            except Exception as error:
                log.exception("the engine failed")
                text = f"the engine failed: {type(error).__name__}"
                failure, is_fault = Failure(error_type="internal_error", message=text), True
            else:
                return True
        self._fail(failure, "it failed over and over without a message: ", escalates=True)
        return False

    def begin_again(self, failure: Failure) -> None:
        """Its state is gone, and it goes on without."""
        self._lifecycle.move("restarting")
        self.tally.restarts += 1
        self.tally.restarts_in_a_row += 1
        restarts = self.tally.restarts
        self.world.notify(Restarted(actor=self.number, task_name=self.subject.name, error=failure, restart=restarts))

    def be_busy(self) -> None:
        """At work; for its first message only when there is a place for it."""
        if self.state != "starting" or self.home.is_open:
            self._lifecycle.move("busy")

    def _take(self) -> Letter | None:
        first, self._next = self._next, None
        if first is None:
            return self.mailbox.take()
        first.is_taken = True
        return first

    def _fail(self, failure: Failure, why: str, *, escalates: bool | None = None) -> None:
        text = f"{failure.exception or failure.error_type}: {failure.message}"
        self._reason, self._has_failed = (why + text)[:MOST_REASON], True
        self.has_escalated = self.subject.policy.on_failure == "escalate" if escalates is None else escalates

    async def _end(self) -> None:
        reason = self._reason = self._reason or "the runtime was left"
        self._lifecycle.move("stopping")
        if self.has_escalated and self.owner is not None and not self.is_let_go:
            self.owner.tell_failure(self, reason)  # before it could be asked once more, and say that it has stopped
        self.mailbox.close(reason)
        await self.asks.end_work()
        await self.children.end_all("the actor that started it ended")
        await self.home.close()
        if self._next is not None:
            self.refuse(self._next, Failure(error_type="cancelled", message=reason))
        for letter in self.mailbox.drain():
            self.refuse(letter, Failure(error_type="stopped", message=reason))
        self.grants.forget_all()
        self._creation = None  # whoever holds a ref of what has ended holds no more than its end
        self.home.forget_creation()
        if self.first is not None:
            self.first.call = None
        self.world.registry.remove(self)
        if self.owner is not None:
            self.owner.discard(self)
            self.family.leave(self.subject.policy.ram_bytes, self._text)
        self._lifecycle.move("stopped")
        self.task = None
        self.end = Stopped(
            actor=self.number,
            task_name=self.subject.name,
            name=self.name,
            reason=reason,
            failed=self._has_failed,
            statistics=self.statistics(),
        )
        self.ended.set()
        self.world.notify(self.end)
        self._tell_others(reason)

    def _tell_others(self, reason: str) -> None:
        for watcher in (watchers := self.watchers):
            watcher(self)
        pass_on(self)
        if self.has_escalated and self.owner is None and not watchers:
            log.warning("the actor %s failed for good: %r", self.label, reason)

    def refuse(self, letter: Letter, failure: Failure) -> None:
        """Settle a letter that was never worked on."""
        name = letter.call.name if letter.call else self.subject.name
        outcome = Outcome(success=False, error=failure, execution=Execution(task_name=name))
        self.tally.failed += 1
        self.world.notify(Ended(number=next(self.world.numbers), task_name=name, outcome=outcome))
        letter.settle(outcome)
