"""What happens in a runtime, as the frozen values that its listeners hear."""

from __future__ import annotations

import msgspec

from ._values import Failure, HostRequest, Outcome, Statistics

__all__ = [
    "Ended",
    "Event",
    "Left",
    "Missed",
    "Printed",
    "Requested",
    "Restarted",
    "Retried",
    "Spawned",
    "Started",
    "Stopped",
]


class Spawned(msgspec.Struct, frozen=True, kw_only=True):
    """An actor came to life; `actor` is its number within the runtime, `parent` that of the actor that started it."""

    actor: int
    task_name: str
    name: str | None = None
    parent: int | None = None


class Restarted(msgspec.Struct, frozen=True, kw_only=True):
    """An actor begins anew with fresh state, for the time number `restart`, after `error`. One of a task, which has no
    constructor, does so when it has a message.
    """

    actor: int
    task_name: str
    error: Failure
    restart: int


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """An actor ended. `failed` is False when it was told to, had nothing more to do, or its owner ended."""

    actor: int
    task_name: str
    reason: str
    failed: bool
    statistics: Statistics
    name: str | None = None


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime's block is left by an exception: the name of its class. It is the last event."""

    exception: str
    message: str = ""
    """What it says, if it is one of capsule's own: that of others may hold anything."""


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """A reader of `runtime.events()` was too slow: so many events before this one are gone."""

    count: int


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A message is on its way; `number` is its own within the runtime, `parent` that of the task that called it."""

    number: int
    task_name: str
    parent: int | None = None
    actor: int | None = None
    """The number of the actor that handles it; None for a task in a sandbox of its own."""


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt failed with `error`, and attempt number `retry` after the first begins."""

    number: int
    task_name: str
    error: Failure
    retry: int


class Printed(msgspec.Struct, frozen=True, kw_only=True):
    """A task printed `text` on "stdout" or "stderr"."""

    number: int
    task_name: str
    stream: str
    text: str


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """A task's HTTP request has ended, well or not; a `status` of 0 says that there was no response."""

    number: int
    task_name: str
    request: HostRequest


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A message has its outcome."""

    number: int
    task_name: str
    outcome: Outcome


Event = Spawned | Restarted | Stopped | Started | Retried | Printed | Requested | Ended | Left | Missed
"""What a runtime tells whoever listens."""
