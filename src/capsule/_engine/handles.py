"""Handles into wasmtime that are closed exactly once, and errors taken out of it.

wasmtime-py's own guard against double use never fires (its check looks for a name that Python mangles), so this
room does not lean on it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from . import bindings as c


class Handle:
    """Owns one pointer. `close` deletes it the first time and does nothing after; `pointer` fails once closed."""

    __slots__ = ("_pointer", "delete")

    def __init__(self, pointer: c.Pointer, delete: Callable[[c.Pointer], None]) -> None:
        self._pointer: c.Pointer | None = pointer
        self.delete = delete

    @property
    def pointer(self) -> c.Pointer:
        """The live pointer. Raises ValueError once closed: a stale pointer must never reach C."""
        if self._pointer is None:
            raise ValueError("this handle is closed")
        return self._pointer

    @property
    def is_closed(self) -> bool:
        """Whether `close` has run."""
        return self._pointer is None

    def close(self) -> None:
        """Delete what the pointer owns, once."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self.delete(pointer)


def take_error(pointer: c.Pointer) -> str:
    """The text of a wasmtime error, which is deleted."""
    message = c.ByteVector()
    c.error_message(pointer, ctypes.byref(message))
    text = ctypes.string_at(message.data, message.size).decode("utf-8", "replace")
    c.bytes_delete(ctypes.byref(message))
    c.error_delete(pointer)
    return text


def new_error(message: str) -> int:
    """A new wasmtime error as an address, for a callback to hand over; the receiver owns it."""
    pointer = c.error_new(message.encode("utf-8", "replace").replace(b"\0", b"?"))
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0
