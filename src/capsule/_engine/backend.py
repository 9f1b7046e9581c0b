"""The one place that knows which event loop runs: how a thread hands a callback to it."""

from __future__ import annotations

import sys
from collections.abc import Callable

CallSoon = Callable[[Callable[[], None]], None]


def current_call_soon() -> CallSoon:
    """A thread-safe function that runs a callback on the event loop which is running now.

    The function raises RuntimeError once that loop is gone.
    """
    if "trio" in sys.modules:
        import trio

        if trio.lowlevel.in_trio_task():
            return trio.lowlevel.current_trio_token().run_sync_soon
    import asyncio

    loop = asyncio.get_running_loop()

    def call_soon(callback: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(callback)

    return call_soon
