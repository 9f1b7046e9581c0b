"""An asker that finds an actor idle works on its question itself: what happens to it, and to the actor, meanwhile."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from actor.guests import Guests
from capsule import ActorRef, ActorStopped, TaskFailed


@pytest.fixture
def guests() -> Guests:
    return Guests()


async def until_begun(guests: Guests, item: object) -> None:
    with anyio.fail_after(5):
        while item not in guests.seen:
            await anyio.lowlevel.checkpoint()


async def ready(play, **options: object) -> ActorRef:
    """An idle actor with its sandbox, whose own task waits for letters."""
    notes = await play.runtime.spawn(play["Notes"], **options)
    await notes.outcome()
    await until_idle(notes)
    return notes


async def until_idle(notes: ActorRef) -> None:
    with anyio.fail_after(5):
        while notes.state != "idle":
            await anyio.lowlevel.checkpoint()


async def fails(ask, kind: str) -> None:
    with pytest.raises(TaskFailed) as caught:
        await ask
    assert caught.value.error_type == kind


async def test_no_other_task_takes_part(stage, guests: Guests) -> None:
    """The question never enters the mailbox, and the actor counts as busy."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as group:
        notes = await ready(play)
        group.start_soon(notes.hold, 1)
        await until_begun(guests, 1)
        assert (notes.state, notes.statistics().waiting) == ("busy", 0)
        guests.gate(1).set()
        await until_idle(notes)
        assert notes.statistics().answered == 2
    play.assert_nothing_is_left()


async def test_those_who_come_meanwhile_wait_their_turn(stage, guests: Guests) -> None:
    """One message at a time, in order, whoever works on the first."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as group:
        notes = await ready(play)
        group.start_soon(notes.hold, 1)
        await until_begun(guests, 1)
        for item in (2, 3):
            notes.tell_nowait.add(item)
        group.start_soon(notes.add, 4)
        await anyio.sleep(0.01)
        assert guests.seen == [1]
        guests.gate(1).set()
        await until_begun(guests, 4)
        assert guests.seen == [1, 2, 3, 4]
    play.assert_nothing_is_left()


async def test_a_task_that_was_asked_again_keeps_its_place(stage, guests: Guests) -> None:
    """It is not among those whose work is done, though its own task had counted it there."""
    play = stage(guests.scripts, max_sandboxes=2)
    async with play.runtime:
        asked = await play.runtime.spawn(play["work"], "add", 1)
        await asked.result()
        await until_idle(asked)
        assert await asked("add", 2) == 2
        spent = await play.runtime.spawn(play["work"], "add", 3)
        await spent.result()
        with anyio.fail_after(5):
            assert await (await play.runtime.spawn(play["work"], "add", 4)).result() == 1
        assert (asked.state, spent.state) == ("idle", "stopped")
    play.assert_nothing_is_left()


@pytest.mark.parametrize("behind", [0, 2])
async def test_the_asker_is_cancelled(stage, guests: Guests, behind: int) -> None:
    """It costs the sandbox and no restart; what waits behind it is handled in a fresh one."""
    play = stage(guests.scripts, {"Notes": "max_restarts=0"})
    async with play.runtime:
        notes = await ready(play)
        async with anyio.create_task_group() as group:
            group.start_soon(notes.hold, 1)
            await until_begun(guests, 1)
            for item in range(behind):
                notes.tell_nowait.add(f"behind {item}")
            group.cancel_scope.cancel()
        assert await notes.add("last") == behind + 1
        assert guests.made == 2
    assert [event for event in play.life if event[0] == "restarted"] == [("restarted", "Notes", "cancelled", 1)]
    play.assert_nothing_is_left()


@pytest.mark.parametrize("policy", ["restart", "stop"])
async def test_the_sandbox_is_lost(stage, guests: Guests, policy: str) -> None:
    """The asker hears of it, and the actor's own task decides what becomes of the actor."""
    play = stage(guests.scripts, {"Notes": f"on_failure='{policy}'"})
    async with play.runtime:
        notes = await ready(play)
        await fails(notes.die("trap"), "trap")
        if policy == "restart":
            assert await notes.add(1) == 1
        else:
            assert (await notes.wait_stopped()).failed
            with pytest.raises(ActorStopped):
                await notes.add(1)
    play.assert_nothing_is_left()


async def test_killed(stage, guests: Guests) -> None:
    """The asker's work ends, and the actor has not stopped before it has."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as group:
        notes = await ready(play)
        group.start_soon(fails, notes.hold(1), "cancelled")
        await until_begun(guests, 1)
        notes.kill()
        with anyio.fail_after(5):
            assert (await notes.wait_stopped()).reason == "it was killed"
        assert all(sandbox.is_closed for sandbox in play.engine.sandboxes)
    play.assert_nothing_is_left()


async def test_stopped(stage, guests: Guests) -> None:
    """Its work is waited for, and so is what was sent before."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as group:
        notes = await ready(play)
        group.start_soon(notes.hold, 1)
        await until_begun(guests, 1)
        notes.tell_nowait.add(2)
        group.start_soon(notes.stop)
        await anyio.sleep(0.01)
        assert notes.state == "stopping"
        guests.gate(1).set()
        with anyio.fail_after(5):
            await notes.wait_stopped()
        assert guests.seen == [1, 2]
    play.assert_nothing_is_left()


async def test_stopped_with_too_little_grace(stage, guests: Guests) -> None:
    """Then it is killed."""
    play = stage(guests.scripts)
    async with play.runtime, anyio.create_task_group() as group:
        notes = await ready(play)
        group.start_soon(fails, notes.hold(1), "cancelled")
        await until_begun(guests, 1)
        with anyio.fail_after(5):
            await notes.stop(grace=0.05)
        assert notes.state == "stopped"
    play.assert_nothing_is_left()


async def test_the_runtime_is_left(stage, guests: Guests) -> None:
    """An asker outside of the block hears of it, and the block ends."""
    play = stage(guests.scripts)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            async with play.runtime:
                notes = await ready(play)
                group.start_soon(fails, notes.hold(1), "cancelled")
                await until_begun(guests, 1)
            assert notes.state == "stopped"
    play.assert_nothing_is_left()


async def test_the_block_of_the_asker_times_out_again_and_again(stage, guests: Guests) -> None:
    """Each time the next question is answered."""
    play = stage(guests.scripts)
    async with play.runtime:
        notes = await ready(play)
        for round_ in range(20):
            with anyio.move_on_after(0.002):
                await notes.hold(f"held {round_}")
            assert await notes.add(round_) in {1, 2}
    play.assert_nothing_is_left()


async def test_whoever_asks_in_a_tool(stage, guests: Guests) -> None:
    """A tool of one actor asks another: nobody waits for himself."""
    play = stage(guests.scripts)
    async with play.runtime:
        first, second = await ready(play, name="first"), await ready(play, name="second")

        async def pass_on(context: object, payload: object) -> object:
            return await second.add(payload)

        play.offer("pass", pass_on)
        with anyio.fail_after(5):
            assert await first.call("pass", "a") == 1
    play.assert_nothing_is_left()


async def test_asyncio_itself_cancels_the_asker(stage, guests: Guests, anyio_backend: tuple[str, object]) -> None:
    """A task that asyncio cancels, as its timeouts do, is as good as one whose scope is cancelled."""
    if anyio_backend[0] != "asyncio":
        return
    import asyncio

    play = stage(guests.scripts)
    async with play.runtime:
        notes = await ready(play)
        asking = asyncio.create_task(notes.hold(1))
        await until_begun(guests, 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(notes.hold(2), 0.02)
        assert await notes.add(3) == 1
    play.assert_nothing_is_left()
