"""What becomes of an actor after a failure, and of those who are tied to it."""

from __future__ import annotations

import itertools
import logging

import anyio
import anyio.lowlevel
import pytest

from actor.guests import Caller, Guests, settle
from capsule import ActorFailed, ActorStopped, ForeignRef, Policy, Runtime, Stopped, TaskFailed
from capsule._actor.supervision import Supervisor
from capsule.testing import FakeEngine, FakeGuest, HostError


@pytest.fixture
def guests() -> Guests:
    return Guests()


DEATHS = [
    "trap",
    "fuel_exhausted",
    "timeout",
    "memory_exhausted",
    "stack_overflow",
    "denied",
    "internal_error",
    "invalid",
]
"""The ways in which a sandbox ends in the middle of a message."""


# The decision alone.


@pytest.mark.parametrize("policy", ["stop", "escalate"])
def test_decided_at_once(policy: str) -> None:
    """Who does not restart does the same every time."""
    supervisor = Supervisor(policy, 3, 5.0)
    assert [supervisor.decide(now) for now in (0, 0, 100)] == [policy] * 3


@pytest.mark.parametrize(
    ("most", "window", "times", "decisions"),
    [
        (0, 5, [0], "e"),
        (1, 5, [0, 0], "re"),
        (2, 5, [0, 1, 2], "rre"),
        (2, 5, [0, 1, 5], "rrr"),
        (2, 5, [0, 1, 4.9], "rre"),
        (2, 5, [0, 4, 5, 8.9], "rrre"),
        (2, 5, [0, 4, 5, 9], "rrrr"),
        (1, 0.1, [0, 0.1, 0.2, 0.25], "rrre"),
        (3, 1, [0, 0, 0, 0, 1], "rrrer"),
    ],
)
def test_restart_intensity(most: int, window: float, times: list[float], decisions: str) -> None:
    """So many restarts within any window, not from a fixed start; what escalates counts as none."""
    supervisor = Supervisor("restart", most, window)
    assert "".join(supervisor.decide(now)[0] for now in times) == decisions


# Failures of messages.


async def test_the_guest_raised(stage, guests: Guests) -> None:
    """An exception is an answer: the actor lives on, with its state, whatever its policy."""
    play = stage(guests.scripts, {"Notes": 'on_failure="escalate", max_restarts=0, max_retries=3'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"], "ada")
        for _ in range(5):
            with pytest.raises(TaskFailed, match="no luck") as caught:
                await notes.fail()
            assert (caught.value.error_type, caught.value.outcome.execution.retries) == ("task_error", 0)
        assert await notes.items() == ["ada"]
    assert (len(play.engine.sandboxes), guests.made) == (1, 1)
    play.assert_nothing_is_left()


@pytest.mark.parametrize("kind", DEATHS)
async def test_restart(stage, guests: Guests, kind: str) -> None:
    """However its sandbox ends, the message has that outcome, and the next finds fresh state."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"], "ada")
        await notes.add("lost")
        with pytest.raises(TaskFailed) as caught:
            await notes.die(kind, "its text")
        assert (caught.value.error_type, caught.value.outcome.error.message) == (kind, "its text")
        assert await notes.items() == ["ada"]
        assert (guests.made, notes.statistics().restarts) == (2, 1)
    assert play.life == [("spawned", "Notes"), ("restarted", "Notes", kind, 1), ("stopped", "Notes", "ended")]
    play.assert_nothing_is_left()


async def test_a_real_timeout(stage, guests: Guests) -> None:
    """A message that takes longer than its timeout; the next has all of it again."""
    play = stage(guests.scripts, {"Notes": 'timeout="2s"'})
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        slow, behind = Caller(tasks, notes.rest, 10), None
        await settle()
        behind = Caller(tasks, notes.rest, 1)
        await settle()
        play.clock.advance(2)
        await settle()
        assert (slow.got.error_type, behind.is_done) == ("timeout", False)
        play.clock.advance(1)
        await settle()
        assert behind.is_done
        assert behind.got is None
    play.assert_nothing_is_left()


async def test_real_fuel(stage, guests: Guests) -> None:
    """Each message has the whole of its fuel, and a restart does not count against it."""
    play = stage(guests.scripts, {"Notes": "compute=1000"})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        for _ in range(3):
            await notes.burn(900)
        with pytest.raises(TaskFailed) as caught:
            await notes.burn(1000)
        assert caught.value.error_type == "fuel_exhausted"
        await notes.burn(900)
    play.assert_nothing_is_left()


@pytest.mark.parametrize("policy", ["stop", "escalate"])
@pytest.mark.parametrize("kind", DEATHS)
async def test_the_end(stage, guests: Guests, policy: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Or the actor ends as failed: the message has its outcome, those behind it are refused with the reason."""
    play = stage(guests.scripts, {"Notes": f'on_failure="{policy}"'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        first = notes.ask_nowait.die(kind, "its text")
        behind = notes.ask_nowait.add(1)
        with pytest.raises(TaskFailed):
            await first
        with pytest.raises(ActorStopped, match=f"{kind}: its text"):
            await behind
        end = await notes.wait_stopped()
        assert (end.failed, end.reason) == (True, f"{kind}: its text")
    assert play.life == [("spawned", "Notes"), ("stopped", "Notes", "failed")]
    assert ("failed for good" in caplog.text) == (policy == "escalate"), "an escalation that nobody hears is logged"
    play.assert_nothing_is_left()


async def test_more_restarts_than_allowed(stage, guests: Guests, caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the intensity a failure escalates."""
    play = stage(guests.scripts, {"Notes": 'max_restarts=2, restart_window="1h"'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        for _ in range(3):
            with pytest.raises(TaskFailed):
                await notes.die("trap")
        end = await notes.wait_stopped()
        assert (end.failed, end.statistics.restarts) == (True, 2)
    assert [entry[0] for entry in play.life] == ["spawned", "restarted", "restarted", "stopped"]
    assert "failed for good" in caplog.text
    play.assert_nothing_is_left()


async def test_restarts_that_are_long_ago(stage, guests: Guests) -> None:
    """Restarts outside the window do not count."""
    play = stage(guests.scripts, {"Notes": 'max_restarts=1, restart_window="20ms"'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        for _ in range(4):
            with pytest.raises(TaskFailed):
                await notes.die("trap")
            await anyio.sleep(0.03)
        assert await notes.add(1) == 1


async def test_an_actor_of_a_task_restarts(stage, guests: Guests) -> None:
    """The same for actors of tasks: module state is fresh, and nothing is constructed."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        ref = await runtime.spawn(play["work"], "add", 1)
        with pytest.raises(TaskFailed):
            await ref("die", "trap")
        assert await ref("items") == []
        with pytest.raises(TaskFailed):
            await ref("fail")
        assert await ref("add", 1) == 1
    assert play.life[1] == ("restarted", "work", "trap", 1)
    play.assert_nothing_is_left()


# Retries.


def failing(times: int, kind: str):
    """A method that fails so often before it answers how often it was called."""
    calls = []

    async def script(guest: FakeGuest) -> object:
        calls.append(guest)
        if len(calls) <= times:
            if kind == "task_error":
                raise ValueError
            guest.end(kind)
        return [len(calls), guest.state.get("items")]

    return script


@pytest.mark.parametrize("kind", ["trap", "fuel_exhausted", "timeout", "memory_exhausted", "internal_error"])
async def test_retries_of_a_class(stage, guests: Guests, kind: str) -> None:
    """A message whose sandbox ended is tried again after the constructor, in a fresh one; it is one message."""
    play = stage({**guests.scripts, "Notes.flaky": failing(2, kind)}, {"Notes": "max_retries=2, max_restarts=0"})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"], "ada")
        await notes.add("lost")
        assert await notes.flaky() == [3, ["ada"]]
        assert (guests.made, notes.statistics().retries) == (3, 2)
        assert await notes.add("kept") == 2
    ended = [entry for entry in play.history if entry[:2] == ("ended", "Notes.flaky")]
    assert ended == [("ended", "Notes.flaky", [3, ["ada"]])]
    play.assert_nothing_is_left()


@pytest.mark.parametrize("kind", ["task_error", "trap"])
async def test_retries_of_a_task(stage, guests: Guests, kind: str) -> None:
    """A task that raised is tried again in a fresh sandbox too, also as a later message."""
    play = stage({"flaky": failing(2, kind)}, {"flaky": "max_retries=1"})
    async with play.runtime as runtime:
        ref = await runtime.spawn(play["flaky"])
        with pytest.raises(TaskFailed):
            await ref.result()
        assert await ref() == [3, None]
    play.assert_nothing_is_left()


@pytest.mark.parametrize("kind", ["denied", "invalid"])
async def test_what_is_not_tried_again(stage, guests: Guests, kind: str) -> None:
    """A refusal would only come again."""
    play = stage({**guests.scripts, "Notes.flaky": failing(1, kind)}, {"Notes": "max_retries=5"})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        with pytest.raises(TaskFailed) as caught:
            await notes.flaky()
        assert (caught.value.error_type, caught.value.outcome.execution.retries) == (kind, 0)


async def test_retries_that_do_not_help(stage, guests: Guests) -> None:
    """The last failure is the outcome, and counts as one: each loss of its state is told, the retries are free."""
    play = stage(guests.scripts, {"Notes": 'max_retries=2, max_restarts=1, restart_window="1h"'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        with pytest.raises(TaskFailed) as caught:
            await notes.die("trap")
        assert caught.value.outcome.execution.retries == 2
        assert await notes.add(1) == 1
        assert notes.statistics().restarts == 3
        with pytest.raises(TaskFailed):
            await notes.die("trap")
        assert (await notes.wait_stopped()).failed
    play.assert_nothing_is_left()


# Constructors.


def dies(guest: FakeGuest) -> None:
    guest.end("trap", "in the constructor")


def raises(guest: FakeGuest) -> None:
    raise ValueError("in the constructor")


def works(guest: FakeGuest) -> None:
    pass


@pytest.mark.parametrize("fail", [dies, raises])
@pytest.mark.parametrize("policy", ["restart", "stop", "escalate"])
async def test_a_constructor_that_fails_at_spawn(stage, guests: Guests, fail, policy: str) -> None:
    """The actor ends as failed, without a restart; what was sent behind it is refused with the reason."""
    guests.creating = [fail]
    play = stage(guests.scripts, {"Notes": f'on_failure="{policy}"'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        behind = notes.ask_nowait.add(1)
        with pytest.raises(TaskFailed, match="in the constructor"):
            await notes.result()
        with pytest.raises(ActorStopped, match=r"its constructor failed: .*in the constructor"):
            await behind
        assert (await notes.wait_stopped()).failed
    assert guests.made == 1
    play.assert_nothing_is_left()


async def test_a_constructor_that_is_tried_again_at_spawn(stage, guests: Guests) -> None:
    """`max_retries` holds for the constructor as for any message."""
    guests.creating = [dies, raises]
    play = stage(guests.scripts, {"Notes": "max_retries=2"})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"], "ada")
        assert await notes.items() == ["ada"]
    assert (guests.made, len(play.engine.sandboxes)) == (3, 3)
    play.assert_nothing_is_left()


@pytest.mark.parametrize("fail", [dies, raises])
async def test_a_constructor_that_fails_at_a_restart(stage, guests: Guests, fail) -> None:
    """It counts as a failure of its own, and those that wait get their answers when it works again."""
    guests.creating = [works, fail, fail]
    play = stage(guests.scripts, {"Notes": 'max_restarts=3, restart_window="1h"'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"], "ada")
        first, behind = notes.ask_nowait.die("trap"), notes.ask_nowait.items()
        with pytest.raises(TaskFailed):
            await first
        assert await behind == ["ada"]
        assert (guests.made, notes.statistics().restarts) == (4, 3)
    play.assert_nothing_is_left()


@pytest.mark.parametrize("fail", [dies, raises])
async def test_a_constructor_that_fails_for_ever(stage, guests: Guests, fail) -> None:
    """Restarts end at the intensity: no actor goes round in circles."""
    guests.creating = [works, *[fail] * 100]
    play = stage(guests.scripts, {"Notes": 'max_restarts=3, restart_window="1h"'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        first, behind = notes.ask_nowait.die("trap"), notes.ask_nowait.items()
        with pytest.raises(TaskFailed):
            await first
        with pytest.raises(ActorStopped, match="in the constructor"):
            await behind
        assert (guests.made, notes.statistics().restarts) == (4, 3)
    play.assert_nothing_is_left()


@pytest.mark.parametrize("at", ["restart", "message"])
@pytest.mark.parametrize("fail", [dies, raises])
async def test_a_constructor_that_is_tried_again_at_a_restart(stage, guests: Guests, fail, at: str) -> None:
    """The instance that counts is that of the last attempt, constructed once, and messages go to its sandbox."""
    guests.creating = [works, fail]
    scripts = {**guests.scripts, "Notes.flaky": failing(1, "trap")}
    play = stage(scripts, {"Notes": "max_retries=1"})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"], "ada")
        if at == "restart":
            with pytest.raises(TaskFailed):
                await notes.die("invalid")
        else:
            assert await notes.flaky() == [2, ["ada"]]
        assert await notes.add("one") == 2
        assert await notes.items() == ["ada", "one"]
        assert (guests.made, len(play.engine.sandboxes)) == (3, 3)
    play.assert_nothing_is_left()


class BreaksLater(FakeEngine):
    """Opens no sandbox for so many tries as `broken` says."""

    broken = 0

    def open(self, limits, listener):
        if self.broken:
            self.broken -= 1
            raise MemoryError("no room")
        return super().open(limits, listener)


@pytest.mark.parametrize("most", [1, 5])
async def test_an_engine_that_breaks_at_a_restart(stage, guests: Guests, most: int, caplog) -> None:
    """A failure of the engine is one of that actor's, and of nobody else's."""
    play = stage({**guests.scripts, "other": guests.work}, {"Notes": f"max_restarts={most}"}, engine=BreaksLater)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        await notes.result()
        play.engine.broken = min(most, 2)
        with pytest.raises(TaskFailed):
            await notes.die("trap")
        if most == 1:
            assert "internal_error" in (await notes.wait_stopped()).reason
        else:
            assert await notes.add(1) == 1
            assert notes.statistics().restarts == 3
        assert await runtime.run(play["other"], "add", 1) == 1
    assert "the engine failed" in caplog.text
    play.assert_nothing_is_left()


# What a guest starts.


async def family(play, *methods: str):
    """An actor, and one that it started; the parent knows it as number 1."""
    parent = await play.runtime.spawn(play["Notes"], "parent")
    assert await parent.begin("Child") == 1
    await settle()
    (child,) = [ref for ref in play.runtime.actors() if ref.name == "Child"]
    return parent, child


def child_of(guests: Guests) -> dict[str, object]:
    """Scripts with another class, and a task that starts actors."""
    names = ("add", "items", "die", "hold", "fail", "speak", "begin")
    return {**guests.scripts, **{f"Child.{name}": getattr(guests, name) for name in names}}


async def test_a_guest_starts_asks_tells_and_stops(stage, guests: Guests) -> None:
    """A guest talks to an actor that it started by the number it was given."""
    play = stage(child_of(guests))
    async with play.runtime:
        parent, child = await family(play)
        assert await parent.speak("ask", 1, "add", "a") == 1
        assert await parent.speak("tell", 1, "add", "b") is None
        assert await parent.speak("ask", 1, "items") == ["a", "b"]
        kind, text = await parent.speak("ask", 1, "fail")
        assert (kind, "no luck" in text) == ("task_error", True)
        assert await parent.speak("stop", 1) is None
        assert child.state == "stopped"
        assert await parent.speak("stop", 1) is None, "harmless when repeated"
        kind, text = await parent.speak("ask", 1, "add", "c")
        assert (kind, "Child has stopped" in text) == ("stopped", True)
    assert play.life[:2] == [("spawned", "Notes"), ("spawned", "Child")]
    play.assert_nothing_is_left()


@pytest.mark.parametrize("how", ["stop", "kill", "trap", "runtime"])
async def test_children_end_with_their_parent(stage, guests: Guests, how: str) -> None:
    """Whatever ends an actor ends what it started first, in the middle of a message."""
    play = stage(child_of(guests))
    async with play.runtime:
        parent, child = await family(play)
        child.tell.hold("busy")
        await settle()
        if how == "stop":
            await parent.stop()
        elif how == "kill":
            parent.kill()
            await parent.wait_stopped()
        elif how == "trap":
            parent.tell.die("trap")
            await settle()
        assert child.state == ("busy" if how == "runtime" else "stopped")
        assert parent.state == ("idle" if how in {"trap", "runtime"} else "stopped")
    stopped = [event for event in play.events if isinstance(event, Stopped)]
    assert [event.task_name for event in stopped] == ["Child", "Notes"]
    assert not any(event.failed for event in stopped)
    play.assert_nothing_is_left()


async def test_children_end_when_their_parents_message_is_tried_again(stage, guests: Guests) -> None:
    """The sandbox that knew them is gone, whether its actor restarts or its message is retried."""
    play = stage({**child_of(guests), "Notes.flaky": failing(1, "trap")}, {"Notes": "max_retries=1"})
    async with play.runtime:
        parent, child = await family(play)
        assert await parent.flaky() == [2, ["parent"]]
        assert child.state == "stopped"
    play.assert_nothing_is_left()


async def test_escalation_to_a_parent(stage, guests: Guests) -> None:
    """A child that escalates is to its parent as if its own sandbox were gone: once."""
    settings = {"Child": 'on_failure="escalate"', "Notes": 'max_restarts=1, restart_window="1h"'}
    play = stage(child_of(guests), settings)
    async with play.runtime:
        parent, child = await family(play)
        child.tell.die("trap", "it broke")
        await settle()
        assert (child.state, parent.state) == ("stopped", "idle")
        assert await parent.items() == ["parent"]
        assert parent.statistics().restarts == 1
    assert ("restarted", "Notes", "stopped", 1) in play.life
    play.assert_nothing_is_left()


async def test_escalation_to_a_parent_at_work(stage, guests: Guests) -> None:
    """The message that the parent works on ends with that failure; one restart, and the next is served."""
    settings = {"Child": 'on_failure="escalate"', "Notes": 'max_restarts=1, restart_window="1h"'}
    play = stage(child_of(guests), settings)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        parent, child = await family(play)
        working = Caller(tasks, parent.hold, 1)
        await settle()
        behind = Caller(tasks, parent.items)
        await settle()
        child.tell.die("trap", "it broke")
        await settle()
        assert (working.kind, working.got.error_type) == ("TaskFailed", "stopped")
        assert "Child, which it had started, failed: trap: it broke" in str(working.got)
        assert behind.got == ["parent"]
        assert (parent.statistics().restarts, parent.state) == (1, "idle")
        assert runtime.actors() == [parent]
    play.assert_nothing_is_left()


@pytest.mark.parametrize("policy", ["stop", "escalate"])
async def test_escalation_ends_the_parent(stage, guests: Guests, policy: str) -> None:
    """A parent whose policy is no restart ends with it, and its siblings too; further up it goes by policy."""
    settings = {"Child": 'on_failure="escalate"', "Notes": f'on_failure="{policy}"'}
    play = stage(child_of(guests), settings)
    async with play.runtime as runtime:
        parent, child = await family(play)
        assert await parent.begin("Child") == 2
        child.tell.die("trap", "it broke")
        end = await parent.wait_stopped()
        assert (end.failed, "Child, which it had started, failed: trap: it broke" in end.reason) == (True, True)
        assert runtime.actors() == []
    play.assert_nothing_is_left()


async def test_escalation_through_generations(stage, guests: Guests) -> None:
    """From a grandchild to a block of the application."""
    settings = {"Child": 'on_failure="escalate"', "Notes": 'on_failure="escalate"'}
    play = stage(child_of(guests), settings)
    async with play.runtime as runtime:
        with pytest.raises(ActorFailed, match=r"Child, which it had started, failed: .*Child, which it had"):
            async with await runtime.spawn(play["Notes"]) as notes:
                await notes.begin("Child")
                assert await notes.speak("ask", 1, "begin", "Child") == 1
                grandchild = runtime.actors()[-1]
                grandchild.tell.die("trap")
                await anyio.sleep_forever()
        assert runtime.actors() == []
    play.assert_nothing_is_left()


async def test_a_parent_that_asks_a_child_that_escalates(stage, guests: Guests) -> None:
    """The parent's own ask is cut short with it, and nothing waits for anything."""
    settings = {"Child": 'on_failure="escalate"', "Notes": "max_restarts=1"}
    play = stage(child_of(guests), settings)
    with anyio.fail_after(5):
        async with play.runtime:
            parent, _ = await family(play)
            answer = parent.ask_nowait.speak("ask", 1, "die", "trap")
            try:
                assert (await answer)[0] == "trap"
            except TaskFailed as failed:
                assert failed.error_type == "stopped"
            await settle()
            assert (await parent.items(), parent.statistics().restarts) == (["parent"], 1)
    play.assert_nothing_is_left()


async def test_siblings_that_escalate_at_once(stage, guests: Guests) -> None:
    """Two children that fail in the same moment are one failure: those of a sandbox that is gone are no news."""
    settings = {"Child": 'on_failure="escalate"', "Notes": 'max_restarts=1, restart_window="1h"'}
    play = stage(child_of(guests), settings)
    async with play.runtime as runtime:
        parent, _ = await family(play)
        assert await parent.begin("Child") == 2
        for child in runtime.actors()[1:]:
            child.tell.die("trap")
        await settle()
        assert (await parent.items(), parent.statistics().restarts) == (["parent"], 1)
        assert runtime.actors() == [parent]
    play.assert_nothing_is_left()


async def start_and(guest: FakeGuest) -> object:
    """A one-shot task that starts an actor, sends it its arguments, and waits."""
    ref = await guest.host_call("spawn", {"actor": "Child", "args": [], "kwargs": {}})
    method, *args = guest.args
    await guest.host_call("tell", {"ref": ref, "method": method, "args": args, "kwargs": {}})
    if method != "add":
        await guest.hang()
    return await guest.host_call("ask", {"ref": ref, "method": "items", "args": [], "kwargs": {}})


async def test_actors_of_a_task_end_with_it(stage, guests: Guests) -> None:
    """What a task started is gone when its value is there."""
    play = stage({**child_of(guests), "start_and": start_and})
    async with play.runtime as runtime:
        assert await runtime.run(play["start_and"], "add", "a") == ["a"]
        assert runtime.actors() == []
    assert play.life == [("spawned", "Child"), ("stopped", "Child", "ended")]
    play.assert_nothing_is_left()


async def test_actors_of_a_task_that_is_cancelled(stage, guests: Guests) -> None:
    """Cancelling the task ends them before it returns."""
    play = stage({**child_of(guests), "start_and": start_and})
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        caller = Caller(tasks, runtime.run, play["start_and"], "hold", 1)
        await settle()
        assert len(runtime.actors()) == 1
        caller.scope.cancel()
        await settle()
        assert (caller.is_done, runtime.actors()) == (True, [])
    play.assert_nothing_is_left()


async def test_escalation_to_a_task(stage, guests: Guests) -> None:
    """An actor that escalates to a one-shot task ends it: its failure says who failed and why."""
    play = stage({**child_of(guests), "start_and": start_and}, {"Child": 'on_failure="escalate"'})
    async with play.runtime as runtime:
        with pytest.raises(TaskFailed, match="Child, which it had started, failed: trap: it broke") as caught:
            await runtime.run(play["start_and"], "die", "trap", "it broke")
        assert caught.value.error_type == "stopped"
        outcome = await (await runtime.spawn(play["start_and"], "die", "trap", "it broke")).outcome()
        assert "it broke" in outcome.error.message
    play.assert_nothing_is_left()


async def test_a_task_never_hears_that_who_escalates_has_stopped(stage, guests: Guests) -> None:
    """However fast it asks once more: it has ended by then, also where the end of the actor takes a while."""

    async def ask_again_and_again(guest: FakeGuest) -> object:
        ref = await guest.host_call("spawn", {"actor": "Child", "args": [], "kwargs": {}})
        for method, *args in (("begin", "Child"), ("die", "trap"), ("items",)):
            try:
                await guest.host_call("ask", {"ref": ref, "method": method, "args": args, "kwargs": {}})
            except HostError as error:
                heard.append(error.error_type)
        return heard

    heard: list[str] = []
    scripts = {**child_of(guests), "ask_again_and_again": ask_again_and_again}
    play = stage(scripts, {"Child": 'on_failure="escalate"'})
    async with play.runtime as runtime:
        for _ in range(20):
            outcome = await (await runtime.spawn(play["ask_again_and_again"])).outcome()
            assert outcome.error is not None, heard
            assert "Child, which it had started, failed: trap" in outcome.error.message
    assert "stopped" not in heard
    play.assert_nothing_is_left()


async def test_a_child_that_only_stops(stage, guests: Guests) -> None:
    """A child whose policy is "stop" fails without a word to its parent."""
    play = stage(child_of(guests), {"Child": 'on_failure="stop"'})
    async with play.runtime:
        parent, child = await family(play)
        assert (await parent.speak("ask", 1, "die", "trap"))[0] == "trap"
        assert (await child.wait_stopped()).failed
        assert (await parent.speak("ask", 1, "items"))[0] == "stopped"
        assert parent.statistics().restarts == 0


# Links.


async def chain(play, count: int):
    """Actors, each linked to the next."""
    refs = [await play.runtime.spawn(play["Notes"]) for _ in range(count)]
    for one, other in itertools.pairwise(refs):
        one.link(other)
    return refs


@pytest.mark.parametrize("end", ["kill", "fail"])
@pytest.mark.parametrize("which", [0, 1, 2])
async def test_ends_pass_along_links(stage, guests: Guests, end: str, which: int) -> None:
    """A kill or a failure ends everyone in the chain, in both directions, with the reason."""
    play = stage(guests.scripts, {"Notes": 'on_failure="stop"'})
    async with play.runtime:
        refs = await chain(play, 3)
        if end == "kill":
            refs[which].kill()
        else:
            refs[which].tell.die("trap")
        ends = [await ref.wait_stopped() for ref in refs]
        assert [end.failed for end in ends] == [index != which or end == "fail" for index, end_ in enumerate(ends)]
        for index, each in enumerate(ends):
            assert ("to which it was linked" in each.reason) == (index != which)
    play.assert_nothing_is_left()


async def test_a_normal_end_does_not_pass(stage, guests: Guests) -> None:
    """An actor that stops, or is idle for too long, leaves the others alone; so does one that restarts."""
    play = stage(guests.scripts)
    async with play.runtime:
        first, second, third = await chain(play, 3)
        with pytest.raises(TaskFailed):
            await second.die("trap")
        assert await second.add(1) == 1
        await second.stop()
        await settle()
        assert (first.state, third.state) == ("idle", "idle")
        assert first._capsule_actor.links == set()
    play.assert_nothing_is_left()


async def test_a_cycle(stage, guests: Guests) -> None:
    """Links in a circle, and to itself, end once."""
    play = stage(guests.scripts)
    async with play.runtime:
        refs = await chain(play, 3)
        refs[2].link(refs[0])
        refs[0].link(refs[0])
        refs[1].kill()
        for ref in refs:
            await ref.wait_stopped()
    assert [entry[0] for entry in play.life] == ["spawned"] * 3 + ["stopped"] * 3
    play.assert_nothing_is_left()


async def test_unlinked(stage, guests: Guests) -> None:
    """`unlink` undoes it, and is harmless without a link."""
    play = stage(guests.scripts)
    async with play.runtime:
        first, second = await chain(play, 2)
        second.unlink(first)
        second.unlink(first)
        first.kill()
        await settle()
        assert second.state == "idle"


@pytest.mark.parametrize(("how", "passes"), [("kill", True), ("stop", False)])
async def test_linked_to_one_that_has_ended(stage, guests: Guests, how: str, passes: bool) -> None:
    """A link to one that has ended passes that end at once, if it was not normal."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        ended, living = await runtime.spawn(play["Notes"]), await runtime.spawn(play["Notes"])
        ended.kill() if how == "kill" else await ended.stop()
        await ended.wait_stopped()
        living.link(ended)
        await settle()
        assert living.state == ("stopped" if passes else "idle")
        assert living._capsule_actor.links == set()


async def test_a_link_ends_a_busy_one(stage, guests: Guests) -> None:
    """Its message ends as cancelled, the one behind it is refused."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as tasks:
        first, second = await chain(play, 2)
        working = Caller(tasks, second.hold, 1)
        await settle()
        behind = Caller(tasks, second.add, 2)
        await settle()
        first.kill()
        await settle()
        assert (working.got.error_type, behind.kind) == ("cancelled", "ActorStopped")
    play.assert_nothing_is_left()


async def test_a_ref_of_another_runtime(stage, guests: Guests) -> None:
    """Actors of two runtimes cannot be tied."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, Runtime(engine=FakeEngine(guests.scripts)) as other:
        mine, foreign = await runtime.spawn(play["Notes"]), await other.spawn(play["Notes"])
        with pytest.raises(ForeignRef):
            mine.link(foreign)
        foreign.kill()
        await settle()
        assert mine.state == "idle"


@pytest.mark.parametrize("end", ["kill", "fail"])
async def test_a_block_that_is_linked(stage, guests: Guests, end: str) -> None:
    """A block tied to an actor is cancelled when that fails or is killed, whatever its policy."""
    play = stage(guests.scripts, {"Notes": 'on_failure="stop"'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        with pytest.raises(ActorFailed):
            async with notes.link():
                if end == "kill":
                    notes.kill()
                else:
                    notes.tell.die("trap")
                await anyio.sleep_forever()
    play.assert_nothing_is_left()


async def test_the_end_of_a_linked_block(stage, guests: Guests) -> None:
    """A block that ends leaves the actor alone; one that raises kills it; a normal end of the actor is no matter."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        async with notes.link():
            pass
        assert await notes.add(1) == 1
        with pytest.raises(LookupError):
            async with notes.link():
                raise LookupError
        assert notes.state == "stopped"
        notes = await runtime.spawn(play["Notes"])
        async with notes.link():
            await notes.stop()
            await anyio.lowlevel.checkpoint()


async def test_blocks_in_one_another(stage, guests: Guests) -> None:
    """The block of the actor that failed raises, and what is inside it ends."""
    play = stage(guests.scripts, {"Notes": 'on_failure="escalate"'})
    async with play.runtime as runtime:
        with pytest.raises(ActorFailed, match="outer"):
            async with (
                await runtime.spawn(play["Notes"], name="outer") as outer,
                await runtime.spawn(play["Notes"], name="inner") as inner,
            ):
                outer.tell.die("trap")
                await anyio.sleep_forever()
        assert (outer.state, inner.state) == ("stopped", "stopped")
    play.assert_nothing_is_left()


# Monitors.


async def test_monitors(stage, guests: Guests) -> None:
    """Each hears once how it ended, its function and whoever waits; one that was closed does not."""
    play = stage(guests.scripts, {"Notes": 'on_failure="stop"'})
    heard = []
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        monitor, closed = notes.monitor(heard.append), notes.monitor(heard.append)
        closed.close()
        closed.close()
        waiting = Caller(tasks, monitor.down)
        with anyio.move_on_after(0):
            await notes.monitor().down()
        notes.tell.die("trap")
        await settle()
        assert heard == [waiting.got] == [await notes.wait_stopped()]
        notes.monitor(heard.append)
        assert heard == [waiting.got] * 2, "one that has ended tells at once"
    play.assert_nothing_is_left()


async def test_a_monitor_that_raises(stage, guests: Guests, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and disturbs nobody."""
    play = stage(guests.scripts)

    def fail(end: Stopped) -> None:
        raise LookupError("mine")

    heard = []
    with caplog.at_level(logging.ERROR, "capsule"):
        async with play.runtime as runtime:
            notes = await runtime.spawn(play["Notes"])
            notes.monitor(fail)
            monitor = notes.monitor(lambda end: (heard.append(end), monitor.close()))
            notes.monitor(heard.append)
            notes.kill()
            await notes.wait_stopped()
            await settle()
    assert len(heard) == 2
    assert "LookupError: mine" in caplog.text


async def test_family_fuel(stage, guests: Guests) -> None:
    """Fuel of an actor and of what it starts is one account, for its life: when it is empty the family ends."""
    play = stage(
        {**child_of(guests), "Child.burn": guests.burn},
        {"Notes": "max_restarts=1"},
        policy=Policy(family_compute=1000),
    )
    async with play.runtime:
        parent, child = await family(play)
        await child.burn(600)
        with pytest.raises(TaskFailed) as caught:
            await parent.burn(600)
        assert caught.value.error_type == "fuel_exhausted"
        await parent.wait_stopped()
        assert child.state == "stopped"
    play.assert_nothing_is_left()


async def test_a_child_fails_while_its_parent_begins_anew(stage) -> None:
    """What the constructor of a restart starts, and what fails before it is over, is seen to without a message."""
    made = 0

    async def create(guest: FakeGuest) -> None:
        nonlocal made
        made += 1
        if made == 2:
            await guest.host_call("spawn", {"actor": "Child", "args": [], "kwargs": {}})
            with anyio.fail_after(5):
                while not any(isinstance(event, Stopped) for event in play.events):
                    await anyio.lowlevel.checkpoint()

    async def die(guest: FakeGuest) -> None:
        guest.end("trap")

    play = stage(
        {"Parent.__init__": create, "Parent.die": die, "Child.__init__": die}, {"Child": "on_failure='escalate'"}
    )
    async with play.runtime as runtime:
        parent = await runtime.spawn(play["Parent"])
        with anyio.fail_after(5):
            while parent.state != "idle":  # so that it is the asker who finds the sandbox gone
                await anyio.lowlevel.checkpoint()
        with pytest.raises(TaskFailed):
            await parent.die()
        with anyio.fail_after(5):
            while made < 3:
                await anyio.sleep(0.01)
        assert parent.statistics().restarts == 2
    play.assert_nothing_is_left()
