"""Ctrl-C, SIGTERM and SIGHUP: whatever the command does at that moment, it ends with 128 and the number, and one line.

Python's own way is to raise KeyboardInterrupt wherever the main thread happens to be, and to end at once for the
others. In the middle of an import, or of a clean-up, the first ends in a traceback or is lost; the second leaves
behind what a sandbox has on disk. Here nothing is raised: what has nothing to clean up ends at once, and the rest is
cancelled as a whole.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Awaitable, Callable
    from types import FrameType
    from typing import Any, NoReturn, TypeVar

    T = TypeVar("T")
else:  # signal and typing take longer to load than all the rest until Ctrl-C is ours
    import _signal as signal

ECHO = 0.5
"""Seconds in which SIGTERM and SIGHUP count once: `timeout` sends them to a process and to its group, and when a
terminal is closed both the shell and the system do."""

NUMBERS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Interrupts:
    """What a signal does: cancel what `run` runs, if it runs something and this is the first, else leave at once."""

    def __init__(self) -> None:
        self._cancel: Callable[[], object] | None = None
        self._first: int | None = None
        self._since = 0.0

    @property
    def status(self) -> int:
        """The exit status, once `run` has raised KeyboardInterrupt."""
        return _status(self._first or signal.SIGINT)

    def take_over(self) -> None:
        """From now on. What is ignored stays so, as nohup wants it, and a shell in the background."""
        for number in NUMBERS:
            if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                signal.signal(number, self._arrived)

    def let_go(self) -> None:
        """The work is done and the status known: the interpreter may end in peace, and SIGTERM end what does not."""
        for number in NUMBERS:
            if signal.getsignal(number) == self._arrived:
                signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)

    def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """As `anyio.run` does. Raises KeyboardInterrupt once all is cancelled, if one of the signals came."""
        import anyio

        try:
            return anyio.run(self._cancelled_by_it, function, args)
        except BaseException as error:
            if self._first is not None:  # whatever it was, it has come of being cancelled
                raise KeyboardInterrupt from error
            raise

    async def _cancelled_by_it(self, function: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        import anyio.lowlevel

        loop: Any = anyio.lowlevel.current_token().native_token  # asyncio's: a signal handler must wake it
        with anyio.CancelScope() as scope:
            self._cancel = lambda: loop.call_soon_threadsafe(scope.cancel)
            try:
                result = await function(*args)
            finally:
                self._cancel = None
        if self._first is not None:
            raise KeyboardInterrupt
        return result

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._since = now  # before the other: the next signal may come between any two steps
            self._first = number
        elif number != signal.SIGINT and now - self._since < ECHO:
            return
        cancel, self._cancel = self._cancel, None
        if cancel is None:
            _leave(self._first)
        cancel()


INTERRUPTS = Interrupts()
"""There is one process."""


def _status(number: int) -> int:
    return 128 + number


def _leave(number: int) -> NoReturn:
    try:
        for stream, text in ((1, b"\x1b[0m"), (2, b"\x1b[0m\x1b[?25h\n")):  # a guest's colours, a hidden cursor
            if os.isatty(stream):
                os.write(stream, text)
        os.write(2, b"error: interrupted\n")
    finally:
        os._exit(_status(number))
