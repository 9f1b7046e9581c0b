"""Ctrl-C: whatever the command does at that moment, it ends with status 130 and one short line.

Python's own way is to raise KeyboardInterrupt wherever the main thread happens to be. In the middle of an import, or of
somebody's clean-up, that ends in a traceback or is lost. Here nothing is raised: what has nothing to clean up ends at
once, and the rest is cancelled as a whole.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Awaitable, Callable
    from types import FrameType
    from typing import Any, NoReturn, TypeVar

    T = TypeVar("T")
else:  # signal and typing take longer to load than all the rest until Ctrl-C is ours
    import _signal as signal

INTERRUPTED = 130
"""The exit status."""


class CtrlC:
    """What a press does: cancel what `run` runs, if it runs something and this is the first, else leave at once."""

    def __init__(self) -> None:
        self._cancel: Callable[[], object] | None = None
        self._was_pressed = False

    def take_over(self) -> None:
        """From now on. If Ctrl-C is ignored, as whoever starts a command in the background wants it, that stays so."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._pressed)

    def ignore(self) -> None:
        """The work is done and the status known: the interpreter may end in peace."""
        if signal.getsignal(signal.SIGINT) == self._pressed:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """As `anyio.run` does. Raises KeyboardInterrupt once all is cancelled, if Ctrl-C was pressed."""
        import anyio

        try:
            return anyio.run(self._cancelled_by_it, function, args)
        except BaseException as error:
            if self._was_pressed:  # whatever it was, it has come of being cancelled
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
        if self._was_pressed:
            raise KeyboardInterrupt
        return result

    def _pressed(self, _number: int, _frame: FrameType | None) -> None:
        cancel, self._cancel = self._cancel, None
        if cancel is None:
            _leave()
        self._was_pressed = True
        cancel()


CTRL_C = CtrlC()
"""There is one keyboard."""


def _leave() -> NoReturn:
    try:
        for stream, text in ((1, b"\x1b[0m"), (2, b"\x1b[0m\x1b[?25h\n")):  # a guest's colours, a hidden cursor
            if os.isatty(stream):
                os.write(stream, text)
        os.write(2, b"error: interrupted\n")
    finally:
        os._exit(INTERRUPTED)
