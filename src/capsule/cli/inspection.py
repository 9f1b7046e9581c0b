"""`capsule inspect`: what a file declares and what it would get, before anything of it runs."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capsule import CapsuleError, Declared, Policy, Runtime
from capsule.policy import COMPUTE_LEVELS, format_size
from capsule.project import FILE_NAME, RIGHTS, Project

from .grants import Grants, Scope, file_of, scope_of
from .run import SUCCESS, WRONG_CALL
from .screen import Screen
from .terminal import one_line

if TYPE_CHECKING:
    from rich.text import Text

_WIDE = 10_000
"""Columns where nobody looks: what goes to a file or a pipe is not wrapped."""

_ALWAYS = ("compute", "ram", "timeout")
_SIZES = {"ram", "max_output", "max_message", "max_response", "family_ram", "workspace"}
_DURATIONS = {"timeout", "idle_timeout", "restart_window"}


def inspect(target: str | None, grants: Grants, *, as_json: bool) -> int:
    """Print it; answers the exit status."""
    screen = Screen(as_json=as_json)
    try:
        scope = scope_of(target, grants)
        found = Runtime(policy=scope.policy, ceiling=scope.ceiling).inspect(scope.target)
    except CapsuleError as error:
        screen.error(str(error))
        return WRONG_CALL
    if as_json:
        screen.result(json.dumps(_as_data(scope, found)))
    else:
        _show(screen, scope, found)
    return SUCCESS


def _as_data(scope: Scope, found: list[Declared]) -> dict[str, Any]:
    from msgspec import to_builtins

    project = scope.project and {"name": scope.project.name, "version": scope.project.version}
    return {
        "project": project,
        "may_start": not any(each.refused for each in found),
        "declared": [to_builtins(each) for each in found],
    }


def _show(screen: Screen, scope: Scope, found: list[Declared]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "line", "limits", "rights", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for each in found:
        name = f"{one_line(each.name + each.signature)}\n{each.kind}"
        rights = Text("\n").join(_styled(*words) for words in _rights(each)) or Text("none")
        limits = "\n".join(map(one_line, _limits(each, scope.policy)))
        table.add_row(Text(name), Text(one_line(_place(each, scope))), Text(limits), rights)
    if scope.project is not None:
        screen.result(one_line(_title(scope.project)))
    if packages := sorted({name for each in found for name in each.packages}):
        screen.result(one_line(f"packages that the file asks for: {', '.join(packages)}"))
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
    else:
        plain = Console(file=io.StringIO(), width=_WIDE, highlight=False)
        with plain.capture() as written:
            plain.print(table)
        screen.result("\n".join(line.rstrip() for line in written.get().splitlines()))
    if any(each.refused for each in found):
        screen.note("refused: the program does not start until all that it declares is granted, or no longer declared")


def _title(project: Project) -> str:
    name = " ".join(filter(None, (project.name, project.version)))
    return f"project {name or project.root.name} ({FILE_NAME})"


def _place(each: Declared, scope: Scope) -> str:
    """The line, behind the name of its file if that is not the one that was asked about."""
    own = Path(file_of(scope.target)).absolute()
    return str(each.line) if own.match(each.path) else f"{each.path}:{each.line}"


def _styled(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(one_line(text), style)


def _limits(each: Declared, defaults: Policy) -> Iterator[str]:
    """The limits that always matter, and those that are declared or not what they are without a project and options:
    what holds, and where it is from.
    """
    usual = Policy().within(Policy.largest())
    other = (name for name in Policy.__struct_fields__ if getattr(each.policy, name) != getattr(usual, name))
    names = dict.fromkeys((*_ALWAYS, *each.settings, *other))
    for name in (name for name in names if name not in RIGHTS):
        declared = each.settings.get(name)
        wanted = defaults.with_settings({} if declared is None else {name: declared})
        asked, got = (getattr(policy.within(Policy.largest()), name) for policy in (wanted, each.policy))
        own = str(getattr(wanted, name))
        if asked != got:
            yield f"{name} {_said(name, got)}, " + ("the ceiling" if declared is None else f"cut from {own}")
        else:
            yield f"{name} {own}" + (" (default)" if declared is None else "")


def _said(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name in _SIZES:
        return format_size(value)
    if name in _DURATIONS:
        return f"{value:g}s"
    levels = [level for level, fuel in COMPUTE_LEVELS.items() if name == "compute" and fuel == value]
    return levels[0] if levels else str(value)


def _rights(each: Declared) -> Iterator[tuple[str, str]]:
    """Each right that is declared or got, item by item, with what becomes of it; and the style of the line."""
    for right, how in RIGHTS.items():
        refused = each.refused.get(right, ())
        declared = Policy().with_settings({right: each.settings.get(right, ())})
        wanted, got = (list(map(how.text, getattr(policy, right))) for policy in (declared, each.policy))
        if right not in each.settings:
            wanted = got  # by default
        if wanted:
            yield right, ""
        for item in wanted:
            yield (f"  {item}  refused", "bold red") if item in refused else (f"  {item}  granted", "green")
