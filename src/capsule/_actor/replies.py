"""The answers to host calls, as the guest reads them. Only texts that were written for the guest pass the wall."""

from __future__ import annotations

import logging

import msgspec

from ..errors import ActorStopped, CapsuleError, Denied, MailboxFull, TaskFailed, ToolError, UsageError
from .family import MOST_OPEN_CALLS

MOST_TEXT = 32_000
"""Characters of an error that a guest hears: some repeat its own words."""

log = logging.getLogger("capsule")


def error_reply(error_type: str, message: str, exception: str = "") -> str:
    """A reply that says what went wrong."""
    error = {"error_type": error_type, "message": message[:MOST_TEXT], "exception": exception}
    return msgspec.json.encode({"error": error}).decode()


GIVEN_UP_REPLY = error_reply("cancelled", "the call was given up")
TOO_MANY_REPLY = error_reply(
    "denied", f"more than {MOST_OPEN_CALLS:,} host calls open at once, those of sub-tasks included"
)


_KINDS: tuple[tuple[type[CapsuleError], str], ...] = (
    (ToolError, "tool_error"),
    (ActorStopped, "stopped"),
    (MailboxFull, "mailbox_full"),
    (Denied, "denied"),
    (UsageError, "invalid"),
)


def describe(error: Exception, operation: str) -> str:
    """The reply for what a capability raised."""
    if isinstance(error, TaskFailed):
        return error_reply(error.error_type, str(error), "TaskFailed")
    for kind, error_type in _KINDS:
        if isinstance(error, kind):
            name = type(error).__name__ if kind is Denied else kind.__name__  # ours alone raise kinds of Denied
            return error_reply(error_type, str(error), name)
    if isinstance(error, msgspec.MsgspecError):
        return error_reply("invalid", str(error))
    if isinstance(error, RecursionError):  # from a value that a guest nested too deeply
        return error_reply("invalid", "the call or its answer is nested too deeply")
    if not isinstance(error, CapsuleError):
        log.error("the host call %r failed", operation, exc_info=error)
    return error_reply("internal_error", f"the host call {operation!r} failed")
