"""What goes to the two streams: the task's own output, and our own words on stderr.

The task's text goes to a pipe or a file untouched, and to a terminal as a `Guard` lets it pass. Colours of ours and a
moving progress line only where stderr is a terminal; plain lines everywhere else.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from functools import cached_property
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:  # loaded when the first word is said: a run that goes well says none
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from .terminal import Guard


class Screen:
    """Both streams of this process. `as_json` keeps stdout for the envelope alone."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._lock = threading.RLock()  # the journal's thread may have something to say, too
        self._guards: dict[IO[str], Guard] = {}
        self._open: IO[str] | None = None
        """The terminal in which a guest has begun a line and not ended it."""
        self.has_lost = False
        """Whether something could not be written, for another reason than a reader that went away."""

    @cached_property
    def console(self) -> Console:
        """Our own words go here: stderr, with colours if it is a terminal."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    def result(self, text: str) -> None:
        """The one thing that is asked for, on stdout."""
        with self._lock:
            self.settle()
            self._send(sys.stdout, text + "\n")
            self.settle()

    def printed(self, stream: str, text: str) -> None:
        """What a task printed, as it comes."""
        with self._lock:
            self._send(sys.stdout if stream == "stdout" and not self.as_json else sys.stderr, text)

    def settle(self) -> None:
        """On a terminal: end the colours and the line that a guest has begun, before somebody else speaks."""
        for stream, guard in self._guards.items():
            self._sent(stream, guard.rest())
        if self._open is not None:
            self._put(self._open, "\n")
            self._open = None

    def error(self, message: str) -> None:
        """What went wrong, in one line or a few. What a stranger said in it is on one line already."""
        self.note(f"error: {message}", "bold red", head=len("error:"))

    def note(self, text: str, style: str = "", head: int | None = None) -> None:
        """A line of our own on stderr, if that is still there; `head` characters of it in `style` (default: all).

        Names and messages in it may come from a hostile program, so control characters are shown, not sent.
        """
        from rich.text import Text

        from .terminal import visible

        line = Text(visible(text))
        line.stylize(style, 0, head if head is not None else len(text))
        with self._lock:
            self.settle()
            with contextlib.suppress(OSError):  # a terminal that was closed: nobody can be told
                self.console.print(line)

    def warn(self, text: str) -> None:
        """What was logged while something ran, in whichever thread: a plain line on stderr."""
        from .terminal import visible

        with self._lock:
            self.settle()
            self._put(sys.stderr, f"{visible(text)}\n")

    def _send(self, stream: IO[str], text: str) -> None:
        if not stream.isatty():
            self._put(stream, text)
            return
        from .terminal import Guard

        self._sent(stream, self._guards.setdefault(stream, Guard()).passed(text))

    def _sent(self, stream: IO[str], text: str) -> None:
        """Send what was let pass. Both streams are one terminal, mostly: one goes on with the line of the other."""
        from .terminal import is_in_line

        if text:
            self._put(stream, text)
            self._open = stream if is_in_line(text, was_in_line=self._open is not None) else None

    def _put(self, stream: IO[str], text: str) -> None:
        error = _write(stream, text)
        if error is not None and not isinstance(error, BrokenPipeError) and not self.has_lost:
            self.has_lost = True
            self.error(f"the output cannot be written: {error.strerror}")


def _write(stream: IO[str], text: str) -> OSError | None:
    """Write and flush; text that the terminal cannot show is escaped. Answers why it could not be written, once."""
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = getattr(stream, "encoding", None) or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        # As Python's own documentation advises: what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


class Phases:
    """Shows the phases of a long piece of work on stderr while it lasts, with the time that has passed."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._progress: Progress | None = None
        self._bar: TaskID | None = None
        self._began = time.monotonic()
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
        if self.count and error is None:
            self._screen.note(f"capsule: ready ({time.monotonic() - self._began:.0f} s)", "green")

    def end(self) -> None:
        """Take the line away, if there is one. A later phase begins another."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def __call__(self, phase: str) -> None:
        """The next phase begins."""
        self.count += 1
        if not self._screen.console.is_terminal:
            self._screen.note(f"capsule: {phase}...")
            return
        if self._progress is None:
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("capsule: {task.description}"), TimeElapsedColumn())
            self._progress = Progress(*columns, console=self._screen.console, transient=True)
            self._progress.start()
            self._bar = self._progress.add_task(phase, total=None)
        assert self._bar is not None
        self._progress.update(self._bar, description=phase)
