"""What a guest answered, checked, as the parts of an outcome. Nothing that it says of itself is believed blindly."""

# No `from __future__ import annotations` here: msgspec would compile each text, which takes longer than to decode.

from collections.abc import Iterable
from typing import Any

import msgspec

from .._secrets import NO_SECRETS, Secrets
from .._values import ErrorType, Failure
from ..abc import Ending
from .decoding import decode

PAGE = 65536

MOST_TEXT = 32_000
"""Characters kept of what a guest says of its failure: these texts go into logs and into the messages of callers."""

MOST_NAME = 200

RETRIED: frozenset[ErrorType] = frozenset(
    {"task_error", "timeout", "fuel_exhausted", "memory_exhausted", "stack_overflow", "trap", "internal_error"}
)
"""Failures after which another attempt makes sense. A bad result or a refusal would only come again."""

_FROM_GUEST: tuple[ErrorType, ...] = ("task_error", "memory_exhausted", "invalid")
"""The kinds that a guest can report of itself. All others are what the host saw: "denied" too, which it can report of
what it was refused."""


class GuestError(msgspec.Struct):
    """What a guest says of its failure."""

    kind: str = "task_error"
    message: str = ""
    exception: str | None = None
    traceback: str | None = None
    line: int | None = None


class Reply(msgspec.Struct):
    """A guest's answer."""

    ok: Any = msgspec.UNSET
    error: GuestError | None = None
    pages: int = 0
    loaded: bool = True
    """False if the program could not be loaded: it is sent again with the next message."""


def read_reply(text: str | None) -> Reply:
    """The reply in a guest's answer; for one that does not decode, a reply that says so."""
    if text is None:
        return Reply()
    try:
        return decode(text, Reply)
    except (msgspec.MsgspecError, RecursionError) as error:
        return refused_reply(f"the sandbox's answer does not decode: {error}")


def refused_reply(message: str) -> Reply:
    """The reply that stands for one that cannot be used."""
    return Reply(error=GuestError(kind="invalid", message=message))


def failure_in(
    ending: Ending, reply: Reply, refused: Iterable[str] = (), secrets: Secrets = NO_SECRETS
) -> Failure | None:
    """Why there is no result, or None if there is one. `refused` is what the guest was told when it was refused.

    Its texts have placeholders in the place of values.
    """
    if ending.error_type is not None:
        return Failure(error_type=ending.error_type, message=secrets.scrub(ending.message))
    error = reply.error
    if error is None and reply.ok is not msgspec.UNSET:
        return None
    if error is None:
        return Failure(error_type="invalid", message="the sandbox's answer holds neither a result nor an error")
    kind: ErrorType = next((known for known in _FROM_GUEST if known == error.kind), "task_error")
    if error.kind == "denied" and any(text in error.message for text in refused):
        kind = "denied"
    silent = "the task wanted more memory than its ram allows" if kind == "memory_exhausted" else ""
    # Cut when the values are out of it: nobody finds a part of one.
    return Failure(
        error_type=kind,
        message=secrets.scrub(error.message)[:MOST_TEXT] or silent,
        exception=error.exception and secrets.scrub(error.exception)[:MOST_NAME],
        traceback=error.traceback and secrets.scrub_report(error.traceback)[-MOST_TEXT:],
        line=error.line,
    )
