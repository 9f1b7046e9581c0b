"""What a caller names, resolved to a program and one of its tasks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ._guest.program import check_arguments, choose_task, read_program
from ._task import Task
from ._values import Program, TaskSpec
from .errors import InvalidProgram, UsageError


class Source:
    """Resolves tasks and files. A file is read at every call, so an edit is seen; a task of the application is
    sliced once, because its module was loaded once.
    """

    def __init__(self) -> None:
        self._slices: dict[Task[..., Any], tuple[Program, TaskSpec]] = {}

    def resolve(self, task: Task[..., Any] | str | os.PathLike[str]) -> tuple[Program, TaskSpec]:
        """The program and the task that `task` names. Raises InvalidProgram, or UsageError for something else."""
        if isinstance(task, Task):
            if task not in self._slices:
                self._slices[task] = self._slice(task)
            return self._slices[task]
        if isinstance(task, (str, os.PathLike)):
            path, name = split_name(os.fspath(task))
            program = read_program(path)
            return program, choose_task(program, name)
        raise UsageError(
            f"{task!r} cannot run in a sandbox: give a function marked with @task, or a file such as "
            '"tasks.py" or "tasks.py:word_count"'
        )

    def check_arguments(self, spec: TaskSpec, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Raises InvalidArguments if the task cannot be called like this."""
        check_arguments(spec, args, kwargs)

    def _slice(self, task: Task[..., Any]) -> tuple[Program, TaskSpec]:
        from ._guest.slicing import slice_of  # a run of a file never needs it

        program = slice_of(task.function)
        spec = next((spec for spec in program.tasks if spec.function == task.function.__name__), None)
        if spec is None:
            raise InvalidProgram(
                f"{task.function.__name__} is a task here, but not in the source that would go into the sandbox; "
                "write @task directly above its def",
                path=program.path,
            )
        return program, spec


def split_name(text: str) -> tuple[str, str | None]:
    """A path and the task's name behind its last colon, if there is one: "tasks.py:main"; a drive's colon is none."""
    path, colon, name = text.rpartition(":")
    if colon and name.isidentifier() and path and not os.path.exists(text):
        return path, name
    return text, None
