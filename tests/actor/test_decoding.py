"""JSON that a guest wrote: how deep it may be, measured without recursion."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule._actor.decoding import MAX_DEPTH, check_depth, decode

DEEP = MAX_DEPTH + 1
VALUES = st.recursive(
    st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEP + "]" * DEEP,
        "[" * 5_000_000,
        '{"a":' * DEEP + "1" + "}" * DEEP,
        '["]]]]",' * DEEP + "1" + "]" * DEEP,
        '["\\"]]]",' * DEEP + "1" + "]" * DEEP,
        "[" * DEEP + '"unended [',
    ],
)
def test_too_deep(text: str) -> None:
    """Depth is found whatever stands in strings, and in texts that are no JSON at all."""
    with pytest.raises(RecursionError):
        check_depth(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        json.dumps(["[" * 100_000, "\\" + "{" * 10_000]),
        "[" + ",".join(["[]"] * 10_000) + "]",
        "]" * 10_000,
    ],
)
def test_wide_is_not_deep(text: str) -> None:
    """Many brackets side by side, or inside strings, are no depth."""
    check_depth(text)


@given(VALUES)
def test_values_pass(value: object) -> None:
    """What is decoded is what was encoded."""
    text = json.dumps(value)
    check_depth(text)
    assert decode(text) == value
