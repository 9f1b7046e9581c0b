"""A sandbox as the contract checks hold it: with what was heard of it, and with short ways to ask."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from ..abc import Ending, Engine, Limits, Sandbox
from .listener import RecordingListener
from .programs import CONTRACT_SOURCE

__all__ = ["PATIENCE", "PLENTY", "Check", "MakeEngine", "Opened", "open_sandbox", "reply_of", "value_of"]

PATIENCE = 20.0
"""Seconds after which a check that waits for something fails."""

PLENTY = 60.0
"""A timeout, in seconds, that no call here reaches."""

MakeEngine = Callable[[], Engine]
Check = Callable[[MakeEngine], Awaitable[None]]


class Opened:
    """A sandbox with its history, and requests in short. What it lacks in limits it has in plenty."""

    def __init__(self, engine: Engine, **limits: Any) -> None:
        self.engine = engine
        plenty: dict[str, Any] = {
            "fuel": 2 * 10**10,
            "ram": max(engine.min_ram, 64 << 20),
            "max_output": 1 << 20,
            "max_message": 1 << 20,
        }
        self.heard = RecordingListener()
        self.sandbox: Sandbox = engine.open(Limits(**{**plenty, **limits}), self.heard)
        self._is_loaded = False

    async def call(self, function: str, *args: Any, timeout: float = PLENTY, is_last: bool = False) -> Ending:
        """Call a function of the contract's program; the first call loads it."""
        request: dict[str, Any] = {"function": function, "call": [args, {}]}
        if not self._is_loaded:
            request = {"program": {"path": "contract.py", "source": CONTRACT_SOURCE}, **request}
            self._is_loaded = True
        return await self.sandbox.call(json.dumps(request), timeout=timeout, is_last=is_last)

    async def value(self, function: str, *args: Any, **options: Any) -> Any:
        """The same, for the value in the answer."""
        return value_of(await self.call(function, *args, **options))

    async def is_gone(self) -> None:
        """Wait for the end, then prove that it is told once, whatever is done to a dead sandbox."""
        await self.heard.wait_for("closed")
        self.sandbox.complete(1, '{"ok": "too late"}')
        self.sandbox.close()
        assert (await self.call("echo")).error_type == "cancelled", "a call on a closed sandbox ends as cancelled"
        await anyio.wait_all_tasks_blocked()
        assert self.heard.history[-1] == ("closed",), "nothing is heard of a sandbox after on_closed"
        assert self.heard.count("closed") == 1, "on_closed is called exactly once"


@asynccontextmanager
async def open_sandbox(make_engine: MakeEngine, **limits: Any) -> AsyncIterator[Opened]:
    """An engine with one sandbox, which is closed at the end and must then be gone."""
    with anyio.fail_after(PATIENCE):
        async with make_engine() as engine:
            opened = Opened(engine, **limits)
            yield opened
            opened.sandbox.close()
            await opened.is_gone()


def value_of(ending: Ending) -> Any:
    """The value in an answer."""
    assert ending.error_type is None, f"an answer was expected, not {ending.error_type}: {ending.message}"
    assert ending.reply is not None, "an ending without an error has a reply"
    return json.loads(ending.reply)["ok"]


def reply_of(value: Any) -> str:
    """What the host answers to an operation."""
    return json.dumps({"ok": value})
