"""The fake sandbox: a script under the limits, the timeout and the endings of a real one."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel

from .._units import UNMETERED
from .._values import ErrorType
from ..abc import FAMILY_SPENT, FUEL_SPENT, Ending, Limits, Listener, Sandbox, too_large
from .clock import Clock
from .guest import FakeGuest, GuestEnd, Script

PAGE = 65536

Starter = Callable[[Callable[[], Coroutine[Any, Any, None]]], bool]
"""Starts a task of the engine's and answers True, or answers False if the engine is not open."""


_STOPPED: dict[ErrorType, str] = {
    "timeout": "the task ran longer than its timeout",
    "cancelled": "the task was cancelled",
}


@dataclass
class _Ticket:
    payload: str
    reply: str | None = None
    is_wanted: bool = True
    answered: anyio.Event = field(default_factory=anyio.Event)


class _Call:
    """One call, which runs in a task of the engine's, out of reach of whoever waits for it."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope(shield=True)
        self.done = anyio.Event()
        self.stop_reason: ErrorType | None = None
        self.ending: Ending | None = None

    def stop(self, reason: ErrorType) -> None:
        """End it; the first reason given holds."""
        if self.stop_reason is None and self.ending is None:
            self.stop_reason = reason
            self.scope.cancel()


class FakeSandbox(Sandbox):
    """A sandbox of a FakeEngine. `requests` keeps what it was asked, `limits` what it was opened with."""

    def __init__(
        self,
        scripts: Mapping[str, Script],
        start: Starter,
        clock: Clock,
        min_ram: int,
        limits: Limits,
        listener: Listener,
    ) -> None:
        self._scripts, self._start, self.clock = scripts, start, clock
        self.limits, self._listener = limits, listener
        self.state: dict[str, Any] = {}
        self.requests: list[Any] = []
        self._class = ""
        self._call: _Call | None = None
        self._is_closing = False
        self._tickets: dict[int, _Ticket] = {}
        self._last_ticket = self._burnt = 0
        self._peak = min_ram
        self._output_left, self._is_truncated = limits.max_output, False

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, by its owner, an ending or the engine."""
        return self._is_closing

    async def call(self, request: str, *, timeout: float, is_last: bool = False) -> Ending:
        """Run the script that the request names, on an engine that is open."""
        if self._call is not None:
            raise RuntimeError("this sandbox is at work: one call at a time")
        call = _Call()
        if self._is_closing or not self._start(lambda: self._serve(call, request, timeout, is_last)):
            self._close_once()
            await anyio.lowlevel.checkpoint()
            return Ending(error_type="cancelled", message="the sandbox is closed")
        self._call = call
        try:
            await call.done.wait()
        except BaseException:
            call.stop("cancelled")
            with anyio.CancelScope(shield=True):
                await call.done.wait()
            self._close_once()
            raise
        finally:
            self._call = None
        assert call.ending is not None
        return call.ending

    def complete(self, ticket: int, reply: str) -> None:
        """Answer an operation; harmless for one that is unknown or answered."""
        found = self._tickets.get(ticket)
        if found is None or found.reply is not None:
            return
        found.reply = reply
        found.answered.set()
        if not found.is_wanted:
            del self._tickets[ticket]

    def close(self) -> None:
        """End the script, if one runs, and tell the listener soon. Harmless when repeated."""
        if self._call is not None and self._call.ending is None:
            self._call.stop("cancelled")
        else:
            self._close_once()

    def _close_once(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        if not self._start(self._tell_closed):
            self._listener.on_closed()

    async def _tell_closed(self) -> None:
        self._tickets.clear()
        self._listener.on_closed()

    async def _serve(self, call: _Call, request: str, timeout: float, is_last: bool) -> None:
        self._burnt, self._output_left, self._is_truncated = 0, self.limits.max_output, False
        self._forget_earlier_calls()
        ending = None
        with call.scope:
            if call.stop_reason is None:
                ending = await self._drive_in_time(call, request, timeout)
        if ending is None:
            reason = call.stop_reason or "cancelled"
            ending = self._ending(error_type=reason, message=_STOPPED[reason])
        call.ending = ending
        call.done.set()
        if is_last or ending.reply is None:
            self._close_once()

    def _forget_earlier_calls(self) -> None:
        """What they left open is still to be answered, but no answer reaches this call."""
        self._tickets = {number: ticket for number, ticket in self._tickets.items() if ticket.reply is None}
        for ticket in self._tickets.values():
            ticket.is_wanted = False

    async def _drive_in_time(self, call: _Call, request: str, timeout: float) -> Ending:
        async def time_out() -> None:
            await self.clock.sleep(timeout)
            call.stop("timeout")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(time_out)
            ending = await self._drive(request)
            tasks.cancel_scope.cancel()
        return ending

    async def _drive(self, request: str) -> Ending:
        asked = _read(request)
        self.requests.append(asked)
        name, args, kwargs = self._what_is_asked(asked)
        try:
            self._check_account()
            reply = await self._reply(self._script(name), FakeGuest(self, args, kwargs))
        except GuestEnd as end:
            return self._ending(error_type=end.error_type, message=end.message)
        size = len(reply.encode())
        if size > self.limits.max_message:
            reply = too_large(f"a text of {size} bytes; max_message allows {self.limits.max_message}")
        return self._ending(reply=reply)

    def _what_is_asked(self, asked: Any) -> tuple[str, list[Any], dict[str, Any]]:
        """The name of the script for a request, and its arguments."""
        if isinstance(asked, dict) and "message" in asked:
            asked = asked["message"]
        if isinstance(asked, list):
            method, args, kwargs = asked
            return f"{self._class}.{method}", args, kwargs
        if "code" in asked:
            return "run", [asked["code"]], {}
        if "variables" in asked:
            return "variables", [], {}
        args, kwargs = asked["call"]
        if "actor" in asked:
            self._class = asked["actor"]
            return f"{self._class}.__init__", args, kwargs
        return asked["function"], args, kwargs

    def _script(self, name: str) -> Script:
        async def missing(_: FakeGuest) -> None:
            if not name.endswith(".__init__"):  # every class has one
                raise AttributeError(f"module 'main' has no attribute {name!r}")

        return self._scripts.get(name, missing)

    async def _reply(self, script: Script, guest: FakeGuest) -> str:
        try:
            value = await script(guest)
        except Exception as error:  # noqa: BLE001 - as in a real guest: whatever the program raises is its answer
            return self._text({"error": _describe(error)})
        try:
            return self._text({"ok": value})
        except (TypeError, ValueError) as error:
            return self._text({"error": {"kind": "invalid", "message": f"the result is not JSON: {error}"}})

    def _text(self, reply: dict[str, Any]) -> str:
        return json.dumps({**reply, "pages": -(-self._peak // PAGE)}, allow_nan=False)

    def _ending(self, *, reply: str | None = None, error_type: ErrorType | None = None, message: str = "") -> Ending:
        return Ending(
            reply=reply,
            error_type=error_type,
            message=message,
            fuel_consumed=self._burnt,
            output_truncated=self._is_truncated,
        )

    # What a FakeGuest asks for.

    def submit(self, operation: str, payload: str) -> int:
        """A host call of the guest, held to the limits."""
        still_open = [ticket for ticket in self._tickets.values() if ticket.reply is None]
        if len(still_open) >= self.limits.max_open_calls:
            raise GuestEnd("denied", f"more than {self.limits.max_open_calls} host calls open at once")
        size = len(payload.encode())
        if size > self.limits.max_message:
            raise GuestEnd("denied", f"a text of {size} bytes; max_message allows {self.limits.max_message}")
        if sum(len(ticket.payload) for ticket in still_open) + len(payload) > self.limits.ram:
            raise GuestEnd("denied", "the host calls open at once carry more than the sandbox's own memory")
        self._last_ticket += 1
        self._tickets[self._last_ticket] = _Ticket(payload)
        self._listener.on_submit(self._last_ticket, operation, payload)
        return self._last_ticket

    async def answer_to(self, ticket: int) -> str:
        """The reply to a host call of this message, once; for any other the guest waits without end."""
        found = self._tickets.get(ticket)
        while found is None or not found.is_wanted:
            await anyio.sleep_forever()
        await found.answered.wait()
        del self._tickets[ticket]
        assert found.reply is not None
        return found.reply

    def give_up(self, ticket: int) -> None:
        """The guest wants no answer any more. The end of the whole guest is no giving up: nobody is told."""
        found = self._tickets.get(ticket)
        if found is None or not found.is_wanted or (self._call is not None and self._call.stop_reason is not None):
            return
        found.is_wanted = False
        if found.reply is not None:
            del self._tickets[ticket]
            return
        self._listener.on_cancel(ticket)

    def print_text(self, text: str, stream: str) -> None:
        """Pass on what still fits under the cap, which counts bytes of UTF-8."""
        raw = text.encode()
        kept = raw[: self._output_left]
        self._output_left -= len(kept)
        self._is_truncated = self._is_truncated or len(kept) < len(raw)
        shown = kept.decode("utf-8", "ignore")
        if shown:
            self._listener.on_output(stream, shown)

    def burn(self, fuel: int) -> None:
        """Count fuel up to the limit, and take it from the account that is shared with others."""
        if self.limits.fuel >= UNMETERED:
            return
        fuel = min(fuel, self.limits.fuel - self._burnt)
        self._burnt += fuel
        account = self.limits.account
        if account is not None:
            account.spend(fuel)
        if self._burnt >= self.limits.fuel:
            raise GuestEnd("fuel_exhausted", FUEL_SPENT)
        self._check_account()

    def _check_account(self) -> None:
        account = self.limits.account
        if account is not None and account.is_empty:
            raise GuestEnd("fuel_exhausted", FAMILY_SPENT)

    def use_ram(self, size: int) -> None:
        """Count the peak of memory."""
        if size > self.limits.ram:
            raise MemoryError
        self._peak = max(self._peak, size)


def _read(request: str) -> Any:
    """A request with the program's source where a short one may stand."""
    asked, end = json.JSONDecoder().raw_decode(request)
    program = asked.get("program") if isinstance(asked, dict) else None
    if program is not None and "texts" in program:
        program["source"] = request[end : end + program.pop("texts")[0]]
    return asked


def _describe(error: Exception) -> dict[str, Any]:
    kind = "memory_exhausted" if isinstance(error, MemoryError) else "task_error"
    return {"kind": kind, "message": str(error), "exception": type(error).__name__}
