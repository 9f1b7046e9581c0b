"""What compiled code depends on: wasmtime's version and the settings of our engine. Loads no wasmtime."""

from __future__ import annotations

import sys

from .._versions import version_of

MAX_WASM_STACK = 1 << 20
"""Bytes of native stack for wasm code. CPython's own recursion limit strikes well below."""

ASYNC_STACK = 3 << 20
"""Bytes of a fiber's whole stack; what is above MAX_WASM_STACK is for host functions, Python callbacks included."""

SWITCHED_OFF = (
    "wasm_threads",
    "wasm_relaxed_simd",
    "wasm_memory64",
    "wasm_stack_switching",
    "wasm_wide_arithmetic",
    "shared_memory",
)
"""Proposals that no guest of ours uses: less to attack."""


HAS_SLOTS = sys.platform == "linux"
"""Whether memories are ours and used again here, which takes a guest without data and its snapshot in a file of its
own. Such a guest counts its own fuel, in a memory of ours."""

SNAPSHOT = ".image"
"""How the name of that file ends; it lies beside the compiled guest."""


def tools_version() -> str:
    """Version and settings as one text. Code compiled under another does not load."""
    off = ",".join(SWITCHED_OFF)
    memory = "slots" if HAS_SLOTS else "own"
    counts = "itself" if HAS_SLOTS else "fuel epochs"
    settings = f"component counts={counts} stack={MAX_WASM_STACK} async={ASYNC_STACK} off={off} memory={memory}"
    return f"wasmtime {version_of('wasmtime')} {settings}"
