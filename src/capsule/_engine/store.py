"""One wasmtime store with its instance: everything that belongs to one sandbox on the C side.

All of it runs on carriers, one at a time. Made, used and closed there, so the event loop never waits for it.
"""

from __future__ import annotations

import ctypes

from .._units import UNMETERED
from . import address_space, values
from . import bindings as c
from .fiber import Fiber
from .folders import Folders
from .guest_state import GuestState
from .handles import Handle, take_error
from .loaded import LoadedGuest
from .mappings import mappings
from .meter import Meter

MOST_TABLE_ELEMENTS = 100_000
"""CPython's function table has about ten thousand; each element takes eight bytes of ours."""


class GuestStore:
    """A store, its limits, its WASI and its instance. `close` frees all of it.

    Raises NoRoom if the process has no room for another, and CannotOpen for a folder.
    """

    def __init__(self, guest: LoadedGuest, state: GuestState) -> None:
        self._guest, self._state = guest, state
        mappings.enter()
        wasi = c.wasi_new()
        self.folders: Folders | None = None
        if state.limits.mounts or state.limits.workspace is not None:
            try:
                self.folders = Folders(state.limits, wasi, guest.skeletons)
            except BaseException:
                c.wasi_delete(wasi)
                mappings.leave()
                raise
        self._store = Handle(c.store_new(guest.engine.pointer, state.number, c.NO_FINALIZER), c.store_delete)
        self._context = c.store_context(self._store.pointer)
        self._instance = c.Instance()
        self._handler: c.Function | None = None
        c.store_limiter(self._store.pointer, state.limits.ram, MOST_TABLE_ELEMENTS, -1, -1, -1)
        self.meter = guest.new_meter(self._context)
        state.meter = self.meter
        # Nothing but folders in it: no arguments, variables or streams. Custom streams would be written to by threads
        # of wasmtime's own, which a guest could fill with memory and make its carrier wait for.
        _check(c.context_set_wasi(self._context, wasi))
        self.meter.renew(state.limits.fuel)

    def fuel_left(self) -> int:
        """What it has not burnt yet; all of it where there is no limit."""
        fuel = self._state.limits.fuel
        return fuel if fuel >= UNMETERED else self.meter.fuel_left()

    def instantiate(self) -> Fiber:
        """The fiber that makes the instance; when it has ended without an error, `call` works."""
        return Fiber(
            lambda error: c.instantiate_async(
                self._guest.linker.pointer,
                self._context,
                self._guest.component.pointer,
                ctypes.byref(self._instance),
                error,
            ),
            keep=self,
            meter=self.meter,
        )

    def call(self, request: str) -> GuestCall:
        """The fiber that hands `request` to the guest's handler."""
        if self._handler is None:
            self._handler = self._find_handler()
        return GuestCall(self._handler, self._context, request, self.meter)

    def _find_handler(self) -> c.Function:
        function = c.Function()
        if not c.instance_get_function(
            ctypes.byref(self._instance), self._context, self._guest.handler, ctypes.byref(function)
        ):
            raise RuntimeError("the guest exports no handler")
        return function

    def close(self) -> str | None:
        """Free the store and everything in it, once. Answers the folder that is to be removed now, if there is one."""
        if self._store.is_closed:
            return None
        self._store.close()
        workspace = None if self.folders is None else self.folders.close()
        self._state.forget()
        if mappings.leave():  # a tenth of a megabyte of each lay between what the C library has in use
            address_space.trim()
        return workspace


class GuestCall(Fiber):
    """The fiber of one call of the handler, which can be asked for its reply."""

    __slots__ = ("_result",)

    def __init__(self, function: c.Function, context: c.Pointer, request: str, meter: Meter | None = None) -> None:
        argument = values.string_argument(request)
        result = self._result = c.Value()
        super().__init__(
            lambda error: c.call_async(
                ctypes.byref(function), context, ctypes.byref(argument), 1, ctypes.byref(result), 1, error
            ),
            keep=(function, argument, result),
            meter=meter,
        )

    def take_reply(self, limit: int) -> str:
        """The guest's reply, after the call ended without an error. Raises TooLong above `limit` bytes."""
        return values.lift_string(self._result, limit)

    def close(self) -> None:
        """Drop the call and free its reply."""
        if not self._future.is_closed:
            super().close()
            c.value_delete(ctypes.byref(self._result))


def _check(error: c.Pointer) -> None:
    if error:
        raise RuntimeError(take_error(error))
