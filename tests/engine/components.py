"""Tiny guests written by hand, in WAT: each calls one imported function, or does one thing, and answers ""."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import wasmtime

from capsule._engine.engine import WasmEngine
from capsule._engine.loaded import compile_guest
from capsule.abc import Ending, Limits
from capsule.testing import RecordingListener

PLENTY = 30.0


class Call(NamedTuple):
    """How a component calls an item: its type, the type it has in core wasm, and arguments."""

    type: str
    core: str
    arguments: str


def calling(interface: str, item: str, call: Call) -> str:
    """A component that calls `item` of `interface` (name and version) once, drops the result and answers ""."""
    drop = "(drop %s)" if "result" in call.core else "%s"
    return _component(
        imports=f'(import "{interface}" (instance $host (export "{item}" {call.type})))',
        lowered=f'(core func $item (canon lower (func $host "{item}") {_OPTIONS}))',
        given='(with "host" (instance (export "item" (func $item))))',
        declared=f'(import "host" "item" (func $item {call.core}))',
        body=drop % f"(call $item {call.arguments})",
    )


def doing(body: str, declared: str = "") -> str:
    """A component that runs `body`, in core wasm, and answers ""."""
    return _component(imports="", lowered="", given="", declared=declared, body=body)


_OPTIONS = '(memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))'


def _component(*, imports: str, lowered: str, given: str, declared: str, body: str) -> str:
    return f"""
    (component
      {imports}
      (core module $memory
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
      (core instance $memory (instantiate $memory))
      {lowered}
      (core module $main
        {declared}
        (func (export "handle") (param i32 i32) (result i32) {body} (i32.const 16)))
      (core instance $main (instantiate $main {given}))
      (func $handle (param "request" string) (result string)
        (canon lift (core func $main "handle") {_OPTIONS}))
      (instance $handler (export "handle" (func $handle)))
      (export "capsule:host/handler@0.1.0" (instance $handler)))
    """


def compiled(text: str, folder: Path) -> Path:
    """A component as the file that an engine loads."""
    file = folder / "guest.cwasm"
    file.write_bytes(compile_guest(bytes(wasmtime.wat2wasm(text))))
    return file


@asynccontextmanager
async def engine_of(text: str, folder: Path) -> AsyncIterator[WasmEngine]:
    """An engine whose guest is the component `text`."""
    async with WasmEngine(compiled(text, folder), min_ram=65536) as engine:
        yield engine


async def ending_of(text: str, folder: Path, **limits: int) -> Ending:
    """How one call of the component `text` ends."""
    async with engine_of(text, folder) as engine:
        return await call(engine, **limits)


async def call(engine: WasmEngine, request: str = "", **limits: int) -> Ending:
    """How one call into a fresh sandbox of `engine` ends."""
    plenty = {"fuel": 10**9, "ram": 1 << 26, "max_output": 1000, "max_message": 100_000}
    sandbox = engine.open(Limits(**{**plenty, **limits}), RecordingListener())
    return await sandbox.call(request, timeout=PLENTY, is_last=True)
