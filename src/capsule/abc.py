"""The seams: what the runtime needs from outside things, as small abstract classes.

`capsule.testing` has a fake of each that passes the same contract checks as the real one.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol

import msgspec

from ._events import Event
from ._mounts import Mount
from ._values import ErrorType, Program

__all__ = [
    "CallContext",
    "Capability",
    "Ending",
    "Engine",
    "FuelAccount",
    "Journal",
    "Limits",
    "Listener",
    "Sandbox",
    "too_large",
]

FUEL_SPENT = "the task used up its fuel; `compute` limits it"
FAMILY_SPENT = "the fuel of the family is used up; `family_compute` limits it"
"""What an ending says whose `error_type` is "fuel_exhausted"."""


class FuelAccount:
    """Fuel that several sandboxes burn together. Charged by the threads that run them, read by anybody.

    Each carrier charges what a guest has burnt after it has burnt it, so `left` may fall below zero: by a slice of
    fuel for each guest that ran at the end.
    """

    __slots__ = ("_left", "_lock")

    def __init__(self, fuel: int) -> None:
        self._left = fuel
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """What nobody has burnt yet."""
        return self._left

    @property
    def is_empty(self) -> bool:
        """Whether all of it is burnt."""
        return self._left <= 0

    def spend(self, amount: int) -> None:
        """Take `amount` away."""
        with self._lock:
            self._left -= amount


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine holds one sandbox to. Plain numbers, sizes in bytes."""

    fuel: int
    """Units; `capsule.policy.UNMETERED`: there is no limit, and each ending says 0."""

    ram: int
    max_output: int
    max_message: int
    max_open_calls: int = 1000
    """Operations that a guest may have open at the host at once."""

    mounts: tuple[Mount, ...] = ()
    """Folders that it sees, with their real, absolute paths."""

    workspace: int | None = None
    """Bytes of a private folder at `/tmp`; None: there is none."""

    account: FuelAccount | None = None
    """Fuel that this sandbox shares with others, beside its own. Empty, it ends each of them as "fuel_exhausted"."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How one call into a sandbox ended."""

    reply: str | None = None
    """The guest's answer, unchecked; for one that is larger than `max_message` what `too_large` says. None if it was
    ended instead."""

    error_type: ErrorType | None = None
    message: str = ""
    fuel_consumed: int = 0
    output_truncated: bool = False


def too_large(reason: str) -> str:
    """The reply that stands for an answer which is larger than `max_message` and was not taken. The guest lives on."""
    error = {"kind": "invalid", "message": f"the result is too large: {reason}"}
    return msgspec.json.encode({"error": error}).decode()


class Listener(Protocol):
    """Hears what a sandbox does, on the event loop. Its methods must not raise."""

    def on_submit(self, ticket: int, operation: str, payload: str) -> None:
        """The guest handed over an operation; it must be answered with `Sandbox.complete`."""

    def on_cancel(self, ticket: int) -> None:
        """The guest gave that operation up; it must still be answered."""

    def on_output(self, stream: str, text: str) -> None:
        """The guest printed `text` on "stdout" or "stderr"."""

    def on_closed(self) -> None:
        """The sandbox is gone and its memory given back."""


class Sandbox(ABC):
    """One store with one guest in it. Owned by whoever opened it; dead after any ending without a reply."""

    @abstractmethod
    async def call(self, request: str, *, timeout: float, is_last: bool = False) -> Ending:
        """Hand `request` to the guest and wait for how it ends; `timeout` is in seconds.

        The first call starts the sandbox. `is_last` closes it right after the answer. Cancelling ends the guest
        within a slice and leaves a dead sandbox, which is closed. What an earlier call left open must still be
        answered, and counts as open until it is, but the answer reaches no later call.
        """

    @abstractmethod
    def complete(self, ticket: int, reply: str) -> None:
        """Answer an operation with a JSON text."""

    @abstractmethod
    def close(self) -> None:
        """End the sandbox, if it lives; `on_closed` tells when it is gone. Does not wait."""


class Engine(ABC):
    """Makes sandboxes. Used as an async context manager; leaving it ends what still lives and waits for it."""

    @abstractmethod
    async def __aenter__(self) -> Engine: ...

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...

    @property
    @abstractmethod
    def min_ram(self) -> int:
        """Bytes of linear memory without which the guest does not start."""

    @abstractmethod
    def open(self, limits: Limits, listener: Listener) -> Sandbox:
        """A new sandbox, which starts with its first call."""


class Journal(ABC):
    """Keeps what happens in a runtime. Entered when the runtime opens, left when all in it has ended.

    One runtime at a time: entering begins a run, leaving ends it, and after that it may be entered again. Entering it
    while it is open raises UsageError.
    """

    @abstractmethod
    async def __aenter__(self) -> Journal: ...

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Keep what waits, also if cancelled. The exception is what the runtime's block was left with."""

    @abstractmethod
    def put(self, event: Event) -> None:
        """Something happened. Called on the event loop, in order; must neither wait nor raise."""


class CallContext(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a host call: all that a capability may know of its caller."""

    program: Program
    task_name: str
    depth: int
    state: Any = None
    """The attempt that the call belongs to, for the runtime's own capabilities."""


Capability = Callable[[CallContext, Any], Awaitable[Any]]
"""What the host does for a guest on request: one async function from a checked JSON payload to a JSON value.

It raises Denied or InvalidArguments for what it refuses; both texts reach the guest. Whatever else it raises is a
bug of the host and reaches the guest as "internal_error" without its text. It is cancelled when its caller ends.
"""
