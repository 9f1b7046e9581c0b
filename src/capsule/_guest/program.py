"""A source to a Program: what a file declares, and which of its functions or classes a call means."""

from __future__ import annotations

import codecs
import functools
import io
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from .._mounts import Mount
from .._values import ActorSpec, Module, Parameter, Program, TaskSpec
from ..errors import InvalidProgram
from ..recall import recalled
from .arguments import check_arguments
from .parsing import parse, refusal, too_deep

if TYPE_CHECKING:
    from .actors import FindBase

__all__ = [
    "check_arguments",
    "choose",
    "choose_task",
    "program_from_source",
    "read_program",
    "read_source",
    "remembered",
    "shown_path",
    "with_module",
]

MAX_FILE = 256 << 10
"""Bytes of a file that is run. It may be a stranger's, it is parsed in this process, and there are sources for which
CPython's parser takes time with the square of their length. The application's own modules, which are sliced, may be
larger."""

MOST_NAME = 200
"""Characters in the name of a task or an actor: every message and event of theirs repeats it."""

Declarations: TypeAlias = tuple[tuple[TaskSpec, ...], tuple[ActorSpec, ...]]
"""The tasks and the actors that a source declares, each in its order."""

MOST_KEPT = 2_000
"""Tasks, methods and parameters of a program together, up to which the command keeps them for its next run."""

_EXAMPLE = "from capsule import task\n@task\ndef main(): ..."


def program_from_source(source: str, path: str, find_base: FindBase | None = None) -> Program:
    """The program that `source` is, with the tasks and actors that it declares. Nothing of it is executed.

    `path` is what tracebacks show, `find_base` finds bases of actors in other modules. Raises InvalidProgram, with
    line and excerpt, if it is not Python, is larger than 4 MB, or declares a task or an actor in a way that cannot be
    read without running it.
    """
    source = source.removeprefix("\ufeff")
    tasks, actors = _declared(source, path, find_base)
    return Program(path=path, source=source, tasks=tasks, actors=actors)


def _declared(source: str, path: str, find_base: FindBase | None) -> Declarations:
    from .declarations import declared_in  # here and below: a tree takes longer to load than a task to run

    tree = parse(source, path)
    with too_deep(path):
        tasks, actors = declared_in(tree, source, path, find_base)
        specs: Sequence[TaskSpec | ActorSpec] = (*tasks, *actors)
        for spec in specs:
            if len(spec.name) > MOST_NAME:
                reason = f"a name of {len(spec.name):,} characters; the longest is {MOST_NAME}"
                raise InvalidProgram(reason, path=path, line=spec.line)
        return tasks, actors


@functools.lru_cache(maxsize=64)
def remembered(source: str, path: str, *, is_neighbour: bool = False) -> Program:
    """The same as `program_from_source`, for a file that is read again at every call.

    For a neighbour, bases of actors in other modules are not looked for: nothing here is loaded. Not many, as each may
    be of 256 KB.
    """
    source = source.removeprefix("\ufeff")
    find_base = _no_base if is_neighbour else None
    key = ("declared by a neighbour" if is_neighbour else "declared", source)
    tasks, actors = recalled(key, lambda: _declared(source, path, find_base), _declared_of, _is_short)
    return Program(path=path, source=source, tasks=tasks, actors=actors)


def _is_short(declared: Declarations) -> bool:
    """Whether it may be kept: what actors inherit is one thing here, and would be one for each of them in a file."""
    tasks, actors = declared
    specs = [*tasks, *(spec for actor in actors for spec in (actor.create, *actor.methods))]
    return len(specs) + sum(len(spec.parameters) for spec in specs) <= MOST_KEPT


def _declared_of(plain: Any) -> Declarations:
    tasks, actors = plain
    return tuple(map(_task_of, tasks)), tuple(map(_actor_of, actors))


def _actor_of(plain: dict[str, Any]) -> ActorSpec:
    methods = tuple(map(_task_of, plain["methods"]))
    settings = _settings_of(plain["settings"])
    return ActorSpec(**{**plain, "create": _task_of(plain["create"]), "methods": methods, "settings": settings})


def _task_of(plain: dict[str, Any]) -> TaskSpec:
    parameters = tuple(Parameter(**each) for each in plain["parameters"])
    return TaskSpec(**{**plain, "parameters": parameters, "settings": _settings_of(plain["settings"])})


def _settings_of(plain: dict[str, Any]) -> dict[str, Any]:
    folders = {"allowed_files": tuple(Mount(**each) for each in plain.get("allowed_files", ()))}
    return {**plain, **folders} if "allowed_files" in plain else plain


def _no_base(_class: object, _chain: object) -> None:
    """None is found."""


def with_module(program: Program, module: Module, declared: Program) -> Program:
    """`program` with `module` and what that declares, whose definitions are then named "module:name".

    Raises InvalidProgram if two tasks or actors are called the same, as a guest calls them by their names alone.
    """
    known: Sequence[TaskSpec | ActorSpec] = (*program.tasks, *program.actors)
    new: Sequence[TaskSpec | ActorSpec] = (*declared.tasks, *declared.actors)
    by_name = {spec.name: spec for spec in known}
    for spec in new:
        first = by_name.get(spec.name)
        if first and (first.line, module.path) != (spec.line, program.path):  # a script may be imported once more
            reason = f"{spec.name!r} is declared here and in another module, line {first.line}; give one another name"
            raise refusal(reason, module.source, module.path, spec.line)
    name = module.name
    more = [msgspec.structs.replace(task, function=f"{name}:{task.function}") for task in declared.tasks]
    also = [msgspec.structs.replace(actor, cls=f"{name}:{actor.cls}") for actor in declared.actors]
    return msgspec.structs.replace(
        program,
        tasks=(*program.tasks, *(task for task in more if task.name not in by_name)),
        actors=(*program.actors, *(actor for actor in also if actor.name not in by_name)),
        modules=(*program.modules, module),
    )


def read_program(path: str | os.PathLike[str]) -> Program:
    """The program in the file at `path`, taken whole.

    Raises InvalidProgram if there is no such file, if it cannot be read as a Python source, or as
    `program_from_source` does.
    """
    file = Path(path)
    shown = shown_path(file)
    program = remembered(read_source(file, shown), shown)
    return msgspec.structs.replace(program, is_file=True)


def read_source(file: Path, shown: str) -> str:
    """The text of a Python file, which errors call `shown`. Raises InvalidProgram."""
    return _decode(_read(file, shown), shown)


def shown_path(path: str | os.PathLike[str]) -> str:
    """`path` as people and guests may see it: relative to the current folder if below it, else the bare file name.

    Bytes in it that are no UTF-8 are shown as such, for no text can say them.
    """
    try:
        shown = Path(os.path.abspath(path)).relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):  # elsewhere, or the current folder is gone
        shown = Path(path).name
    return shown.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def choose(program: Program, name: str | None) -> TaskSpec | ActorSpec:
    """The task or actor that a call means.

    With `name`: what is called so, else the module-level function or actor class called so; a function need not be
    declared, and has no settings then. Without: `main` by the same rule, else the only task, else the only actor of a
    file without tasks. Raises InvalidProgram, which lists what there is, if that finds nothing.
    """
    found = _find(program, name or "main") or (_only(program) if name is None else None)
    if found is None:
        raise InvalidProgram(_nothing_found(program, name), path=program.path)
    return found


def choose_task(program: Program, name: str | None) -> TaskSpec:
    """The task that a call means, by the rule of `choose`. Raises InvalidProgram if that is an actor."""
    found = choose(program, name)
    if isinstance(found, ActorSpec):
        reason = f"{found.name} is an actor: spawn it from an application; capsule run runs tasks"
        raise InvalidProgram(reason, path=program.path)
    return found


def _find(program: Program, name: str) -> TaskSpec | ActorSpec | None:
    declared: dict[str, TaskSpec | ActorSpec] = {
        **{actor.cls: actor for actor in program.actors},
        **{task.function: task for task in program.tasks},
        **{actor.name: actor for actor in program.actors},
        **{task.name: task for task in program.tasks},
    }
    return declared.get(name) or _undeclared(program.source, program.path, name)


def _only(program: Program) -> TaskSpec | ActorSpec | None:
    candidates: Sequence[TaskSpec | ActorSpec] = program.tasks or program.actors
    return candidates[0] if len(candidates) == 1 else None


def _undeclared(source: str, path: str, name: str) -> TaskSpec | None:
    """The function of this name at module level."""

    def look() -> TaskSpec | None:
        return _functions(source, path).get(name)

    def is_short(spec: TaskSpec | None) -> bool:
        return spec is None or len(spec.parameters) <= MOST_KEPT

    return recalled(("function", source, name), look, lambda plain: _task_of(plain) if plain else None, is_short)


@functools.lru_cache(maxsize=64)
def _functions(source: str, path: str) -> Mapping[str, TaskSpec]:
    from .declarations import functions_of, spec_of

    tree = parse(source, path)
    with too_deep(path):
        return {function.name: spec_of(function) for function in functions_of(tree)}


def _nothing_found(program: Program, name: str | None) -> str:
    tasks, actors = ([spec.name for spec in specs] for specs in (program.tasks, program.actors))
    what = " or ".join([*(["task"] if tasks or not actors else []), *(["actor"] if actors else [])])
    if name is None:
        every = ", ".join([*tasks, *actors])
        return f"say which {what} to run: {every}" if every else f"no task is declared here; declare one:\n{_EXAMPLE}"
    there = [f"the {kind} are {', '.join(names)}" for kind, names in (("tasks", tasks), ("actors", actors)) if names]
    if not there:
        functions = ", ".join(_functions(program.source, program.path))
        there = [f"the functions are {functions}" if functions else "it has no functions"]
    return f"there is no {what} {name!r}; {' and '.join(there)}"


def _read(file: Path, shown: str) -> bytes:
    try:
        status = os.stat(file)
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise InvalidProgram("this is a folder; give the .py file in it that holds the task", path=shown)
        if file.suffix != ".py":
            raise InvalidProgram("only .py files can be run now; give a file whose name ends in .py", path=shown)
        if not stat.S_ISREG(mode):
            raise InvalidProgram("this is a pipe or a device; give a regular .py file", path=shown)
        with file.open("rb") as opened:
            data = opened.read(min(status.st_size, MAX_FILE) + 1)  # as much as there is, for it is put aside at once
            data += opened.read(MAX_FILE + 1 - len(data)) if status.st_size < len(data) <= MAX_FILE else b""
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
    """The text of a source file, in the encoding that it declares."""
    try:
        encoding = _encoding_of(data)
        if not getattr(codecs.lookup(encoding), "_is_text_encoding", True):
            raise LookupError(encoding)
        text = data.decode(encoding)
    except (SyntaxError, LookupError, ValueError):
        advice = "save it as UTF-8, or declare its encoding on the first line"
        raise InvalidProgram(f"the file is not text in the encoding that it declares; {advice}", path=shown) from None
    return io.StringIO(text, newline=None).read()


def _encoding_of(data: bytes) -> str:
    """What its first two lines declare (PEP 263). Raises SyntaxError."""
    lines = io.BytesIO(data)
    if b"coding" not in lines.readline() + lines.readline() and not data.startswith(codecs.BOM_UTF8):
        return "utf-8"
    from tokenize import detect_encoding  # few declare any

    return detect_encoding(io.BytesIO(data).readline)[0]
