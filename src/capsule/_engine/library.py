"""libwasmtime, loaded as wasmtime-py would load it, and how a function of it is declared.

To import wasmtime-py declares three thousand names and defines its classes on top of them, which takes as long as ten
sandboxes take to start. capsule calls sixty functions, so it takes the library alone.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

_NAMES = {"win32": "_wasmtime.dll", "darwin": "_libwasmtime.dylib"}
_MACHINES = {"AMD64": "x86_64", "arm64": "aarch64", "ARM64": "aarch64"}


def _load() -> ctypes.CDLL:
    package = PathFinder.find_spec("wasmtime")
    machine = platform.machine()
    home = f"{sys.platform}-{_MACHINES.get(machine, machine)}"
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder, home, _NAMES.get(sys.platform, "_libwasmtime.so"))
        if file.is_file():
            return ctypes.CDLL(str(file))
    from wasmtime import _ffi  # other finders and it know other places, or say what is wrong

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
