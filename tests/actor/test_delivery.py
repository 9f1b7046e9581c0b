"""A message from the call to its outcome, as an exact history of events."""

from __future__ import annotations

import tracemalloc

import anyio
import pytest

from capsule import Ended, InvalidArguments, InvalidPolicy, Policy, Retried, Started, TaskFailed
from capsule.testing import FakeGuest


async def shout(guest: FakeGuest) -> str:
    guest.print("hello\n")
    guest.print("careful\n", "stderr")
    return guest.args[0].upper()


def failing(times: int, how):
    """A script that fails so often before it answers how many attempts it took."""
    attempts = []

    async def script(guest: FakeGuest) -> int:
        attempts.append(guest)
        guest.print(f"attempt {len(attempts)}")
        guest.burn(1000)
        guest.use_ram(len(attempts) << 21)
        if len(attempts) <= times:
            how(guest)
        return len(attempts)

    return script


def raises(guest: FakeGuest) -> None:
    raise ValueError("no luck")


def traps(guest: FakeGuest) -> None:
    guest.end("trap", "it broke")


async def test_an_answer(stage) -> None:
    """A message starts, prints in order, and ends with its value."""
    play = stage({"shout": shout})
    async with play.runtime as runtime:
        assert await runtime.run(play["shout"], "abc") == "ABC"
    assert play.history == [
        ("started", "shout"),
        ("printed", "shout", "stdout", "hello\n"),
        ("printed", "shout", "stderr", "careful\n"),
        ("ended", "shout", "ABC"),
    ]
    play.assert_nothing_is_left()


async def test_what_the_guest_is_asked(stage) -> None:
    """The guest gets the program, the function and the arguments, and limits as plain numbers."""
    play = stage({"shout": shout}, {"shout": 'compute="LOW", ram="64MB", max_output="1KB"'})
    async with play.runtime as runtime:
        await runtime.run(play["shout"], "a", key=[1])
    (sandbox,) = play.engine.sandboxes
    (request,) = sandbox.requests
    assert (request["function"], request["call"]) == ("shout", [["a"], {"key": [1]}])
    assert request["program"]["path"] == "tasks.py"
    assert "def shout" in request["program"]["source"]
    limits = sandbox.limits
    assert (limits.fuel, limits.ram, limits.max_output, limits.max_message) == (10**8, 64 << 20, 1024, 16 << 20)


async def test_the_outcome_says_what_it_cost(stage) -> None:
    """Fuel of all attempts, the largest memory, retries; output is that of the last attempt."""
    play = stage({"flaky": failing(2, raises)}, {"flaky": "max_retries=5"})
    async with play.runtime as runtime:
        outcome = await (await runtime.spawn(play["flaky"])).outcome()
    execution = outcome.execution
    assert (execution.fuel_consumed, execution.ram_used, execution.retries) == (3000, 3 << 21, 2)
    assert (outcome.stdout, outcome.success, outcome.result) == ("attempt 3", True, 3)
    assert execution.duration_ms > 0


async def test_retries(stage) -> None:
    """Each retry is told with the failure before it, and has a sandbox of its own."""
    play = stage({"flaky": failing(2, traps)}, {"flaky": "max_retries=2"})
    async with play.runtime as runtime:
        assert await runtime.run(play["flaky"]) == 3
    assert play.history == [
        ("started", "flaky"),
        ("printed", "flaky", "stdout", "attempt 1"),
        ("retried", "flaky", "trap", 1),
        ("printed", "flaky", "stdout", "attempt 2"),
        ("retried", "flaky", "trap", 2),
        ("printed", "flaky", "stdout", "attempt 3"),
        ("ended", "flaky", 3),
    ]
    assert len(play.engine.sandboxes) == 3
    play.assert_nothing_is_left()


async def test_no_attempt_is_left(stage) -> None:
    """The last failure is the outcome, with the class and text of the exception."""
    play = stage({"flaky": failing(9, raises)}, {"flaky": "max_retries=1"})
    async with play.runtime as runtime:
        with pytest.raises(TaskFailed, match="no luck") as caught:
            await runtime.run(play["flaky"])
    failure = caught.value.outcome.error
    assert (failure.error_type, failure.exception, failure.message) == ("task_error", "ValueError", "no luck")
    assert [entry[0] for entry in play.history if entry[0] != "printed"] == ["started", "retried", "ended"]


@pytest.mark.parametrize(
    "kind", ["timeout", "fuel_exhausted", "memory_exhausted", "stack_overflow", "trap", "internal_error"]
)
async def test_failures_that_are_tried_again(stage, kind: str) -> None:
    """What may go better next time is tried again."""
    play = stage({"flaky": failing(1, lambda guest: guest.end(kind))}, {"flaky": "max_retries=1"})
    async with play.runtime as runtime:
        assert await runtime.run(play["flaky"]) == 2


@pytest.mark.parametrize("kind", ["denied", "cancelled", "invalid"])
async def test_failures_that_are_not(stage, kind: str) -> None:
    """What would only fail again is not tried again."""
    play = stage({"flaky": failing(1, lambda guest: guest.end(kind))}, {"flaky": "max_retries=1"})
    async with play.runtime as runtime:
        outcome = await (await runtime.spawn(play["flaky"])).outcome()
    assert (outcome.error.error_type, outcome.execution.retries) == (kind, 0)


async def test_each_attempt_has_the_whole_timeout(stage) -> None:
    """A timeout ends an attempt, not the message."""
    attempts = []

    async def slow_once(guest: FakeGuest) -> str:
        attempts.append(guest)
        await guest.sleep(20 if len(attempts) == 1 else 9)
        return "in time"

    play = stage({"slow_once": slow_once}, {"slow_once": 'timeout="10s", max_retries=1'})
    async with play.runtime as runtime:
        ref = await runtime.spawn(play["slow_once"])
        for seconds in (10, 9):
            await anyio.wait_all_tasks_blocked()
            play.clock.advance(seconds)
        assert await ref.result() == "in time"
    assert ("retried", "slow_once", "timeout", 1) in play.history


async def test_a_result_that_is_not_json(stage) -> None:
    """A result that JSON cannot say is "invalid", and not tried again."""

    async def odd(guest: FakeGuest) -> object:
        return {1, 2}

    play = stage({"odd": odd}, {"odd": "max_retries=3"})
    async with play.runtime as runtime:
        outcome = await (await runtime.spawn(play["odd"])).outcome()
    assert (outcome.error.error_type, outcome.execution.retries) == ("invalid", 0)


@pytest.mark.parametrize("reply", ["", "nonsense", "[]", "{}", '{"ok": 1, "pages": "many"}', '{"error": {"kind": 5}}'])
async def test_a_guest_that_answers_nonsense(stage, reply: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host checks what a guest answers: what does not decode is "invalid", never an error of ours."""
    play = stage({"shout": shout})

    async def forged(self, script, guest):
        return reply

    monkeypatch.setattr("capsule.testing.sandbox.FakeSandbox._reply", forged)
    async with play.runtime as runtime:
        outcome = await (await runtime.spawn(play["shout"], "a")).outcome()
    assert outcome.error.error_type == "invalid"


@pytest.mark.parametrize(
    ("kind", "becomes"), [("timeout", "task_error"), ("denied", "task_error"), ("invalid", "invalid")]
)
async def test_a_guest_cannot_fake_what_the_host_saw(
    stage, kind: str, becomes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of itself a guest can only report what a guest can know."""
    play = stage({"shout": shout})

    async def forged(self, script, guest):
        return f'{{"error": {{"kind": "{kind}", "message": "m"}}, "pages": 99999999}}'

    monkeypatch.setattr("capsule.testing.sandbox.FakeSandbox._reply", forged)
    async with play.runtime as runtime:
        outcome = await (await runtime.spawn(play["shout"], "a")).outcome()
    assert outcome.error.error_type == becomes
    assert outcome.execution.ram_used == 128 << 20, "nobody uses more memory than its limit"


async def test_output_that_was_cut(stage) -> None:
    """The outcome keeps what fits under max_output and says that the rest was dropped."""
    play = stage({"shout": shout}, {"shout": 'max_output="8B"'})
    async with play.runtime as runtime:
        outcome = await (await runtime.spawn(play["shout"], "a")).outcome()
    assert (outcome.stdout, outcome.stderr, outcome.output_truncated) == ("hello\n", "ca", True)


async def test_an_argument_that_contains_itself(stage) -> None:
    """It is refused as soon as it comes to itself, and is not written over and over until the stack is full."""
    play = stage({"shout": shout})
    rows: dict[str, object] = {"text": "x" * 100_000}
    rows["rows"] = rows
    async with play.runtime as runtime:
        tracemalloc.start()
        try:
            with pytest.raises(InvalidArguments, match=r"a dict that contains itself at args\[0\]\['rows'\]"):
                await runtime.run(play["shout"], rows)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 10_000_000


async def test_a_wrong_call_starts_nothing(stage) -> None:
    """A call that cannot work raises, tells nobody and opens no sandbox."""
    play = stage({"shout": shout}, policy=Policy(max_message="100B"), max_memory="64MB")
    async with play.runtime as runtime:
        with pytest.raises(InvalidPolicy, match="max_memory"):
            await runtime.run(play["shout"])
    play = stage({"shout": shout}, policy=Policy(max_message="100B"))
    async with play.runtime as runtime:
        with pytest.raises(InvalidArguments, match="not JSON"):
            await runtime.run(play["shout"], object())
        with pytest.raises(InvalidArguments, match="max_message"):
            await runtime.run(play["shout"], "x" * 100)
    assert (play.history, play.engine.sandboxes) == ([], [])


async def test_less_memory_than_the_guest_needs(stage) -> None:
    """A limit that no guest could live with is refused, and the message says what is enough."""
    play = stage({"shout": shout}, {"shout": 'ram="512KB"'})
    async with play.runtime as runtime:
        with pytest.raises(InvalidPolicy, match='use ram="1MB" or more'):
            await runtime.run(play["shout"], "a")


async def test_a_listener_that_raises(stage, caplog: pytest.LogCaptureFixture) -> None:
    """What `on_event` raises is logged and disturbs nobody."""
    play = stage({"shout": shout})
    heard = []

    def listen(event) -> None:
        heard.append(type(event))
        raise RuntimeError("a broken listener")

    play.runtime._on_event = listen
    async with play.runtime as runtime:
        assert await runtime.run(play["shout"], "a") == "A"
    assert (heard[0], heard[-1], len(heard)) == (Started, Ended, 4)
    assert caplog.text.count("on_event raised") == 4


async def test_numbers(stage) -> None:
    """Each message has its own number; events of retries carry that of their message."""
    play = stage({"flaky": failing(1, raises)}, {"flaky": "max_retries=1"})
    async with play.runtime as runtime:
        await runtime.run(play["flaky"])
        await runtime.run(play["flaky"])
    assert [event.number for event in play.events if isinstance(event, Started)] == [1, 2]
    assert [event.number for event in play.events if isinstance(event, Retried)] == [1]
