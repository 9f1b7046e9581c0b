"""Signals that arrive while a guest runs on the event loop: their handlers run when the slice is over.

Python runs a signal's handler on the main thread, between any two steps of whatever runs there, and what it raises
(Ctrl-C, or a time limit of the application's) comes out there. Out of a function that wasmtime called nothing can come
out: the exception would be lost, and wasmtime would take what is left for an answer, or end the process. So while such
functions may run on the main thread, its handlers are kept waiting, for a millisecond at most.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps in enumerations, which takes ten times as long
import inspect
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

_T = TypeVar("_T")
_Handler = Callable[[int, FrameType | None], Any]

_NAMES = (
    *("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1", "SIGUSR2"),
    *("SIGCHLD", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGIO", "SIGPIPE", "SIGURG", "SIGWINCH", "SIGPWR"),
    *("SIGXCPU", "SIGXFSZ"),
)
_NUMBERS: tuple[int, ...] = tuple(getattr(_signal, name) for name in _NAMES if hasattr(_signal, name))
"""Signals that come from elsewhere. Not those of a fault: wasmtime handles these itself."""


def without_handlers(work: Callable[..., _T], *args: Any) -> _T:
    """Run `work(*args)`, which must be brief; handlers of signals that arrive meanwhile run after it, and may raise."""
    if threading.current_thread() is not threading.main_thread():
        return work(*args)
    get = _signal.getsignal
    handlers = [(number, handler) for number in _NUMBERS if callable(handler := get(number))]
    before, arrived = dict(handlers), set[int]()
    try:
        for number, _ in handlers:
            _signal.signal(number, lambda number, _: arrived.add(number))
        return work(*args)
    finally:
        try:
            _put_back(handlers)
        finally:
            if arrived:
                _run([before[number] for number in arrived], list(arrived))


def _put_back(handlers: list[tuple[int, _Handler]]) -> None:
    """What one that is back raises must not keep the others from coming back."""
    try:
        while handlers:
            _signal.signal(*handlers[-1])
            handlers.pop()
    finally:
        if handlers:
            _put_back(handlers)


def _run(handlers: list[_Handler], numbers: list[int]) -> None:
    """Run them all, whatever each raises."""
    if handlers:
        try:
            handlers.pop()(numbers.pop(), inspect.currentframe())
        finally:
            _run(handlers, numbers)
