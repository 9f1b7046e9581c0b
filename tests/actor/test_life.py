"""The life of an actor: its states, the ways it ends, its name, its numbers, and what is told of it."""

from __future__ import annotations

import gc
import itertools

import anyio
import pytest
from msgspec.structs import replace

from actor.guests import Caller, Guests, settle
from capsule import (
    ActorFailed,
    ActorStopped,
    Ended,
    Event,
    HostRequest,
    InvalidPolicy,
    Missed,
    NameTaken,
    Printed,
    Requested,
    Runtime,
    RuntimeClosed,
    Spawned,
    Stopped,
    TaskFailed,
    UnknownMethod,
    UsageError,
)
from capsule._actor import events
from capsule._actor.events import EventStream
from capsule._actor.states import TRANSITIONS, Lifecycle


@pytest.fixture
def guests() -> Guests:
    return Guests()


# States.

ON_THE_WAY_TO = {
    "starting": [],
    "idle": ["idle"],
    "busy": ["busy"],
    "restarting": ["busy", "restarting"],
    "stopping": ["stopping"],
    "stopped": ["stopped"],
}


@pytest.mark.parametrize(("state", "then"), list(itertools.product(TRANSITIONS, TRANSITIONS)))
def test_every_step(state: str, then: str) -> None:
    """A step that stands in the table is made, staying is none, and any other raises and changes nothing.

    While an actor is stopping, what happens inside changes nothing.
    """
    life = Lifecycle()
    for each in ON_THE_WAY_TO[state]:
        life.move(each)
    assert life.state == state
    if then == state or then in TRANSITIONS[state]:
        life.move(then)
        assert life.state == then
    elif state == "stopping":
        life.move(then)
        assert life.state == "stopping"
    else:
        with pytest.raises(RuntimeError, match=f"from '{state}' to '{then}'"):
            life.move(then)
        assert life.state == state


def test_the_table() -> None:
    """Every state can be reached, only "stopped" is the end, and nothing leads back to the start."""
    assert TRANSITIONS["stopped"] == frozenset()
    assert all("stopped" in steps for state, steps in TRANSITIONS.items() if state != "stopped")
    reached = set().union(*TRANSITIONS.values())
    assert reached == set(TRANSITIONS) - {"starting"}


async def test_states(stage, guests: Guests) -> None:
    """What `state` says on the way through a life with a restart in it."""
    play = stage(guests.scripts, max_sandboxes=1)
    states = []
    async with play.runtime as runtime:
        other = await runtime.spawn(play["Notes"])
        await other.result()
        notes = await runtime.spawn(play["Notes"])
        await settle()
        states.append(notes.state)
        other.kill()
        await notes.result()
        await settle()
        states.append(notes.state)
        notes.tell.hold(1)
        await settle()
        states.append(notes.state)
        third = await runtime.spawn(play["Notes"])
        notes.tell.die("trap")
        guests.gate(1).set()
        await settle()
        states.append(notes.state)
        await third.result()
        third.kill()
        await settle()
        states.append(notes.state)
        notes.tell.hold(2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(notes.stop)
            await settle()
            states.append(notes.state)
            guests.gate(2).set()
        states.append(notes.state)
    assert states == ["starting", "idle", "busy", "restarting", "idle", "stopping", "stopped"]
    play.assert_nothing_is_left()


# Stopping.


async def test_stop_drains(stage, guests: Guests) -> None:
    """What is there is handled, nothing more comes in, and the sandbox is gone when `stop` returns."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        notes.tell.hold(1)
        notes.tell.add(2)
        await settle()
        stopping = Caller(tasks, notes.stop)
        await settle()
        assert (stopping.is_done, notes.state) == (False, "stopping")
        with pytest.raises(ActorStopped, match="it was stopped"):
            await notes.add(3)
        guests.gate(1).set()
        end = await notes.wait_stopped()
        assert (end.reason, end.failed, notes.state) == ("it was stopped", False, "stopped")
        assert all(sandbox.is_closed for sandbox in play.engine.sandboxes)
        await settle()
        assert stopping.is_done
    assert guests.seen == [1, 2]
    play.assert_nothing_is_left()


async def test_stop_drains_those_who_waited_for_room_not(stage, guests: Guests) -> None:
    """Whoever still waits for room when the actor is stopped is refused."""
    play = stage(guests.scripts, {"Notes": "max_mailbox=1"})
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        await notes.result()
        notes.tell.hold(1)
        await settle()
        second = Caller(tasks, notes.add, 2)
        await settle()
        third = Caller(tasks, notes.add, 3)
        await settle()
        stopping = Caller(tasks, notes.stop)
        await settle()
        assert (third.kind, second.is_done) == ("ActorStopped", False)
        guests.gate(1).set()
        await settle()
        assert (second.got, stopping.is_done) == (2, True)
    play.assert_nothing_is_left()


async def test_stop_kills_after_its_grace(stage, guests: Guests) -> None:
    """What does not end within the grace is killed; what waited behind it is refused."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        notes.tell.hold(1)
        behind = notes.ask_nowait.add(2)
        await settle()
        await notes.stop(grace=0.05)
        assert notes.state == "stopped"
        with pytest.raises(ActorStopped, match="within its grace"):
            await behind
    assert play.answers == [None, "cancelled", "stopped"]
    play.assert_nothing_is_left()


async def test_stop_without_grace(stage, guests: Guests) -> None:
    """`grace=0` ends it at once, an idle one as normally as it can."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        busy, idle = await runtime.spawn(play["Notes"]), await runtime.spawn(play["Notes"])
        busy.tell.hold(1)
        await settle()
        await busy.stop(grace=0)
        await idle.stop(grace=0)
        assert (busy.state, idle.state) == ("stopped", "stopped")
        assert not (await busy.wait_stopped()).failed
    play.assert_nothing_is_left()


async def test_stop_twice(stage, guests: Guests) -> None:
    """Stopping is harmless when repeated, at once and afterwards; the first reason holds."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        notes.tell.hold(1)
        await settle()
        stops = [Caller(tasks, notes.stop) for _ in range(2)]
        await settle()
        guests.gate(1).set()
        await settle()
        assert [stop.is_done for stop in stops] == [True, True]
        await notes.stop()
        notes.kill()
        assert (await notes.wait_stopped()).reason == "it was stopped"
    assert play.life == [("spawned", "Notes"), ("stopped", "Notes", "ended")]


async def test_a_second_stop_may_be_less_patient(stage, guests: Guests) -> None:
    """A stop with less grace ends what another stop still waits for."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        notes.tell.hold(1)
        await settle()
        patient = Caller(tasks, lambda: notes.stop(grace=None))
        await settle()
        await notes.stop(grace=0)
        await settle()
        assert patient.is_done
    play.assert_nothing_is_left()


async def test_stop_while_starting(stage, guests: Guests) -> None:
    """An actor that waits for its place does what it was sent, and ends."""
    play = stage(guests.scripts, max_sandboxes=1)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        first = await runtime.spawn(play["Notes"])
        await first.result()
        notes = await runtime.spawn(play["Notes"])
        notes.tell.add(1)
        await settle()
        stopping = Caller(tasks, notes.stop)
        await settle()
        assert notes.state == "stopping"
        first.kill()
        await settle()
        assert stopping.is_done
    assert guests.seen == [1]
    play.assert_nothing_is_left()


async def test_stop_in_the_moment_of_the_spawn(stage, guests: Guests) -> None:
    """One that never began does what it was sent all the same."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        await notes.stop()
        assert (await notes.outcome()).success
        idle = await runtime.spawn(play["work"], name="spawned to wait")
        await idle.stop()
    play.assert_nothing_is_left()


async def test_a_cancelled_stop_kills(stage, guests: Guests) -> None:
    """Giving up the wait for a stop is no way to keep the actor."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        notes.tell.hold(1)
        await settle()
        with anyio.move_on_after(0.02):
            await notes.stop(grace=None)
        assert (await notes.wait_stopped()).reason == "it was stopped, and whoever stopped it was cancelled"
    assert play.answers == [None, "cancelled"]


async def test_a_block_is_left_where_it_was_entered(stage, guests: Guests) -> None:
    """Another task cannot leave it, hears so, and changes nothing."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        async with await runtime.spawn(play["Notes"]) as notes:
            caller = Caller(tasks, notes.__aexit__, None, None, None)
            await settle()
            assert (caller.kind, await notes.add(1)) == ("UsageError", 1)
        assert notes.state == "stopped"
    play.assert_nothing_is_left()


@pytest.mark.parametrize("grace", ["soon", -1, float("nan"), "1d"])
async def test_a_grace_that_is_none(stage, guests: Guests, grace: object) -> None:
    """A grace that does not parse is a wrong call, and the actor goes on."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        with pytest.raises(InvalidPolicy, match="grace"):
            await notes.stop(grace=grace)
        assert await notes.add(1) == 1


@pytest.mark.parametrize("stop", ["stop", "kill"])
async def test_the_last_restart(stage, guests: Guests, stop: str) -> None:
    """An actor that restarts is stopped and killed as any other."""
    play = stage(guests.scripts, max_sandboxes=1)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        await notes.result()
        other = await runtime.spawn(play["Notes"])
        notes.tell.die("trap")
        await settle()
        assert (notes.state, other.state) == ("restarting", "idle")
        behind = Caller(tasks, notes.add, 1)
        await settle()
        if stop == "stop":
            stopping = Caller(tasks, notes.stop)
            await settle()
            other.kill()
            await settle()
            assert (behind.got, stopping.is_done) == (1, True)
        else:
            notes.kill()
            await settle()
            assert (behind.kind, notes.state) == ("ActorStopped", "stopped")
    play.assert_nothing_is_left()


# Killing.


@pytest.mark.parametrize("state", ["constructing", "waiting for a place", "idle", "busy", "stopping", "stopped"])
async def test_kill(stage, guests: Guests, state: str) -> None:
    """Wherever it stands, a killed actor ends, once, and its messages have their outcomes."""
    play = stage(guests.scripts, max_sandboxes=1)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        if state == "waiting for a place":
            await (await runtime.spawn(play["Notes"])).result()
        notes = await runtime.spawn(play["Notes"])
        if state == "waiting for a place":
            await settle()
        elif state != "constructing":
            await notes.result()
            await settle()
        if state in {"busy", "stopping"}:
            notes.tell.hold(1)
            await settle()
        if state == "stopping":
            Caller(tasks, lambda: notes.stop(grace=None))
            await settle()
        if state == "stopped":
            await notes.stop()
        before = notes.state
        notes.kill()
        notes.kill()
        end = await notes.wait_stopped()
        states = {"constructing": {"starting", "busy"}, "waiting for a place": {"starting"}}
        assert before in states.get(state, {state})
        assert end.reason == ("it was stopped" if state == "stopped" else "it was killed")
        assert not end.failed
        assert notes.is_done
    play.assert_nothing_is_left()


async def test_wait_stopped(stage, guests: Guests) -> None:
    """Any number may wait, one may give up, and the answer is that of the event."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        waiting = [Caller(tasks, notes.wait_stopped) for _ in range(3)]
        await settle()
        waiting[0].scope.cancel()
        await settle()
        assert notes.state == "idle"
        await notes.stop()
        await settle()
        (event,) = [event for event in play.events if isinstance(event, Stopped)]
        assert [caller.got for caller in waiting] == ["cancelled", event, event]
        assert await notes.wait_stopped() is event


async def test_idle_timeout(stage, guests: Guests) -> None:
    """An actor without a message for that long ends normally; messages keep it alive, work does not count."""
    play = stage(guests.scripts, {"Notes": 'idle_timeout="100ms"'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        notes.tell.hold(1)
        await anyio.sleep(0.2)
        assert notes.state == "busy"
        guests.gate(1).set()
        for number in range(4):
            await anyio.sleep(0.05)
            assert await notes.add(number) == number + 2
        with anyio.fail_after(5):
            end = await notes.wait_stopped()
        assert (end.failed, end.reason) == (False, "it was idle for its idle_timeout")
        with pytest.raises(ActorStopped, match="idle_timeout"):
            await notes.add(9)
    play.assert_nothing_is_left()


async def test_statistics(stage, guests: Guests) -> None:
    """Numbers of messages by their ends, restarts, fuel, memory and times; the last event has them too."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        await notes.burn(500)
        for method, args in (("fail", []), ("die", ["trap"])):
            with pytest.raises(TaskFailed):
                await getattr(notes, method)(*args)
        notes.tell.hold(1)
        await settle()
        withdrawn = Caller(tasks, notes.add, 2)
        await settle()
        before = notes.statistics()
        assert (before.waiting, before.answered, before.failed, before.restarts) == (1, 2, 2, 1)
        withdrawn.scope.cancel()
        guests.gate(1).set()
        await settle()
        await notes.stop()
        after = notes.statistics()
        assert (after.waiting, after.answered, after.failed, after.restarts, after.retries) == (0, 3, 3, 1, 0)
        assert (after.fuel_consumed, after.ram_used) == (500, 1 << 20)
        assert 0 < after.busy_ms < after.age_ms
        assert (await notes.wait_stopped()).statistics.failed == 3
    play.assert_nothing_is_left()


async def test_retries_are_counted(stage, guests: Guests) -> None:
    """Each attempt after the first, of messages and of constructors."""
    play = stage(guests.scripts, {"Notes": "max_retries=2"})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        with pytest.raises(TaskFailed):
            await notes.die("trap")
        assert notes.statistics().retries == 2


# Blocks.


async def test_a_block_stops(stage, guests: Guests) -> None:
    """The end of the block stops the actor: what was sent is handled."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        async with await runtime.spawn(play["Notes"]) as notes:
            notes.tell.add(1)
        assert (notes.state, guests.seen) == ("stopped", [1])
    play.assert_nothing_is_left()


async def test_a_block_that_raises_kills(stage, guests: Guests) -> None:
    """An exception of the block comes out as it is, and the actor is gone by then."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        with pytest.raises(LookupError, match="mine"):
            async with await runtime.spawn(play["Notes"]) as notes:
                notes.tell.hold(1)
                await settle()
                raise LookupError("mine")
        assert notes.state == "stopped"
        assert "raised" in (await notes.wait_stopped()).reason
    play.assert_nothing_is_left()


@pytest.mark.parametrize("at", ["in the block", "at its end"])
async def test_a_cancelled_block_kills(stage, guests: Guests, at: str) -> None:
    """Cancelling the scope around the block ends the sandbox before it is left, and stays a cancellation."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        with anyio.CancelScope() as scope:
            async with await runtime.spawn(play["Notes"]) as notes, anyio.create_task_group() as tasks:
                notes.tell.hold(1)
                await settle()
                if at == "in the block":
                    scope.cancel()
                    await anyio.sleep_forever()
                else:
                    runtime._tasks.start_soon(cancel_soon, scope)
                tasks.cancel_scope.cancel()
        assert scope.cancelled_caught
        assert notes.state == "stopped"
    play.assert_nothing_is_left()


async def cancel_soon(scope: anyio.CancelScope) -> None:
    await anyio.sleep(0.02)
    scope.cancel()


async def test_escalation_cancels_the_block(stage, guests: Guests) -> None:
    """An actor that escalates to the block that owns it: the block is cancelled and raises ActorFailed."""
    play = stage(guests.scripts, {"Notes": 'on_failure="escalate"'})
    reached = []
    async with play.runtime as runtime:
        with pytest.raises(ActorFailed, match="Notes failed: trap: it broke") as caught:
            async with await runtime.spawn(play["Notes"]) as notes:
                notes.tell.die("trap", "it broke")
                await anyio.sleep_forever()
                reached.append("the end")
        assert (reached, notes.state, caught.value.actor_name) == ([], "stopped", "Notes")
        assert await (await runtime.spawn(play["Notes"])).add(1) == 1
    play.assert_nothing_is_left()


async def test_escalation_while_the_block_ends(stage, guests: Guests) -> None:
    """A message handled while the block waits for the stop may fail as well."""
    play = stage(guests.scripts, {"Notes": 'on_failure="escalate"'})
    async with play.runtime as runtime:
        with pytest.raises(ActorFailed):
            async with await runtime.spawn(play["Notes"]) as notes:
                notes.tell.die("trap")
        assert notes.state == "stopped"


async def test_a_block_of_an_actor_that_has_escalated(stage, guests: Guests) -> None:
    """Entering a block with an actor that has failed for good raises at its first wait."""
    play = stage(guests.scripts, {"Notes": 'on_failure="escalate"'})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        notes.tell.die("trap")
        await notes.wait_stopped()
        with pytest.raises(ActorFailed):
            async with notes:
                await anyio.sleep_forever()


async def test_a_failure_that_does_not_escalate(stage, guests: Guests) -> None:
    """An actor whose policy says "stop" ends without a word to the block, which goes on."""
    play = stage(guests.scripts, {"Notes": 'on_failure="stop"'})
    async with play.runtime as runtime:
        async with await runtime.spawn(play["Notes"]) as notes:
            with pytest.raises(TaskFailed):
                await notes.die("trap")
            assert (await notes.wait_stopped()).failed
        assert notes.state == "stopped"


async def test_blocks_leave_no_trace(stage, guests: Guests) -> None:
    """An actor that is watched over and over does not remember those who are gone."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        for _ in range(3):
            async with notes.link():
                pass
            notes.monitor(print).close()
        assert notes._capsule_actor.watchers == ()


# The runtime's end.


async def test_leaving_the_runtime(stage, guests: Guests) -> None:
    """Every actor ends; waiting messages are refused with the reason, and refs stay harmless."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        idle, busy = await runtime.spawn(play["Notes"]), await runtime.spawn(play["Notes"])
        busy.tell.hold(1)
        behind = busy.ask_nowait.add(2)
        await settle()
    assert (idle.state, busy.state) == ("stopped", "stopped")
    with pytest.raises(ActorStopped, match="the runtime was left"):
        await behind
    with pytest.raises(ActorStopped, match="the runtime was left"):
        await idle.add(1)
    await idle.stop()
    idle.kill()
    assert not (await busy.wait_stopped()).failed
    play.assert_nothing_is_left()


async def test_after_the_end(stage, guests: Guests) -> None:
    """Outside its block a runtime starts nothing."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        pass
    for use in (
        lambda: runtime.spawn(play["Notes"]),
        lambda: runtime.run(play["work"]),
        lambda: runtime.eval("1"),
    ):
        with pytest.raises(RuntimeClosed):
            await use()
    for use in (runtime.actors, runtime.events, runtime.session, lambda: runtime.find("ada")):
        with pytest.raises(RuntimeClosed):
            use()


# Names.


async def test_names(stage, guests: Guests) -> None:
    """A name finds its actor and is taken until that has stopped; a ref shows it."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        ada = await runtime.spawn(play["Notes"], name="ada")
        assert (ada.name, runtime.find("ada"), runtime.find("bob")) == ("ada", ada, None)
        with pytest.raises(NameTaken, match="'ada'") as caught:
            await runtime.spawn(play["Notes"], name="ada")
        assert caught.value.actor_name == "ada"
        ada.tell.hold(1)
        await settle()
        stopping = Caller(tasks, ada.stop)
        await settle()
        with pytest.raises(NameTaken):
            await runtime.spawn(play["Notes"], name="ada")
        guests.gate(1).set()
        await settle()
        assert (stopping.is_done, runtime.find("ada")) == (True, None)
        again = await runtime.spawn(play["Notes"], name="ada")
        assert runtime.find("ada") is again
    assert [event.name for event in play.events if isinstance(event, Spawned)] == ["ada", "ada"]
    play.assert_nothing_is_left()


async def test_a_name_that_is_taken_costs_nothing(stage, guests: Guests) -> None:
    """The refused spawn starts nothing and counts nowhere."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        await runtime.spawn(play["Notes"], name="ada")
        for _ in range(3):
            with pytest.raises(NameTaken):
                await runtime.spawn(play["Notes"], name="ada")
        await settle()
        assert (len(runtime.actors()), len(play.engine.sandboxes), guests.made) == (1, 1, 1)


async def test_actors(stage, guests: Guests) -> None:
    """The living ones, oldest first, as the refs that were handed out; numbers are never used again."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        refs = [await runtime.spawn(play["Notes"]) for _ in range(3)]
        assert runtime.actors() == refs
        assert [ref.number for ref in refs] == [1, 2, 3]
        await refs[1].stop()
        refs += [await runtime.spawn(play["work"])]
        assert [ref.number for ref in runtime.actors()] == [1, 3, 4]
        assert runtime.actors()[0] is refs[0]


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda ref: ref.no_such(1), UnknownMethod),
        (lambda ref: ref.tell.no_such(1), UnknownMethod),
        (lambda ref: ref.add(object()), UsageError),
        (lambda ref: ref(1), UnknownMethod),
        (lambda ref: ref.tell(1), UnknownMethod),
        (lambda ref: ref._private, AttributeError),
        (lambda ref: ref.tell._private, AttributeError),
    ],
)
async def test_a_wrong_call(stage, guests: Guests, use, error: type[Exception]) -> None:
    """Each is its own error, where it stands, and the actor does not notice."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        with pytest.raises(error):
            await use(notes)
        assert await notes.add(1) == 1


# Events.


async def test_the_stream_of_events(stage, guests: Guests) -> None:
    """A stream hears what `on_event` hears from its start, and ends with the runtime."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        await (await runtime.spawn(play["Notes"])).stop()
        before = len(play.events)
        stream = runtime.events()
        notes = await runtime.spawn(play["Notes"])
        with pytest.raises(TaskFailed):
            await notes.die("trap")
        await settle()
    assert [event async for event in stream] == play.events[before:]
    kinds = [type(event).__name__ for event in play.events[before:]]
    assert kinds == ["Spawned", "Started", "Ended", "Started", "Ended", "Restarted", "Started", "Ended", "Stopped"]


async def test_a_reader_that_waits(stage, guests: Guests) -> None:
    """A reader is woken by what happens, each of several readers, and by the end."""
    play = stage(guests.scripts)
    got = {"a": [], "b": []}
    async with anyio.create_task_group() as tasks, play.runtime as runtime:

        async def read(name: str) -> None:
            async with runtime.events() as stream:
                async for event in stream:
                    got[name].append(event)

        tasks.start_soon(read, "a")
        tasks.start_soon(read, "b")
        await settle()
        await (await runtime.spawn(play["Notes"])).stop()
        await settle()
        assert got["a"] == got["b"] == play.events != []


async def test_two_readers_of_one_stream(stage, guests: Guests) -> None:
    """They share what comes, and both hear of the end."""
    play = stage(guests.scripts)
    got = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, play.runtime as runtime:
            stream = runtime.events()

            async def read() -> None:
                got.extend([event async for event in stream])

            tasks.start_soon(read)
            tasks.start_soon(read)
            await settle()
            await (await runtime.spawn(play["Notes"])).stop()
    assert sorted(map(repr, got)) == sorted(map(repr, play.events))


def told(event: Event) -> Event:
    """An event as a stream tells it: what ended without its result and output."""
    if not isinstance(event, Ended):
        return event
    return replace(event, outcome=replace(event.outcome, result=None, stdout="", stderr=""))


async def test_a_reader_that_is_too_slow(stage, guests: Guests) -> None:
    """The oldest events are dropped, and one Missed says how many; nothing waits for a reader."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        stream = runtime.events(size=3)
        notes = await runtime.spawn(play["Notes"])
        for number in range(5):
            await notes.add(number)
        await settle()
        got = [await anext(stream) for _ in range(4)]
        assert got == [Missed(count=len(play.events) - 3), *map(told, play.events[-3:])]
        await notes.add(5)
        assert [await anext(stream), await anext(stream)] == [*map(told, play.events[-2:])]
        stream.close()
        await notes.add(6)
        assert [event async for event in stream] == []
        with pytest.raises(UsageError, match="size"):
            runtime.events(size=0)


async def test_long_texts_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was printed and URLs are bounded in characters, too: both are a guest's to choose."""
    monkeypatch.setattr(events, "MOST_TEXT", 100)
    stream = EventStream(size=1000)
    request = HostRequest(method="GET", url="u" * 30, status=200, bytes=0, duration_ms=0.0)
    for number in range(5):
        stream.put(Printed(number=number, task_name="work", stream="stdout", text="x" * 30))
        stream.put(Requested(number=number, task_name="work", request=request))
    stream.close()
    missed, *rest = [event async for event in stream]
    assert missed == Missed(count=7)
    assert [type(event) for event in rest] == [Requested, Printed, Requested]


# Actors of tasks.


async def test_a_task_spawned_without_arguments(write, stage, guests: Guests) -> None:
    """A task that needs arguments waits for messages when it is spawned without; there is no outcome to wait for."""
    play = stage(guests.scripts)
    write("tasks.py", "from capsule import task\n@task\ndef work(method, *args):\n    pass\n")
    async with play.runtime as runtime:
        ref = await runtime.spawn(play["work"])
        await settle()
        assert (ref.state, ref.is_done, play.engine.sandboxes) == ("idle", False, [])
        for wait in (ref.outcome, ref.result):
            with pytest.raises(UsageError, match="waits for messages"):
                await wait()
        assert await ref("add", 1) == 1
        assert await ref("add", 2) == 2
    assert len(play.engine.sandboxes) == 1


async def test_spent_tasks_give_up_their_places(stage, guests: Guests) -> None:
    """A task's actor that has answered and was asked nothing else goes when others wait, the oldest first."""
    play = stage(guests.scripts, max_sandboxes=2)
    with anyio.fail_after(5):
        async with play.runtime as runtime:
            refs = []
            for number in range(5):
                refs.append(await runtime.spawn(play["work"], "add", number))
                await settle()
            assert [ref.state for ref in refs] == ["stopped"] * 3 + ["idle"] * 2
            assert [await ref.result() for ref in refs] == [1] * 5
            with pytest.raises(ActorStopped, match="others waited for its place"):
                await refs[0]("add", 1)
            assert await refs[4]("add", 1) == 2
    play.assert_nothing_is_left()


async def test_those_who_waited_before_it_was_spent(stage, guests: Guests) -> None:
    """A place that somebody waits for already is given up by whoever is spent next."""
    play = stage(guests.scripts, max_sandboxes=1)
    with anyio.fail_after(5):
        async with play.runtime as runtime:
            first = await runtime.spawn(play["work"], "hold", 1)
            await settle()
            others = [await runtime.spawn(play["work"], "add", number) for number in range(3)]
            await settle()
            guests.gate(1).set()
            assert [await ref.result() for ref in [first, *others]] == [1] * 4
    play.assert_nothing_is_left()


async def test_who_is_not_spent(stage, guests: Guests) -> None:
    """A class, a named one, one that was asked more, and one that waits for its first message keep their places."""
    play = stage(guests.scripts, max_sandboxes=3)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        named = await runtime.spawn(play["work"], "add", 1, name="ada")
        asked = await runtime.spawn(play["work"], "add", 1)
        await asked("add", 2)
        await named.result()
        await settle()
        late = await runtime.spawn(play["work"], "add", 1)
        await settle()
        assert [ref.state for ref in (notes, named, asked, late)] == ["idle", "idle", "idle", "starting"]
        asked.kill()
        assert await late.result() == 1


async def test_dropped(stage, guests: Guests) -> None:
    """A spent actor whose ref nobody holds goes with one of the next spawns; one whose ref is held stays."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        held = await runtime.spawn(play["work"], "add", 1)
        for number in range(20):
            await (await runtime.spawn(play["work"], "add", number)).result()
            await settle()
        gc.collect()
        for _ in range(20):
            await (await runtime.spawn(play["Notes"])).stop()
        assert runtime.actors() == [held]
        assert await held("add", 2) == 2
    play.assert_nothing_is_left()


async def test_a_ref_that_a_guest_holds(stage, guests: Guests) -> None:
    """A ref that was handed to a sandbox is held there: its actor stays for it."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        helper = await runtime.spawn(play["work"], "add", 1)
        await helper.result()
        await settle()
        notes = await runtime.spawn(play["Notes"], helper)
        ref = (await notes.items())[0]
        assert ref is helper
        del ref, helper
        gc.collect()
        for _ in range(10):
            await (await runtime.spawn(play["Notes"])).stop()
        assert await notes.speak("ask", 1, None, "add", 2) == 2


async def test_a_runtime_of_one_place(stage, guests: Guests) -> None:
    """Hundreds of spawned tasks go through one place, in order."""
    play = stage(guests.scripts, max_sandboxes=1)
    with anyio.fail_after(20):
        async with play.runtime as runtime:
            refs = [await runtime.spawn(play["work"], "add", number) for number in range(100)]
            for ref in refs:
                assert await ref.result() == 1
    assert sorted(guests.seen) == list(range(100))
    assert isinstance(runtime, Runtime)
    play.assert_nothing_is_left()


async def test_two_tasks_own_one_actor(stage) -> None:
    """Two blocks of two tasks on one ref: each leaves its own scope, in whatever order they end."""

    async def quick(guest) -> str:
        return "quick"

    play = stage({"quick": quick})
    async with play.runtime as runtime:
        ref = await runtime.spawn(play["quick"])
        entered = [anyio.Event(), anyio.Event()]

        async def own(number: int) -> None:
            async with ref:
                entered[number].set()
                await entered[1 - number].wait()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(own, 0)
            tasks.start_soon(own, 1)
        assert ref.state == "stopped"
