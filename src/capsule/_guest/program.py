"""A source to a Program: what a file declares, and which of its functions a call means."""

from __future__ import annotations

import codecs
import io
import os
import stat
import tokenize
from pathlib import Path

from .._values import Program, TaskSpec
from ..errors import InvalidProgram
from .arguments import check_arguments
from .declarations import functions_of, spec_of, tasks_of
from .parsing import parse, too_deep

__all__ = ["check_arguments", "choose_task", "program_from_source", "read_program", "shown_path"]

MAX_FILE = 256 << 10
"""Bytes of a file that is run. It may be a stranger's, it is parsed in this process, and there are sources for which
CPython's parser takes time with the square of their length. The application's own modules, which are sliced, may be
larger."""

_EXAMPLE = "from capsule import task\n@task\ndef main(): ..."


def program_from_source(source: str, path: str) -> Program:
    """The program that `source` is, with the tasks that it declares. Nothing of it is executed.

    `path` is what tracebacks show. Raises InvalidProgram, with line and excerpt, if it is not Python, is larger than
    4 MB, or declares a task in a way that cannot be read without running it.
    """
    source = source.removeprefix("\ufeff")
    tree = parse(source, path)
    with too_deep(path):
        return Program(path=path, source=source, tasks=tasks_of(tree, source, path))


def read_program(path: str | os.PathLike[str]) -> Program:
    """The program in the file at `path`, taken whole.

    Raises InvalidProgram if there is no such file, if it cannot be read as a Python source, or as
    `program_from_source` does.
    """
    file = Path(path)
    shown = shown_path(file)
    return program_from_source(_decode(_read(file, shown), shown), shown)


def shown_path(path: str | os.PathLike[str]) -> str:
    """`path` as people and guests may see it: relative to the current folder if below it, else the bare file name."""
    try:
        return Path(os.path.abspath(path)).relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):  # elsewhere, or the current folder is gone
        return Path(path).name


def choose_task(program: Program, name: str | None) -> TaskSpec:
    """The task that a call means.

    With `name`: the task called so, else the module-level function called so, declared or not. Without: `main` by the
    same rule, else the only task. A function that is not declared has no settings. Raises InvalidProgram, which lists
    what there is, if that finds nothing.
    """
    found = _find(program, name or "main")
    if found is None and name is None and len(program.tasks) == 1:
        found = program.tasks[0]
    if found is None:
        raise InvalidProgram(_nothing_found(program, name), path=program.path)
    return found


def _find(program: Program, name: str) -> TaskSpec | None:
    declared = program.task(name) or next((task for task in program.tasks if task.function == name), None)
    return declared or _undeclared(program).get(name)


def _undeclared(program: Program) -> dict[str, TaskSpec]:
    tree = parse(program.source, program.path)
    with too_deep(program.path):
        return {function.name: spec_of(function) for function in functions_of(tree)}


def _nothing_found(program: Program, name: str | None) -> str:
    tasks = ", ".join(task.name for task in program.tasks)
    if name is None:
        return f"say which task to run: {tasks}" if tasks else f"no task is declared here; declare one:\n{_EXAMPLE}"
    functions = ", ".join(_undeclared(program))
    there = (
        f"the tasks are {tasks}" if tasks else f"the functions are {functions}" if functions else "it has no functions"
    )
    return f"there is no task {name!r}; {there}"


def _read(file: Path, shown: str) -> bytes:
    try:
        mode = os.stat(file).st_mode
        if stat.S_ISDIR(mode):
            raise InvalidProgram("this is a folder; give the .py file in it that holds the task", path=shown)
        if file.suffix != ".py":
            raise InvalidProgram("only .py files can be run now; give a file whose name ends in .py", path=shown)
        if not stat.S_ISREG(mode):
            raise InvalidProgram("this is a pipe or a device; give a regular .py file", path=shown)
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise InvalidProgram("there is no such file; check the path and the current folder", path=shown) from None
    except OSError as error:
        raise InvalidProgram(f"cannot read the file ({error.strerror}); check who may read it", path=shown) from None
    except ValueError:
        raise InvalidProgram("the path holds a NUL byte; give the path of a .py file", path=repr(shown)) from None
    if len(data) > MAX_FILE:
        raise InvalidProgram(f"the file is larger than {MAX_FILE:,} bytes; take data out of the source", path=shown)
    return data


def _decode(data: bytes, shown: str) -> str:
    """The text of a source file, in the encoding that it declares (PEP 263)."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        if not getattr(codecs.lookup(encoding), "_is_text_encoding", True):
            raise LookupError(encoding)
        text = data.decode(encoding)
    except (SyntaxError, LookupError, ValueError):
        advice = "save it as UTF-8, or declare its encoding on the first line"
        raise InvalidProgram(f"the file is not text in the encoding that it declares; {advice}", path=shown) from None
    return io.StringIO(text, newline=None).read()
