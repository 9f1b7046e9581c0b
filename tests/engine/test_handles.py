"""Handles are closed once and stale ones refused; errors come out with their text and are freed."""

from __future__ import annotations

import ctypes

import pytest

from capsule._engine import bindings as c
from capsule._engine.handles import Handle, new_error, take_error


def test_closed_once() -> None:
    """However often it is closed, the pointer is deleted once."""
    deleted = []
    handle = Handle("pointer", deleted.append)
    assert (handle.pointer, handle.is_closed) == ("pointer", False)
    handle.close()
    handle.close()
    assert (deleted, handle.is_closed) == (["pointer"], True)


def test_a_stale_pointer_is_refused() -> None:
    """A closed handle never hands its pointer out again."""
    handle = Handle("pointer", lambda _: None)
    handle.close()
    with pytest.raises(ValueError, match="closed"):
        _ = handle.pointer


def test_closed_even_if_deleting_fails() -> None:
    """A delete that raises is not tried again."""
    handle = Handle("pointer", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        handle.close()
    handle.close()
    assert handle.is_closed


@pytest.mark.parametrize(
    ("text", "comes_back"),
    [("broken", "broken"), ("", ""), ("é\U0001f40d", "é\U0001f40d"), ("a\0b", "a?b"), ("a\ud800b", "a?b")],
)
def test_an_error_there_and_back(text: str, comes_back: str) -> None:
    """An error made by us has our text when wasmtime gives it back; what C cannot say becomes a question mark."""
    assert take_error(ctypes.cast(new_error(text), c.ErrorPointer)) == comes_back
