"""Large payloads are decoded one at a time, and the loop is free in between."""

from __future__ import annotations

import time

import anyio
import anyio.lowlevel
import msgspec
import pytest

from capsule import InvalidArguments
from capsule._actor.decoding import check_parts
from capsule._actor.reading import Reading

LONG = 0.02


def held(note: list[object], number: int) -> int:
    note.append(number)
    time.sleep(LONG)
    if number == 1:
        raise ValueError(number)
    return number


async def test_one_at_a_time() -> None:
    """Others have as much of the loop as the reading, whose order is that of the calls, errors or not."""
    reading, note, turns, answers = Reading(), [], 0, []

    async def read(number: int) -> None:
        try:
            answers.append(await reading.read(lambda: held(note, number)))
        except ValueError:
            answers.append("failed")

    async def count() -> None:
        nonlocal turns
        while len(answers) < 4:
            turns += 1
            await anyio.sleep(0.001)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        for number in range(4):
            tasks.start_soon(read, number)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
    assert (note, answers) == ([0, 1, 2, 3], [0, "failed", 2, 3])
    assert turns > 3 * 4  # twenty for each of the three pauses, where the machine does nothing else


async def test_given_up() -> None:
    """Who gives up while it waits is not read, and those behind it are."""
    reading, note = Reading(), []
    await reading.read(lambda: held(note, 0))
    with anyio.move_on_after(LONG / 10):
        await reading.read(lambda: held(note, 2))
    assert await reading.read(lambda: held(note, 3)) == 3
    assert note == [0, 3]


@pytest.mark.parametrize(
    ("value", "parts"), [([1, 2, 3], 3), ([[]] * 3, 6), ({"a": {}, "b": [1, 2]}, 5), ("[,{", 3), ("xyz", 0), ([], 1)]
)
def test_parts(value: object, parts: int) -> None:
    """Nothing that has more values than is said passes, nested or not; texts count for what is in them."""
    text = msgspec.json.encode(value).decode() + " " * 10
    check_parts(text, parts)
    if parts:
        with pytest.raises(InvalidArguments, match="commas and brackets"):
            check_parts(text, parts - 1)
