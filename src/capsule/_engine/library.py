"""libwasmtime, loaded as wasmtime-py would load it, and how a function of it is declared.

To import wasmtime-py declares three thousand names and defines its classes on top of them, which takes as long as ten
sandboxes take to start. capsule calls sixty functions, so it takes the library alone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

_NAMES = {"win32": "_wasmtime.dll", "darwin": "_libwasmtime.dylib"}
_MACHINES = {"AMD64": "x86_64", "arm64": "aarch64", "ARM64": "aarch64"}


def _folders() -> Sequence[str]:
    """Where wasmtime-py is. The import system would list all that is installed beside it."""
    for folder in sys.path:
        if os.path.isfile(f"{folder}/wasmtime/__init__.py"):
            return [f"{folder}/wasmtime"]
    package = find_spec("wasmtime")
    return (package and package.submodule_search_locations) or ()


def _load() -> ctypes.CDLL:
    machine = platform.machine()
    home = f"{sys.platform}-{_MACHINES.get(machine, machine)}"
    for folder in _folders():
        file = f"{folder}/{home}/{_NAMES.get(sys.platform, '_libwasmtime.so')}"
        if os.path.isfile(file):
            return ctypes.CDLL(file)
    from wasmtime import _ffi  # it knows other places, or says what is wrong

    loaded: ctypes.CDLL = _ffi.dll
    return loaded


_library = _load()

c_library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
"""Where `strlen` and its kin are."""


def function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the library. It gives the interpreter lock away while it runs."""
    found = _library[name]
    found.restype, found.argtypes = result, arguments
    return found


def brief(name: str, result: Any, *arguments: Any) -> Any:
    """A function of microseconds, called with the interpreter lock held: to give the lock away and ask for it back
    costs more, and beside a busy event loop each time is one at which a carrier has to queue for it.
    """
    return ctypes.PYFUNCTYPE(result, *arguments)((name, _library))
