"""What a shell grants: the project file's part, and that of the options; and where it keeps its journal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from capsule import InvalidPolicy, Policy, RightsRefused, UsageError
from capsule.policy import Mount, project_root
from capsule.project import FILE_NAME, Project, ceiling_of, target_of

OPTIONS = {
    "allowed_hosts": "--allow-host",
    "allowed_files": "--mount",
    "mounts": "--mount",
    "env_variables": "--env",
}
"""The option that grants a right, by the field of the policy that is the right."""

_MOST_OPTIONS = 20


class Grants(msgspec.Struct, frozen=True):
    """What was given on the command line."""

    limits: dict[str, str] = {}
    """Ceilings, by the field of the policy."""

    hosts: Sequence[str] = ()
    """Hosts that may be granted."""

    mounts: Sequence[str] = ()
    """Folders that every task sees, and may declare: `HOST[::GUEST][:ro|:rw]`, below the root of the project."""

    env: Sequence[str] = ()
    """Variables that may be granted: `NAME`, or `NAME=value`."""

    env_file: str | None = None

    @property
    def values(self) -> dict[str, str]:
        """The values of variables that were given, by name."""
        return {name: value for name, equals, value in (each.partition("=") for each in self.env) if equals}

    def rights(self, mounts: Sequence[Mount]) -> dict[str, Sequence[Any]]:
        """What may be granted of each right, by the field of the policy, with `mounts` as they were found."""
        names = [each.partition("=")[0] for each in self.env]
        return {"allowed_hosts": self.hosts, "allowed_files": mounts, "mounts": mounts, "env_variables": names}


class Scope(msgspec.Struct, frozen=True):
    """What is run, and what it may be granted."""

    target: str
    project: Project | None
    policy: Policy
    ceiling: Policy


def scope_of(target: str | None, grants: Grants) -> Scope:
    """The file that is meant (None: the project's entrypoint), with its limits and rights.

    The project is that of the current folder, for the files in it: what a stranger's file brings along in its own
    folder grants nothing. Raises UsageError.
    """
    project = Project.find()
    if target is None:
        target = _entrypoint(project)
    elif project is not None and not project.holds(file_of(target)):
        project = None
    mounts = _found(grants.mounts, project_root(file_of(target)))
    policy = project.policy if project is not None else Policy()
    policy = policy.with_settings({"mounts": (*policy.mounts, *mounts)})
    return Scope(target, project, policy, ceiling_of(project, grants.limits, grants.rights(mounts)))


def journal_file() -> Path:
    """Where `capsule run` writes: below the root of the project, else the current folder. Raises UsageError."""
    project = Project.find()
    return (project.root if project is not None else Path.cwd()) / ".capsule" / "trace.db"


def what_would_allow(error: RightsRefused, argv: Sequence[str]) -> str:
    """The command line, `argv` without the program's name, that would grant all that was refused.

    Values of `--env` are left out, for they may be secret: those names are asked of the environment.
    """
    wanted = dict.fromkeys(
        (OPTIONS[each.right], item) for each in error.excess if each.right in OPTIONS for item in each.wanted
    )
    if not wanted or len(wanted) > _MOST_OPTIONS:
        return "capsule inspect shows all of it"
    options = [word for pair in wanted for word in pair]
    words = ["capsule", *argv[:1], *options, *_without_values(argv[1:])]
    return f"to grant it:\n  {_quoted(words)}"


def _found(texts: Sequence[str], root: str) -> tuple[Mount, ...]:
    """The folders of `--mount`, below `root`. Raises UsageError."""
    try:
        return Policy(mounts=tuple(map(Mount.parse, texts))).anchored(root, inside=True).mounts
    except InvalidPolicy as error:
        reason = str(error).removeprefix("mounts: ").partition("; write it as [")[0]
    except ValueError as error:
        reason = f"{error}; write it as --mount ./data, --mount ./out:rw or --mount ./data::/name:ro"
    raise UsageError(f"--mount: {reason}")


def _without_values(words: Sequence[str]) -> Iterator[str]:
    """The words of a command line with `NAME` where there was `--env NAME=value`."""
    options, rest = (words[: words.index("--")], words[words.index("--") :]) if "--" in words else (words, ())
    for before, word in zip(("", *options), options, strict=False):
        if before == "--env":
            yield word.partition("=")[0]
        elif word.startswith("--env="):
            yield "=".join(word.split("=")[:2])
        else:
            yield word
    yield from rest


def _entrypoint(project: Project | None) -> str:
    if project is None:
        raise UsageError(
            f"which file? Give one: capsule run FILE. There is no {FILE_NAME} here or above that names one"
        )
    target = target_of(project)
    if target is None:
        raise UsageError(
            f'which file? Give one: capsule run FILE, or name it in {FILE_NAME}: [workflow] entrypoint = "..."'
        )
    return target


def file_of(target: str) -> str:
    """The path in `FILE` or `FILE:NAME`."""
    path, colon, name = target.rpartition(":")
    return path if colon and path and name.isidentifier() else target


def _quoted(words: list[str]) -> str:
    import shlex  # only a refusal needs them
    import subprocess

    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
