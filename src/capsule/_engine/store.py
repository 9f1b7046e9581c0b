"""One wasmtime store with its instance: everything that belongs to one sandbox on the C side.

All of it runs on carriers, one at a time. Made, used and closed there, so the event loop never waits for it.
"""

from __future__ import annotations

import ctypes

from . import address_space, values
from . import bindings as c
from .fiber import Fiber
from .folders import Folders
from .guest_state import GuestState
from .handles import Handle, take_error
from .loaded import LoadedGuest
from .mappings import mappings

MOST_TABLE_ELEMENTS = 100_000
"""CPython's function table has about ten thousand; each element takes eight bytes of ours."""

FUEL_SLICE = 50_000_000
"""Fuel after which a guest comes back even within one epoch, about 5 ms. Compiled code keeps its fuel count in a
register and only writes it back now and then; in a tight loop this is when, so it is how exact `fuel_consumed` is
for a guest that was ended in the middle. For one that answered it is exact."""


FUEL_HERE = 1_000_000
"""The same for the first slice of a message on the event loop: some half a millisecond."""

FIRST_EPOCHS = 10
"""Epochs that the first slice of a message may take, and the first after each wait; the others take one. A guest that
is cut goes behind everything that is new, and keeps its memory meanwhile. Much of what passes is not its own time: its
host calls wait for the interpreter lock, and its thread for a processor. With two, of three hundred guests with one
host call each, most were cut, and none ended before the last had begun. One that computes is cut by FUEL_SLICE."""

FIRST_UNMETERED = 2
"""The same for a guest whose fuel nobody counts, which nothing else would cut."""

EPOCHS_HERE = 2
"""The same on the event loop. Not one: the thread that counts epochs waits for the interpreter lock, which the loop
gives away when it polls, so one of them most often ends just then."""


class GuestStore:
    """A store, its limits, its WASI and its instance. `close` frees all of it.

    Raises NoRoom if the process has no room for another, and CannotOpen for a folder.
    """

    def __init__(self, guest: LoadedGuest, state: GuestState) -> None:
        self._guest, self._state = guest, state
        self.is_metered = guest.is_metered
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
        # The header declares an error for this one, but the function returns nothing: what comes back is noise.
        c.context_yield_at_epoch(self._context, 1)
        self._interval = self._epochs = 0
        # Nothing but folders in it: no arguments, variables or streams. Custom streams would be written to by threads
        # of wasmtime's own, which a guest could fill with memory and make its carrier wait for.
        _check(c.context_set_wasi(self._context, wasi))
        self.renew(state.limits.fuel)

    def renew(self, fuel: int, *, is_here: bool = False) -> None:
        """What the guest may burn from now on, and a whole slice to begin with: epochs went by while it was idle.

        A short one if it `is_here`, on the event loop.
        """
        self._epochs = self._guest.epochs  # before the deadline: one that is over by then is never missed
        self._begin_slice(EPOCHS_HERE if is_here else FIRST_EPOCHS)
        self.yield_after(FUEL_HERE if is_here else FUEL_SLICE)
        if self.is_metered:
            _check(c.context_set_fuel(self._context, fuel))

    def begin_slice(self) -> None:
        """A whole slice: with a deadline that passed while the guest waited, it would come back at its first check,
        and go behind all others.
        """
        self._begin_slice(FIRST_EPOCHS)

    def _begin_slice(self, epochs: int) -> None:
        c.context_set_epoch_deadline(self._context, epochs if self.is_metered else FIRST_UNMETERED)

    def leave_here(self) -> None:
        """That slice is over, and the message is not: the next ones are whole ones, if it did not end with an epoch.

        None may have begun since its deadline was set: on a busy machine the deadline may be over as the slice begins.
        Compiled code that came back for an epoch has its fuel in a register, and would write an old count over ours.
        """
        if self._guest.epochs == self._epochs:
            self.yield_after(FUEL_SLICE)

    def yield_after(self, fuel: int) -> None:
        """How much the guest may burn in one slice. Not while a call came back for an epoch."""
        if self.is_metered and fuel != self._interval:
            _check(c.context_yield_at_fuel(self._context, fuel))
            self._interval = fuel

    def fuel_left(self) -> int:
        """What it has not burnt yet, exactly; all of it where nobody counts."""
        if not self.is_metered:
            return self._state.limits.fuel
        left = ctypes.c_uint64()
        _check(c.context_get_fuel(self._context, ctypes.byref(left)))
        return left.value

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
        )

    def call(self, request: str) -> GuestCall:
        """The fiber that hands `request` to the guest's handler."""
        if self._handler is None:
            self._handler = self._find_handler()
        return GuestCall(self._handler, self._context, request)

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

    def __init__(self, function: c.Function, context: c.Pointer, request: str) -> None:
        argument = values.string_argument(request)
        result = self._result = c.Value()
        super().__init__(
            lambda error: c.call_async(
                ctypes.byref(function), context, ctypes.byref(argument), 1, ctypes.byref(result), 1, error
            ),
            keep=(function, argument, result),
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
