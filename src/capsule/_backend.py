"""The one place that knows which event loop runs: how a thread hands a callback to it, and how a task waits."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from anyio import CancelScope
from anyio.lowlevel import checkpoint

CallSoon = Callable[[Callable[[], None]], None]


class Event(Protocol):
    """What a task waits for, set on the same event loop."""

    def set(self) -> object:
        """Let whoever waits go on."""

    async def wait(self) -> object:
        """Until it is set."""


class Flag:
    """Something that happens once. The event that is waited for is only made if somebody waits: it is large, and most
    often nobody does.
    """

    __slots__ = ("_event", "_new_event", "is_set")

    def __init__(self, new_event: Callable[[], Event]) -> None:
        self._new_event = new_event
        self._event: Event | None = None
        self.is_set = False

    def set(self) -> None:
        """It has happened."""
        self.is_set = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        """Until it has happened. Gives others a turn in any case."""
        if self.is_set:
            await checkpoint()
            return
        if self._event is None:
            self._event = self._new_event()
        await self._event.wait()


def foreign_cancellations() -> tuple[type[BaseException], ...]:
    """What a cancellation by another loop than the one that runs now would raise, if that loop is loaded."""
    asyncio = sys.modules.get("asyncio")
    return () if asyncio is None else (asyncio.CancelledError,)


def current_call_soon() -> CallSoon:
    """A thread-safe function that runs a callback on the event loop which is running now.

    The function raises RuntimeError once that loop is gone.
    """
    if _is_trio():
        import trio

        return trio.lowlevel.current_trio_token().run_sync_soon
    import asyncio

    loop = asyncio.get_running_loop()

    def call_soon(callback: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(callback)

    return call_soon


def _is_trio() -> bool:
    if "trio" not in sys.modules:
        return False
    import trio

    return trio.lowlevel.in_trio_task()


def scope_type() -> Callable[[], CancelScope]:
    """The scopes of anyio for the loop that runs now, without asking at each which loop that is."""
    return type(CancelScope())


def checkpoint_function() -> Callable[[], Awaitable[object]]:
    """The checkpoint of the loop that runs now, without asking at each which loop that is."""
    if _is_trio():
        import trio

        return trio.lowlevel.checkpoint
    import asyncio

    return functools.partial(asyncio.sleep, 0)


def loop_with_readers() -> Any:
    """The loop of asyncio, if it is the one that runs now and calls back when a socket can be read; else None.

    On Windows it does not, and trio has no callbacks.
    """
    if sys.platform == "win32" or _is_trio():
        return None
    import asyncio

    return asyncio.get_running_loop()


def event_type() -> Callable[[], Event]:
    """The events of the loop that runs now, without the wrapper that anyio puts around each at each call."""
    if _is_trio():
        import trio

        return trio.Event
    import asyncio

    return asyncio.Event
