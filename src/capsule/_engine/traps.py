"""wasmtime's error texts, translated at one border into how a guest ended.

The C API gives no code for an error that is not a core trap, so the text is all there is; a test provokes each
of these on the real engine.
"""

from __future__ import annotations

import re

from .._values import ErrorType
from ..abc import FUEL_SPENT

_KNOWN: tuple[tuple[str, ErrorType, str], ...] = (
    (r"all fuel consumed", "fuel_exhausted", FUEL_SPENT),
    (r"call stack exhausted", "stack_overflow", "the task's native stack is exhausted (a value nested too deeply?)"),
    (r"Exited with i32 exit status", "trap", "the task ended its own process (os._exit); return from the task instead"),
    (
        r"memory minimum size .* exceeds memory limits",
        "memory_exhausted",
        "the guest does not fit into its memory limit",
    ),
    (r"wasm `unreachable` instruction executed", "trap", "the interpreter inside the sandbox aborted"),
    (r"wasm trap: (.+)", "trap", "the sandbox trapped: {0}"),
)


def classify(text: str) -> tuple[ErrorType, str]:
    """How a guest ended whose call failed with wasmtime's `text`: the kind, and one line that names no host path."""
    for pattern, kind, message in _KNOWN:
        found = re.search(pattern, text)
        if found:
            return kind, message.format(*found.groups())
    return "internal_error", "the engine failed: " + (text.strip().splitlines() or ["no reason given"])[-1].strip()
