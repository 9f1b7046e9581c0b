"""A program that runs again, by its length: from byte code, and from source as each first run is."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from msgspec.structs import replace

from benches._rounds import each
from benches._values import Bench, Here, Rounds, Row, ours, size
from capsule import Runtime
from capsule._guest.program import program_from_source

COUNT = size(50, quick=5)
WARM = 6
"""Runs after which there is byte code."""

MAIN = "from capsule import task\n@task\ndef main(number): return number\n"
PART = '''
class Item{0}:
    """What item {0} is."""
    def __init__(self, name, size=10, *, colour=None):
        self.name, self.size = name, size
        self.colour = colour or "red"
    def grown(self, by):
        if by < 0:
            raise ValueError(f"cannot grow {{self.name}} by {{by}}")
        return [self.size + each for each in range(by) if each % 3]
def work_{0}(items, limit=100):
    found = {{}}
    for item in items:
        try:
            found.setdefault(item.name, []).append(item.size * 2 + 1)
        except AttributeError as error:
            print("no", error, sep=": ")
    return sorted(found.items(), key=lambda pair: -len(pair[1]))[:limit]
'''
LENGTHS = {3: 0, 30: 2, 300: 16}
"""Lines, and the parts that make them."""


@asynccontextmanager
async def runtime(*, is_new: bool) -> AsyncIterator[Rounds]:
    """Through a runtime, with the same text each time or one that nobody has seen before."""
    numbers = itertools.count()
    programs = {
        lines: program_from_source(MAIN + "".join(map(PART.format, range(parts))), "again.py")
        for lines, parts in LENGTHS.items()
    }
    async with Runtime() as runtime:

        async def one(lines: int, number: int) -> None:
            program = programs[lines]
            if is_new:
                program = replace(program, source=f"{program.source}# {next(numbers)}\n")
            launcher = runtime._launcher  # noqa: SLF001 - as for a task of an application: nothing is read on the way
            delivery = launcher.delivery(program, program.tasks[0], [number], {})
            assert (await delivery.run()).unwrap() == number

        for lines in LENGTHS:
            for number in range(WARM):
                await one(lines, number)
        yield {f"again-{lines}": each(partial(one, lines), COUNT) for lines in LENGTHS}


SOURCE = "capsule, from source"

BENCH = Bench(
    rows=tuple(
        Row(key=f"again-{lines}", what=f"a program of {lines} lines, call to value", unit="ms", against=SOURCE)
        for lines in LENGTHS
    ),
    contenders=(*ours(partial(runtime, is_new=False)), Here(name=SOURCE, open=partial(runtime, is_new=True))),
)
