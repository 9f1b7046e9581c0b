"""Each test is one point at which a caller gives up, and the state that must remain."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from capsule import TaskFailed
from capsule.testing import FakeGuest


async def hang(guest: FakeGuest) -> None:
    await guest.hang()


async def quick(guest: FakeGuest) -> str:
    return "quick"


async def ask(guest: FakeGuest) -> object:
    return await guest.host_call("wait", guest.args)


class Waits:
    """A capability that never answers, and writes down how its calls begin and end."""

    def __init__(self) -> None:
        self.history: list[str] = []
        self.began = anyio.Event()

    async def __call__(self, context, payload) -> None:
        self.history.append("began")
        self.began.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.history.append("ended")


async def run_until(play, name: str, tasks, *args) -> anyio.CancelScope:
    """Start `name` in a scope, let it get as far as it comes, and answer the scope."""
    scope = anyio.CancelScope()

    async def run() -> None:
        with scope:
            await play.runtime.run(play[name], *args)

    tasks.start_soon(run)
    await anyio.wait_all_tasks_blocked()
    return scope


async def test_during_the_guest(stage) -> None:
    """The sandbox ends, its place is free, and the message has its one end."""
    play = stage({"hang": hang})
    async with play.runtime, anyio.create_task_group() as tasks:
        scope = await run_until(play, "hang", tasks)
        assert play.history == [("started", "hang")]
        scope.cancel()
    assert play.history == [("started", "hang"), ("ended", "hang", "cancelled")]
    play.assert_nothing_is_left()


async def test_the_end_says_what_it_cost(stage) -> None:
    """The outcome of a cancelled message counts the time until it was cancelled, and the attempts before."""

    async def fail_then_hang(guest: FakeGuest) -> None:
        if len(play.engine.sandboxes) == 1:
            guest.burn(500)
            raise ValueError
        await guest.hang()

    play = stage({"fail_then_hang": fail_then_hang}, {"fail_then_hang": "max_retries=1"})
    async with play.runtime, anyio.create_task_group() as tasks:
        (await run_until(play, "fail_then_hang", tasks)).cancel()
    execution = play.events[-1].outcome.execution
    assert (execution.retries, execution.fuel_consumed) == (1, 500)
    assert execution.duration_ms > 0


async def test_while_waiting_for_a_place(stage) -> None:
    """Nothing ran; those behind in the queue go ahead."""
    play = stage({"hang": hang, "quick": quick}, max_sandboxes=1)
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        first = await run_until(play, "hang", tasks)
        second = await run_until(play, "hang", tasks)
        ref = await runtime.spawn(play["quick"])
        await anyio.wait_all_tasks_blocked()
        second.cancel()
        await anyio.wait_all_tasks_blocked()
        assert len(play.engine.sandboxes) == 1
        first.cancel()
        assert await ref.result() == "quick"
    assert play.history == [
        ("started", "hang"),
        ("started", "hang"),
        ("started", "quick"),
        ("ended", "hang", "cancelled"),
        ("ended", "hang", "cancelled"),
        ("ended", "quick", "quick"),
    ]
    play.assert_nothing_is_left()


async def test_before_anything(stage) -> None:
    """A caller that is cancelled already gets nothing started, and the message its end all the same."""
    play = stage({"quick": quick})
    async with play.runtime as runtime:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await runtime.run(play["quick"])
        assert scope.cancelled_caught
    assert play.history == [("started", "quick"), ("ended", "quick", "cancelled")]
    assert play.engine.sandboxes == []
    play.assert_nothing_is_left()


async def test_between_two_attempts(stage) -> None:
    """A message that waits for a place for its second attempt ends there."""

    async def fail(guest: FakeGuest) -> None:
        await guest.host_call("go")
        raise ValueError

    play = stage({"fail": fail, "hang": hang}, {"fail": "max_retries=1"}, max_sandboxes=1)
    go = anyio.Event()

    async def wait_for_go(context, payload) -> None:
        await go.wait()

    play.offer("go", wait_for_go)
    async with play.runtime, anyio.create_task_group() as tasks:
        failing = await run_until(play, "fail", tasks)
        hanging = await run_until(play, "hang", tasks)
        go.set()
        await anyio.wait_all_tasks_blocked()
        failing.cancel()
        await anyio.wait_all_tasks_blocked()
        assert play.history == [
            ("started", "fail"),
            ("started", "hang"),
            ("retried", "fail", "task_error", 1),
            ("ended", "fail", "cancelled"),
        ]
        hanging.cancel()
    play.assert_nothing_is_left()


async def test_during_a_host_call(stage) -> None:
    """The capability is cancelled too, and has ended before the caller goes on."""
    play, waits = stage({"ask": ask}), Waits()
    play.offer("wait", waits)
    async with play.runtime, anyio.create_task_group() as tasks:
        scope = await run_until(play, "ask", tasks)
        assert waits.history == ["began"]
        scope.cancel()
    assert waits.history == ["began", "ended"]
    assert play.history == [("started", "ask"), ("ended", "ask", "cancelled")]
    play.assert_nothing_is_left()


async def test_during_a_sub_task(stage) -> None:
    """A parent's end ends its children, the innermost first, and all before the caller goes on."""

    async def parent(guest: FakeGuest) -> object:
        return await guest.host_call("task", {"task": "hang", "args": [], "kwargs": {}})

    play = stage({"parent": parent, "hang": hang})
    async with play.runtime, anyio.create_task_group() as tasks:
        scope = await run_until(play, "parent", tasks)
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert play.history == [
            ("started", "parent"),
            ("started", "hang"),
            ("ended", "hang", "cancelled"),
            ("ended", "parent", "cancelled"),
        ]
    play.assert_nothing_is_left()


async def test_a_timeout_ends_the_host_calls(stage) -> None:
    """A guest that is ended from outside takes its host calls along, as a cancelled one does."""
    play, waits = stage({"ask": ask}, {"ask": 'timeout="1s"'}), Waits()
    play.offer("wait", waits)
    async with play.runtime as runtime:
        ref = await runtime.spawn(play["ask"])
        await waits.began.wait()
        play.clock.advance(1)
        assert (await ref.outcome()).error.error_type == "timeout"
        assert waits.history == ["began", "ended"]
    play.assert_nothing_is_left()


async def test_a_guest_that_forgets_its_host_calls(stage) -> None:
    """A guest that answers while calls are open takes them along."""

    async def forgetful(guest: FakeGuest) -> str:
        guest.submit("wait")
        await guest.host_call("look")
        guest.submit("wait")
        return "done"

    async def look(context, payload) -> None:
        await anyio.wait_all_tasks_blocked()

    play, waits = stage({"forgetful": forgetful}), Waits()
    play.offer("wait", waits)
    play.offer("look", look)
    async with play.runtime as runtime:
        assert await runtime.run(play["forgetful"]) == "done"
        assert waits.history.count("began") == waits.history.count("ended") >= 1
    play.assert_nothing_is_left()


async def test_a_slow_cleanup_is_waited_for(stage) -> None:
    """A capability that cleans up behind a shield is waited for: nothing of a message outlives its end."""
    play, history = stage({"ask": ask}), []
    cleaning, clean = anyio.Event(), anyio.Event()

    async def wait(context, payload) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                cleaning.set()
                await clean.wait()
                history.append("clean")

    play.offer("wait", wait)
    async with play.runtime, anyio.create_task_group() as tasks:
        scope = await run_until(play, "ask", tasks)
        scope.cancel()
        await cleaning.wait()
        await anyio.wait_all_tasks_blocked()
        assert play.history == [("started", "ask")]
        clean.set()
        await anyio.wait_all_tasks_blocked()
        assert (history, play.history[-1]) == (["clean"], ("ended", "ask", "cancelled"))


@pytest.mark.parametrize("moment", ["before", "meanwhile", "by the loop"])
async def test_a_cancelled_spawn_leaves_no_actor(stage, moment: str, anyio_backend_name: str) -> None:
    """Nobody could stop an actor whose ref was lost on the way: none is made, or its block ends it, or it is ended."""
    if moment == "by the loop" and anyio_backend_name != "asyncio":
        pytest.skip("asyncio alone can cancel a task through a shield")
    play = stage({"Notes.add": quick})
    async with play.runtime as runtime, anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        spawner = anyio.get_current_task()

        async def cancel() -> None:
            if moment == "by the loop":
                next(task for task in asyncio.all_tasks() if id(task) == spawner.id).cancel()
            scope.cancel()

        if moment == "before":
            scope.cancel()
        tasks.start_soon(cancel)
        try:
            with scope:
                async with await runtime.spawn(play["Notes"]) as ref:
                    await ref.wait_stopped()
        except BaseException as error:  # noqa: BLE001 - that of asyncio, which is no scope's
            assert (moment, type(error)) == ("by the loop", asyncio.CancelledError)
            asyncio.current_task().uncancel()
        await anyio.wait_all_tasks_blocked()
        assert runtime.actors() == []
        assert (play.life == []) is (moment == "before")
    play.assert_nothing_is_left()


async def test_a_cancelled_wait_for_an_outcome(stage) -> None:
    """Giving up the wait for an outcome leaves the actor alone."""
    play, answer = stage({"ask": ask}), anyio.Event()

    async def wait(context, payload) -> str:
        await answer.wait()
        return "still there"

    play.offer("wait", wait)
    async with play.runtime as runtime:
        ref = await runtime.spawn(play["ask"])
        with anyio.move_on_after(0):
            await ref.outcome()
        answer.set()
        assert await ref.result() == "still there"


async def test_kill(stage) -> None:
    """A killed actor has the outcome "cancelled"; its runtime and the others go on."""
    play = stage({"hang": hang, "quick": quick})
    async with play.runtime as runtime:
        ref, other = await runtime.spawn(play["hang"]), await runtime.spawn(play["quick"])
        await anyio.wait_all_tasks_blocked()
        assert (repr(ref), repr(other)) == ("<actor hang busy>", "<actor quick idle>")
        ref.kill()
        with pytest.raises(TaskFailed) as caught:
            await ref.result()
        assert caught.value.error_type == "cancelled"
        assert (ref.is_done, await other.result()) == (True, "quick")
        ref.kill()
        other.kill()
        assert (await other.outcome()).success
        assert await runtime.run(play["quick"]) == "quick"


async def test_kill_before_it_began(stage) -> None:
    """An actor can be killed in the moment it was spawned."""
    play = stage({"quick": quick})
    async with play.runtime as runtime:
        ref = await runtime.spawn(play["quick"])
        ref.kill()
        assert (await ref.outcome()).error.error_type == "cancelled"
    play.assert_nothing_is_left()


async def test_the_outcome_of_the_ref_is_that_of_the_event(stage) -> None:
    """A message has one outcome, whoever asks for it."""
    play = stage({"hang": hang, "quick": quick})
    async with play.runtime as runtime:
        killed, done = await runtime.spawn(play["hang"]), await runtime.spawn(play["quick"])
        await anyio.wait_all_tasks_blocked()
        killed.kill()
        outcomes = [await done.outcome(), await killed.outcome()]
    assert [event.outcome for event in play.events if hasattr(event, "outcome")] == outcomes
