"""One message in one sandbox: drives the guest's call and serves what it asks of the host meanwhile.

Host calls run beside the guest and end with it: when the call is over, however it ended, every capability that
still works for it is cancelled and waited for.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup

from ..abc import CallContext, Capability, Ending, Engine, Limits, Sandbox
from ..errors import CapsuleError, Denied, TaskFailed, UsageError
from .decoding import decode
from .family import MOST_OPEN_CALLS, Family

log = logging.getLogger("capsule")

GIVEN_UP = object()
"""Stands for the scope of a host call that was given up before it began."""


class Switchboard:
    """Begins host calls. Sandboxes speak in callbacks of the event loop, where no task can be started; this hands
    their calls to a task that can, and that owns them.
    """

    def __init__(self) -> None:
        # Unbounded, but each sandbox has a bounded number of open calls, and the number of sandboxes is bounded.
        self._calls, self._incoming = anyio.create_memory_object_stream[Callable[[], Coroutine[Any, Any, None]]](
            math.inf
        )

    def connect(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin a host call soon, or never if the runtime is being left. Never waits, never raises."""
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._calls.send_nowait(call)

    async def serve(self, tasks: TaskGroup) -> None:
        """Begin calls in `tasks` until `close`."""
        with self._incoming:
            async for call in self._incoming:
                tasks.start_soon(call)

    def close(self) -> None:
        """Take no more calls."""
        self._calls.close()


class Attempt:
    """Listens to one sandbox. `switchboard` owns its host calls, `family` counts them; `print_text` hears (stream,
    text).
    """

    def __init__(
        self,
        engine: Engine,
        switchboard: Switchboard,
        capabilities: Mapping[str, Capability],
        context: CallContext,
        limits: Limits,
        print_text: Callable[[str, str], None],
        on_closed: Callable[[], None],
        family: Family,
    ) -> None:
        self._family = family
        self._switchboard, self._capabilities, self._context = switchboard, capabilities, context
        self._max_message = limits.max_message
        self._print_text = print_text
        self._on_closed = on_closed
        self._serving: dict[int, anyio.CancelScope | object | None] = {}  # None: not begun yet
        self._all_served: anyio.Event | None = None
        self._is_over = False
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._sandbox: Sandbox = engine.open(limits, self)

    async def run(self, request: str, timeout: float) -> Ending:
        """Hand over `request` (JSON) and wait for the end, at most `timeout` seconds after the sandbox started.

        Cancelling ends the guest and its host calls before it returns.
        """
        try:
            return await self._sandbox.call(request, timeout=timeout, is_last=True)
        finally:
            self._is_over = True
            self._sandbox.close()  # it is closed by now, unless the engine itself failed
            await self._end_calls()

    async def _end_calls(self) -> None:
        if not self._serving:
            return
        for ticket, scope in list(self._serving.items()):
            if isinstance(scope, anyio.CancelScope):
                scope.cancel()
            else:  # not begun, and when the runtime is left nobody would begin it any more
                self._finish(ticket, _GIVEN_UP_REPLY)
        if self._serving:
            self._all_served = anyio.Event()
            with anyio.CancelScope(shield=True):
                await self._all_served.wait()

    # The sandbox speaks.

    def on_output(self, stream: str, text: str) -> None:
        """Keep what the guest printed, and pass it on."""
        (self.stdout if stream == "stdout" else self.stderr).append(text)
        self._print_text(stream, text)

    def on_closed(self) -> None:
        """The sandbox is gone."""
        self._on_closed()

    def on_submit(self, ticket: int, operation: str, payload: str) -> None:
        """Begin to serve a host call, unless the guest has ended since."""
        if self._is_over:
            return
        if not self._family.begin_call():
            self._sandbox.complete(ticket, _error("denied", _TOO_MANY))
            return
        self._serving[ticket] = None
        self._switchboard.connect(lambda: self._serve(ticket, operation, payload))

    def on_cancel(self, ticket: int) -> None:
        """The guest gave a host call up."""
        if ticket in self._serving:
            _cancel(self._serving, ticket)

    async def _serve(self, ticket: int, operation: str, payload: str) -> None:
        if ticket not in self._serving:
            return  # the guest ended before it was its turn
        reply = _GIVEN_UP_REPLY
        try:
            if self._serving[ticket] is not GIVEN_UP:
                with anyio.CancelScope() as scope:
                    self._serving[ticket] = scope
                    reply = await self._answer(operation, payload)
        finally:
            self._finish(ticket, reply)

    def _finish(self, ticket: int, reply: str) -> None:
        del self._serving[ticket]
        self._family.end_call()
        self._sandbox.complete(ticket, reply)
        if self._all_served is not None and not self._serving:
            self._all_served.set()

    async def _answer(self, operation: str, payload: str) -> str:
        capability = self._capabilities.get(operation)
        if capability is None:
            return _error("denied", f"there is no host call {operation!r}")
        try:
            value = await capability(self._context, decode(payload))
            reply = msgspec.json.encode({"ok": value})
        except Exception as error:  # noqa: BLE001 - the border: whatever a capability raises becomes a reply
            return _describe(error, operation)
        if len(reply) > self._max_message:
            return _error("invalid", f"the answer is larger than max_message allows ({self._max_message} bytes)")
        return reply.decode()


def _cancel(serving: dict[int, anyio.CancelScope | object | None], ticket: int) -> None:
    scope = serving[ticket]
    if isinstance(scope, anyio.CancelScope):
        scope.cancel()
    else:
        serving[ticket] = GIVEN_UP


def _error(error_type: str, message: str, exception: str = "") -> str:
    error = {"error_type": error_type, "message": message, "exception": exception}
    return msgspec.json.encode({"error": error}).decode()


_GIVEN_UP_REPLY = _error("cancelled", "the call was given up")
_TOO_MANY = f"more than {MOST_OPEN_CALLS:,} host calls open at once, those of sub-tasks included"


def _describe(error: Exception, operation: str) -> str:
    """The reply for what a capability raised. Only texts that were written for the guest pass the wall."""
    if isinstance(error, TaskFailed):
        return _error(error.error_type, str(error), "TaskFailed")
    if isinstance(error, Denied):
        return _error("denied", str(error))
    if isinstance(error, (UsageError, msgspec.MsgspecError)):
        return _error("invalid", str(error))
    if isinstance(error, RecursionError):  # from a value that a guest nested too deeply
        return _error("invalid", "the call or its answer is nested too deeply")
    if not isinstance(error, CapsuleError):
        log.error("the host call %r failed", operation, exc_info=error)
    return _error("internal_error", f"the host call {operation!r} failed")
