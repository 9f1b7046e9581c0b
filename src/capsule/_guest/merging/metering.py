"""Code that counts its own fuel and looks whether its slice is over, in place of the engine's fuel and epochs.

The engine keeps its count in a register, which has to be put down and taken up again around each call, and looks at
its epoch beside that: together a third of what a guest takes to compute. Here a function that calls others, and each
turn of a loop, take what lies before them from a number in memory, and call the host when nothing is left. The host
gives fuel for one slice at a time, so there is always an end; and loops look whether it wants an earlier one.

The number lies in a memory of its own. No instruction of the guest's can name it (see `walk`), so whatever a program
does to its own memory, it cannot reach what it is measured by. A function that neither calls nor loops ends by itself.
"""

from __future__ import annotations

import re
from typing import Final

from .binary import s64, u32
from .walk import BR_TABLE, BULK, CALLS, INDIRECT_CALLS, NESTING, STRAIGHT, Pairs

CHECKPOINT: Final = ("capsule:host/calls@0.1.0", "checkpoint")
"""The host's function that is called when a slice is over, as the modules import it: without parameters or a result."""

CELL: Final = b"\x09\x10\x10\x00"
"""The type of that memory: sixteen bytes, never more. What is left of the slice, then what is less than 0 if the host
wants to be called."""

LARGE: Final = 100
"""Fuel of a function that neither calls nor loops from which on it is counted all the same."""

PIECE: Final = 50_000
"""Fuel for a piece of a large copy (see `bulk`)."""

MOST_HELD: Final = 1_000_000
"""Fuel beyond its slice after which a function that is held traps. It allocates or frees, in memory of which a hostile
program can have made a ring, and nobody else would end that."""

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
        """Take `cost` from what is left, and call the host if that was too much. If it `is_watched`, also when the host
        wants to be called: that is for what may take longer than its fuel says.
        """
        take = _ZERO + _ZERO + _LEFT + b"\x42" + s64(cost) + b"\x7d\x37" + _FIRST  # i64.const, i64.sub, i64.store
        look = _ZERO + _WANTED + b"\x84" if is_watched else b""  # i64.or
        return take + _ZERO + _LEFT + look + b"\x42\x00\x53\x04\x40" + self._call + b"\x0b"  # if it is below 0

    def checks_of_copies(self) -> tuple[bytes, bytes]:
        """What stands before a copy or a filling, and before each piece of a large one: they take longer than they cost
        where pages are new.
        """
        return self.check(1, is_watched=True), self.check(PIECE, is_watched=True)

    def metered(self, pairs: Pairs, *, is_watched: bool = False) -> Pairs:
        """A function with its checks. It `is_watched` if it calls the host: a file may take long. So is each loop: it
        may touch memory that is new, or far away.
        """
        has_calls = any(indexed and indexed[0] in _CALLS for _, indexed in pairs)
        pairs, rest = self._with_loops(pairs)
        if has_calls or rest >= LARGE:
            pairs = [pairs[0], (self.check(rest, is_watched=is_watched), b""), *pairs[1:]]
        return pairs

    def _with_loops(self, pairs: Pairs) -> tuple[Pairs, int]:
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
                        done[loop.place] = (self.check(loop.cost, is_watched=True), b"")
        return done, regions[0].cost

    def checkpoint(self, outside: int) -> bytes:
        """The function that calls the host's, unless it must not be called: then it traps, if that takes too long. Its
        code, with its locals.
        """
        trap = _ZERO + _LEFT + b"\x42" + s64(-MOST_HELD) + b"\x53\x04\x40\x00\x0b"  # i64.lt_s, if, unreachable, end
        return b"\x00\x23" + self._held + b"\x04\x40" + trap + b"\x05\x10" + u32(outside) + b"\x0b\x0b"  # else, call

    def held(self, function: int, parameters: int) -> bytes:
        """A function that calls `function` while the host must not be called: the host itself is in the middle of
        handing something over, and to be called then would end the guest.
        """
        arguments = b"".join(b"\x20" + u32(number) for number in range(parameters))
        hold, release = (b"\x41" + value + b"\x24" + self._held for value in (b"\x01", b"\x00"))
        return b"\x00" + hold + arguments + b"\x10" + u32(function) + release + b"\x0b"


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
