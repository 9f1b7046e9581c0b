"""Which functions a sandbox calls through its table: `_guest/merging/hot.py` was made with this. Linux only.

Prints the names, first those that an actor without work uses, then those that everyday Python adds. wasmtime writes a
reference to a function where it is first called through the table, so this process reads its own memory and looks for
addresses of the guest's functions.
"""

import array
import contextlib
import re
import struct
from pathlib import Path

import anyio

from benches.idle import Idle
from capsule import Runtime, actor
from capsule.guest import ensure_guest

SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
SYMBOL_TABLE = 2


@actor(compute="LOW", ram="64MB")
class Everyday:
    """What programs do most: text, numbers, containers, classes, errors, JSON, patterns, dates."""

    def __init__(self) -> None:
        self.seen: dict[str, list[int]] = {}

    def work(self, text: str) -> str:
        import collections
        import dataclasses
        import datetime as dt
        import itertools
        import json
        import re

        @dataclasses.dataclass(order=True)
        class Word:
            text: str
            size: float = 0.5

            @property
            def long(self) -> bool:
                return len(self.text) > 3

        def numbers(limit: int):
            yield from (number * number for number in range(limit) if number % 2)

        words = sorted((Word(found, len(found) / 2) for found in re.findall(r"\w+", text)), reverse=True)
        counts = collections.Counter(word.text.lower() for word in words if word.long)
        for word, number in zip(words, itertools.count(), strict=False):
            self.seen.setdefault(word.text[:2], []).append(number)
        try:
            {}["missing"]
        except KeyError as error:
            caught = f"{error!r:>20} {sum(numbers(9)):,.2f} {2**70 // 3 - 1}"
        kinds = {*counts} | {"a"} & set("abc"), [*reversed(words)][1:], (1, 2.5)[0] < 3, not text, -1.5 + round(2.4)
        day = dt.date(2024, 2, 29) + dt.timedelta(days=1)
        data = json.loads(json.dumps({"counts": counts, "caught": caught, "kinds": [str(kinds), None, True, 1e9]}))
        raw = b"".join([text.encode(), bytes(3), bytearray(b"x")])
        with_all = {key: value for key, value in data.items() if isinstance(value, dict | list)}
        return (
            f"{day.isoformat()} {raw.hex()[:8]} {max(map(len, with_all))} {','.join(counts)} {caught.strip().split()}"
        )


def symbols(code: Path) -> dict[int, str]:
    """The guest's functions by where they begin in its file."""
    data = code.read_bytes()
    first, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
    sections = [SECTION.unpack_from(data, first + SECTION.size * number) for number in range(count)]
    found = {}
    for _, kind, _, _, start, size, link, *_ in sections:
        for at in range(start, start + size, SYMBOL.size) if kind == SYMBOL_TABLE else ():
            name, _, _, section, value, length = SYMBOL.unpack_from(data, at)
            if length:
                begin = sections[link][4] + name
                text = data[begin : data.index(b"\0", begin)].decode()
                if match := re.fullmatch(r"wasm\[0\]::function\[\d+\]::(.+)", text):
                    found[sections[section][4] + value] = match[1]
    return found


def in_memory(code: Path, names: dict[int, str]) -> set[str]:
    """The functions whose addresses stand anywhere in this process."""
    maps = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text("utf-8").splitlines()]
    spans = [
        (*(int(end, 16) for end in where.split("-")), rights, int(offset, 16), *rest)
        for where, rights, offset, _, *rest in maps
    ]
    base = next(
        start - offset for start, _, rights, offset, *rest in spans if rest[1:] == [str(code)] and "x" in rights
    )
    found = set()
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for start, end, rights, _, *rest in spans:
            if rights.startswith("rw") and rest[1:] in ([], ["[heap]"]):
                memory.seek(start)
                with contextlib.suppress(OSError):  # a guard that says it can be read
                    found |= names.keys() & {word - base for word in array.array("Q", memory.read(end - start))}
    return {names[place] for place in found}


async def main() -> None:
    code = Path((await ensure_guest()).file)
    names = symbols(code)
    async with Runtime() as runtime:
        ref = await runtime.spawn(Idle)
        await ref.see("this")
        idle = in_memory(code, names)
        busy = await runtime.spawn(Everyday)
        await busy.work("The quick brown fox jumps over the lazy dog, twice: the quick brown fox.")
        everyday = in_memory(code, names) - idle
    print(*sorted(idle), "", *sorted(everyday), sep="\n")


if __name__ == "__main__":
    anyio.run(main)
