"""What a guest can import: wasmtime's own WASI with the holes shadowed, and `capsule:host/calls`.

wasmtime's asynchronous WASI would abort the process when a guest sleeps (its timers need a reactor that is not
there), and its synchronous WASI would block the carrier for as long as the guest likes. So the synchronous one
is taken, and what can block or reach out is replaced under its own name. Items that borrow a native resource
cannot be replaced (the borrow cannot be given back from C), but without timers, sockets and standard streams a
guest has nothing to hand to them: no stream to write to, no pollable to wait for.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

from . import bindings as c
from . import callbacks
from .handles import Handle, take_error

Callback = Any

_TIMER = ("waiting in a C-level timer (select, poll)", "use time.sleep or asyncio, which the host can watch")
_NETWORK = ("the network at the level of sockets", "no policy gives raw sockets to a guest")
_STREAM = ("a C-level standard stream", "print, sys.stdout and os.write work")

SHADOWS: dict[str, dict[str, Callback]] = {
    "wasi:clocks/monotonic-clock": {
        "subscribe-duration": callbacks.refusal(*_TIMER),
        "subscribe-instant": callbacks.refusal(*_TIMER),
    },
    "wasi:sockets/instance-network": {"instance-network": callbacks.refusal(*_NETWORK)},
    "wasi:sockets/tcp-create-socket": {"create-tcp-socket": callbacks.refusal(*_NETWORK)},
    "wasi:sockets/udp-create-socket": {"create-udp-socket": callbacks.refusal(*_NETWORK)},
    "wasi:cli/stdin": {"get-stdin": callbacks.refusal(*_STREAM)},
    "wasi:cli/stdout": {"get-stdout": callbacks.refusal(*_STREAM)},
    # The interpreter writes here before it aborts, so this is how an abort looks from outside.
    "wasi:cli/stderr": {"get-stderr": callbacks.abort},
    "wasi:random/random": {"get-random-bytes": callbacks.random_bytes},
}
"""Interface -> item -> what stands there instead of wasmtime's own."""

CALLS = "capsule:host/calls@0.1.0"
HANDLER = "capsule:host/handler@0.1.0"

_OURS = {"submit": callbacks.submit, "cancel": callbacks.cancel, "write": callbacks.write}
_WAITING = {"next": callbacks.next_completion, "checkpoint": callbacks.checkpoint}


def make_linker(engine: Handle) -> Handle:
    """A linker that every sandbox of `engine` shares."""
    linker = Handle(c.linker_new(engine.pointer), c.linker_delete)
    try:
        _check(c.linker_add_wasi(linker.pointer))
        c.linker_allow_shadowing(linker.pointer, True)
        with contextlib.closing(Handle(c.linker_root(linker.pointer), c.linker_instance_delete)) as root:
            for interface, items in SHADOWS.items():
                # Only the exact version that libwasmtime defines merges into the native instance.
                with _instance(root, f"{interface}@{c.WASI_VERSION}") as instance:
                    for item, callback in items.items():
                        _add(c.linker_add_sync, instance, item, callback)
            with _instance(root, CALLS) as instance:
                for item, callback in _OURS.items():
                    _add(c.linker_add_sync, instance, item, callback)
                for item, callback in _WAITING.items():
                    _add(c.linker_add_async, instance, item, callback)
    except BaseException:
        linker.close()
        raise
    return linker


@contextlib.contextmanager
def _instance(root: Handle, name: str) -> Iterator[Handle]:
    raw = name.encode()
    made = ctypes.c_void_p()
    _check(c.linker_add_instance(root.pointer, raw, len(raw), ctypes.byref(made)))
    with contextlib.closing(Handle(made, c.linker_instance_delete)) as instance:
        yield instance


def _add(add: c.Pointer, instance: Handle, name: str, callback: c.Pointer) -> None:
    raw = name.encode()
    _check(add(instance.pointer, raw, len(raw), callback, None, c.NO_FINALIZER))


def _check(error: c.Pointer) -> None:
    if error:
        raise RuntimeError(take_error(error))
