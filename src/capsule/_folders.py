"""The folders that a program declares, found on this machine: below its project's root, and never outside of it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from ._mounts import anchored, project_root
from ._values import ActorSpec, Program, TaskSpec
from .errors import InvalidProgram

__all__ = ["root_of", "with_folders"]


def root_of(thing: Any) -> str:
    """The same for a function or a class of this application; the current folder for one that is in no file."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(thing))
    except (OSError, TypeError):
        file = None
    return project_root(file) if file and os.path.exists(file) else os.getcwd()


Spec = TypeVar("Spec", TaskSpec, ActorSpec)


def with_folders(program: Program, find_root: Callable[[], str]) -> Program:
    """`program` with the real paths of what its tasks and actors declare as `allowed_files`, relative to its root.

    The root is looked for only if there is any. Raises InvalidProgram for what lies outside of it, by way of links too,
    and for what is no folder.
    """
    specs: Sequence[TaskSpec | ActorSpec] = (*program.tasks, *program.actors)
    if not any("allowed_files" in spec.settings for spec in specs):
        return program
    root = find_root()
    tasks = tuple(_found(spec, program, root) for spec in program.tasks)
    return replace(program, tasks=tasks, actors=tuple(_found(spec, program, root) for spec in program.actors))


def _found(spec: Spec, program: Program, root: str) -> Spec:
    declared = spec.settings.get("allowed_files")
    if not declared:
        return spec
    try:
        found = anchored(declared, root, inside=True)
    except ValueError as error:
        raise InvalidProgram(f"{spec.name}: allowed_files: {error}", path=program.path, line=spec.line) from None
    settings = {**spec.settings, "allowed_files": found}
    return replace(spec, settings=settings)
