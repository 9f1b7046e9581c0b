"""`map`: many items, outcomes in their order, never more at work than allowed."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest

from capsule import UsageError
from capsule.testing import FakeGuest


class Gates:
    """Guests that wait for their gate: each answers its item once `open(item)` was called."""

    def __init__(self) -> None:
        self.gates: dict[object, anyio.Event] = {}
        self.at_work: list[object] = []
        self.most = 0

    def gate(self, item: object) -> anyio.Event:
        return self.gates.setdefault(item, anyio.Event())

    async def script(self, guest: FakeGuest) -> object:
        (item,) = guest.args
        self.at_work.append(item)
        self.most = max(self.most, len(self.at_work))
        try:
            await self.gate(item).wait()
        finally:
            self.at_work.remove(item)
        if item == "bad":
            raise ValueError("bad item")
        return item


async def double(guest: FakeGuest) -> int:
    return guest.args[0] * 2


async def hang(guest: FakeGuest) -> None:
    await guest.hang()


async def settle() -> None:
    await anyio.wait_all_tasks_blocked()


async def test_values_in_order(stage) -> None:
    """Outcomes come in the order of the items, also when later ones are ready first."""
    gates = Gates()
    play, got = stage({"wait": gates.script}), []
    async with play.runtime as runtime, anyio.create_task_group() as tasks:

        async def collect() -> None:
            got.extend([outcome.result async for outcome in runtime.map(play["wait"], "abc")])

        tasks.start_soon(collect)
        for item in "cba":
            await settle()
            assert got == []
            gates.gate(item).set()
    assert got == ["a", "b", "c"]
    play.assert_nothing_is_left()


async def test_limit(stage) -> None:
    """At most `limit` are at work, and items are only taken when there is room for them."""
    gates, taken = Gates(), []
    play = stage({"wait": gates.script})

    def items():
        for item in range(5):
            taken.append(item)
            gates.gate(item).set()
            yield item

    async with play.runtime as runtime, aclosing(runtime.map(play["wait"], items(), limit=2)) as outcomes:
        assert (await anext(outcomes)).result == 0
        assert taken == [0, 1]
        assert [outcome.result async for outcome in outcomes] == [1, 2, 3, 4]
    assert gates.most <= 2


async def test_a_failure_is_an_outcome(stage) -> None:
    """An item that fails is an outcome like the others; its neighbours are not touched."""
    gates = Gates()
    play = stage({"wait": gates.script})
    for item in (1, "bad", 3):
        gates.gate(item).set()
    async with play.runtime as runtime:
        outcomes = [outcome async for outcome in runtime.map(play["wait"], [1, "bad", 3])]
    assert [outcome.success for outcome in outcomes] == [True, False, True]
    assert outcomes[1].error.message == "bad item"


async def test_async_items(stage) -> None:
    """Items may come from an async iterable, one that waits included."""
    play = stage({"double": double})

    async def items():
        for item in range(3):
            await anyio.lowlevel.checkpoint()
            yield item

    async with play.runtime as runtime:
        assert [outcome.result async for outcome in runtime.map(play["double"], items(), limit=2)] == [0, 2, 4]


async def test_no_items(stage) -> None:
    """No items, no outcomes."""
    play = stage({"double": double})
    async with play.runtime as runtime:
        assert [outcome async for outcome in runtime.map(play["double"], [])] == []
    assert play.history == []


async def test_endless_items(stage) -> None:
    """Items without an end are fine for whoever leaves the loop."""
    play = stage({"double": double})

    def numbers():
        number = 0
        while True:
            yield number
            number += 1

    async with play.runtime as runtime, aclosing(runtime.map(play["double"], numbers(), limit=3)) as outcomes:
        async for outcome in outcomes:
            if outcome.result >= 20:
                break
    play.assert_nothing_is_left()


@pytest.mark.parametrize("kind", ["list", "async generator"])
async def test_closing_early(stage, kind: str) -> None:
    """Closing the iterator ends the sandboxes that are at work; the runtime goes on. Nothing is left to the collector."""
    play = stage({"double": double, "hang": hang})

    async def later():
        for item in range(3):
            yield item

    async with play.runtime as runtime:
        items = later() if kind == "async generator" else range(3)
        outcomes = runtime.map(play["hang"], items, limit=2)
        async with aclosing(outcomes), anyio.create_task_group() as group:
            group.start_soon(outcomes.__anext__)
            await settle()  # both are at work
            group.cancel_scope.cancel()
        with anyio.fail_after(10):
            while len(play.history) < 4:
                await anyio.lowlevel.checkpoint()
        assert play.history[-2:] == [("ended", "hang", "cancelled")] * 2
        assert await runtime.run(play["double"], 4) == 8
    play.assert_nothing_is_left()


async def test_an_exception_in_the_loop(stage) -> None:
    """An exception in the body of the loop comes out as it is, and ends what is at work."""
    gates = Gates()
    gates.gate(0).set()
    play = stage({"wait": gates.script})
    async with play.runtime as runtime:
        with pytest.raises(ZeroDivisionError):
            async with aclosing(runtime.map(play["wait"], range(3))) as outcomes:
                async for outcome in outcomes:
                    _ = 1 / outcome.result
        await settle()
        assert gates.at_work == []
    play.assert_nothing_is_left()


async def test_items_that_raise(stage) -> None:
    """An error of the items comes out as it is, and ends what is at work."""
    play = stage({"hang": hang})

    def items():
        yield 1
        raise LookupError("no more")

    async with play.runtime as runtime:
        with pytest.raises(LookupError, match="no more"):
            async with aclosing(runtime.map(play["hang"], items())) as outcomes:
                await anext(outcomes)
        await settle()
        assert play.history[-1] == ("ended", "hang", "cancelled")
    play.assert_nothing_is_left()


async def test_an_item_that_no_call_can_take(stage) -> None:
    """An item that is no JSON raises as `run` does, and ends what is at work."""
    play = stage({"hang": hang})
    async with play.runtime as runtime:
        with pytest.raises(UsageError, match="not JSON"):
            async with aclosing(runtime.map(play["hang"], [1, object()])) as outcomes:
                await anext(outcomes)
    play.assert_nothing_is_left()


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_limit_that_is_none(stage, limit: int) -> None:
    """A limit below one is a wrong call."""
    play = stage({"double": double})
    async with play.runtime as runtime:
        with pytest.raises(UsageError, match="limit"):
            async with aclosing(runtime.map(play["double"], [1], limit=limit)) as outcomes:
                await anext(outcomes)
