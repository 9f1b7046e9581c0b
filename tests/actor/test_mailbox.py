"""A mailbox: order, room, and one outcome for each message, whoever gives up and whenever."""

from __future__ import annotations

import gc
import warnings

import anyio
import pytest

from actor.guests import Caller, Guests, settle
from capsule import ActorStopped, Ended, MailboxFull, Started, TaskFailed
from capsule._actor.letter import Letter
from capsule._actor.mailbox import Mailbox


@pytest.fixture
def guests() -> Guests:
    return Guests()


async def busy(play, guests: Guests, **options):
    """An actor that is held at work on "first"."""
    notes = await play.runtime.spawn(play["Notes"], **options)
    await notes.result()
    notes.tell.hold("first")
    await settle()
    assert (guests.seen[-1], notes.state) == ("first", "busy")
    return notes


async def test_in_order(stage, guests: Guests) -> None:
    """Messages are handled one at a time in the order in which they were sent, tells and asks alike."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        for number in range(3):
            notes.tell.add(f"tell {number}")
            Caller(tasks, notes.add, f"ask {number}")
            await settle()
        notes.tell_nowait.add("now")
        guests.gate("first").set()
    assert guests.seen == ["first", "tell 0", "ask 0", "tell 1", "ask 1", "tell 2", "ask 2", "now"]
    play.assert_nothing_is_left()


async def test_in_order_with_little_room(stage, guests: Guests) -> None:
    """Those who wait for room are served in the order in which they came; nobody overtakes them."""
    play = stage(guests.scripts, {"Notes": "max_mailbox=1"})
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        callers = []
        for number in range(5):
            callers.append(Caller(tasks, notes.add, number))
            await settle()
        with pytest.raises(MailboxFull):
            notes.tell_nowait.add("too early")
        assert notes.statistics().waiting == 5
        guests.gate("first").set()
        await settle()
        assert [caller.got for caller in callers] == [2, 3, 4, 5, 6]
    assert guests.seen == ["first", 0, 1, 2, 3, 4]
    play.assert_nothing_is_left()


async def test_the_constructor_takes_nobodys_room(stage, guests: Guests) -> None:
    """What an actor is spawned with is not in its mailbox, and comes first all the same."""
    play = stage(guests.scripts, {"Notes": "max_mailbox=1"})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"], "ada")
        notes.tell_nowait.add(1)
        with pytest.raises(MailboxFull):
            notes.tell_nowait.add(2)
        await settle()
        assert await notes.items() == ["ada", 1]


async def test_one_at_a_time(stage, guests: Guests) -> None:
    """The next message waits for the end of the one before it."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        second = Caller(tasks, notes.hold, "second")
        await settle()
        assert guests.seen == ["first"]
        guests.gate("first").set()
        await settle()
        assert (guests.seen, second.is_done) == (["first", "second"], False)
        guests.gate("second").set()
    assert second.got == 2


async def test_ask_waits_for_room(stage, guests: Guests) -> None:
    """An ask and an awaited tell wait; the tell goes on once it is in, and not when it is answered."""
    play = stage(guests.scripts, {"Notes": "max_mailbox=1"})
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        notes.tell.hold("second")

        async def tell() -> str:
            await notes.tell.add("third")
            return "told"

        told = Caller(tasks, tell)
        await settle()
        asked = Caller(tasks, notes.add, "fourth")
        await settle()
        assert not told.is_done
        guests.gate("first").set()
        await settle()
        assert (told.got, asked.is_done, guests.seen) == ("told", False, ["first", "second"])
        guests.gate("second").set()
        await settle()
        assert asked.got == 4
    play.assert_nothing_is_left()


async def test_no_room(stage, guests: Guests) -> None:
    """The nowait forms raise where they stand, with how many wait, and send nothing."""
    play = stage(guests.scripts, {"Notes": "max_mailbox=2"})
    async with play.runtime:
        notes = await busy(play, guests, name="ada")
        notes.tell_nowait.add(1)
        answer = notes.ask_nowait.add(2)
        for send in (notes.tell_nowait.add, notes.ask_nowait.add):
            with pytest.raises(MailboxFull, match="ada: 2 messages wait") as caught:
                send(3)
            assert (caught.value.actor_name, caught.value.size) == ("ada", 2)
        guests.gate("first").set()
        assert await answer == 3
    assert guests.seen == ["first", 1, 2]
    play.assert_nothing_is_left()


async def test_ask_nowait_is_answered_more_than_once(stage, guests: Guests) -> None:
    """The answer of a message that was sent can be awaited again."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        answer = notes.ask_nowait.add(1)
        assert [await answer, await answer] == [1, 1]


async def test_the_same_for_a_task(stage, guests: Guests) -> None:
    """An actor of a task takes messages too, in the sandbox in which its first call ran."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        ref = await runtime.spawn(play["work"], "add", 1)
        ref.tell("add", 2)
        ref.tell_nowait("add", 3)
        assert await ref.ask_nowait("add", 4) == 4
        assert await ref("items") == [1, 2, 3, 4]
        assert await ref.result() == 1
    assert len(play.engine.sandboxes) == 1


async def test_a_tell_that_was_not_awaited(stage, guests: Guests) -> None:
    """A tell to a full mailbox that nobody awaits is lost, and a warning says so; with room there is none."""
    play = stage(guests.scripts, {"Notes": "max_mailbox=1"})
    async with play.runtime:
        notes = await busy(play, guests)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            notes.tell.add("in")
            gc.collect()
            assert caught == []
            notes.tell.add("lost")
            gc.collect()
        assert [warning.category for warning in caught] == [RuntimeWarning]
        assert "the mailbox of Notes was full" in str(caught[0].message)
        guests.gate("first").set()
    assert "lost" not in guests.seen
    play.assert_nothing_is_left()


async def test_a_tell_to_an_actor_that_has_stopped(stage, guests: Guests) -> None:
    """Every way of sending raises the same, and an answer that was on its way does too."""
    play = stage(guests.scripts)
    async with play.runtime:
        notes = await busy(play, guests)
        answer = notes.ask_nowait.add(1)
        notes.kill()
        for send in (notes.tell, notes.tell_nowait, notes.ask_nowait):
            with pytest.raises(ActorStopped, match="Notes has stopped: it was killed"):
                send.add(2)
        with pytest.raises(ActorStopped, match="it was killed"):
            await notes.add(2)
        with pytest.raises(ActorStopped, match="it was killed") as caught:
            await answer
        assert (caught.value.actor_name, caught.value.reason) == ("Notes", "it was killed")
    play.assert_nothing_is_left()


# Giving up.


async def test_withdrawn_while_it_waits(stage, guests: Guests) -> None:
    """A message that was not begun is taken out; it never runs, and those before and behind it do."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        callers = []
        for number in range(3):
            callers.append(Caller(tasks, notes.add, number))
            await settle()
        callers[1].scope.cancel()
        await settle()
        assert (callers[1].is_done, notes.statistics().waiting, notes.state) == (True, 2, "busy")
        guests.gate("first").set()
        await settle()
        assert [caller.got for caller in callers] == [2, "cancelled", 3]
        assert notes.statistics().failed == 1
    assert (guests.seen, guests.made) == (["first", 0, 2], 1)
    assert play.answers == [None, "cancelled", 1, 2, 3]
    play.assert_nothing_is_left()


async def test_withdrawn_at_work(stage, guests: Guests) -> None:
    """A cancelled ask ends the sandbox before it returns; the constructor runs again, and those behind it are served."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"], "ada")
        assert await notes.add("kept") == 2
        first = Caller(tasks, notes.hold, "first")
        await settle()
        second = Caller(tasks, notes.items)
        await settle()
        sandbox = play.engine.sandboxes[-1]
        assert not sandbox.is_closed

        closed_by_then = []

        async def cancel() -> None:
            first.scope.cancel()
            while not first.is_done:
                await anyio.lowlevel.checkpoint()
            closed_by_then.append(sandbox.is_closed)

        await cancel()
        await settle()
        assert (first.got, second.got) == ("cancelled", ["ada"]), "fresh state"
        assert (closed_by_then, guests.made, notes.statistics().restarts) == ([True], 2, 1)
    assert play.life == [("spawned", "Notes"), ("restarted", "Notes", "cancelled", 1), ("stopped", "Notes", "ended")]
    play.assert_nothing_is_left()


async def test_withdrawn_from_a_task_at_work(stage, guests: Guests) -> None:
    """The same for an actor of a task: the next message has a fresh sandbox."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        ref = await runtime.spawn(play["work"], "add", 1)
        first = Caller(tasks, ref, "hold", 2)
        await settle()
        second = Caller(tasks, ref, "items")
        await settle()
        first.scope.cancel()
        await settle()
        assert (first.got, second.got) == ("cancelled", [])
    play.assert_nothing_is_left()


async def test_withdrawn_again_and_again(stage, guests: Guests) -> None:
    """Callers that give up are no fault of the actor's: no number of them ends it."""
    play = stage(guests.scripts, {"Notes": 'max_restarts=1, on_failure="restart"'})
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        for number in range(5):
            caller = Caller(tasks, notes.hold, number)
            await settle()
            caller.scope.cancel()
            await settle()
        assert (await notes.add(1), notes.statistics().restarts, guests.made) == (1, 5, 6)
    play.assert_nothing_is_left()


@pytest.mark.parametrize("policy", ["stop", "escalate"])
async def test_withdrawn_is_no_failure(stage, guests: Guests, policy: str) -> None:
    """Whatever the policy says of failures, an actor whose caller gave up goes on."""
    play = stage(guests.scripts, {"Notes": f'on_failure="{policy}"'})
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        notes = await runtime.spawn(play["Notes"])
        caller = Caller(tasks, notes.hold, 1)
        await settle()
        caller.scope.cancel()
        await settle()
        assert await notes.add(2) == 1
    play.assert_nothing_is_left()


async def test_withdrawn_while_it_waits_for_room(stage, guests: Guests) -> None:
    """A message that was not in yet leaves nothing behind; whoever stood behind it moves up."""
    play = stage(guests.scripts, {"Notes": "max_mailbox=1"})
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        callers = []
        for number in range(4):
            callers.append(Caller(tasks, notes.add, number))
            await settle()
        callers[2].scope.cancel()
        callers[0].scope.cancel()
        await settle()
        assert notes.statistics().waiting == 2
        guests.gate("first").set()
        await settle()
        assert [caller.got for caller in callers] == ["cancelled", 2, "cancelled", 3]
    assert guests.seen == ["first", 1, 3]
    play.assert_nothing_is_left()


async def test_withdrawn_in_the_moment_of_getting_room(stage, guests: Guests) -> None:
    """Room that was given to a caller which is cancelled in that moment goes to the next."""
    play = stage(guests.scripts, {"Notes": "max_mailbox=1"})
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        callers = []
        for number in range(3):
            callers.append(Caller(tasks, notes.add, number))
            await settle()
        callers[0].scope.cancel()
        callers[1].scope.cancel()
        await settle()
        guests.gate("first").set()
        await settle()
        assert [caller.got for caller in callers] == ["cancelled", "cancelled", 2]
    play.assert_nothing_is_left()


async def test_withdrawn_nowait(stage, guests: Guests) -> None:
    """Whoever waits for the answer of `ask_nowait` withdraws it by giving up."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        answer = notes.ask_nowait.add(1)

        async def wait() -> object:
            return await answer

        caller = Caller(tasks, wait)
        await settle()
        caller.scope.cancel()
        await settle()
        guests.gate("first").set()
        assert await notes.add(2) == 2
        with pytest.raises(TaskFailed) as caught:
            await answer
        assert caught.value.error_type == "cancelled"
    play.assert_nothing_is_left()


async def test_cancelled_before_it_was_sent(stage, guests: Guests) -> None:
    """An ask in a cancelled scope never runs, and has an end."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        with anyio.CancelScope() as scope:
            scope.cancel()
            await notes.add("never")
        assert scope.cancelled_caught
        assert await notes.add("second") == 1
    assert guests.seen == ["second"]
    play.assert_nothing_is_left()


async def test_withdrawn_before_the_actor_has_a_place(stage, guests: Guests) -> None:
    """A message to an actor that waits for its place is withdrawn without a sandbox."""
    play = stage(guests.scripts, max_sandboxes=1)
    async with play.runtime, anyio.create_task_group() as tasks:
        first = await busy(play, guests)
        second = await play.runtime.spawn(play["Notes"])
        caller = Caller(tasks, second.add, 1)
        await settle()
        caller.scope.cancel()
        await settle()
        assert (second.state, caller.got, len(play.engine.sandboxes)) == ("starting", "cancelled", 1)
        first.kill()
        assert await second.add(2) == 1
    play.assert_nothing_is_left()


# Exactly one outcome.


async def test_events_of_messages(stage, guests: Guests) -> None:
    """What was begun has a start and an end; what was not has an end alone, and both name the method."""
    play = stage(guests.scripts, {"Notes": "max_mailbox=2"})
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        asked = Caller(tasks, notes.add, 1)
        await settle()
        notes.tell.add(2)
        waiting = Caller(tasks, notes.add, 3)
        await settle()
        notes.kill()
        await settle()
        assert (asked.kind, waiting.kind) == ("ActorStopped", "ActorStopped")
    assert play.history == [
        ("started", "Notes"),
        ("ended", "Notes", None),
        ("started", "Notes.hold"),
        ("ended", "Notes.hold", "cancelled"),
        ("ended", "Notes.add", "stopped"),
        ("ended", "Notes.add", "stopped"),
    ]
    started = {event.number: event for event in play.events if isinstance(event, Started)}
    assert [event.actor for event in started.values()] == [notes.number] * 2
    ended = [event.number for event in play.events if isinstance(event, Ended)]
    assert len(set(ended)) == 4
    play.assert_nothing_is_left()


async def test_killed_between_two_messages(stage, guests: Guests) -> None:
    """A message that waited when the actor was killed was not begun: it is refused."""
    play = stage(guests.scripts)
    notes = None

    def listen(event) -> None:
        play.events.append(event)
        if isinstance(event, Ended) and event.task_name == "Notes.hold":
            notes.kill()

    play.runtime._on_event = listen
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        second = Caller(tasks, notes.add, 2)
        await settle()
        guests.gate("first").set()
        await settle()
        assert second.kind == "ActorStopped"
    assert guests.seen == ["first"]
    play.assert_nothing_is_left()


async def test_a_failure_leaves_those_behind_it(stage, guests: Guests) -> None:
    """Whatever a message does to the sandbox, those behind it get their answers, in order."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as tasks:
        notes = await busy(play, guests)
        for method, args in (("add", [1]), ("fail", []), ("add", [2]), ("die", ["trap", "x"]), ("add", [3])):
            getattr(notes.tell, method)(*args)
        last = Caller(tasks, notes.add, 4)
        guests.gate("first").set()
    assert last.got == 2
    assert guests.seen == ["first", 1, 2, 3, 4]
    assert play.answers == [None, 1, 2, "task_error", 3, "trap", None, 1, 2]
    play.assert_nothing_is_left()


# The text that waits is bounded too.


def letter(size: int) -> Letter:
    made = Letter(None)

    class Call:
        body = "x" * size

    made.call = Call
    return made


def test_bound_by_text() -> None:
    """Letters have room up to a number of characters together; one has room whatever its size."""
    mailbox = Mailbox("Notes", 10, 100, anyio.Event)
    large, small = letter(1000), letter(1)
    mailbox.put_nowait(large)
    assert not mailbox.try_put(small)
    assert mailbox.take() is large
    for size in (60, 40):
        mailbox.put_nowait(letter(size))
    with pytest.raises(MailboxFull):
        mailbox.put_nowait(small)
    mailbox.take()
    mailbox.put_nowait(small)
    assert len(mailbox) == 2


async def test_whoever_gives_up_makes_room() -> None:
    """A large letter in front that gives up lets those go ahead that it held up."""
    mailbox = Mailbox("Notes", 10, 100, anyio.Event)
    mailbox.put_nowait(letter(60))
    async with anyio.create_task_group() as tasks:
        large = Caller(tasks, mailbox.put, letter(60))
        await settle()
        small = Caller(tasks, mailbox.put, letter(40))
        await settle()
        assert len(mailbox) == 3
        large.scope.cancel()
        await settle()
        assert (small.is_done, len(mailbox)) == (True, 2)


def test_text_that_is_withdrawn_makes_room() -> None:
    """A letter that is taken back counts no more."""
    mailbox = Mailbox("Notes", 10, 100, anyio.Event)
    first, second = letter(90), letter(20)
    mailbox.put_nowait(first)
    assert not mailbox.try_put(second)
    assert mailbox.withdraw(first)
    assert not mailbox.withdraw(first)
    assert mailbox.try_put(second)
    assert mailbox.drain() == [second]
    assert mailbox.try_put(letter(100))
