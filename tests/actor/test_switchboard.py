"""The task that begins host calls: each once, in their order, and none when it is over."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from capsule import Runtime, actor, task
from capsule._actor.switchboard import Switchboard

MANY = 50
"""On trio, which begins what is started in one go in any order, nobody gets these right by chance."""


@actor
class Keeper:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.items: list[int] = []

    def add(self, item: int) -> None:
        """One more."""
        self.items.append(item)

    def all(self) -> list[int]:
        """In the order in which they came."""
        return self.items


@task
async def send(keeper, how: str) -> list[int]:
    """Sends many without waiting for any."""
    import asyncio

    if how == "tell":
        for number in range(50):
            keeper.tell.add(number)
    else:
        await asyncio.gather(*(keeper.add(number) for number in range(50)))
    return await keeper.all()


@pytest.mark.parametrize("how", ["tell", "gather"])
async def test_what_a_guest_sends_arrives_in_order(runtime: Runtime, how: str) -> None:
    """Whatever the loop does with tasks."""
    keeper = await runtime.spawn(Keeper)
    assert await runtime.run(send, keeper, how) == [*range(MANY)]


async def test_they_begin_in_their_order() -> None:
    """Those that wait already, those that come together, and those that come from within one."""
    board, seen = Switchboard(), []

    async def call(number: int) -> None:
        seen.append(number)
        if number == 2 * MANY - 1:
            for more in range(2 * MANY, 3 * MANY):
                board.connect(partial(call, more))

    async with anyio.create_task_group() as tasks:
        for number in range(MANY):
            board.connect(partial(call, number))
        tasks.start_soon(board.serve, tasks)
        await anyio.wait_all_tasks_blocked()
        for number in range(MANY, 2 * MANY):
            board.connect(partial(call, number))
        await anyio.wait_all_tasks_blocked()
        board.close()
    assert seen == [*range(3 * MANY)]


async def test_closing() -> None:
    """What came before begins, what comes after does not, and nothing waits any more."""
    board, seen = Switchboard(), []

    async def call(number: int) -> None:
        seen.append(number)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(board.serve, tasks)
            board.connect(partial(call, 1))
            board.connect(partial(call, 2))
            board.close()
            board.connect(partial(call, 3))
            board.close()
    assert seen == [1, 2]


@pytest.mark.parametrize("has_begun", [False, True])
async def test_cancelled(has_begun: bool) -> None:
    """None begins any more, and none is held."""
    board, seen = Switchboard(), []

    async def call(number: int) -> None:
        seen.append(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(board.serve, tasks)
        if has_begun:
            await anyio.wait_all_tasks_blocked()
        board.connect(partial(call, 1))
        tasks.cancel_scope.cancel()
        board.connect(partial(call, 2))
    board.connect(partial(call, 3))
    assert (seen, [*board._calls]) == ([], [])
