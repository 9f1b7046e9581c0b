"""The console script: light, so that signals and the collector are told before anything is loaded."""

from __future__ import annotations

import gc
import os
import sys

from .interrupts import INTERRUPTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def command() -> None:
    """The console script: `main`, and then the process ends at once.

    An interpreter that ends takes apart what it loaded, module by module: a thirtieth of a short run.
    """
    _begin()
    keep = hasten() if sys.argv[1:2] != ["cache"] else None  # which has to work also when what is kept does harm
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int) and not _is_watched():
            _leave(end.code, keep if sys.argv[1:2] == ["run"] else None)
        raise


def hasten() -> Callable[[], None]:
    """From now on load less, and faster; answers what is to be done at the end, so that the next process has it too."""
    from .bundle import Bundle

    kept = Bundle()
    kept.open()
    from .later import put_off  # from what is kept, as the rest

    put_off(kept)
    from .loading import Loading

    loading = Loading(kept)
    loading.begin()
    from .compiled import MAPS, Compiled

    compiled = Compiled(kept)
    compiled.begin()
    loading.then[MAPS] = compiled.answer_anyio
    return lambda: kept.keep(compiled.new)


def main() -> None:
    """Run the command that `sys.argv` names. Ends with SystemExit."""
    _begin()
    words = sys.argv[1:]
    try:
        _check_folder(words)
        if _is_plain_run(words):
            _run(*words[1:])
        else:
            from .commands import app_for

            app_for(words)()
    finally:
        gc.freeze()  # at its end an interpreter looks through all objects several times
        INTERRUPTS.let_go()


def _begin() -> None:
    _open_streams()
    INTERRUPTS.take_over()
    gc.disable()  # what is loaded stays, and most commands end before there is garbage worth looking for


def _open_streams() -> None:
    """Whoever closed a stream wants nothing on it; open, its number is not the next file's."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123 - open until the end, and nothing is loaded
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123


def _check_folder(words: list[str]) -> None:
    """Whoever removed the folder that this runs in hears of that, and not of what could not be found for it."""
    try:
        os.getcwd()  # noqa: PTH109 - pathlib is not loaded yet
    except OSError:
        if words and not words[0].startswith("-"):
            sys.stderr.write("error: the current folder is gone; change to one that is there\n")
            sys.exit(2)


def _is_plain_run(words: list[str]) -> bool:
    """Whether this is a run without options. It needs no parser, and typer takes longer to load than the task to run.

    Not on Windows, where typer is what makes names of files out of stars.
    """
    return words[:1] == ["run"] and not any(word.startswith("-") for word in words) and sys.platform != "win32"


def _run(target: str | None = None, *args: str) -> None:
    from .run import Call, run

    sys.exit(run(Call(target=target, args=list(args), argv=sys.argv[1:])))


def _is_watched() -> bool:
    """Whether somebody waits for the end of the interpreter: a tracer, a profiler, a prompt."""
    monitoring = getattr(sys, "monitoring", None)  # since 3.12
    has_tools = monitoring is not None and any(monitoring.get_tool(number) for number in range(6))
    return has_tools or bool(sys.gettrace() or sys.getprofile() or sys.flags.inspect)


def _leave(status: int, keep: Callable[[], None] | None) -> None:
    """End the process as an interpreter does: threads, exit handlers, streams. If one of these fails, it returns, and
    the interpreter says so.
    """
    import atexit
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
        atexit._run_exitfuncs()  # noqa: SLF001
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, KeyboardInterrupt):
        return
    if keep is not None:  # it was a run: what others need besides is not worth a place in a file that each run reads
        keep()
    os._exit(status)
