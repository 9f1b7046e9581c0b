"""What a guest hears of an exception on the host: its message, without what tells about this machine."""

from __future__ import annotations

import re
from collections.abc import Callable

import anyio

from .._backend import foreign_cancellations
from ..errors import ToolError

MOST_TEXT = 2000
"""Characters of a message."""

_MOST_READ = 2 * MOST_TEXT
"""Characters of a message that are looked at: a guest may have made it long, and the event loop waits."""

# Paths are recognised by their look. Where a text is unclear, too much is taken out rather than too little. Every
# repetition is possessive or bounded, so that no text takes long.
_HIDDEN = "<path>"
_END = r"\s'\"`<>|)\]}"
_PATHS = rf"""(?xi)
    (?P<kept>\b(?:https?|wss?)://)(?:[^{_END}/@?#]*+@)?(?P<rest>[^{_END},;]*+)   # a web address, without its user
    | (?P<quote>['"`])(?:/(?!(?P=quote))|~|\\\\|[A-Za-z]:[\\/]|file:)(?:(?!(?P=quote))[^\n])*+(?P=quote)
    | \b[A-Za-z][A-Za-z0-9+.\-]{{1,20}}:/{{2,}}[^{_END}]*+                       # sqlite:////home, db://ada:secret@host
    | \bfile:[^{_END}]*+
    | (?P<relative>(?<![\w.])\.{{1,2}}/[\w.\-/~@%+]*+)
    | (?:(?<![A-Za-z0-9])|(?<=\\[nrt]))[A-Za-z]:[\\/](?:[^{_END}]|[)\]}}](?=\\)|[ ](?=[^\n'"<>|:]{{1,60}}\\))*+
    | (?<!\w)\\\\+[\w?.](?:[^{_END}]|[)\]}}](?=\\)|[ ](?=[^\n'"<>|:]{{1,60}}\\))*+             # \\server\share
    | (?:(?<![\w/~])|(?<=\\[nrt]))(?:~[\w.\-]*+)?/(?=/*[\w.~@%+$\-])
      (?:[^{_END}]++(?:[ ](?=[\w.,()\-]{{1,60}}/))?)++                           # a folder's name may hold a space
    """
"""Compiled when it is first needed, which takes as long as a sandbox's start."""
_ESCAPES = r"\x1b\[[0-9;]*m"
_ADDRESS = r"\b0x[0-9A-Fa-f]{6,}"
"""As in `<function f at 0x7f...>`: where this process keeps its memory is nothing for a guest."""


def scrub(text: str) -> str:
    """`text` without absolute paths, file URLs, and names and passwords in URLs; at most MOST_TEXT characters.

    Web addresses and relative paths stay as they are. Answers only what UTF-8 can say.
    """
    text = sayable(re.sub(_ESCAPES, "", text[:_MOST_READ]))
    return re.sub(_ADDRESS, "0x...", re.sub(_PATHS, _without_path, text))[:MOST_TEXT]


def sayable(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 has no bytes for, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def told(error: Exception, without_secrets: Callable[[str], str] = str) -> ToolError:
    """What the guest hears of an exception that a tool raised.

    A ToolError's text is passed on whole. Of any other exception the message alone is, scrubbed, or the name of its
    class where there is none; what led to it is not. `without_secrets` sees the message before any of it is cut off.
    """
    found = cause_of(error)
    if isinstance(found, ToolError):
        return ToolError(sayable(_message_of(found)))
    return ToolError(scrub(without_secrets(_message_of(found))).strip() or type(found).__name__)


def endings() -> tuple[type[BaseException], ...]:
    """What ends a process, or a task of this loop or of one that a tool ran in its thread. A tool that raises it has
    failed, and nothing else has to end for that.
    """
    return SystemExit, anyio.get_cancelled_exc_class(), *foreign_cancellations()


def cause_of(error: Exception) -> Exception:
    """What an exception stands for: a group with one exception in it, as a task group raises it, stands for that."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    return error


def _message_of(error: Exception) -> str:
    try:
        if isinstance(error, OSError) and error.strerror:
            return str(error.strerror)  # its full text has the file's name
        return str(error)
    except Exception:  # noqa: BLE001 - the exception's own code; without its text there is still its name
        return type(error).__name__


def _without_path(match: re.Match[str]) -> str:
    if match["kept"]:
        return match["kept"] + match["rest"]
    if match["relative"]:
        return match["relative"]
    quote = match["quote"] or ""
    return f"{quote}{_HIDDEN}{quote}"
