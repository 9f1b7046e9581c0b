"""How much stack there is, of both kinds.

CPython 3.14 and newer watch the machine stack of each thread; a fiber's stack is not the thread's.

Left alone, callbacks on a fiber work but free their objects late (python/cpython#157519), which crashed debug
builds. A thread that polls fibers therefore tells CPython to accept any stack. 3.14.0 has no way to say so, which
is why capsule excludes that release. Callbacks here parse nothing that a guest wrote, so they need no guard against
deep recursion.
"""

from __future__ import annotations

import ctypes
import sys


def accept_any_stack() -> None:
    """Call once on each thread that polls fibers. Does nothing before CPython 3.14."""
    if sys.version_info < (3, 14):
        return
    state = ctypes.pythonapi.PyThreadState_Get
    state.restype = ctypes.c_void_p
    widen = ctypes.pythonapi.PyUnstable_ThreadState_SetStackProtection
    widen.restype, widen.argtypes = ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    widen(state(), 1 << 16, 1 << 62)


_DEEP = 4
"""One part in so many of Python's limit of recursion: beyond it, nothing is called on the caller's thread that Python
would be called from, because a function that C calls must not find the limit."""

_NEEDED = 40


def is_deep() -> bool:
    """Whether the caller has used up much of Python's stack. Raises RecursionError if hardly any is left: now, and not
    in the middle of what must be done whole.
    """
    try:
        sys._getframe(sys.getrecursionlimit() // _DEEP)  # noqa: SLF001 - nothing public tells without walking it
    except ValueError:
        return False
    _descend(_NEEDED)
    return True


def _descend(frames: int) -> None:
    if frames:
        _descend(frames - 1)
