"""How wasmtime gets the memories of `slots`, and those of meters: the functions that it calls, from C, on a carrier.

As in `callbacks`, nothing may raise through them, and they are module-level because ctypes frees a callback that
nobody holds. What a callback is called with is a number, under which its pool or its memory stands here; never 0,
which comes back as None.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from typing import Any

from . import bindings as c
from .handles import new_error
from .meter import CELL_SIZE, CellMeter, Epochs
from .slots import Slot, Slots

_numbers = itertools.count(1)
_pools: dict[int, tuple[Slots, Epochs]] = {}
_live: dict[int, tuple[Slot | Cell, Slots]] = {}
"""Each with the pool of its engine."""


class Memories:
    """Lets an engine take its memories from a pool. `creator` is for wasmtime's configuration; close it, and with it
    the pool, when the engine is gone.
    """

    def __init__(self, slots: Slots, epochs: Epochs) -> None:
        self.slots, self._number = slots, next(_numbers)
        _pools[self._number] = slots, epochs
        self.creator = c.MemoryCreator(env=self._number, new_memory=_NEW)

    def close(self) -> None:
        """Give everything back. No sandbox may be left."""
        del _pools[self._number]
        self.slots.close()


def _refusing(work: Callable[[], None]) -> int:
    """Run `work`; what it raises becomes wasmtime's error."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - the border to C
        with contextlib.suppress(BaseException):
            return new_error(f"no memory for a sandbox: {error}")
        return new_error("no memory for a sandbox")
    return 0


class Cell:
    """The memory of a guest's meter. It never grows, and lies in what the meter holds."""

    size = capacity = CELL_SIZE

    def __init__(self, meter: CellMeter) -> None:
        self.base, self._meter = meter.address, meter

    def grow(self, size: int) -> None:
        """Raises OSError."""
        raise OSError("the memory of a meter does not grow")


def _new_memory(env: int, _kind: Any, size: int, _most: int, reserved: int, guard: int, place: Any) -> int:
    def make() -> None:
        (pool, epochs), number, memory = _pools[env], next(_numbers), place[0]
        if size == CELL_SIZE:  # memories are made when a guest is polled first, on the thread that polls it
            _live[number] = Cell(epochs.running[threading.get_ident()]), pool
        else:
            _live[number] = pool.take(size, reserved, guard), pool
        memory.env, memory.finalizer = number, _FORGET
        memory.get_memory, memory.grow_memory = _GET, _GROW

    return _refusing(make)


def _get(env: int, size: Any, capacity: Any) -> int:
    memory, _ = _live[env]
    size[0], capacity[0] = memory.size, memory.capacity
    return memory.base


def _grow(env: int, size: int) -> int:
    return _refusing(lambda: _live[env][0].grow(size))


def _forget(env: int) -> None:
    with contextlib.suppress(OSError):  # what cannot be unmapped stays mapped; it is nobody's any more
        memory, pool = _live.pop(env)
        if isinstance(memory, Slot):
            pool.give_back(memory)


_NEW, _GET = c.NewMemoryCallback(_new_memory), c.MemoryGetCallback(_get)
_GROW, _FORGET = c.MemoryGrowCallback(_grow), c.Finalizer(_forget)
