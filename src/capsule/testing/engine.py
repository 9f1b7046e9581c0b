"""An engine without WebAssembly: its guests are Python coroutines that a test wrote."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Self

import anyio

from ..abc import Engine, Limits, Listener
from .clock import Clock, LoopClock
from .guest import Script
from .sandbox import FakeSandbox

__all__ = ["FakeEngine"]


class FakeEngine(Engine):
    """Runs scripts instead of programs, under the same limits and with the same endings as the real engine.

    `scripts` maps what is called to what the guest does then: a task's function by its name, an actor's method as
    "Notes.add" and its constructor as "Notes.__init__", the code of a session as "run". `clock` is what timeouts
    and `guest.sleep` count on (default: the event loop's; give a FakeClock to move it by hand). `min_ram` is what a
    guest takes to start, in bytes. Every sandbox that was opened stays in `sandboxes`, for tests to look at.
    There are no files in it: the folders of a sandbox are in its `limits`, and nothing opens them.

        async def shout(guest):
            guest.print("hello")
            return guest.args[0].upper()

        async with Runtime(engine=FakeEngine({"shout": shout})) as runtime: ...
    """

    def __init__(self, scripts: Mapping[str, Script], *, clock: Clock | None = None, min_ram: int = 1 << 20) -> None:
        self._scripts, self._clock, self._min_ram = scripts, clock or LoopClock(), min_ram
        self.sandboxes: list[FakeSandbox] = []
        self._is_open = False

    @property
    def min_ram(self) -> int:
        """As given."""
        return self._min_ram

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        for sandbox in self.sandboxes:
            sandbox.close()
        self._is_open = False
        # Without what the block raised: it is no business of the scripts, which have all been stopped.
        await self._tasks.__aexit__(None, None, None)

    def open(self, limits: Limits, listener: Listener) -> FakeSandbox:
        """A new sandbox; its first call starts the script. Once the engine was left, calls end as "cancelled"."""
        sandbox = FakeSandbox(self._scripts, self._start, self._clock, self._min_ram, limits, listener)
        self.sandboxes.append(sandbox)
        return sandbox

    def _start(self, run: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        if self._is_open:
            self._tasks.start_soon(run)
        return self._is_open
