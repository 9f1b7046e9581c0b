"""An engine, a compiled guest loaded into it, and the linker that its sandboxes share."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Any

from ..errors import SetupError
from . import bindings as c
from .handles import Handle, take_error
from .linker import HANDLER, make_linker
from .memories import Memories
from .meter import CellMeter, EngineMeter, Epochs, Meter
from .skeleton import Skeletons
from .slots import Slots
from .version import ASYNC_STACK, MAX_WASM_STACK, SNAPSHOT, SWITCHED_OFF


def make_engine(memories: Memories | None = None, *, counts: bool = True) -> Handle:
    """An engine with the settings of `version`, whose memories are `memories`, or wasmtime's own.

    If it `counts`, code that it compiles counts fuel and looks at epochs; the guest's does not need it where it counts
    for itself.
    """
    config = c.config_new()
    c.config_switch(config, "wasm_component_model", is_on=True)
    for name in ("epoch_interruption", "consume_fuel"):
        c.config_switch(config, name, is_on=counts)
    c.config_max_wasm_stack(config, MAX_WASM_STACK)
    c.config_async_stack_size(config, ASYNC_STACK)
    for name in SWITCHED_OFF:
        c.config_switch(config, name, is_on=False)
    c.config_switch(config, "wasm_custom_page_sizes", is_on=not counts)
    if memories is not None:
        c.config_memory_creator(config, ctypes.byref(memories.creator))
    return Handle(c.engine_new(config), c.engine_delete)


def compile_guest(wasm: bytes, *, counts: bool = True) -> bytes:
    """Native code for a component, for this machine; `counts` as for an engine. Takes some seconds on every core."""
    with contextlib.closing(make_engine(counts=counts)) as engine:
        made = ctypes.c_void_p()
        _check(c.component_new(engine.pointer, wasm, len(wasm), ctypes.byref(made)))
        with contextlib.closing(Handle(made, c.component_delete)) as component:
            code = c.ByteVector()
            _check(c.component_serialize(component.pointer, ctypes.byref(code)))
            try:
                return ctypes.string_at(code.data, code.size)
            finally:
                c.bytes_delete(ctypes.byref(code))


class LoadedGuest:
    """A compiled guest, mapped from its file. Shared by all sandboxes of one engine; close it after the last.

    Where its snapshot lies in a file beside it, memories are used again (see `slots`), and its code counts fuel itself.
    """

    def __init__(self, file: Path) -> None:
        self.epochs = Epochs()
        snapshot = file.with_suffix(SNAPSHOT)
        with contextlib.ExitStack() as stack:
            self.memories = Memories(Slots(snapshot), self.epochs) if snapshot.exists() else None
            if self.memories is not None:
                stack.callback(self.memories.close)
            self.engine = make_engine(self.memories, counts=self.memories is None)
            stack.callback(self.engine.close)
            self.component = _load(self.engine, file)
            stack.callback(self.component.close)
            self.skeletons = Skeletons()
            stack.callback(self.skeletons.close)
            self.linker = make_linker(self.engine)
            stack.callback(self.linker.close)
            self.handler = self._find_handler()
            self._stack = stack.pop_all()

    def new_meter(self, context: c.Pointer) -> Meter:
        """For a store with this context."""
        return EngineMeter(context, self.epochs) if self.memories is None else CellMeter(self.epochs)

    def _find_handler(self) -> Any:
        parent = _export(self.component, None, HANDLER)
        return _export(self.component, parent, "handle")

    def tick(self) -> None:
        """Begin a new epoch: running guests come back to their carriers."""
        self.epochs.begin()
        if self.memories is None:
            c.engine_increment_epoch(self.engine.pointer)

    def close(self) -> None:
        """Free everything."""
        self._stack.close()


def _load(engine: Handle, file: Path) -> Handle:
    made = ctypes.c_void_p()
    error = c.component_load(engine.pointer, os.fsencode(file), ctypes.byref(made))
    if error:
        raise SetupError(f"the compiled guest does not load: {take_error(error).splitlines()[0]}")
    return Handle(made, c.component_delete)


def _check(error: c.Pointer) -> None:
    if error:
        raise RuntimeError(take_error(error))


def _export(component: Handle, parent: Any, name: str) -> Any:
    raw = name.encode()
    found = c.component_get_export(component.pointer, parent, raw, len(raw))
    if not found:
        raise SetupError(f"the guest does not export {name}; run `capsule cache clear`")
    return found
