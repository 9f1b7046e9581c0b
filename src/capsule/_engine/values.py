"""Component values, lowered into C and lifted out of it: only the kinds that `capsule.wit` uses.

wasmtime panics, and with it the process, on a string that is not UTF-8; `encode` here never lets one through.
"""

from __future__ import annotations

import ctypes

from . import bindings as c

_PAYLOAD = c.Value.of.offset  # where the payload stands in a component value, behind its kind
_Bytes = ctypes.POINTER(ctypes.c_ubyte)


def encode(text: str) -> bytes:
    """UTF-8 for wasmtime. A lone surrogate, which UTF-8 cannot say, becomes a question mark."""
    return text.encode("utf-8", "replace")


def string_argument(text: str) -> c.Value:
    """A string argument for a call. It must live as long as the call: wasmtime copies from it."""
    raw = encode(text)
    value = c.Value()
    value.kind = c.STRING
    place = value.of.text
    place.size, place.data = len(raw), raw
    return value


class TooLong(ValueError):
    """A guest handed over a longer text than it may."""


def lift_string(value: c.Value, limit: int) -> str:
    """The text in a string value, copied. Raises TypeError for another kind, TooLong above `limit` bytes."""
    if value.kind != c.STRING:
        raise TypeError(f"a string was expected, not a value of kind {value.kind}")
    text = value.of.string
    size = text.size
    if size > limit:
        raise TooLong(f"a text of {size} bytes; max_message allows {limit}")
    return ctypes.string_at(text.data, size).decode("utf-8")


def lift_f64(value: c.Value) -> float:
    """The number in a float value. Raises TypeError for another kind."""
    if value.kind != c.F64:
        raise TypeError(f"a float was expected, not a value of kind {value.kind}")
    return float(value.of.f64)


def lift_u8(value: c.Value) -> int:
    """The number in a byte value. Raises TypeError for another kind."""
    if value.kind != c.U8:
        raise TypeError(f"a byte was expected, not a value of kind {value.kind}")
    return int(value.of.u8)


def lift_u64(value: c.Value) -> int:
    """The number in an unsigned value. Raises TypeError for another kind."""
    if value.kind != c.U64:
        raise TypeError(f"an unsigned number was expected, not a value of kind {value.kind}")
    return int(value.of.u64)


def lower_u64(place: c.Value, number: int) -> None:
    """Write `number` where wasmtime expects a u64 result."""
    place.kind = c.U64
    place.of.u64 = number


def lower_completion(place: c.Value, ticket: int, reply: str) -> None:
    """Write a `tuple<u64, string>` result; wasmtime frees it.

    `place` is touched last: were it left half written, wasmtime would follow the noise in it.
    """
    raw = encode(reply)
    text = c.ByteVector()
    c.bytes_new(ctypes.byref(text), len(raw), ctypes.cast(ctypes.c_char_p(raw), _Bytes))
    pair = c.ValueTuple()
    c.tuple_new(ctypes.byref(pair), 2)
    lower_u64(pair.data[0], ticket)
    pair.data[1].kind = c.STRING
    pair.data[1].of.string = text
    place.of.tuple = pair
    place.kind = c.TUPLE


def lower_bytes(place: c.Value, data: bytes) -> None:
    """Write a short `list<u8>` result, one component value for each byte; wasmtime frees it.

    Filled by slices: one ctypes access for each byte would take a millisecond for 256 of them.
    """
    size = ctypes.sizeof(c.Value)
    values = bytearray(size * len(data))
    values[0::size] = bytes([c.U8]) * len(data)
    values[_PAYLOAD::size] = data
    numbers = c.ValueList()
    source = (c.Value * len(data)).from_buffer(values)
    c.list_new(ctypes.byref(numbers), len(data), source)
    place.of.list = numbers
    place.kind = c.LIST
