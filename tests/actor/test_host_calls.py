"""What a guest hears of its host calls, whatever the capability does."""

from __future__ import annotations

import logging

import anyio
import msgspec
import pytest

from capsule import Denied, InvalidArguments, Policy, SetupError
from capsule.testing import FakeGuest, HostError


async def ask(guest: FakeGuest) -> object:
    """Answers the value, or what the guest saw of the error."""
    try:
        return await guest.host_call("ask", *guest.args)
    except HostError as error:
        return [error.error_type, str(error)]


async def answer_of(stage, capability, *args: object, **options: object) -> object:
    play = stage({"ask": ask}, **options)
    play.offer("ask", capability)
    async with play.runtime as runtime:
        value = await runtime.run(play["ask"], *args)
    play.assert_nothing_is_left()
    return value


async def test_value(stage) -> None:
    """A capability gets who calls and the decoded payload, and its value comes back."""
    seen = []

    async def echo(context, payload) -> object:
        seen.append((context.task_name, context.depth, context.program.path))
        return {"got": payload}

    assert await answer_of(stage, echo, {"a": ["ü", None]}) == {"got": {"a": ["ü", None]}}
    assert seen == [("ask", 0, "tasks.py")]


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (
            Denied("reading x", "Policy(files=...)"),
            ["denied", "reading x is not allowed; Policy(files=...) would allow it"],
        ),
        (InvalidArguments("no such thing"), ["invalid", "no such thing"]),
        (msgspec.ValidationError("Expected `int`"), ["invalid", "Expected `int`"]),
        (ValueError("secret"), ["internal_error", "the host call 'ask' failed"]),
        (OSError(2, "secret", "/secret"), ["internal_error", "the host call 'ask' failed"]),
        (TimeoutError("secret"), ["internal_error", "the host call 'ask' failed"]),
        (ExceptionGroup("secret", [ValueError("secret")]), ["internal_error", "the host call 'ask' failed"]),
        (SetupError("secret"), ["internal_error", "the host call 'ask' failed"]),
        (StopAsyncIteration("secret"), ["internal_error", "the host call 'ask' failed"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_what_a_capability_raises(stage, error: Exception, seen: list[str]) -> None:
    """Texts written for the guest reach it; of everything else it hears that the call failed, and nothing more."""

    async def fail(context, payload) -> None:
        raise error

    assert await answer_of(stage, fail) == seen


async def test_a_bug_in_a_capability_is_logged(stage, caplog: pytest.LogCaptureFixture) -> None:
    """What the guest is not told is in the host's log, with its traceback."""

    async def fail(context, payload) -> None:
        raise ValueError("the reason")

    with caplog.at_level(logging.ERROR, "capsule"):
        await answer_of(stage, fail)
    assert "the host call 'ask' failed" in caplog.text
    assert "ValueError: the reason" in caplog.text


async def test_a_refusal_is_not_logged(stage, logged) -> None:
    """A guest cannot fill the host's log with calls that are refused."""

    async def refuse(context, payload) -> None:
        raise Denied("this", "nothing")

    await answer_of(stage, refuse)
    assert logged() == []


@pytest.mark.parametrize(
    "value", [object(), {1, 2}.__iter__(), {("a",): 1}, lambda: None], ids=lambda value: type(value).__name__
)
async def test_a_value_that_is_not_json(stage, value: object) -> None:
    """A capability that returns what JSON cannot say has a bug, which its caller survives."""

    async def odd(context, payload) -> object:
        return value

    assert await answer_of(stage, odd) == ["internal_error", "the host call 'ask' failed"]


async def test_a_value_that_is_too_large(stage) -> None:
    """An answer above max_message is not passed on; bytes count, not characters."""

    async def much(context, payload) -> str:
        return "ü" * 300

    kind, text = await answer_of(stage, much, policy=Policy(max_message="500B"))
    assert (kind, "500 bytes" in text) == ("invalid", True)


async def test_an_unknown_host_call(stage) -> None:
    """A host call that nobody offers is refused."""

    async def unknown(guest: FakeGuest) -> object:
        with pytest.raises(HostError) as caught:
            await guest.host_call("no_such")
        return [caught.value.error_type, str(caught.value)]

    play = stage({"unknown": unknown})
    async with play.runtime as runtime:
        assert await runtime.run(play["unknown"]) == ["denied", "there is no host call 'no_such'"]


@pytest.mark.parametrize(
    "payload", ["", "{", "nonsense", "NaN", "[" * 100_000], ids=["empty", "open", "word", "NaN", "deep"]
)
async def test_a_payload_that_does_not_decode(stage, payload: str, logged) -> None:
    """A guest that sends what is no JSON is told so, and writes nothing into the host's log."""

    async def raw(guest: FakeGuest) -> object:
        ticket = guest._sandbox.submit("ask", payload)
        try:
            return await guest.wait(ticket)
        except HostError as error:
            return error.error_type

    async def never(context, payload) -> None:
        raise AssertionError("nothing was decoded")

    play = stage({"raw": raw})
    play.offer("ask", never)
    async with play.runtime as runtime:
        assert await runtime.run(play["raw"]) == "invalid"
    assert logged() == []


async def test_given_up_before_it_began(stage) -> None:
    """A host call that is given up at once never reaches its capability."""
    called = []

    async def note(context, payload) -> None:
        called.append(payload)

    async def give_up(guest: FakeGuest) -> None:
        guest.give_up(guest.submit("note", "given up"))
        await guest.host_call("note", "wanted")

    play = stage({"give_up": give_up})
    play.offer("note", note)
    async with play.runtime as runtime:
        await runtime.run(play["give_up"])
    assert called == ["wanted"]
    play.assert_nothing_is_left()


async def test_given_up_while_it_runs(stage) -> None:
    """A host call that is given up cancels its capability, and the guest goes on."""
    history, began = [], anyio.Event()

    async def wait(context, payload) -> None:
        history.append("began")
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            history.append("ended")

    async def give_up(guest: FakeGuest) -> str:
        ticket = guest.submit("wait")
        await began.wait()
        guest.give_up(ticket)
        guest.give_up(ticket)
        await anyio.wait_all_tasks_blocked()
        history.append("goes on")
        return "done"

    play = stage({"give_up": give_up})
    play.offer("wait", wait)
    async with play.runtime as runtime:
        assert await runtime.run(play["give_up"]) == "done"
    assert history == ["began", "ended", "goes on"]


async def test_many_at_once(stage) -> None:
    """Host calls of one guest run side by side, and each answer finds its call."""
    both = anyio.Event()
    begun = []

    async def meet(context, payload) -> int:
        begun.append(payload)
        if len(begun) == 2:
            both.set()
        await both.wait()
        return payload * 10

    async def twice(guest: FakeGuest) -> object:
        tickets = [guest.submit("meet", number) for number in (1, 2)]
        return [await guest.wait(ticket) for ticket in reversed(tickets)]

    play = stage({"twice": twice})
    play.offer("meet", meet)
    async with play.runtime as runtime:
        assert await runtime.run(play["twice"]) == [20, 10]


async def test_an_answer_after_the_end(stage) -> None:
    """A capability that swallows its cancellation answers a guest that is gone, which is harmless."""

    async def stubborn(context, payload) -> str:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return "too late"

    async def leave(guest: FakeGuest) -> str:
        guest.submit("stubborn")
        await anyio.wait_all_tasks_blocked()
        return "left"

    play = stage({"leave": leave})
    play.offer("stubborn", stubborn)
    async with play.runtime as runtime:
        assert await runtime.run(play["leave"]) == "left"
    play.assert_nothing_is_left()


async def test_sub_task_failure(stage) -> None:
    """A sub-task that fails is an error of the caller's host call, with its kind, and is counted by itself."""

    async def fail(guest: FakeGuest) -> None:
        guest.end("fuel_exhausted", "all gone")

    async def call(guest: FakeGuest) -> object:
        with pytest.raises(HostError) as caught:
            await guest.host_call("task", {"task": "fail", "args": [], "kwargs": {}})
        return [caught.value.error_type, caught.value.exception, str(caught.value)]

    play = stage({"call": call, "fail": fail})
    async with play.runtime as runtime:
        kind, exception, text = await runtime.run(play["call"])
    assert (kind, exception) == ("fuel_exhausted", "TaskFailed")
    assert "all gone" in text
    assert [entry[:2] for entry in play.history] == [
        ("started", "call"),
        ("started", "fail"),
        ("ended", "fail"),
        ("ended", "call"),
    ]


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"task": "no_such", "args": [], "kwargs": {}}, "denied"),
        ({"task": "os.system", "args": [], "kwargs": {}}, "denied"),
        ({"task": "leaf", "args": [], "kwargs": {}, "ram": "4GB"}, "invalid"),
        ({"task": "leaf"}, "invalid"),
        ({"task": 7, "args": [], "kwargs": {}}, "invalid"),
        ("leaf", "invalid"),
        (None, "invalid"),
    ],
    ids=str,
)
async def test_a_sub_task_is_what_was_declared(stage, payload: object, kind: str) -> None:
    """A guest can name the tasks of its own source and set nothing about them."""

    async def leaf(guest: FakeGuest) -> None:
        raise AssertionError("it must not run")

    async def call(guest: FakeGuest) -> str:
        with pytest.raises(HostError) as caught:
            await guest.host_call("task", payload)
        return caught.value.error_type

    play = stage({"call": call, "leaf": leaf})
    async with play.runtime as runtime:
        assert await runtime.run(play["call"]) == kind
    assert len(play.engine.sandboxes) == 1


async def test_depth(stage) -> None:
    """Tasks call tasks down to max_depth, and the refusal names the line that would allow more."""

    async def down(guest: FakeGuest) -> object:
        try:
            return await guest.host_call("task", {"task": "down", "args": [], "kwargs": {}})
        except HostError as error:
            return str(error)

    play = stage({"down": down}, policy=Policy(max_depth=3), max_sandboxes=1)
    async with play.runtime as runtime:
        text = await runtime.run(play["down"])
    assert "Policy(max_depth=4)" in text
    assert len(play.engine.sandboxes) == 4, "a family never waits for itself"
    play.assert_nothing_is_left()
