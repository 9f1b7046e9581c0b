"""Refs that travel: between the application and sandboxes, and from one sandbox to another. None can be made up."""

from __future__ import annotations

import json
import logging

import anyio
import pytest

from actor.guests import MARK, Caller, Guests, settle
from capsule import Denied, Ended, ForeignRef, InvalidArguments, Policy, Runtime, Stopped, TaskFailed
from capsule._actor import grants
from capsule.testing import FakeEngine, FakeGuest


@pytest.fixture
def guests() -> Guests:
    return Guests()


def scripts_of(guests: Guests) -> dict[str, object]:
    """Scripts with another class and tasks that start it."""
    names = ("add", "items", "speak", "begin", "hold", "call")
    children = {f"Child.{name}": getattr(guests, name) for name in names}
    return {**guests.scripts, **children, "begin": guests.begin}


NOT_GIVEN = ["denied", "using an actor that this sandbox was not given is not allowed"]


def refused(answer: object) -> bool:
    return isinstance(answer, list) and answer[0] == "denied" and answer[1].startswith(NOT_GIVEN[1])


# As arguments and results.


async def test_arguments_and_results(stage, guests: Guests) -> None:
    """A ref goes in as an argument, wherever it stands, and comes back as the same ref."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        first, second = await runtime.spawn(play["Notes"]), await runtime.spawn(play["Notes"])
        await first.add(second)
        await first.add({"deep": [{"er": second}, first]})
        assert await first.items() == [second, {"deep": [{"er": second}, first]}]
        third = await runtime.spawn(play["Notes"], [first, second, first])
        (found,) = await third.items()
        assert found == [first, second, first]
        assert found[0] is first
        ended = [event.outcome.result for event in play.events if isinstance(event, Ended)]
        assert ended[-1] == [found], "events have them as well"
    sent = play.engine.sandboxes[-1].requests[0]["call"]
    assert sent == [[[{MARK: 1}, {MARK: 2}, {MARK: 1}]], {}], "inside they are numbers of that sandbox's own"


async def test_a_ref_for_a_task(stage, guests: Guests) -> None:
    """A one-shot task can be given a ref and talk to its actor; so can an actor of a task in a later message."""

    async def use(guest: FakeGuest) -> object:
        payload = {"ref": guest.kwargs["notes"], "method": "add", "args": ["x"], "kwargs": {}}
        return await guest.host_call("ask", payload)

    play = stage({**guests.scripts, "use": use})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        assert await runtime.run(play["use"], notes=notes) == 1
        ref = await runtime.spawn(play["use"], notes=notes)
        assert [await ref.result(), await ref(notes=notes)] == [2, 3]
        outcomes = [each.result async for each in runtime.map(play["work"], [["speak"], "items"])]
        assert len(outcomes) == 2
    play.assert_nothing_is_left()


async def test_from_sandbox_to_sandbox(stage, guests: Guests) -> None:
    """A ref that is passed on has a number of each sandbox's own, and both can use it."""
    payload = {"ref": {MARK: 1}, "method": "add", "args": [{MARK: 2}], "kwargs": {}}

    async def introduce(guest: FakeGuest) -> object:
        return await guest.host_call("ask", payload)

    play = stage({**scripts_of(guests), "Notes.introduce": introduce})
    async with play.runtime as runtime:
        parent, stranger = await runtime.spawn(play["Notes"], "parent"), await runtime.spawn(play["Notes"])
        await parent.begin("Child")
        await parent.add(stranger)
        assert await parent.introduce() == 1
        child = runtime.actors()[-1]
        assert await child.items() == [stranger]
        assert await child.speak("ask", 1, "add", "from the child") == 1
        assert await stranger.items() == ["from the child"]
        assert refused(await child.speak("ask", 2, "add", "x"))
        assert refused(await stranger.speak("ask", 1, "add", "x")), "a ref is a way to it, not back"
    play.assert_nothing_is_left()


async def test_a_task_and_a_session_are_refs_too(stage, guests: Guests) -> None:
    """A ref of a task's actor is asked without a method; a wrong call is told to the guest."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        work = await runtime.spawn(play["work"], "add", 1)
        notes = await runtime.spawn(play["Notes"], work)
        assert await notes.speak("ask", 1, None, "add", 2) == 2
        kind, text = await notes.speak("ask", 1, "add", 2)
        assert (kind, "is a task and has no method 'add'" in text) == ("invalid", True)
        assert await notes.speak("tell", 1, None, "add", 3) is None
        assert await work("items") == [1, 2, 3]


@pytest.mark.parametrize("method", [None, "run", "no_such"])
async def test_a_session_that_a_guest_was_given(stage, guests: Guests, method: str | None, logged) -> None:
    """A session is asked through its own methods; whatever a guest says to its ref is refused, and not logged."""

    async def run(guest: FakeGuest) -> dict[str, object]:
        return {"value": guest.args[0], "repr": ""}

    play = stage({**guests.scripts, "run": run})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"], runtime.session().ref)
        for args in ([], ["1"], [1], ["x", "y"]):
            assert (await notes.speak("ask", 1, method, *args))[0] == "invalid"
    assert logged() == []


# Forged ones.

NUMBERS = [
    "0",
    "2",
    "-1",
    "1.0",
    "1e0",
    "true",
    "null",
    '"1"',
    "[1]",
    '{"capsule:actor":1}',
    "18446744073709551616",
    "1" + "0" * 400,
    "1.5",
]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda text: text[:25])
@pytest.mark.parametrize("key", ["capsule:actor", r"\u0063apsule:actor", r"capsule\u003aactor"])
async def test_a_number_that_was_not_given(stage, guests: Guests, key: str, number: str) -> None:
    """What is not exactly a number that this sandbox was given is no actor, however it is written."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        other = await runtime.spawn(play["Notes"])
        notes = await runtime.spawn(play["Notes"], other)
        forged = f'{{"{key}":{number}}}'
        for text in (
            f'{{"ref":{forged},"method":"add","args":[1],"kwargs":{{}}}}',
            f'{{"ref":{{"capsule:actor":1}},"method":"add","args":[{{"deep":[{forged}]}}],"kwargs":{{}}}}',
            f'{{"ref":{{"capsule:actor":1}},"method":"add","args":[],"kwargs":{{"a":{forged}}}}}',
        ):
            answer = await notes.raw("ask", text)
            assert refused(answer) or answer[0] == "invalid", answer
        assert await other.items() == []


@pytest.mark.parametrize(
    "forged",
    [
        '{"capsule:actor":1,"x":1}',
        '{"x":1,"capsule:actor":1}',
        r'{"capsule:actor":1,"\u0063apsule:actor2":1}',
        '{"Capsule:Actor":1}',
        '{"capsule:actor ":1}',
        "[1]",
        "1",
        '"capsule:actor"',
        "null",
    ],
)
async def test_what_is_no_ref(stage, guests: Guests, forged: str) -> None:
    """A marked dict with more in it, and everything else, is no actor."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        other = await runtime.spawn(play["Notes"])
        notes = await runtime.spawn(play["Notes"], other)
        for operation in ("ask", "tell", "stop"):
            more = "" if operation == "stop" else ',"method":"add","args":[1],"kwargs":{}'
            answer = await notes.raw(operation, f'{{"ref":{forged}{more}}}')
            assert answer[0] == "denied", answer
        assert (await other.items(), other.state) == ([], "idle")


@pytest.mark.parametrize("written", ['{"capsule:actor":1}', r'{"\u0063apsule:actor":1}', r'{"capsule\u003Aactor": 1 }'])
async def test_a_number_that_was_given_however_it_is_written(stage, guests: Guests, written: str) -> None:
    """The escapes of JSON mean what they stand for, here too."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        other = await runtime.spawn(play["Notes"])
        notes = await runtime.spawn(play["Notes"], other)
        assert await notes.raw("ask", f'{{"ref":{written},"method":"add","args":[1],"kwargs":{{}}}}') == 1


@pytest.mark.parametrize("result", ['{"capsule:actor":1}', r'[{"\u0063apsule:actor":7}]', '{"capsule:actor":true}'])
async def test_a_result_that_is_forged(stage, guests: Guests, result: str, monkeypatch) -> None:
    """A result with a number that was not given is no result: "invalid", and the actor lives on."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        await notes.result()

        async def forge(self, script, guest) -> str:
            return f'{{"ok":{result},"pages":1}}'

        with monkeypatch.context() as patch:
            patch.setattr("capsule.testing.sandbox.FakeSandbox._reply", forge)
            with pytest.raises(TaskFailed, match="not given") as caught:
                await notes.items()
        assert caught.value.error_type == "invalid"
        assert await notes.items() == []
        assert notes.statistics().restarts == 0
    play.assert_nothing_is_left()


@pytest.mark.parametrize(
    "value",
    [{MARK: 1}, [{MARK: 1}], {"a": {MARK: 1, "b": 2}}, {MARK: None}, {'x"' + MARK: 1}],
    ids=str,
)
async def test_a_key_of_the_applications(stage, guests: Guests, value: object) -> None:
    """A dict of the user's that looks like a ref is refused at the call; beside real refs as well."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        for args in ([value], [notes, value], [value, notes]):
            with pytest.raises(InvalidArguments, match="stands for actors"):
                await notes.add(*args[:1]) if len(args) == 1 else await notes.add(args)
        with pytest.raises(InvalidArguments):
            await runtime.spawn(play["Notes"], value)


@pytest.mark.parametrize(
    "value", [MARK, f'"{MARK}":', f'{{"{MARK}": 1}}', {"a": MARK}, {"a": f'"{MARK}":'}, [f"{MARK}: 1"]], ids=str
)
async def test_text_that_looks_like_a_key(stage, guests: Guests, value: object) -> None:
    """Text is text, whatever it says, in both directions."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        await notes.add([value, notes])
        assert await notes.items() == [[value, notes]]
        assert (await notes.call("ask", value))[0] == "invalid"


async def test_an_answer_of_a_capability(stage, guests: Guests) -> None:
    """What the host answers a guest may hold refs, and no dict that looks like one."""
    play = stage(guests.scripts)
    answers = []

    async def look(context, payload) -> object:
        return answers[0]

    play.offer("look", look)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        answers[:] = [{"found": notes}]
        assert await notes.call("look") == {"found": notes}
        answers[:] = [{"found": {MARK: 1}}]
        assert (await notes.call("look"))[0] == "invalid"


# The wrong runtime, and too many.


async def test_a_ref_of_another_runtime(stage, guests: Guests) -> None:
    """It is refused where it is given: as an argument of a spawn, an ask, a tell and a run."""
    play = stage(guests.scripts)
    async with play.runtime as runtime, Runtime(engine=FakeEngine(guests.scripts)) as other:
        foreign, notes = await other.spawn(play["Notes"], name="ada"), await runtime.spawn(play["Notes"])
        for use in (
            lambda: notes.add(foreign),
            lambda: notes.tell.add([foreign]),
            lambda: runtime.spawn(play["Notes"], foreign),
            lambda: runtime.run(play["work"], "add", {"a": foreign}),
        ):
            with pytest.raises(ForeignRef, match="ada lives in another runtime") as caught:
                await use()
            assert caught.value.actor_name == "ada"
        assert await notes.items() == []
        assert len(runtime.actors()) == 1


async def test_more_refs_than_a_sandbox_can_hold(stage, guests: Guests, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the number it is refused; actors that have stopped make room, and old numbers stay what they were."""
    monkeypatch.setattr(grants, "MOST_REFS", 3)
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        others = [await runtime.spawn(play["Notes"]) for _ in range(5)]
        for other in (*others[:3], *others[:3]):
            await notes.add(other)
        with pytest.raises(Denied, match="holding more than 3 actors"):
            await notes.add(others[3])
        await others[1].stop()
        await notes.add(others[3])
        assert await notes.speak("ask", 3, "add", "x") == 1
        assert await notes.speak("ask", 4, "add", "y") == 1
        assert [await others[2].items(), await others[3].items()] == [["x"], ["y"]]
        assert refused(await notes.speak("ask", 2, "add", "z"))
        with pytest.raises(Denied):
            await notes.add(others[4])


async def test_a_ref_of_one_that_has_stopped(stage, guests: Guests) -> None:
    """It can still be passed; whoever asks it hears that it has stopped."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        gone = await runtime.spawn(play["Notes"])
        await gone.stop()
        notes = await runtime.spawn(play["Notes"], gone)
        kind, text = await notes.speak("ask", 1, "add", 1)
        assert (kind, "Notes has stopped: it was stopped" in text) == ("stopped", True)
        assert await notes.speak("stop", 1) is None
        assert await notes.items() == [gone]


# What a guest may do with one.


async def test_asking_oneself(stage, guests: Guests) -> None:
    """An actor that asked itself would wait for itself: it is refused. A tell is handled afterwards."""
    play = stage(guests.scripts, {"Notes": "max_mailbox=1"})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        await notes.add(notes)
        kind, text = await notes.speak("ask", 1, "items")
        assert (kind, "asks itself" in text) == ("denied", True)
        assert await notes.speak("tell", 1, "add", "later") is None
        assert await notes.items() == [notes, "later"]
    play.assert_nothing_is_left()


async def test_telling_oneself_without_room(stage, guests: Guests) -> None:
    """It cannot wait for room in its own mailbox: MailboxFull."""

    async def fill(guest: FakeGuest) -> object:
        payload = {"ref": {MARK: 1}, "method": "add", "args": ["x"], "kwargs": {}}
        await guest.host_call("tell", payload)
        with pytest.raises(Exception, match="messages wait") as caught:
            await guest.host_call("tell", payload)
        return [caught.value.error_type, caught.value.exception]

    play = stage({**guests.scripts, "Notes.fill": fill}, {"Notes": "max_mailbox=1"})
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        await notes.result()
        await notes.add(notes)
        assert await notes.fill() == ["mailbox_full", "MailboxFull"]
        assert await notes.items() == [notes, "x"]


async def test_asking_one_another(stage, guests: Guests) -> None:
    """Two that ask each other wait until one of them has no more time; then both go on."""

    async def back(guest: FakeGuest) -> object:
        payload = {"ref": {MARK: 1}, "method": "back", "args": [], "kwargs": {}}
        return await guest.host_call("ask", payload)

    play = stage({**guests.scripts, "Notes.back": back}, {"Notes": 'timeout="5s"'})
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        one, other = await runtime.spawn(play["Notes"], "one"), await runtime.spawn(play["Notes"], "other")
        await one.add(other)
        await other.add(one)
        caller = Caller(tasks, one.back)
        await settle()
        assert (one.state, other.state) == ("busy", "busy")
        play.clock.advance(5)
        await settle()
        assert caller.got.error_type == "timeout"
        assert [await one.items(), await other.items()] == [["one"], ["other"]], "both lost what they were at work on"
    play.assert_nothing_is_left()


async def test_stopping_what_one_did_not_start(stage, guests: Guests) -> None:
    """A guest can stop its own children only: not those it was given, not its parent, not itself."""
    play = stage(scripts_of(guests))
    async with play.runtime as runtime:
        other, parent = await runtime.spawn(play["Notes"]), await runtime.spawn(play["Notes"])
        await parent.begin("Child")
        child = runtime.actors()[-1]
        for who, given in ((parent, other), (parent, parent), (child, parent), (child, child), (child, other)):
            await who.add(given)
        for who, numbers in ((parent, (2, 3)), (child, (1, 2, 3))):
            for number in numbers:
                kind, text = await who.speak("stop", number)
                assert (kind, "which this sandbox did not start" in text) == ("denied", True), (who, number)
        assert [ref.state for ref in (other, parent, child)] == ["idle"] * 3
        assert await parent.speak("stop", 1) is None


async def test_a_guest_that_gives_up(stage, guests: Guests) -> None:
    """A guest that gives an ask up withdraws it. At work, the other actor goes on: it does not belong to that guest."""

    async def give_up(guest: FakeGuest) -> str:
        ticket = guest.submit("ask", {"ref": {MARK: 1}, "method": "hold", "args": ["x"], "kwargs": {}})
        await guest.host_call("settle")
        guest.give_up(ticket)
        return "gave up"

    async def wait(context, payload) -> None:
        await settle()

    play = stage({**guests.scripts, "give_up": give_up, "Notes.give_up": give_up})
    play.offer("settle", wait)
    async with play.runtime as runtime:
        other = await runtime.spawn(play["Notes"])
        notes = await runtime.spawn(play["Notes"], other)
        assert await notes.give_up() == "gave up"
        assert (other.state, other.statistics().restarts, guests.made) == ("busy", 0, 2)
        other.kill()
    play.assert_nothing_is_left()


async def test_who_asked(stage, guests: Guests) -> None:
    """A message that a guest sent has that guest's as its parent."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        other = await runtime.spawn(play["Notes"])
        notes = await runtime.spawn(play["Notes"], other)
        await notes.speak("ask", 1, "add", 1)
        await notes.speak("tell", 1, "add", 2)
        await settle()
    started = {event.number: event for event in play.events if hasattr(event, "parent") and hasattr(event, "number")}
    adds = [event for event in started.values() if event.task_name == "Notes.add"]
    assert [started[event.parent].task_name for event in adds] == ["Notes.speak"] * 2


@pytest.mark.parametrize(
    ("operation", "payload", "kind"),
    [
        ("spawn", {"actor": "Nobody", "args": [], "kwargs": {}}, "denied"),
        ("spawn", {"actor": "work", "args": [], "kwargs": {}}, "denied"),
        ("spawn", {"actor": "Child", "args": [], "kwargs": {}, "ram": "4GB"}, "invalid"),
        ("spawn", {"actor": "Child", "args": [], "kwargs": {}, "name": "ada"}, "invalid"),
        ("spawn", {"actor": "Child"}, "invalid"),
        ("spawn", {"actor": 7, "args": [], "kwargs": {}}, "invalid"),
        ("spawn", {"actor": "Child", "args": {}, "kwargs": {}}, "invalid"),
        ("spawn", None, "invalid"),
        ("ask", {"ref": 1, "method": "add", "args": []}, "invalid"),
        ("ask", {"ref": 1, "method": "add", "args": [], "kwargs": {}}, "denied"),
        ("ask", {"ref": 1, "method": 7, "args": [], "kwargs": {}}, "invalid"),
        ("tell", {"ref": 1, "method": "add", "args": [], "kwargs": {}, "more": 1}, "invalid"),
        ("stop", {"ref": None}, "denied"),
        ("stop", {"ref": 1, "grace": 1e9}, "invalid"),
        ("stop", [], "invalid"),
    ],
    ids=str,
)
async def test_a_wrong_payload(stage, guests: Guests, operation: str, payload: object, kind: str, logged) -> None:
    """A guest that says it wrong is told so, starts nothing, and writes nothing into the host's log."""
    play = stage(scripts_of(guests))
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        assert (await notes.raw(operation, json.dumps(payload)))[0] == kind
        assert len(runtime.actors()) == 1
    assert logged() == []


@pytest.mark.parametrize("method", ["__init__", "_private", "no_such", "__class__", "tell", ""])
async def test_methods_that_a_guest_cannot_ask(stage, guests: Guests, method: str) -> None:
    """Only what the class declares as public, also from inside."""
    play = stage(guests.scripts)
    async with play.runtime as runtime:
        other = await runtime.spawn(play["Notes"])
        notes = await runtime.spawn(play["Notes"], other)
        for operation in ("ask", "tell"):
            kind, text = await notes.speak(operation, 1, method)
            assert (kind, "has no method" in text) == ("invalid", True)
    assert guests.made == 2


# The limits of a family.


async def test_max_subtasks(stage, guests: Guests) -> None:
    """Live actors of a family count, whoever started them; one that has stopped makes room."""
    play = stage(scripts_of(guests), policy=Policy(max_subtasks=2))
    async with play.runtime:
        notes = await play.runtime.spawn(play["Notes"])
        assert [await notes.begin("Child"), await notes.speak("ask", 1, "begin", "Child")] == [1, 1]
        for answer in (await notes.begin("Child"), await notes.speak("ask", 1, "begin", "Child")):
            assert (answer[0], "more than 2 live sub-tasks" in answer[1]) == ("denied", True)
        await notes.speak("stop", 1)
        assert [await notes.begin("Child"), await notes.begin("Child")] == [2, 3]
        assert (await notes.begin("Child"))[0] == "denied"
        fresh = await play.runtime.spawn(play["Notes"])
        assert await fresh.begin("Child") == 1, "each family for itself"
    play.assert_nothing_is_left()


async def test_family_ram(stage, guests: Guests) -> None:
    """The memory of all live sandboxes of a family, its root included."""
    play = stage(scripts_of(guests), {"Child": 'ram="64MB"'}, policy=Policy(ram="128MB", family_ram="256MB"))
    async with play.runtime:
        notes = await play.runtime.spawn(play["Notes"])
        assert [await notes.begin("Child"), await notes.begin("Child")] == [1, 2]
        kind, text = await notes.begin("Child")
        assert (kind, "256MB of ram" in text) == ("denied", True)
        await notes.speak("stop", 2)
        assert await notes.begin("Child") == 3
    play.assert_nothing_is_left()


async def test_max_depth(stage, guests: Guests) -> None:
    """Actors may start actors down to max_depth; so may tasks, and the levels of both count."""
    play = stage(scripts_of(guests), policy=Policy(max_depth=2), max_sandboxes=3)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        assert await notes.begin("Child") == 1
        assert await notes.speak("ask", 1, "begin", "Child") == 1
        grandchild = runtime.actors()[-1]
        kind, text = await grandchild.begin("Child")
        assert (kind, "Policy(max_depth=3)" in text) == ("denied", True)
        assert (await grandchild.call("task", {"task": "begin", "args": ["Child"], "kwargs": {}}))[0] == "denied"
        child = runtime.actors()[-2]
        answer = await child.call("task", {"task": "begin", "args": ["Child"], "kwargs": {}})
        assert answer[0] == "denied", "a task two levels deep starts one three levels deep"
    play.assert_nothing_is_left()


async def test_limits_are_those_declared_under_the_ceiling(stage, guests: Guests) -> None:
    """An actor that a guest starts has what its declaration says, cut to the ceiling, whatever its parent has."""
    ceiling = Policy(ram="96MB", compute=5000)
    play = stage(scripts_of(guests), {"Child": 'ram="512MB", compute=70', "Notes": 'ram="32MB"'}, ceiling=ceiling)
    async with play.runtime as runtime:
        notes = await runtime.spawn(play["Notes"])
        await notes.begin("Child")
        await settle()
    limits = [sandbox.limits for sandbox in play.engine.sandboxes]
    assert [(limit.ram, limit.fuel) for limit in limits] == [(32 << 20, 5000), (96 << 20, 70)]


async def test_a_family_in_one_place(stage, guests: Guests) -> None:
    """An actor and its child go on where only one sandbox has room: a child goes ahead in its parent's lane."""
    play = stage(scripts_of(guests), max_sandboxes=1)
    with anyio.fail_after(5):
        async with play.runtime as runtime:
            notes = await runtime.spawn(play["Notes"])
            await notes.begin("Child")
            assert await notes.speak("ask", 1, "add", 1) == 1
            assert await notes.speak("stop", 1) is None
            assert await notes.begin("Child") == 2
            assert await notes.speak("ask", 2, "add", 1) == 1
    stopped = [event.task_name for event in play.events if isinstance(event, Stopped)]
    assert sorted(stopped) == ["Child", "Child", "Notes"]
    play.assert_nothing_is_left()


async def test_nothing_is_logged(stage, guests: Guests, logged, caplog: pytest.LogCaptureFixture) -> None:
    """What guests do wrong with refs is their own business."""
    play = stage(scripts_of(guests))
    with caplog.at_level(logging.DEBUG, "capsule"):
        async with play.runtime as runtime:
            notes = await runtime.spawn(play["Notes"])
            for number in (0, -1, 10**30, None, "1", {}, []):
                assert (await notes.raw("stop", json.dumps({"ref": {MARK: number}})))[0] == "denied"
            assert (await notes.raw("stop", "[" * 100_000))[0] == "invalid"
    assert logged() == []
