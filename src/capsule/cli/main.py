"""The console script: light, so that signals and the collector are told before anything is loaded."""

from __future__ import annotations

import gc
import os
import sys

from .interrupts import INTERRUPTS


def main() -> None:
    """Run the command that `sys.argv` names."""
    _open_streams()
    INTERRUPTS.take_over()
    gc.disable()  # what is loaded stays, and most commands end before there is garbage worth looking for
    words = sys.argv[1:]
    try:
        if _is_plain_run(words):
            _run(*words[1:])
        else:
            from .commands import app_for

            app_for(words)()
    finally:
        gc.freeze()  # at its end an interpreter looks through all objects several times
        INTERRUPTS.let_go()


def _open_streams() -> None:
    """Whoever closed a stream wants nothing on it; open, its number is not the next file's."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123 - open until the end, and nothing is loaded
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123


def _is_plain_run(words: list[str]) -> bool:
    """Whether this is a run without options. It needs no parser, and typer takes longer to load than the task to run.

    Not on Windows, where typer is what makes names of files out of stars.
    """
    return words[:1] == ["run"] and not any(word.startswith("-") for word in words) and sys.platform != "win32"


def _run(target: str | None = None, *args: str) -> None:
    from .run import Call, run

    _leave(run(Call(target=target, args=list(args), argv=sys.argv[1:])))


def _leave(status: int) -> None:
    """End the process at once. An interpreter that ends takes apart what it loaded, module by module, which takes a
    thirtieth of a short run. Not where somebody looks on (a tracer, a profiler, a thread): then as usual.
    """
    import atexit
    import contextlib
    import threading

    if sys.gettrace() is None and sys.getprofile() is None and threading.active_count() == 1:
        atexit._run_exitfuncs()  # noqa: SLF001 - what ends an interpreter calls it, too
        with contextlib.suppress(OSError, ValueError):  # a reader that is gone is told as usual
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    sys.exit(status)
