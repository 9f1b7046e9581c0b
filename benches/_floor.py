"""The floor: wasmtime through the bindings, on one thread that does nothing else. Store, instance, call, close."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from capsule._engine.calls import CallQueue
from capsule._engine.fiber import Fiber
from capsule._engine.guest_state import GuestState
from capsule._engine.loaded import LoadedGuest
from capsule._engine.output import Output
from capsule._engine.stack import accept_any_stack
from capsule._engine.store import GuestStore
from capsule.abc import Limits

LIMITS = Limits(fuel=10**8, ram=64 << 20, max_output=1 << 20, max_message=1 << 24)


@contextmanager
def bare(file: Path, request: str) -> Iterator[Callable[[int], Awaitable[None]]]:
    """A call that makes a fresh sandbox of the compiled guest, hands it `request` and closes it."""
    accept_any_stack()
    guest = LoadedGuest(file)

    async def one(_: int) -> None:
        store = GuestStore(guest, GuestState(LIMITS, CallQueue(LIMITS, _ignore, _ignore), Output(0, _ignore)))
        try:
            _finish(store.instantiate())
            _finish(store.call(request))
        finally:
            store.close()

    try:
        yield one
    finally:
        guest.close()


def _finish(fiber: Fiber) -> None:
    try:
        while not fiber.poll():
            continue
        error = fiber.take_error()
        assert error is None, error
    finally:
        fiber.close()


def _ignore(*_: object) -> None:
    return None
