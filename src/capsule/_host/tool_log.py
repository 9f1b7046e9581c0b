"""What the host's log hears of a tool that failed: the whole traceback, without values of secrets."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

log = logging.getLogger("capsule")

Scrub = Callable[[str], str]
"""A text with placeholders in the place of values."""


def log_failure(level: int, message: str, name: str, error: BaseException, scrub: Scrub) -> None:
    """Log `error` below `message`, which has a place for the tool's name. A handler gets the exception itself only if
    there is no value in its text.
    """
    if not log.isEnabledFor(level):
        return
    text = "".join(traceback.format_exception(error))
    clean = scrub(text)
    if clean == text:
        log.log(level, message, name, exc_info=error)
    else:
        log.log(level, "%s\n%s", message % name, clean.rstrip())
