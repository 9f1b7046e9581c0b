"""The rights: what a program has to be given, and which part of what it declares is more than that.

A limit is cut to the ceiling, for less of it is still something to work with. A right is refused: a task that asks for
a host and silently goes without would fail somewhere in the middle, for a reason that nobody sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from . import _hosts, _mounts, _variables
from ._values import ActorSpec, Program, TaskSpec
from .policy import Policy

__all__ = ["RIGHTS", "Excess", "Right", "excess_of", "path_of", "rights_of", "specs_of"]


class Right(msgspec.Struct, frozen=True):
    """How one right is compared. Its values are tuples, as the policy keeps them."""

    beyond: Callable[[Any, Any], tuple[Any, ...]]
    """Those items of the first value that the second does not cover. What it lets pass, `Policy.within` must not
    take away."""

    also: str = ""
    """Another field of a ceiling that grants the same."""

    text: Callable[[Any], str] = str
    """An item as a program declares it, and as a person writes it behind the option of the command line."""

    granting: Callable[[Any], str] | None = None
    """An item as a person writes it in a policy of this process, where that is not the same."""


def _folder(mount: _mounts.Mount) -> str:
    """A folder as a program declares it, below the root of its project; any other in full."""
    if mount.guest not in {"/", mount.host} and mount.host.endswith(mount.guest):
        return f".{mount.guest}{':rw' if mount.is_writable else ''}"
    return str(mount)


def _folder_from_here(mount: _mounts.Mount) -> str:
    """A folder as a policy names it: from the current folder, which need not be the root of the program's project."""
    return f"{_mounts.from_here(mount.host)}{':rw' if mount.is_writable else ''}"


RIGHTS: dict[str, Right] = {
    "allowed_hosts": Right(_hosts.beyond),
    "allowed_files": Right(_mounts.beyond, also="mounts", text=_folder, granting=_folder_from_here),
    "mounts": Right(_mounts.beyond, also="allowed_files", text=_folder, granting=_folder_from_here),
    "env_variables": Right(_variables.variables_beyond, text=_variables.name_of),
}
"""Every right, by the field of the policy that grants it. All other fields are limits."""


class Excess(msgspec.Struct, frozen=True):
    """What one task or actor declares of one right, and may not be granted."""

    name: str
    kind: Literal["task", "actor"]
    path: str
    """The file that declares it, as tracebacks show it."""

    line: int
    right: str
    wanted: tuple[str, ...]
    allowed: tuple[str, ...]
    """What it may be granted of that right."""

    granting: tuple[str, ...]
    """What a ceiling would hold of it, as it is written in this process, for the task or actor to be granted all."""


def specs_of(program: Program) -> list[TaskSpec | ActorSpec]:
    """All that a program declares: the tasks, then the actors."""
    return [*program.tasks, *program.actors]


def path_of(program: Program, spec: TaskSpec | ActorSpec) -> str:
    """The file that declares `spec`: the program's own, or that of a module which goes along."""
    module, colon, _ = (spec.cls if isinstance(spec, ActorSpec) else spec.function).partition(":")
    return next((each.path for each in program.modules if colon and each.name == module), program.path)


def excess_of(program: Program, spec: TaskSpec | ActorSpec, bound: Policy) -> Iterator[Excess]:
    """What `spec` of `program` declares beyond `bound`, right by right."""
    for name, right in RIGHTS.items():
        if name not in spec.settings:
            continue
        declared = getattr(Policy().with_settings({name: spec.settings[name]}), name)
        allowed = (*getattr(bound, name), *(getattr(bound, right.also) if right.also else ()))
        wanted = right.beyond(declared, allowed)
        if wanted:
            texts = [tuple(dict.fromkeys(map(right.text, items))) for items in (wanted, allowed)]
            granting = dict.fromkeys(map(right.granting or right.text, (*allowed, *wanted)))
            yield _excess(program, spec, name, *texts, tuple(granting))
    workspace = spec.settings.get("workspace")
    if workspace is not None and bound.workspace is None:  # a limit, but nothing is no part of it to work with
        yield _excess(program, spec, "workspace", (str(workspace),), (), (str(workspace),))


def _excess(program: Program, spec: TaskSpec | ActorSpec, right: str, *items: tuple[str, ...]) -> Excess:
    kind: Literal["task", "actor"] = "actor" if isinstance(spec, ActorSpec) else "task"
    return Excess(spec.name, kind, path_of(program, spec), spec.line, right, *items)


def rights_of(policy: Policy) -> Policy:
    """A ceiling that holds the rights of `policy`, and no limit."""
    return Policy.largest().with_settings({name: getattr(policy, name) for name in RIGHTS})
