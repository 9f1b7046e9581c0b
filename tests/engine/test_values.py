"""Component values through the real library: what is lowered is what is lifted, and the library can free it."""

from __future__ import annotations

import ctypes
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule._engine import bindings as c
from capsule._engine import values


@given(st.text(max_size=200))
def test_string(text: str) -> None:
    """Text crosses whole, NUL and all."""
    value = values.string_argument(text)
    assert values.lift_string(value, 1000) == text


def test_a_lone_surrogate() -> None:
    """What UTF-8 cannot say becomes a question mark: wasmtime would end the process."""
    value = values.string_argument("a\ud800b")
    assert values.lift_string(value, 10) == "a?b"


@pytest.mark.parametrize(
    ("text", "limit", "fits"), [("abc", 3, True), ("abcd", 3, False), ("é", 1, False), ("", 0, True)]
)
def test_limit(text: str, limit: int, fits: bool) -> None:
    """A text of more bytes than allowed is refused with both numbers, before it is copied."""
    value = values.string_argument(text)
    if fits:
        assert values.lift_string(value, limit) == text
        return
    with pytest.raises(values.TooLong, match=f"{len(text.encode())} bytes; max_message allows {limit}"):
        values.lift_string(value, limit)


@given(st.integers(0, 2**64 - 1))
def test_u64(number: int) -> None:
    """Every ticket comes back as itself."""
    value = c.Value()
    values.lower_u64(value, number)
    assert values.lift_u64(value) == number


@pytest.mark.parametrize("number", [0.0, -1.5, math.inf, 1e308])
def test_f64(number: float) -> None:
    """Seconds are lifted as they are."""
    value = c.Value()
    value.kind, value.of.f64 = c.F64, number
    assert values.lift_f64(value) == number


def test_u8() -> None:
    """Channels are lifted as they are."""
    value = c.Value()
    value.kind, value.of.u8 = c.U8, 255
    assert values.lift_u8(value) == 255


@pytest.mark.parametrize(
    "lift", [values.lift_u8, values.lift_u64, values.lift_f64, lambda value: values.lift_string(value, 9)]
)
def test_another_kind(lift) -> None:
    """A value of another kind is refused: reading it as what it is not would follow noise."""
    value = c.Value()
    value.kind = c.TUPLE
    with pytest.raises(TypeError, match="expected"):
        lift(value)


@given(st.integers(0, 2**64 - 1), st.text(max_size=200))
def test_completion(ticket: int, reply: str) -> None:
    """`tuple<u64, string>`: both parts come back, and the library frees its copy."""
    value = c.Value()
    values.lower_completion(value, ticket, reply)
    assert value.kind == c.TUPLE
    pair = value.of.tuple
    assert pair.size == 2
    assert (values.lift_u64(pair.data[0]), values.lift_string(pair.data[1], 1000)) == (ticket, reply)
    c.value_delete(ctypes.byref(value))


@given(st.binary(max_size=256))
def test_bytes(data: bytes) -> None:
    """`list<u8>`: one value for each byte, in order, and the library frees its copy."""
    value = c.Value()
    values.lower_bytes(value, data)
    assert value.kind == c.LIST
    items = value.of.list
    assert bytes(values.lift_u8(items.data[index]) for index in range(items.size)) == data
    c.value_delete(ctypes.byref(value))
