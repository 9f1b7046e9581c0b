"""Random lives against models: the mailbox alone, step by step, and a runtime full of actors that go wrong."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Coroutine, Generator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from capsule import (
    ActorRef,
    ActorStopped,
    Ended,
    Event,
    MailboxFull,
    Restarted,
    Retried,
    Runtime,
    Spawned,
    Started,
    Stopped,
    TaskFailed,
)
from capsule._actor.asks import Asks
from capsule._actor.letter import Letter
from capsule._actor.mailbox import Mailbox
from capsule.testing import FakeClock, FakeEngine, FakeGuest

# The mailbox.

MAX_TEXT = 10


class Bell:
    """An event without an event loop: whoever waits is suspended until it is resumed by hand."""

    def __init__(self) -> None:
        self.is_rung = False

    def set(self) -> None:
        self.is_rung = True

    async def wait(self) -> None:
        while not self.is_rung:
            await self

    def __await__(self) -> Generator[Bell, None, None]:
        yield self


class Cancelled(BaseException):
    """What stands for a cancellation."""


class Sending:
    """One `put`, driven by hand. `fate` is None until it has returned."""

    def __init__(self, mailbox: Mailbox, letter: Letter) -> None:
        self.letter, self.fate = letter, None
        self.bell: Bell | None = None
        self._coroutine: Coroutine[Any, Any, None] = mailbox.put(letter)
        self.resume()

    def resume(self, error: BaseException | None = None) -> None:
        try:
            self.bell = self._coroutine.throw(error) if error else self._coroutine.send(None)
        except StopIteration:
            self.fate = "in"
        except ActorStopped:
            self.fate = "refused"
        except Cancelled:
            self.fate = "cancelled"


class Mailboxes(RuleBasedStateMachine):
    """Senders, an actor and somebody who closes the door, in any order; the model is two lists."""

    @initialize(size=st.integers(1, 4))
    def open(self, size: int) -> None:
        self.size = size
        self.mailbox = Mailbox("Notes", size, MAX_TEXT, Bell)
        self.inside: list[Letter] = []
        self.queue: list[Letter] = []
        self.sendings: list[Sending] = []
        self.fates: dict[Letter, list[str]] = {}
        self.is_closed = False

    def make(self, size: int) -> Letter:
        letter = Letter(None)
        letter.call = type("Call", (), {"body": "x" * size})
        self.fates[letter] = []
        return letter

    def has_room(self, letter: Letter) -> bool:
        text = sum(each.size for each in self.inside) + letter.size
        return not self.inside or (len(self.inside) < self.size and text <= MAX_TEXT)

    def admit(self) -> None:
        while self.queue and self.has_room(self.queue[0]):
            self.inside.append(self.queue.pop(0))

    def pick(self, data: st.DataObject, waiting: list[Any]) -> Any:
        return waiting[data.draw(st.integers(0, len(waiting) - 1))]

    @rule(size=st.integers(0, MAX_TEXT + 2))
    def put(self, size: int) -> None:
        letter = self.make(size)
        sending = Sending(self.mailbox, letter)
        if self.is_closed:
            assert sending.fate == "refused"
            self.fates[letter].append("refused")
        elif not self.queue and self.has_room(letter):
            assert sending.fate == "in"
            self.inside.append(letter)
        else:
            assert sending.fate is None
            self.queue.append(letter)
            self.sendings.append(sending)

    @rule(size=st.integers(0, MAX_TEXT + 2))
    def put_nowait(self, size: int) -> None:
        letter = self.make(size)
        fits = not self.queue and self.has_room(letter)
        try:
            self.mailbox.put_nowait(letter)
        except ActorStopped:
            assert self.is_closed
            self.fates[letter].append("refused")
        except MailboxFull as full:
            assert (self.is_closed, fits, full.size) == (False, False, len(self.inside) + len(self.queue))
            self.fates[letter].append("no room")
        else:
            assert (self.is_closed, fits) == (False, True)
            self.inside.append(letter)

    @rule()
    def take(self) -> None:
        letter = self.mailbox.take()
        assert letter is (self.inside.pop(0) if self.inside else None)
        if letter is not None:
            self.fates[letter].append("taken")
            self.admit()

    @precondition(lambda self: self.fates)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        letter = self.pick(data, list(self.fates))
        is_in = letter in self.inside
        assert self.mailbox.withdraw(letter) == is_in
        if is_in:
            self.inside.remove(letter)
            self.fates[letter].append("withdrawn")
            self.admit()

    @precondition(lambda self: any(sending.bell.is_rung for sending in self.sendings))
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        sending = self.pick(data, [each for each in self.sendings if each.bell.is_rung])
        self.sendings.remove(sending)
        fates = self.fates[sending.letter]
        sending.resume()
        if sending.fate == "refused":
            assert self.is_closed
            assert sending.letter not in self.inside
            assert "taken" not in fates
            fates += [] if fates else ["refused"]
        else:
            assert sending.fate == "in"
            assert sending.letter in self.inside or fates

    @precondition(lambda self: self.sendings)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        sending = self.pick(data, self.sendings)
        self.sendings.remove(sending)
        sending.resume(Cancelled())
        assert sending.fate == "cancelled"
        letter = sending.letter
        if letter in self.inside:
            self.inside.remove(letter)
            self.admit()
        elif letter in self.queue:
            self.queue.remove(letter)
            self.admit()
        self.fates[letter] += [] if self.fates[letter] else ["cancelled"]

    @rule()
    def close(self) -> None:
        self.mailbox.close(f"reason {self.is_closed}")
        self.is_closed = True
        self.queue = []
        assert self.mailbox.closed_because == "reason False"

    @precondition(lambda self: self.is_closed)
    @rule()
    def drain(self) -> None:
        drained = self.mailbox.drain()
        assert drained == self.inside
        for letter in drained:
            self.fates[letter].append("drained")
        self.inside = []

    @invariant()
    def the_same_as_the_model(self) -> None:
        """Who is in and who waits for room, each in order, and their numbers."""
        assert list(self.mailbox._letters) == self.inside
        assert list(self.mailbox._senders) == self.queue
        assert len(self.mailbox) == len(self.inside) + len(self.queue)
        assert self.mailbox.is_empty == (not self.inside)
        assert self.mailbox._text == sum(letter.size for letter in self.inside)

    @invariant()
    def within_bounds(self) -> None:
        """No more letters than have room, and no more text, but for a single letter."""
        assert len(self.inside) <= self.size
        assert len(self.inside) <= 1 or sum(letter.size for letter in self.inside) <= MAX_TEXT

    @invariant()
    def nobody_waits_without_need(self) -> None:
        """Whoever stands in front waits because it does not fit, and because of nothing else."""
        assert not self.queue or not self.has_room(self.queue[0])
        assert not (self.is_closed and self.queue)
        assert all(each.bell.is_rung == (each.letter not in self.queue) for each in self.sendings)

    @invariant()
    def one_fate(self) -> None:
        """A letter comes out once, and never while it is in."""
        for letter, fates in self.fates.items():
            assert len(fates) <= 1
            assert not (fates and letter in self.inside)

    def teardown(self) -> None:
        """When everything is closed, drained and resumed, each letter has come out."""
        if not hasattr(self, "mailbox"):
            return
        self.close()
        self.drain()
        for sending in self.sendings:
            sending.resume()
            self.fates[sending.letter] += [] if self.fates[sending.letter] else [sending.fate]
        assert all(len(fates) == 1 for fates in self.fates.values())


STEADY = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
Mailboxes.TestCase.settings = settings(STEADY, max_examples=150, stateful_step_count=40)
TestMailboxes = Mailboxes.TestCase


# A runtime.

ACTORS = 3
TIMEOUT = 10
KINDS = ("add", "hold", "fail", "trap", "fuel", "slow")
ENDS = {"fail": "task_error", "trap": "trap", "fuel": "fuel_exhausted", "slow": "timeout", "hold": "timeout"}
"""How a message of each kind ends, if nothing comes between."""

SOURCE = """
from capsule import actor
{classes}
"""
CLASS = """
@actor(max_retries={retries}, on_failure="{policy}", max_restarts={restarts}, max_mailbox={room},
       restart_window="1h", timeout={timeout}, compute=1000)
class A{number}:
    def __init__(self): pass
    def do(self, message, kind): pass
"""

which = st.integers(0, ACTORS - 1)
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["ask", "ask now", "tell"]), which, st.sampled_from(KINDS)),
    st.tuples(st.sampled_from(["ask", "ask now", "tell"]), which, st.sampled_from(["add", "hold"])),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.sampled_from(["kill", "stop", "stop now"]), which),
    st.tuples(st.just("link"), which, which),
    st.tuples(st.sampled_from(["go", "advance", "let go"]), st.integers(0, 8)),
    st.tuples(st.just("go"), st.integers(0, 8)),
)
POLICIES = st.fixed_dictionaries(
    {
        "policy": st.sampled_from(["restart", "restart", "restart", "stop", "escalate"]),
        "retries": st.integers(0, 2),
        "restarts": st.integers(0, 3),
        "room": st.sampled_from([1, 2, 100]),
    }
)


class Life:
    """One runtime and one program of operations, with what was sent and what came of it."""

    def __init__(self, policies: list[dict[str, Any]], bad: list[int]) -> None:
        self.policies, self.bad = policies, set(bad)
        self.events: list[Event] = []
        self.clock, self.gate = FakeClock(), anyio.Event()
        self.creations = 0
        self.seen: list[tuple[int, int]] = []
        """Which actor began which message, in order."""
        self.sent: dict[int, tuple[str, int, str]] = {}
        """By the number of a message: how it was sent, to whom, and its kind."""
        self.got: dict[int, object] = {}
        self.scopes: list[anyio.CancelScope] = []
        self.cancelled: set[int] = set()
        scripts = {f"A{number}.__init__": self.create for number in range(ACTORS)}
        scripts |= {f"A{number}.do": self.script_of(number) for number in range(ACTORS)}
        self.engine = FakeEngine(scripts, clock=self.clock)
        self.letters: list[Letter] = []

    async def create(self, guest: FakeGuest) -> None:
        self.creations += 1
        if self.creations in self.bad:
            guest.end("trap", "in the constructor")

    def script_of(self, actor: int) -> Any:
        async def do(guest: FakeGuest) -> int:
            message, kind = guest.args
            self.seen.append((actor, message))
            if kind == "hold":
                await self.gate.wait()
            elif kind == "fail":
                raise ValueError
            elif kind == "trap":
                guest.end("trap")
            elif kind == "fuel":
                guest.burn(1000)
            elif kind == "slow":
                await guest.hang()
            return message

        return do

    async def run(self, operations: list[tuple[Any, ...]]) -> None:
        with pytest.MonkeyPatch.context() as patch, anyio.fail_after(20):
            add, work_on = Mailbox._add, Asks._work_on
            patch.setattr(Mailbox, "_add", lambda mailbox, letter: (self.letters.append(letter), add(mailbox, letter)))
            patch.setattr(
                Asks, "_work_on", lambda asks, letter: (self.letters.append(letter), work_on(asks, letter))[1]
            )
            self.runtime = Runtime(engine=self.engine, on_event=self.events.append, max_sandboxes=2)
            async with anyio.create_task_group() as self.tasks, self.runtime:
                self.refs = [await self.runtime.spawn(f"tasks.py:A{number}") for number in range(ACTORS)]
                for operation, *arguments in operations:
                    await getattr(self, operation.replace(" ", "_"))(*arguments)
                await self.come_to_rest()
                self.check_links()
        self.check()

    async def come_to_rest(self) -> None:
        for _ in range(60):
            await self.let_go(0)
            await self.advance(0)
            await self.go(30)
            if all(ref.state in {"idle", "stopped"} for ref in self.refs) and len(self.got) == len(self.asked()):
                return
            if self.stuck():
                break
        # All three cannot live at once where there are two places: one that waits for its place is at rest too.
        assert sum(ref.state in {"idle", "stopped"} for ref in self.refs) == ACTORS - 1

    def stuck(self) -> bool:
        waiting = [ref for ref in self.refs if ref.state in {"starting", "restarting", "stopping"}]
        idle = [ref for ref in self.refs if ref.state == "idle"]
        return len(waiting) == 1 and len(idle) == ACTORS - 1

    # Operations.

    async def ask(self, actor: int, kind: str) -> None:
        message = self.note("ask", actor, kind)
        self.tasks.start_soon(self.wait, message, lambda: self.refs[actor].do(message, kind))

    async def ask_now(self, actor: int, kind: str) -> None:
        message = self.note("ask now", actor, kind)
        try:
            answer = self.refs[actor].ask_nowait.do(message, kind)
        except (ActorStopped, MailboxFull) as error:
            self.got[message] = type(error).__name__
            return

        async def wait() -> object:
            return await answer

        self.tasks.start_soon(self.wait, message, wait)

    async def tell(self, actor: int, kind: str) -> None:
        message = self.note("tell", actor, kind)
        try:
            self.refs[actor].tell_nowait.do(message, kind)
        except (ActorStopped, MailboxFull):
            del self.sent[message]

    def note(self, how: str, actor: int, kind: str) -> int:
        message = len(self.scopes)
        self.scopes.append(anyio.CancelScope())
        self.sent[message] = (how, actor, kind)
        return message

    async def wait(self, message: int, ask: Any) -> None:
        got: object = "given up"
        with self.scopes[message]:
            try:
                got = await ask()
            except TaskFailed as failed:
                got = failed.error_type
            except ActorStopped:
                got = "ActorStopped"
        assert message not in self.got
        self.got[message] = got

    async def cancel(self, message: int) -> None:
        if message < len(self.scopes):
            self.scopes[message].cancel()
            self.cancelled.add(message)

    async def kill(self, actor: int) -> None:
        self.refs[actor].kill()

    async def stop(self, actor: int) -> None:
        self.tasks.start_soon(lambda: self.refs[actor].stop(grace=None))

    async def stop_now(self, actor: int) -> None:
        self.tasks.start_soon(lambda: self.refs[actor].stop(grace=0))

    async def link(self, one: int, other: int) -> None:
        self.refs[one].link(self.refs[other])

    async def go(self, steps: int) -> None:
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()

    async def advance(self, _: int) -> None:
        self.clock.advance(TIMEOUT)

    async def let_go(self, _: int) -> None:
        self.gate.set()
        self.gate = anyio.Event()

    # What must hold.

    def asked(self) -> list[int]:
        return [message for message, (how, *_) in self.sent.items() if how != "tell"]

    def check_links(self) -> None:
        """Nobody lives that is linked to one whose end was not normal."""
        for ref in self.refs:
            actor = ref._capsule_actor
            assert ref.state != "stopped" or actor.links == set()
            for other in actor.links:
                assert other.state != "stopped"
                assert actor in other.links

    def check(self) -> None:
        self.check_outcomes()
        self.check_order()
        self.check_sandboxes()
        for number, ref in enumerate(self.refs):
            self.check_restarts(ref, self.policies[number])
        self.check_nothing_is_left()

    def check_outcomes(self) -> None:
        """Every ask has one answer, which is one of those that its kind can have; every letter has one outcome."""
        assert sorted(self.got) == self.asked()
        for message, got in self.got.items():
            how, _, kind = self.sent[message]
            may = {ENDS.get(kind, message), "ActorStopped", "cancelled"}
            may |= {message} if kind == "hold" else set()
            may |= {"given up"} if message in self.cancelled else set()
            may |= {"MailboxFull"} if how == "ask now" else set()
            may |= {"trap"} if self.bad else set()
            assert got in may, (message, self.sent[message], got)
        ended = Counter(event.number for event in self.events if isinstance(event, Ended))
        assert set(ended.values()) <= {1}
        started = Counter(event.number for event in self.events if isinstance(event, Started))
        assert set(started.values()) <= {1}
        assert set(started) <= set(ended)
        names = Counter(event.task_name for event in self.events if isinstance(event, Ended))
        settled = [letter for letter in self.letters if letter.outcome is not None and letter.call.name.endswith(".do")]
        assert sum(count for name, count in names.items() if name.endswith(".do")) == len(settled)
        lost = len({id(letter) for letter in self.letters if letter.outcome is None})
        assert lost <= sum(got == "given up" for got in self.got.values()), "given up in the moment of getting room"

    def check_order(self) -> None:
        """What was sent by one sender is begun in that order; a message is begun again only by its own retries."""
        for actor in range(ACTORS):
            begun = [message for at, message in self.seen if at == actor]
            in_order = [message for message in begun if self.sent[message][0] != "ask"]
            assert in_order == sorted(in_order)
            most = 1 + self.policies[actor]["retries"]
            assert all(count <= most for count in Counter(begun).values())

    def check_sandboxes(self) -> None:
        """A constructor runs once in a sandbox, first, and nothing runs behind one that did not work."""
        for sandbox in self.engine.sandboxes:
            creations = [isinstance(request, dict) and "actor" in request for request in sandbox.requests]
            assert creations == [at == 0 for at in range(len(creations))]
            assert ["program" in request for request in sandbox.requests] == creations

    def check_restarts(self, ref: ActorRef, policy: dict[str, Any]) -> None:
        """Restarts after faults are as many as the policy says, callers that gave up cost none, and ends fit."""
        restarted = [event for event in self.events if isinstance(event, Restarted) and event.actor == ref.number]
        assert [event.restart for event in restarted] == list(range(1, len(restarted) + 1))
        faults = [event for event in restarted if not self.is_free(event)]
        assert len(faults) <= (policy["restarts"] if policy["policy"] == "restart" else 0)
        (stopped,) = [event for event in self.events if isinstance(event, Stopped) and event.actor == ref.number]
        statistics = stopped.statistics
        assert (statistics.restarts, statistics.waiting) == (len(restarted), 0)
        if stopped.failed and "linked" not in stopped.reason and "constructor" not in stopped.reason:
            assert policy["policy"] != "restart" or len(faults) == policy["restarts"]

    def is_free(self, restarted: Restarted) -> bool:
        """Whether this was no fault to count: its caller gave up, or the message is tried again."""
        following = self.events[self.events.index(restarted) + 1]
        is_retried = isinstance(following, Retried) and following.task_name.startswith(restarted.task_name)
        return restarted.error.error_type == "cancelled" or is_retried

    def check_nothing_is_left(self) -> None:
        admission = self.runtime._admission
        assert (admission.live, admission.memory, admission.waiting) == (0, 0, 0)
        assert all(sandbox.is_closed for sandbox in self.engine.sandboxes)
        assert all(ref.state == "stopped" for ref in self.refs)
        spawned, stopped = (
            [event.actor for event in self.events if isinstance(event, kind)] for kind in (Spawned, Stopped)
        )
        assert sorted(stopped) == sorted(spawned) == [1, 2, 3]
        assert self.clock.sleeping == 0


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_lives(backend: str, write, caplog, monkeypatch) -> None:
    """Whatever is sent, cancelled, broken, killed, stopped and linked, in whatever order."""
    caplog.set_level("CRITICAL", "capsule")
    monkeypatch.setattr("trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING", True)

    @settings(STEADY, max_examples=int(os.environ.get("CAPSULE_LIVES", "150")))
    @given(
        operations=st.lists(OPERATIONS, max_size=25),
        policies=st.lists(POLICIES, min_size=ACTORS, max_size=ACTORS),
        bad=st.lists(st.integers(1, 10), max_size=3),
    )
    def live(operations: list[tuple[Any, ...]], policies: list[dict[str, Any]], bad: list[int]) -> None:
        classes = [CLASS.format(number=number, timeout=TIMEOUT, **policy) for number, policy in enumerate(policies)]
        write("tasks.py", SOURCE.format(classes="".join(classes)))

        async def main() -> None:
            trio._core._run._r.seed(0)
            await Life(policies, bad).run(operations)

        anyio.run(main, backend=backend)

    live()
