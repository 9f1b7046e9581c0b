"""The capability "tool" on its own: its context, its group of threads, and what a guest would hear."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from capsule._actor.replies import describe
from capsule._host.tools import Tools, make_tool_capability
from capsule._values import Program
from capsule.abc import CallContext

CONTEXT = CallContext(program=Program(path="t.py", source=""), task_name="t", depth=0)


class Desk:
    """Calls tools as a guest would. `made` counts the calls of its one family, whose share of threads is `share`."""

    def __init__(self, tools: Tools, start_soon: Callable[..., None], share: int = 1000) -> None:
        self.made: dict[str, int] = {}
        self.share = anyio.CapacityLimiter(share)
        self._capability = make_tool_capability(lambda _: tools, lambda _: self.made, lambda _: self.share, start_soon)

    async def send(self, payload: Any) -> Any:
        """What the capability answers to a payload."""
        return await self._capability(CONTEXT, payload)

    async def call(self, tool: str, /, *args: Any, **kwargs: Any) -> Any:
        """What the tool answers."""
        return await self.send({"tool": tool, "args": list(args), "kwargs": kwargs})

    async def heard(self, tool: str, /, *args: Any, **kwargs: Any) -> str:
        """The reply of a call that fails, as the guest reads it."""
        try:
            value = await self.call(tool, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the border, as in the runtime
            return describe(error, "tool")
        raise AssertionError(f"answered {value!r}")


@asynccontextmanager
async def desk(*functions: Any) -> AsyncIterator[Desk]:
    """A desk for `functions`; leaving it waits for its threads, as leaving a runtime does."""
    async with anyio.create_task_group() as group:
        yield Desk(Tools.of(functions), group.start_soon)


class Held:
    """A plain function that works until it is released, as a slow library would. A thread in it cannot be stopped."""

    def __init__(self) -> None:
        self.began, self.released = threading.Semaphore(0), threading.Event()
        self.calls, self.ended = 0, 0

    def __call__(self) -> str:
        self.calls += 1
        self.began.release()
        assert self.released.wait(20)
        self.ended += 1
        return "done"

    async def wait_begun(self) -> None:
        """Wait until one more call is at work in its thread."""
        assert await anyio.to_thread.run_sync(self.began.acquire, True, 20)


async def stray() -> BaseException:
    """A cancellation that is over, as whoever waits for a cancelled task of asyncio's gets one."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class() as error:
            kept = error
            raise
    return kept
