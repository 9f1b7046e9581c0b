"""What is left when a runtime is left: nothing, and one outcome for everyone."""

from __future__ import annotations

import anyio
import pytest

from capsule import Ended, Runtime, RuntimeClosed, TaskFailed
from capsule.testing import FakeEngine, FakeGuest


async def hang(guest: FakeGuest) -> None:
    await guest.hang()


async def quick(guest: FakeGuest) -> str:
    return "quick"


async def ask(guest: FakeGuest) -> object:
    return await guest.host_call("wait")


async def parent(guest: FakeGuest) -> object:
    return await guest.host_call("task", {"task": "hang", "args": [], "kwargs": {}})


async def fail(guest: FakeGuest) -> None:
    raise ValueError("no luck")


async def wait(context, payload) -> None:
    await anyio.sleep_forever()


async def test_every_ref_has_one_outcome(stage) -> None:
    """At work, in a host call, in a sub-task, waiting for a place, not begun: each ref has the outcome "cancelled"."""
    play = stage({"hang": hang, "ask": ask, "parent": parent, "quick": quick}, max_sandboxes=3)
    play.offer("wait", wait)
    async with play.runtime as runtime:
        refs = [await runtime.spawn(play[name]) for name in ("hang", "ask", "parent")]
        await anyio.wait_all_tasks_blocked()
        refs += [await runtime.spawn(play["quick"])]
        await anyio.wait_all_tasks_blocked()
        refs += [await runtime.spawn(play["quick"])]
    assert [ref.is_done for ref in refs] == [True] * 5
    assert [(await ref.outcome()).error.error_type for ref in refs] == ["cancelled"] * 5
    ended = [event.number for event in play.events if isinstance(event, Ended)]
    assert len(ended) == len(set(ended))
    play.assert_nothing_is_left()


async def test_an_outcome_that_is_there_stays(stage) -> None:
    """Leaving changes nothing for an actor that is done."""
    play = stage({"quick": quick})
    async with play.runtime as runtime:
        ref = await runtime.spawn(play["quick"])
        await ref.outcome()
    assert await ref.result() == "quick"


async def test_what_the_body_raises_comes_out_as_it_is(stage) -> None:
    """An exception of the block is not wrapped, and ends what is at work."""
    play = stage({"hang": hang, "fail": fail})
    with pytest.raises(TaskFailed) as caught:
        async with play.runtime as runtime:
            ref = await runtime.spawn(play["hang"])
            await runtime.run(play["fail"])
    assert type(caught.value) is TaskFailed
    assert (await ref.outcome()).error.error_type == "cancelled"
    play.assert_nothing_is_left()


async def test_a_group_that_the_body_raises_comes_out_as_it_is(stage) -> None:
    """Also an ExceptionGroup of the block's own stays what it is."""
    play = stage({"quick": quick})
    group = ExceptionGroup("mine", [ValueError("one")])
    with pytest.raises(ExceptionGroup) as caught:
        async with play.runtime:
            raise group
    assert caught.value is group


async def test_a_cancelled_body(stage) -> None:
    """A block that is cancelled ends its actors and stays cancelled, nothing more."""
    play = stage({"hang": hang})
    with anyio.CancelScope() as scope:
        async with play.runtime as runtime:
            ref = await runtime.spawn(play["hang"])
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert (await ref.outcome()).error.error_type == "cancelled"
    play.assert_nothing_is_left()


async def test_a_call_from_another_task(stage) -> None:
    """Whoever waits in `run` while somebody else leaves the runtime hears that the task was cancelled."""
    play, failures = stage({"hang": hang, "quick": quick}, max_sandboxes=1), []

    async def call(name: str) -> None:
        with pytest.raises(TaskFailed) as caught:
            await play.runtime.run(play[name])
        failures.append((name, caught.value.error_type))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, play.runtime:
            tasks.start_soon(call, "hang")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(call, "quick")
            await anyio.wait_all_tasks_blocked()
    assert sorted(failures) == [("hang", "cancelled"), ("quick", "cancelled")]
    play.assert_nothing_is_left()


async def test_a_host_call_from_another_task(stage) -> None:
    """Also when a host call is open, or is made while the runtime is being left."""

    async def ask_twice(guest: FakeGuest) -> object:
        try:
            await guest.host_call("slow")
        finally:
            guest.submit("slow")

    play, leaving = stage({"ask_twice": ask_twice}), anyio.Event()

    async def slow(context, payload) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            leaving.set()

    play.offer("slow", slow)

    async def call() -> None:
        with pytest.raises(TaskFailed):
            await play.runtime.run(play["ask_twice"])

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            async with play.runtime:
                tasks.start_soon(call)
                await anyio.wait_all_tasks_blocked()
            assert leaving.is_set()
    play.assert_nothing_is_left()


async def test_outside_the_block(stage) -> None:
    """Before and after the block every use is refused, and the message says how to use it."""
    play = stage({"quick": quick})
    for _ in range(2):
        for use in (play.runtime.run, play.runtime.spawn):
            with pytest.raises(RuntimeClosed, match="async with Runtime"):
                await use(play["quick"])
        with pytest.raises(RuntimeClosed):
            async for _outcome in play.runtime.map(play["quick"], [1]):
                pass
        if play.events:
            break
        async with play.runtime as runtime:
            await runtime.run(play["quick"])


async def test_a_guest_that_cannot_start() -> None:
    """An engine that does not open leaves a runtime that is closed, and its error comes out as it is."""

    class Broken(FakeEngine):
        async def __aenter__(self):
            raise OSError("no such guest")

    runtime = Runtime(engine=Broken({}))
    with pytest.raises(OSError, match="no such guest"):
        async with runtime:
            pass
    with pytest.raises(RuntimeClosed):
        await runtime.run("tasks.py")
