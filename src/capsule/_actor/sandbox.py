"""One open sandbox and what it asks of the host: the place that it holds, and the host calls that it has open.

Host calls run beside the guest and end with the message that they were made for: when a call is over, however it
ended, every capability that still works for it is cancelled and waited for.
"""

from __future__ import annotations

from typing import Any, Protocol

import anyio

from .._backend import Flag
from .._units import MAX_FUEL
from ..abc import CallContext, Ending, Limits
from ..errors import Denied, InvalidArguments
from ..policy import Policy
from .admission import Place
from .decoding import LARGE, check_parts
from .family import Family
from .grants import Grants
from .replies import GIVEN_UP_REPLY, TOO_MANY_REPLY, describe, error_reply
from .world import World

_GIVEN_UP = object()
"""Stands for the scope of a host call that was given up before it began."""


class Caller(Protocol):
    """The message that a sandbox is at work on."""

    family: Family
    grants: Grants

    @property
    def context(self) -> CallContext:
        """What a capability may know of it."""

    def print_text(self, stream: str, text: str) -> None:
        """The guest printed `text`."""

    def refuse(self, text: str) -> None:
        """The guest was told that the policy does not allow something."""


class OpenSandbox:
    """A live sandbox in a place. Dead after any ending without a reply; its place is given back when it is gone."""

    def __init__(self, world: World, policy: Policy, family: Family, place: Place) -> None:
        self._world, self.place = world, place
        self._max_message = policy.max_message_bytes
        self._serving: dict[int, anyio.CancelScope | object | None] = {}  # None: not begun yet
        self._all_served: anyio.Event | None = None
        self._caller: Caller | None = None
        self._line: anyio.Lock | None = None  # of payloads to be read, if a large one came
        self.is_alive = True
        self.is_loaded = False
        """Whether the program is in it."""
        self.is_created = False
        """Whether the constructor of an actor class has run in it."""
        self.closed = Flag(world.new_event)
        self._sandbox = world.engine.open(_limits(policy, family), self)

    @classmethod
    async def open(cls, world: World, policy: Policy, family: Family, parent: Place | None) -> OpenSandbox:
        """Wait for a place, and open a sandbox in it. Cancelling leaves nothing behind."""
        place = await world.admission.enter(policy.ram_bytes, parent)
        try:
            return cls(world, policy, family, place)
        except BaseException:
            world.admission.leave(place)
            raise

    async def call(self, request: str, timeout: float, caller: Caller, *, is_last: bool = False) -> Ending:
        """Hand over `request` (JSON) and wait for the end, at most `timeout` seconds after the guest started.

        Cancelling ends the guest and its host calls before it returns, and leaves a dead sandbox.
        """
        self._caller = caller
        goes_on = False
        try:
            ending = await self._sandbox.call(request, timeout=timeout, is_last=is_last)
            goes_on = ending.reply is not None and not is_last
        finally:
            self._caller = None
            if not goes_on:
                self.close()  # the engine has done so by now, unless it failed itself
            if self._serving:
                await self._end_calls(caller)
        return ending

    def close(self) -> None:
        """End it, if it lives. Does not wait; `closed` tells when it is gone."""
        self.is_alive = False
        self._sandbox.close()

    async def _end_calls(self, caller: Caller) -> None:
        for ticket, scope in list(self._serving.items()):
            if isinstance(scope, anyio.CancelScope):
                scope.cancel()
            else:  # not begun, and when the runtime is left nobody would begin it any more
                self._finish(ticket, GIVEN_UP_REPLY, caller)
        if self._serving:
            self._all_served = anyio.Event()
            with anyio.CancelScope(shield=True):
                await self._all_served.wait()
            self._all_served = None

    # The sandbox speaks.

    def on_output(self, stream: str, text: str) -> None:
        """Pass on what the guest printed."""
        if self._caller is not None:
            self._caller.print_text(stream, text)

    def on_closed(self) -> None:
        """The sandbox is gone."""
        self.is_alive = False
        self._world.admission.leave(self.place)
        self.closed.set()

    def on_submit(self, ticket: int, operation: str, payload: str) -> None:
        """Begin to serve a host call, unless the guest has ended since."""
        caller = self._caller
        if caller is None:
            return
        if not caller.family.begin_call():
            self._sandbox.complete(ticket, TOO_MANY_REPLY)
            return
        self._serving[ticket] = None
        self._world.switchboard.connect(lambda: self._serve(ticket, operation, payload, caller))

    def on_cancel(self, ticket: int) -> None:
        """The guest gave a host call up."""
        scope = self._serving.get(ticket, _GIVEN_UP)
        if isinstance(scope, anyio.CancelScope):
            scope.cancel()
        elif scope is None:
            self._serving[ticket] = _GIVEN_UP

    async def _serve(self, ticket: int, operation: str, payload: str, caller: Caller) -> None:
        if ticket not in self._serving:
            return  # the guest ended before it was its turn
        reply = GIVEN_UP_REPLY
        try:
            if self._serving[ticket] is not _GIVEN_UP:
                with anyio.CancelScope() as scope:
                    self._serving[ticket] = scope
                    reply = await self._answer(operation, payload, caller)
        finally:
            self._finish(ticket, reply, caller)

    def _finish(self, ticket: int, reply: str, caller: Caller) -> None:
        del self._serving[ticket]
        caller.family.end_call()
        self._sandbox.complete(ticket, reply)
        if self._all_served is not None and not self._serving:
            self._all_served.set()

    async def _answer(self, operation: str, payload: str, caller: Caller) -> str:
        capability = self._world.capabilities.get(operation)
        if capability is None:
            return error_reply("denied", f"there is no host call {operation!r}")
        try:
            value = await capability(caller.context, await self._read(operation, payload, caller.grants))
            reply = caller.grants.sent(lambda: self._written(value, caller.grants))
        except Exception as error:  # noqa: BLE001 - the border: whatever a capability raises becomes a reply
            if isinstance(error, Denied):
                caller.refuse(str(error))
            return describe(error, operation)
        return reply.decode()

    async def _read(self, operation: str, payload: str, grants: Grants) -> Any:
        """The value of a payload. Large ones wait for their turn, so that several do not hold the loop together.

        What comes behind one from the same sandbox waits for it: messages arrive in the order in which they were sent.
        """
        most = self._world.most_parts.get(operation)
        if most is not None:
            check_parts(payload, most)
        if len(payload) < LARGE and (self._line is None or not self._line.locked()):
            return grants.read(payload)
        self._line = self._line or anyio.Lock()
        async with self._line:
            if len(payload) < LARGE:
                return grants.read(payload)
            return await self._world.reading.read(lambda: grants.read(payload))

    def _written(self, value: object, grants: Grants) -> bytes:
        reply = grants.encode({"ok": value})
        if len(reply) > self._max_message:
            raise InvalidArguments(f"the answer is larger than max_message allows ({self._max_message} bytes)")
        return reply


def _limits(policy: Policy, family: Family) -> Limits:
    return Limits(
        fuel=policy.fuel if family.account is None else min(policy.fuel, MAX_FUEL),  # or nobody could charge them
        ram=policy.ram_bytes,
        max_output=policy.max_output_bytes,
        max_message=policy.max_message_bytes,
        mounts=policy.folders,
        workspace=policy.workspace_bytes,
        account=family.account,
    )
