"""Code that counts its own fuel and looks whether its slice is over, in place of the engine's fuel and epochs.

The engine keeps its count in a register, which has to be put down and taken up again around each call, and looks at
its epoch beside that: together a third of what a guest takes to compute. Here a function that calls others, and each
turn of a loop, take what lies before them from a number in memory, and call the host when nothing is left. The host
gives fuel for one slice at a time, so there is always an end.

The number lies in a memory of its own. No instruction of the guest's can name it (see `walk`), so whatever a program
does to its own memory, it cannot reach what it is measured by. A function that neither calls nor loops ends by itself.
"""

from __future__ import annotations

import re
from typing import Final

from .binary import s64, u32
from .module import read_module
from .walk import BR_TABLE, BULK, CALLS, INDIRECT_CALLS, NESTING, STRAIGHT, TAIL_CALLS, Pairs, split

CHECKPOINT: Final = ("capsule:host/calls@0.1.0", "checkpoint")
"""The host's function that is called when a slice is over, as the modules import it: without parameters or a result."""

CELL: Final = b"\x09\x10\x10\x00"
"""The type of that memory: sixteen bytes, never more. What is left of the slice, then what is less than 0 if the host
wants to be called."""

WATCHED: Final = {b"_PyEval_EvalFrameDefault"}
"""Functions that also look whether the host wants to be called before the slice is burnt, as those do that call the
host and those that copy. That is for what takes longer than its fuel says: a file, memory that is touched first, a
processor that was taken away."""

LARGE: Final = 100
"""Fuel of a function that neither calls nor loops from which on it is counted all the same."""

PIECE: Final = 50_000
"""Fuel for a piece of a large copy (see `bulk`)."""

HELD_TYPE: Final = b"\x7f\x01\x41\x00\x0b"
"""The global that says that the host may not be called now: an i32 that can be assigned, 0 at first."""

CHECKPOINT_TYPE: Final = b"\x60\x00\x00"

_CALLS = CALLS | INDIRECT_CALLS | {BULK}
_LOOP, _END, _BLOCKS = 0x03, 0x0B, (0x02, 0x03, 0x04)
_STEP = re.compile(rb"((?:" + rb"|".join(STRAIGHT) + rb")*+)((?:" + rb"|".join(NESTING) + rb")?)")

_ZERO = b"\x41\x00"
_FIRST, _SECOND = b"\x43\x01\x00", b"\x43\x01\x08"  # aligned to eight bytes, in the second memory, and the place
_LEFT, _WANTED = b"\x29" + _FIRST, b"\x29" + _SECOND  # i64.load


class Metering:
    """The checks of one module. `checkpoint` is its function that calls the host, `held` the global of `HELD_TYPE`."""

    def __init__(self, checkpoint: int, held: int) -> None:
        self._held = u32(held)
        self._call = b"\x10" + u32(checkpoint)

    def check(self, cost: int, *, is_watched: bool = False) -> bytes:
        """Take `cost` from what is left, and call the host if that was too much, or if it wants to be called."""
        take = _ZERO + _ZERO + _LEFT + b"\x42" + s64(cost) + b"\x7d\x37" + _FIRST  # i64.const, i64.sub, i64.store
        look = _ZERO + _WANTED + b"\x84" if is_watched else b""  # i64.or
        return take + _ZERO + _LEFT + look + b"\x42\x00\x53\x04\x40" + self._call + b"\x0b"  # if it is below 0

    def checks_of_copies(self) -> tuple[bytes, bytes]:
        """What stands before a copy or a filling, and before each piece of a large one: they take longer than they cost
        where pages are new.
        """
        return self.check(1, is_watched=True), self.check(PIECE, is_watched=True)

    def metered(self, pairs: Pairs, *, is_watched: bool = False) -> Pairs:
        """A function with its checks. If it `is_watched`, they also look whether the host wants to be called."""
        has_calls = any(indexed and indexed[0] in _CALLS for _, indexed in pairs)
        pairs, rest = self._with_loops(pairs, is_watched)
        if has_calls or rest >= LARGE:
            pairs = [pairs[0], (self.check(rest, is_watched=is_watched), b""), *pairs[1:]]
        return pairs

    def _with_loops(self, pairs: Pairs, is_watched: bool) -> tuple[Pairs, int]:
        """The checks of its loops, each with what lies in it outside of loops further inside; and what is in none."""
        done = [pairs[0]]
        regions = [_Region(0, 0)]  # the function, and the loops that we are in
        depth, kinds = 0, [False]  # how many blocks we are in, and which of them are loops
        for plain, indexed in pairs[1:]:
            steps = [(plain, b"")] if plain[:1] == _BR_TABLE_FIRST else _STEP.findall(plain)
            for straight, block in (*steps, (b"", indexed)):
                if not straight and not block:
                    continue
                regions[-1].add(len(straight) + len(block), depth)
                done.append((straight, block) if block is indexed else (straight + block, b""))
                first = block[0] if block else -1
                if first in _BLOCKS:
                    depth += 1
                    kinds.append(first == _LOOP)
                    if first == _LOOP:
                        regions.append(_Region(len(done), depth))
                        done.append((b"", b""))
                elif first == _END:
                    depth -= 1
                    if kinds.pop():
                        loop = regions.pop()
                        done[loop.place] = (self.check(loop.cost, is_watched=is_watched), b"")
        return done, regions[0].cost

    def checkpoint(self, outside: int) -> bytes:
        """The function that calls the host's, unless it must not be called. Its code, with its locals."""
        return b"\x00\x23" + self._held + b"\x45\x04\x40\x10" + u32(outside) + b"\x0b\x0b"  # i32.eqz, if, call

    def held(self, function: int, parameters: int) -> bytes:
        """A function that calls `function` while the host must not be called: the host itself is in the middle of
        handing something over, and to be called then would end the guest.
        """
        arguments = b"".join(b"\x20" + u32(number) for number in range(parameters))
        hold, release = (b"\x41" + value + b"\x24" + self._held for value in (b"\x01", b"\x00"))
        return b"\x00" + hold + arguments + b"\x10" + u32(function) + release + b"\x0b"


def has_loops(code: bytes) -> bool:
    """Whether a function of a core module might have a loop, or a tail call, with which it may be one."""
    pairs = (pair for body in read_module(code).bodies for pair in split(body))
    return any(b"\x03" in plain or (indexed and indexed[0] in {_LOOP, *TAIL_CALLS}) for plain, indexed in pairs)


_BR_TABLE_FIRST = bytes([BR_TABLE])


class _Region:
    """A function without its loops, or a loop without those inside."""

    def __init__(self, place: int, depth: int) -> None:
        self.place, self._depth, self._size = place, depth, 0

    def add(self, size: int, depth: int) -> None:
        """Code of so many bytes, in so many blocks. What lies in a block is passed over half of the time."""
        self._size += size << 16 >> depth - self._depth

    @property
    def cost(self) -> int:
        """In units of fuel: one for two bytes, which is about an instruction. What programs burn is 0.7 to 1.4 of the
        instructions that they run, 0.9 most often.
        """
        return max(1, self._size >> 17)
