"""memory.copy and memory.fill, piece by piece: to the engine each is one instruction, which nothing interrupts.

A guest that fills a gigabyte would hold its thread for as long as that takes, whatever its timeout. So each of these
instructions becomes a call of a function that does it in pieces, in a loop; and at each turn of a loop the engine looks
whether the guest's slice is over.
"""

from __future__ import annotations

from .binary import s64, sized
from .walk import BULK

PIECE = 64 * 1024
"""Bytes in one piece: as many as take some ten microseconds, and more where each page of it is new."""

TYPE = b"\x60\x03\x7f\x7f\x7f\x00"
"""Of both functions: three i32, no result."""

_COPY, _FILL = bytes([BULK]) + b"\x0a\x00\x00", bytes([BULK]) + b"\x0b\x00"
INSTRUCTIONS = (_COPY, _FILL)
"""What is replaced, in the order of `bodies`."""

_TO, _FROM, _COUNT = 0, 1, 2
"""The parameters; what is filled with stands where a copy has where from."""


def _get(local: int) -> bytes:
    return b"\x20" + bytes([local])


def _constant(number: int) -> bytes:
    return b"\x41" + s64(number)


def _advance(local: int, by: int) -> bytes:
    return _get(local) + _constant(by) + b"\x6a\x21" + bytes([local])  # i32.add, local.set


def _while_more_than_a_piece(check: bytes, body: bytes) -> bytes:
    test = _get(_COUNT) + _constant(PIECE) + b"\x4d\x0d\x01"  # i32.le_u, br_if out
    return b"\x02\x40\x03\x40" + test + check + body + b"\x0c\x00\x0b\x0b"  # block loop ... br 0 end end


def _do(instruction: bytes, count: bytes) -> bytes:
    return _get(_TO) + _get(_FROM) + count + instruction


def _at_end(local: int) -> bytes:
    return _get(local) + _get(_COUNT) + b"\x6a"


_REST_OF_COPY, _REST_OF_FILL = _do(_COPY, _get(_COUNT)), _do(_FILL, _get(_COUNT))
_UPWARDS = _do(_COPY, _constant(PIECE)) + _advance(_TO, PIECE) + _advance(_FROM, PIECE) + _advance(_COUNT, -PIECE)
_DOWNWARDS = _advance(_COUNT, -PIECE) + _at_end(_TO) + _at_end(_FROM) + _constant(PIECE) + _COPY
_FORWARD = _do(_FILL, _constant(PIECE)) + _advance(_TO, PIECE) + _advance(_COUNT, -PIECE)


def bodies(first: bytes = b"", check: bytes = b"") -> list[bytes]:
    """The code of the two functions, without locals. `first` stands before all, `check` before each piece."""
    upwards, downwards = _while_more_than_a_piece(check, _UPWARDS), _while_more_than_a_piece(check, _DOWNWARDS)
    # A copy to a place behind where it comes from goes downwards, or it would read what it has written.
    copy = _get(_TO) + _get(_FROM) + b"\x4d\x04\x40" + upwards + b"\x05" + downwards + b"\x0b" + _REST_OF_COPY
    fill = _while_more_than_a_piece(check, _FORWARD) + _REST_OF_FILL
    return [sized(b"\x00" + first + body + b"\x0b") for body in (copy, fill)]
