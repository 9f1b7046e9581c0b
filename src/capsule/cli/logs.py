"""What capsule logs while a command runs, as notes of the command."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from .screen import Screen


@contextlib.contextmanager
def logs_on(screen: Screen) -> Iterator[None]:
    """Show warnings and errors of the log on `screen`. Names in them may come from a hostile program."""
    handler = _Notes(screen)
    log = logging.getLogger("capsule")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _Notes(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """One record, as a note; its traceback below it."""
        from .terminal import one_line  # most runs log nothing

        try:
            text = f"capsule: {one_line(record.getMessage())}"
            if record.exc_info:
                text += "\n" + logging.Formatter().formatException(record.exc_info)
            self._screen.warn(text)
        except Exception:  # noqa: BLE001 - whoever logs goes on
            self.handleError(record)
