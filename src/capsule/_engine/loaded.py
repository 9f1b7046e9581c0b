"""An engine, a compiled guest loaded into it, and the linker that its sandboxes share."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import component as wc

from ..errors import SetupError
from . import bindings as c
from .linker import HANDLER, make_linker
from .memories import Memories
from .slots import Slots
from .version import ASYNC_STACK, MAX_WASM_STACK, SNAPSHOT, SWITCHED_OFF


def make_engine(memories: Memories | None = None) -> wasmtime.Engine:
    """An engine with the settings of `version`, whose memories are `memories`, or wasmtime's own."""
    config = wasmtime.Config()
    config.wasm_component_model = True
    config.epoch_interruption = True
    config.consume_fuel = True
    config.max_wasm_stack = MAX_WASM_STACK
    c.config_async_stack_size(config.ptr(), ASYNC_STACK)
    for name in SWITCHED_OFF:
        setattr(config, name, False)
    if memories is not None:
        c.config_memory_creator(config.ptr(), ctypes.byref(memories.creator))
    return wasmtime.Engine(config)


def compile_guest(wasm: bytes) -> bytes:
    """Native code for a component, for this machine. Takes some seconds on every core."""
    return bytes(wc.Component(make_engine(), wasm).serialize())


class LoadedGuest:
    """A compiled guest, mapped from its file. Shared by all sandboxes of one engine; close it after the last.

    Where its snapshot lies in a file beside it, memories are used again (see `slots`).
    """

    def __init__(self, file: Path) -> None:
        snapshot = file.with_suffix(SNAPSHOT)
        self.memories = Memories(Slots(snapshot)) if snapshot.exists() else None
        self.engine = make_engine(self.memories)
        try:
            self.component = wc.Component.deserialize_file(self.engine, str(file))
        except wasmtime.WasmtimeError as error:
            if self.memories is not None:
                self.memories.close()
            raise SetupError(f"the compiled guest does not load: {str(error).splitlines()[0]}") from None
        self.linker = make_linker(self.engine)
        self.handler = self._find_handler()

    def _find_handler(self) -> Any:
        parent = _export(self.component, None, HANDLER)
        return _export(self.component, parent, "handle")

    def tick(self) -> None:
        """Begin a new epoch: running guests come back to their carriers."""
        c.engine_increment_epoch(self.engine.ptr())

    def close(self) -> None:
        """Free everything."""
        self.linker.close()
        self.component.close()
        self.engine.close()
        if self.memories is not None:
            self.memories.close()


def _export(component: wc.Component, parent: Any, name: str) -> Any:
    raw = name.encode()
    found = c.component_get_export(component.ptr(), parent, ctypes.create_string_buffer(raw, len(raw)), len(raw))
    if not found:
        raise SetupError(f"the guest does not export {name}; run `capsule cache clear`")
    return found
