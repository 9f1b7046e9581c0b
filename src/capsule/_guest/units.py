"""A module taken apart into units: what a slice keeps or leaves out as a whole.

A unit is a module-level statement, or one name of an import statement.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from .bindings import bindings_of, bound_name
from .calls import Calls, calls_of
from .flow import reads_from_before
from .imports import Imports, guarded_imports, is_main_guard, is_type_checking
from .names import Names, names_of

__all__ = ["Blocked", "Unit", "units_of"]


@dataclass(frozen=True)
class Blocked:
    """An import that cannot go along into the sandbox: where it stands, and why."""

    node: ast.AST
    why: str


@dataclass(eq=False)
class Unit:
    """One unit, and what it does with the names of its module."""

    node: ast.stmt
    alias: ast.alias | None = None
    """The one name that this unit is, of an import statement."""

    binds: set[str] = field(default_factory=set)
    blocked: dict[str, Blocked] = field(default_factory=dict)
    """Those of `binds` that nothing but an import which cannot go along would bind here."""

    stars: tuple[ast.ImportFrom, ...] = ()
    """The imports `from x import *` in it."""

    names: Names = field(default_factory=Names)
    calls: Calls = field(default_factory=Calls)

    @property
    def is_star(self) -> bool:
        """Whether this is `from x import *`."""
        return self.alias is not None and self.alias.name == "*"

    @property
    def is_future(self) -> bool:
        """Whether this is `from __future__ import x`."""
        return isinstance(self.node, ast.ImportFrom) and self.node.module == "__future__"

    @property
    def is_definition(self) -> bool:
        """Whether this is a `def` or a `class`."""
        return isinstance(self.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))


def units_of(tree: ast.Module, imports: Imports) -> list[Unit]:
    """The units of a module, in the order of the source; a `__main__` block is none, as no sandbox runs it."""
    units: list[Unit] = []
    for index, node in enumerate(tree.body):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            units.extend(_import_units(node, imports))
        elif index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            units.append(Unit(node, binds={"__doc__"}))
        elif not is_main_guard(node):
            units.append(_unit_of(node, imports))
    return units


def _import_units(node: ast.Import | ast.ImportFrom, imports: Imports) -> Iterator[Unit]:
    for alias in node.names:
        name = bound_name(alias)
        why = imports.why_not(node, alias)
        yield Unit(node, alias, {name} - {"*"}, {name: Blocked(node, why)} if why else {}, tuple(_stars_in(node)))


def _unit_of(node: ast.stmt, imports: Imports) -> Unit:
    found = bindings_of(node)
    blocked = {name: why for name, why in _blocked_in(node, imports).items() if name not in found.bound}
    binds = found.bound | found.imported
    return Unit(node, None, binds, blocked, tuple(_stars_in(node)), _names_in(node), calls_of(node))


def _stars_in(node: ast.stmt) -> Iterator[ast.ImportFrom]:
    for found, _ in () if is_type_checking(node) else guarded_imports(node):
        if isinstance(found, ast.ImportFrom) and found.names[0].name == "*":
            yield found


def _names_in(node: ast.stmt) -> Names:
    if isinstance(node, ast.If) and is_type_checking(node):
        return names_of(node.test, *node.orelse)  # the body never runs, so it needs nothing
    names = names_of(node)
    names.reads = reads_from_before(node)
    return names


def _blocked_in(node: ast.stmt, imports: Imports) -> dict[str, Blocked]:
    blocked: dict[str, Blocked] = {}
    provided: set[str] = set()
    for found, guarded in guarded_imports(node):
        for alias in found.names:
            why = None if guarded else imports.why_not(found, alias)
            if why:
                blocked[bound_name(alias)] = Blocked(found, why)
            else:
                provided.add(bound_name(alias))
    return {name: why for name, why in blocked.items() if name not in provided}
