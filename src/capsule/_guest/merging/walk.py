"""Code, split into what merging copies and what it translates. By regular expressions: it is six megabytes.

A body becomes a list of pairs: a run of instructions without any index of the module, and then one instruction that
has one (or nothing). Whatever the table below does not know is refused.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import Literal, TypeAlias

from .binary import Reader, Unmergeable

Pairs: TypeAlias = list[tuple[bytes, bytes]]
Space: TypeAlias = Literal["type", "function", "global", "table"]

NUMBER = rb"[\x80-\xff]*+[\x00-\x7f]"
"""A pattern of one number in LEB128."""
STRAIGHT = (
    rb"[\x00\x01\x05\x0f\x1a\x1b\x45-\xc4\xd1]",  # unreachable ... select, all of arithmetic, ref.is_null
    rb"[\x0c\x0d\x20-\x22\x41\x42]" + NUMBER,  # br, br_if, local.*, i32.const, i64.const
    rb"[\x28-\x3e][\x00-\x05]" + NUMBER,  # loads and stores, from the one memory
    rb"[\x3f\x40]\x00",  # memory.size, memory.grow
    rb"\x43(?s:.{4})|\x44(?s:.{8})",  # f32.const, f64.const
    rb"\x1c\x01[\x6f\x70\x7b-\x7f]",  # select with a type
    rb"\xd0[\x6f\x70]",  # ref.null
    rb"\xfc[\x00-\x07]",  # trunc_sat
)
"""Patterns of instructions without an index that neither begin nor end a block."""

NESTING = (
    rb"[\x02-\x04][\x40\x6f\x70\x7b-\x7f]",  # block, loop, if, whose type is none or one value
    rb"\x0b",  # end
)
_PLAIN = STRAIGHT + NESTING
_INDEXED = (
    rb"[\x10\x12\x23\x24\xd2]" + NUMBER,  # call, return_call, global.get, global.set, ref.func
    rb"[\x11\x13]" + NUMBER + NUMBER,  # call_indirect, return_call_indirect
    rb"[\x02-\x04](?:[\x00-\x3f]|[\x80-\xff]++[\x00-\x3f])",  # block, loop, if, whose type is a function's
    rb"\xfc(?:\x0a\x00\x00|\x0b\x00)",  # memory.copy, memory.fill, which become calls (see `bulk`)
)
_RUN = rb"(?:" + rb"|".join(_PLAIN) + rb")*+"
_ALL = re.compile(rb"(?:" + rb"|".join(_PLAIN + _INDEXED) + rb")*+")
_PAIR = re.compile(rb"(" + _RUN + rb")((?:" + rb"|".join(_INDEXED) + rb")?)")
BR_TABLE = 0x0E
CALLS, INDIRECT_CALLS = {0x10, 0x12}, {0x11, 0x13}
BULK = 0xFC
"""The first byte of memory.copy and memory.fill, which have no index."""

SPACES: dict[int, tuple[Space, ...]] = {
    0x02: ("type",),
    0x03: ("type",),
    0x04: ("type",),
    0x10: ("function",),
    0x11: ("type", "table"),
    0x12: ("function",),
    0x13: ("type", "table"),
    0x23: ("global",),
    0x24: ("global",),
    0xD2: ("function",),
}
"""The index spaces that the numbers after each of these instructions belong to."""


def split(body: bytes) -> Pairs:
    """The pairs of a body (its locals first, which stand in the first pair). Raises Unmergeable."""
    at = _end_of_locals(body)
    pairs: Pairs = [(body[:at], b"")]
    while True:
        found = _ALL.match(body, at)
        end = found.end() if found else at
        pairs += _PAIR.findall(body, at, end)
        if end == len(body):
            break
        if body[end] != BR_TABLE:
            raise Unmergeable(f"an instruction that merging does not know: {body[end : end + 4].hex(' ')}")
        at = _end_of_br_table(body, end)
        pairs.append((body[end:at], b""))
    # findall steps over a byte that fits nothing; all that it found must be all that there is.
    if sum(map(len, itertools.chain.from_iterable(pairs))) != len(body) or body[-1] != 0x0B:
        raise Unmergeable("a function that does not split into instructions")
    return pairs


def immediates(instruction: bytes) -> tuple[int, ...]:
    """The numbers of an instruction of `SPACES`."""
    reader = Reader(instruction, 1)
    return tuple(reader.u32() for _ in SPACES[instruction[0]])


def _end_of_locals(body: bytes) -> int:
    reader = Reader(body)
    for _ in range(reader.u32()):
        reader.u32()
        reader.expect("the type of a local", 0x6F, 0x70, 0x7B, 0x7C, 0x7D, 0x7E, 0x7F)
    return reader.at


def _end_of_br_table(body: bytes, at: int) -> int:
    reader = Reader(body, at + 1)
    targets = _numbers(reader.u32() + 1).match(body, reader.at)
    if targets is None:
        raise Unmergeable("a br_table that does not end")
    return targets.end()


@functools.cache
def _numbers(count: int) -> re.Pattern[bytes]:
    return re.compile(rb"(?:" + NUMBER + rb"){%d}" % count)
