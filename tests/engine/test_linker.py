"""What a guest can import: each hole of WASI is shadowed by ours, under every version that a guest may name.

A shadow hides wasmtime's own function only under the exact version that libwasmtime defines, so an update could open
any of these holes without a word. Each is called here by a guest written by hand.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import _bindings
from wasmtime import component as wc

from capsule._engine import bindings, linker
from capsule._engine.loaded import make_engine
from capsule._guest.cache import CompiledGuest
from engine.components import Call, calling, doing, ending_of

WAIT = Call('(func (param "when" u64) (result u32))', "(param i64) (result i32)", "(i64.const 0)")
GET = Call("(func (result u32))", "(result i32)", "")
CREATE = Call('(func (param "family" u8) (result u32))', "(param i32) (result i32)", "(i32.const 0)")
RANDOM = '(func (param "len" u64) (result (list u8)))'
TOO_MUCH = Call(RANDOM, "(param i64 i32)", "(i64.const 257) (i32.const 32)")
ENOUGH = Call(RANDOM, "(param i64 i32)", "(i64.const 256) (i32.const 32)")
NUMBER = Call("(func (result u64))", "(result i64)", "")

SHADOWED = {
    ("wasi:clocks/monotonic-clock", "subscribe-duration"): (WAIT, "denied", "time.sleep"),
    ("wasi:clocks/monotonic-clock", "subscribe-instant"): (WAIT, "denied", "time.sleep"),
    ("wasi:sockets/instance-network", "instance-network"): (GET, "denied", "network"),
    ("wasi:sockets/tcp-create-socket", "create-tcp-socket"): (CREATE, "denied", "network"),
    ("wasi:sockets/udp-create-socket", "create-udp-socket"): (CREATE, "denied", "network"),
    ("wasi:cli/stdin", "get-stdin"): (GET, "denied", "standard stream"),
    ("wasi:cli/stdout", "get-stdout"): (GET, "denied", "standard stream"),
    ("wasi:cli/stderr", "get-stderr"): (GET, "trap", "aborted"),
    ("wasi:random/random", "get-random-bytes"): (TOO_MUCH, "denied", "256 random bytes"),
}
"""Item -> how it is called, and how we end the guest that does. The types are not wasmtime's own where those would
need resources: ours take any, and wasmtime's own function would not link with them, which fails the test as well."""

OLDEST = "0.2.0"

IMPORTS = {
    "capsule:host/calls": {"cancel", "checkpoint", "next", "submit", "write"},
    "wasi:cli/environment": {"get-arguments", "get-environment"},
    "wasi:cli/exit": {"exit"},
    "wasi:cli/stderr": {"get-stderr"},
    "wasi:cli/stdin": {"get-stdin"},
    "wasi:cli/stdout": {"get-stdout"},
    "wasi:cli/terminal-input": set(),
    "wasi:cli/terminal-output": set(),
    "wasi:cli/terminal-stderr": {"get-terminal-stderr"},
    "wasi:cli/terminal-stdin": {"get-terminal-stdin"},
    "wasi:cli/terminal-stdout": {"get-terminal-stdout"},
    "wasi:clocks/monotonic-clock": {"now", "resolution", "subscribe-duration", "subscribe-instant"},
    "wasi:clocks/wall-clock": {"now", "resolution"},
    "wasi:filesystem/preopens": {"get-directories"},
    "wasi:filesystem/types": None,
    "wasi:io/error": set(),
    "wasi:io/poll": {"poll"},
    "wasi:io/streams": None,
    "wasi:random/random": {"get-random-bytes"},
    "wasi:sockets/instance-network": {"instance-network"},
    "wasi:sockets/ip-name-lookup": {"resolve-addresses"},
    "wasi:sockets/network": set(),
    "wasi:sockets/tcp": None,
    "wasi:sockets/tcp-create-socket": {"create-tcp-socket"},
    "wasi:sockets/udp": None,
    "wasi:sockets/udp-create-socket": {"create-udp-socket"},
}
"""Interface -> functions that the Python guest imports and that were looked at; None for those that only offer methods
of resources, which a guest can only call on what another function here gave it."""


def test_every_shadow_is_tested() -> None:
    """A new shadow needs a line in the table above."""
    assert {(interface, item) for interface, items in linker.SHADOWS.items() for item in items} == set(SHADOWED)


def imports_of(guest: CompiledGuest) -> dict[str, list[str]]:
    engine = wasmtime.Engine.__new__(wasmtime.Engine)  # an engine as ours, which wasmtime-py owns
    engine._set_ptr(ctypes.cast(make_engine(counts=False).pointer, ctypes.POINTER(_bindings.wasm_engine_t)))
    component = wc.Component.deserialize_file(engine, guest.file)
    return {name: list(item.ty.exports(engine)) for name, item in component.type.imports(engine).items()}


def version_of(guest: CompiledGuest) -> str:
    (version,) = {name.rpartition("@")[2] for name in imports_of(guest) if name.startswith("wasi:")}
    return version


@pytest.mark.parametrize("version", [OLDEST, "the guest's", bindings.WASI_VERSION])
@pytest.mark.parametrize(("interface", "item"), SHADOWED, ids=lambda name: name)
async def test_shadow(interface: str, item: str, version: str, guest: CompiledGuest, tmp_path: Path) -> None:
    """A guest that calls a shadowed function gets ours, whichever version of WASI it asks for."""
    named = version_of(guest) if version == "the guest's" else version
    how, error_type, text = SHADOWED[interface, item]
    ending = await ending_of(calling(f"{interface}@{named}", item, how), tmp_path)
    assert (ending.reply, ending.error_type) == (None, error_type), ending.message
    assert text in ending.message


@pytest.mark.parametrize(
    ("interface", "item"),
    [("wasi:clocks/monotonic-clock", "now"), ("wasi:random/random", "get-random-u64")],
    ids=lambda name: name,
)
@pytest.mark.parametrize("version", [OLDEST, bindings.WASI_VERSION])
async def test_a_neighbour_of_a_shadow_is_wasmtimes_own(
    interface: str, item: str, version: str, tmp_path: Path
) -> None:
    """A shadow replaces its function and hides nothing else of the interface."""
    ending = await ending_of(calling(f"{interface}@{version}", item, NUMBER), tmp_path)
    assert (ending.reply, ending.message) == ("", "")


async def test_random_bytes_up_to_the_limit(tmp_path: Path) -> None:
    """What wasi-libc asks for at a time is answered."""
    ending = await ending_of(calling("wasi:random/random@0.2.0", "get-random-bytes", ENOUGH), tmp_path)
    assert (ending.reply, ending.message) == ("", "")


async def test_an_import_that_nobody_defines(tmp_path: Path) -> None:
    """A guest that asks for more does not start."""
    ending = await ending_of(calling("wasi:http/outgoing-handler@0.2.0", "handle", GET), tmp_path)
    assert (ending.reply, ending.error_type) == (None, "internal_error")


async def test_a_guest_without_imports(tmp_path: Path) -> None:
    """The guests written by hand do start: one that does nothing answers."""
    assert (await ending_of(doing(""), tmp_path)).reply == ""


def test_imports_of_the_python_guest(guest: CompiledGuest) -> None:
    """The guest imports nothing that was not looked at: a new toolchain that adds an import shows up here."""
    for name, items in imports_of(guest).items():
        allowed: Any = IMPORTS.get(name.rpartition("@")[0], "not looked at")
        functions = {item for item in items if not item.startswith("[")} - TYPES
        assert allowed != "not looked at", f"{name} is new"
        assert functions <= (allowed or set()), f"{name} has new functions"


TYPES = {
    *("advice", "datetime", "descriptor", "descriptor-flags", "descriptor-stat", "descriptor-type", "directory-entry"),
    *("directory-entry-stream", "duration", "error", "error-code", "filesize", "incoming-datagram"),
    *("incoming-datagram-stream", "input-stream", "instant", "ip-address", "ip-address-family", "ip-socket-address"),
    *("ipv4-address", "ipv4-socket-address", "ipv6-address", "ipv6-socket-address", "link-count"),
    *("metadata-hash-value", "network", "new-timestamp", "open-flags", "outgoing-datagram"),
    *("outgoing-datagram-stream", "output-stream", "path-flags", "pollable", "resolve-address-stream"),
    *("shutdown-type", "stream-error", "tcp-socket", "terminal-input", "terminal-output", "udp-socket"),
}
"""Names in those interfaces that are types."""
