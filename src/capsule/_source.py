"""What a caller names, resolved to a program and one of the tasks or actors that it declares."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from ._folders import root_of, with_folders
from ._guest.neighbours import with_neighbours
from ._guest.program import check_arguments, choose, choose_task, read_program
from ._mounts import project_root
from ._packages.script import requirements_in
from ._rights import specs_of
from ._task import ActorClass, Task
from ._values import ActorSpec, Program, TaskSpec
from .errors import InvalidArguments, InvalidProgram, UsageError


class Source:
    """Resolves tasks, actors and files. A file is read at every call, so an edit is seen; what belongs to the
    application is sliced once, because its module was loaded once.
    """

    def __init__(self, check: Callable[[Program], None]) -> None:
        """`check` raises a UsageError for a program that must not start."""
        self._check = check
        self.packages: frozenset[str] = frozenset()
        """What every program can import beside the standard library, by top-level name."""
        self._slices: dict[Task[..., Any] | ActorClass, tuple[Program, TaskSpec | ActorSpec]] = {}

    def resolve(
        self, what: Task[..., Any] | ActorClass | str | os.PathLike[str]
    ) -> tuple[Program, TaskSpec | ActorSpec]:
        """The program and the task or actor that `what` names.

        Raises InvalidProgram, RightsRefused, or UsageError for something else.
        """
        program, spec = self._read(what)
        self._check(program)
        return program, spec

    def look(
        self, what: Task[..., Any] | ActorClass | str | os.PathLike[str]
    ) -> tuple[Program, list[TaskSpec | ActorSpec]]:
        """A program and all that it declares, for those who run nothing of it.

        In front, a function that `what` means without its being declared. Raises as `resolve` does, and not for rights.
        """
        spec: TaskSpec | ActorSpec | None
        try:
            program, spec = self._read(what)
        except InvalidProgram:
            if not isinstance(what, (str, os.PathLike)) or split_name(os.fspath(what))[1]:
                raise
            program, spec = _read_file(os.fspath(what)), None  # it has no main, which is no fault until it is run
            if not specs_of(program):
                raise
        declared = specs_of(program)
        return program, declared if spec is None or spec in declared else [spec, *declared]

    def _read(self, what: Task[..., Any] | ActorClass | str | os.PathLike[str]) -> tuple[Program, TaskSpec | ActorSpec]:
        if isinstance(what, (Task, ActorClass)):
            if what not in self._slices:
                self._slices[what] = _slice(what, self.packages)
            return self._slices[what]
        if isinstance(what, (str, os.PathLike)):
            path, name = split_name(os.fspath(what))
            program = _read_file(path)
            return program, choose(program, name)
        raise UsageError(
            f"{what!r} cannot run in a sandbox: give a function marked with @task, a class marked with @actor, or a "
            'file such as "tasks.py", "tasks.py:word_count" or "notes.py:Notes"'
        )

    def resolve_task(self, task: Task[..., Any] | str | os.PathLike[str]) -> tuple[Program, TaskSpec]:
        """As `resolve`, for what runs once, which an actor cannot."""
        if isinstance(task, (str, os.PathLike)):
            path, name = split_name(os.fspath(task))
            program = _read_file(path)
            found = choose_task(program, name)
            self._check(program)
            return program, found
        program, spec = self.resolve(task)
        if isinstance(spec, ActorSpec):
            raise UsageError(f"{spec.name} is an actor, which lives for many messages: await runtime.spawn({spec.cls})")
        return program, spec

    def check_arguments(self, spec: TaskSpec, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raises InvalidArguments if the task or method cannot be called like this."""
        check_arguments(spec, args, kwargs)


def _read_file(path: str) -> Program:
    program = with_folders(with_neighbours(read_program(path), path), lambda: project_root(path))
    return replace(program, requirements=requirements_in(program.source, program.path))


def _slice(what: Task[..., Any] | ActorClass, packages: frozenset[str]) -> tuple[Program, TaskSpec | ActorSpec]:
    if isinstance(what, Task):
        program, own = _sliced(what.function, packages), what.function.__name__
        spec: TaskSpec | ActorSpec | None = next((spec for spec in program.tasks if spec.function == own), None)
    else:
        program, own = _sliced(what.cls, packages), what.cls.__name__
        spec = next((spec for spec in program.actors if spec.cls == own), None)
    if spec is None:
        raise _undeclared(program, own, "task" if isinstance(what, Task) else "actor")
    return program, spec


def _sliced(thing: Callable[..., Any], packages: frozenset[str]) -> Program:
    from ._guest.slicing import slice_of  # a run of a file never needs it

    return with_folders(slice_of(thing, packages), lambda: root_of(thing))


def _undeclared(program: Program, name: str, kind: str) -> InvalidProgram:
    from ._guest.slicing import undeclared

    return undeclared(program, name, kind)


def split_name(text: str) -> tuple[str, str | None]:
    """A path and the task's name behind its last colon, if there is one: "tasks.py:main"; a drive's colon is none."""
    path, colon, name = text.rpartition(":")
    if colon and name.isidentifier() and path and not os.path.exists(text):
        return path, name
    return text, None


def check_own_words(spec: TaskSpec | ActorSpec, given: dict[str, Any]) -> None:
    """Raises InvalidArguments for a word that is the runtime's own and also the name of a parameter."""
    parameters = spec.create.parameters if isinstance(spec, ActorSpec) else spec.parameters
    for word in {parameter.name for parameter in parameters} & {word for word, value in given.items() if value}:
        raise InvalidArguments(
            f"{spec.name} has a parameter {word!r}, but {word}= is the runtime's own; pass it by position"
        )
