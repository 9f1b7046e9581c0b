"""What a caller names, resolved to a program and one of the tasks or actors that it declares."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._folders import root_of, with_folders
from ._guest.program import check_arguments, choose, choose_task, read_program
from ._mounts import project_root
from ._task import ActorClass, Task
from ._values import ActorSpec, Program, TaskSpec
from .errors import InvalidArguments, InvalidProgram, UsageError


class Source:
    """Resolves tasks, actors and files. A file is read at every call, so an edit is seen; what belongs to the
    application is sliced once, because its module was loaded once.
    """

    def __init__(self) -> None:
        self._slices: dict[Task[..., Any] | ActorClass, tuple[Program, TaskSpec | ActorSpec]] = {}

    def resolve(
        self, what: Task[..., Any] | ActorClass | str | os.PathLike[str]
    ) -> tuple[Program, TaskSpec | ActorSpec]:
        """The program and the task or actor that `what` names.

        Raises InvalidProgram, or UsageError for something else.
        """
        if isinstance(what, (Task, ActorClass)):
            if what not in self._slices:
                self._slices[what] = _slice(what)
            return self._slices[what]
        if isinstance(what, (str, os.PathLike)):
            path, name = split_name(os.fspath(what))
            program = _read(path)
            return program, choose(program, name)
        raise UsageError(
            f"{what!r} cannot run in a sandbox: give a function marked with @task, a class marked with @actor, or a "
            'file such as "tasks.py", "tasks.py:word_count" or "notes.py:Notes"'
        )

    def resolve_task(self, task: Task[..., Any] | str | os.PathLike[str]) -> tuple[Program, TaskSpec]:
        """The same for what runs once, which an actor cannot."""
        if isinstance(task, (str, os.PathLike)):
            path, name = split_name(os.fspath(task))
            program = _read(path)
            return program, choose_task(program, name)
        program, spec = self.resolve(task)
        if isinstance(spec, ActorSpec):
            raise UsageError(f"{spec.name} is an actor, which lives for many messages: await runtime.spawn({spec.cls})")
        return program, spec

    def check_arguments(self, spec: TaskSpec, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raises InvalidArguments if the task or method cannot be called like this."""
        check_arguments(spec, args, kwargs)


def _read(path: str) -> Program:
    return with_folders(read_program(path), project_root(path))


def _slice(what: Task[..., Any] | ActorClass) -> tuple[Program, TaskSpec | ActorSpec]:
    if isinstance(what, Task):
        program, own = _sliced(what.function), what.function.__name__
        spec: TaskSpec | ActorSpec | None = next((spec for spec in program.tasks if spec.function == own), None)
    else:
        program, own = _sliced(what.cls), what.cls.__name__
        spec = next((spec for spec in program.actors if spec.cls == own), None)
    if spec is None:
        kind, place = (
            ("a task", "@task directly above its def")
            if isinstance(what, Task)
            else (
                "an actor",
                "@actor directly above its class",
            )
        )
        raise InvalidProgram(
            f"{own} is {kind} here, but not in the source that would go into the sandbox; write {place}",
            path=program.path,
        )
    return program, spec


def _sliced(thing: Callable[..., Any]) -> Program:
    from ._guest.slicing import slice_of  # a run of a file never needs it

    return with_folders(slice_of(thing), root_of(thing))


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
