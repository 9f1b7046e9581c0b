"""One asynchronous call into a guest: poll it, poll it again, or drop it.

wasmtime polls with a waker that wakes nobody, which is enough: a call is pending either because its slice ended
(poll again when it is its turn) or because it waits in one of our host functions (poll again when there is an
answer). Dropping the call in the middle unwinds the guest.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from . import bindings as c
from .handles import Handle, take_error
from .meter import Meter


class Fiber:
    """A call that was started and not yet finished. Not thread-safe: one thread at a time may touch it.

    `start` gets the address of this fiber's own error slot and answers wasmtime's future; everything in `keep`
    must outlive the call and is held until `close`. `meter` is told when the guest runs.
    """

    __slots__ = ("_error", "_future", "_keep", "_meter")

    def __init__(
        self, start: Callable[[c.Pointer], c.Pointer], keep: object = None, meter: Meter | None = None
    ) -> None:
        self._keep, self._meter = keep, meter
        self._error = c.ErrorPointer()
        self._future = Handle(start(ctypes.byref(self._error)), c.future_delete)

    def poll(self) -> bool:
        """Run the guest until it yields, waits or ends; True when it ended."""
        meter = self._meter
        if meter is None:
            is_over = bool(c.future_poll(self._future.pointer))
        else:
            meter.enter()
            try:
                is_over = bool(c.future_poll(self._future.pointer))
            finally:
                meter.leave()
        if is_over:
            self._future.delete = c.future_delete_ended  # there is nothing to unwind
        return is_over

    def take_error(self) -> str | None:
        """What ended the call, if it was an error: wasmtime's text. Answers once."""
        if not self._error:
            return None
        error, self._error = self._error, c.ErrorPointer()
        return take_error(error)

    def close(self) -> None:
        """Drop the call, unwinding the guest if it has not ended (about 0.7 ms), and free what it held."""
        self._future.close()
        self.take_error()
        self._keep = None
