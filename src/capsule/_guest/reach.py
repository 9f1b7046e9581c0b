"""What a task needs of its module: the units that it reaches by name, and those that change what it reaches."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..errors import InvalidProgram
from .declarations import Declarations
from .imports import provided_by_star
from .parsing import refusal
from .units import Unit, units_of

__all__ = ["Module"]

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

_GIVEN = frozenset(dir(builtins)) | {
    "PythonFinalizationError",
    "__annotations__",
    "__class__",
    "__file__",
    "__path__",
}
"""Names that a module has without binding them."""

_SANDBOX_NAMES = frozenset({"*", "TaskFailed", "actor", "http", "log", "task", "tools"})
"""What `capsule` offers inside the sandbox; code that reaches for more belongs to the application."""


@dataclass(frozen=True)
class _Reached:
    """A set of units that is complete: what its units read is in it, or is nowhere."""

    units: frozenset[Unit] = frozenset()
    names: frozenset[str] = frozenset()


@dataclass
class _Search:
    """The slice so far, and what was tried and left out of it."""

    task: str
    reached: _Reached
    refused: set[Unit | str] = field(default_factory=set)


class Module:
    """A module's units and how they depend on one another."""

    def __init__(self, tree: ast.Module, source: str, path: str) -> None:
        self.source, self.path = source, path
        self.units = units_of(tree)
        self.definitions = {unit.node.name: unit for unit in self.units if isinstance(unit.node, _DEFINITIONS)}
        self.imported = {name for unit in self.units if unit.alias for name in unit.binds}
        self.capsule = Declarations(tree)
        self.binders: dict[str, list[Unit]] = {}
        self._ran: dict[Unit, set[Unit]] = {}
        for unit in self.units:
            for name in unit.binds:
                self.binders.setdefault(name, []).append(unit)

    def needed_by(self, task: str) -> frozenset[Unit]:
        """The units that the function `task` needs, itself included.

        Raises InvalidProgram if it needs an import that cannot go along into the sandbox.
        """
        if task not in self.binders:
            reason = f"{task!r} stands in the `__main__` block, which no sandbox runs; move it out"
            raise InvalidProgram(reason, path=self.path)
        futures = [unit for unit in self.units if unit.is_future]
        search = _Search(task, self._complete(_Reached(), task, futures, [task]))
        while self._add_changes(search) or self._add_hints(search):
            pass
        return search.reached.units

    def _complete(self, before: _Reached, task: str, units: Iterable[Unit] = (), names: Iterable[str] = ()) -> _Reached:
        """`before` with `units`, and whatever binds `names`, and all that these read."""
        chosen, reached = set(before.units), set(before.names)
        new, wanted = list(units), list(names)
        while new or wanted:
            while new:
                unit = new.pop()
                if unit not in chosen:
                    chosen.add(unit)
                    wanted += unit.names.reads
            name = wanted.pop() if wanted else None
            if name and name not in reached:
                reached.add(name)
                new += self._binders_of(name, task)
        return _Reached(frozenset(chosen), frozenset(reached))

    def _binders_of(self, name: str, task: str) -> list[Unit]:
        binders = self.binders.get(name) or list(self._stars_with(name))
        able = [unit for unit in binders if name not in unit.blocked and "*" not in unit.blocked]
        if binders and not able:
            blocked = binders[0].blocked.get(name) or binders[0].blocked["*"]
            raise refusal(f"{task} needs {name!r}, which comes {blocked.why}", self.source, self.path, blocked.node)
        return able

    def _stars_with(self, name: str) -> Iterator[Unit]:
        for unit in self.units:
            if unit.is_star and isinstance(unit.node, ast.ImportFrom):
                provided = provided_by_star(unit.node)
                if name not in _GIVEN if provided is None else name in provided:
                    yield unit

    def _add_changes(self, search: _Search) -> bool:
        """Add the statements that change a reached name's value in place; whether there was one."""
        added = False
        for unit in self.units:
            if unit in search.reached.units or unit in search.refused:
                continue
            if self._surely_changes(unit) & search.reached.names:
                added |= self._add(search, unit, needed=True)
            elif self._may_change(unit, search.reached.names) and self._is_safe(unit):
                added |= self._add(search, unit, needed=False)
        return added

    def _add_hints(self, search: _Search) -> bool:
        """Add what annotations mention, as far as it is harmless; whether there was any."""
        hints = {name for unit in search.reached.units for name in unit.names.hints}
        new = sorted(hints - search.reached.names - {name for name in search.refused if isinstance(name, str)})
        return sum(self._add(search, name, needed=False) for name in new) > 0

    def _add(self, search: _Search, what: Unit | str, *, needed: bool) -> bool:
        """Add one unit or name with all that it reads; whether that was done.

        What belongs to the application is left out, as is what cannot go along unless it is `needed`.
        """
        units, names = ([], [what]) if isinstance(what, str) else ([what], [])
        try:
            after = self._complete(search.reached, search.task, units, names)
        except InvalidProgram:
            if needed:
                raise
            after = None
        new = after.units - search.reached.units if after else frozenset()
        if after is None or any(map(self._is_application, new)) or not (needed or all(unit.is_certain for unit in new)):
            search.refused.add(what)
            return False
        search.reached = after
        return True

    def _surely_changes(self, unit: Unit) -> set[str]:
        changes = set() if unit.is_definition else unit.names.changes
        return (changes | unit.calls.objects) - self.imported

    def _may_change(self, unit: Unit, reached: frozenset[str]) -> bool:
        """Whether `unit` changes a reached name through a module, an argument, or a function that it calls."""
        through_functions = {name for ran in self._ran_by(unit) for name in ran.names.changes}
        if through_functions & reached:
            return True
        changes = set() if unit.is_definition else unit.names.changes
        through_modules = (changes | unit.calls.objects) & self.imported
        through_arguments = unit.calls.arguments - self.imported - set(self.definitions)
        handed_on = unit.names.reads & set(self.definitions) - unit.calls.functions
        return bool((through_modules | through_arguments) & reached) and not handed_on

    def _is_safe(self, unit: Unit) -> bool:
        """Whether `unit` runs neither a task nor an event loop while the program loads."""
        nodes = [ran.node for ran in self._ran_by(unit)]
        return not any(isinstance(node, ast.AsyncFunctionDef) or self._is_task(node) for node in nodes)

    def _ran_by(self, unit: Unit) -> set[Unit]:
        """The functions and classes that may run when `unit` does."""
        if unit in self._ran:
            return self._ran[unit]
        ran = self._ran[unit] = set()
        names = list(unit.calls.functions)
        while names:
            found = self.definitions.get(names.pop())
            if found and found not in ran:
                ran.add(found)
                names += found.names.reads
        return ran

    def _is_task(self, node: ast.stmt) -> bool:
        return isinstance(node, _DEFINITIONS) and self.capsule.on(node) is not None

    def _is_application(self, unit: Unit) -> bool:
        """Whether `unit` needs the half of `capsule` that is not in the sandbox."""
        if unit.alias and isinstance(unit.node, ast.ImportFrom) and unit.node.module == "capsule":
            return unit.alias.name not in _SANDBOX_NAMES
        return any(root in self.capsule.modules and name not in _SANDBOX_NAMES for root, name in unit.names.attributes)
