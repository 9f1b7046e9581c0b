"""One module of the application as a slice sees it: its units, what binds which name, and what changes what."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from .declarations import Declarations
from .imports import Imports, Link, has_imports, modules_of, provided_by_star
from .names import chain_of
from .parsing import parse, refusal
from .siblings import Sibling
from .units import Unit, units_of

__all__ = ["LOADED", "WHOLE", "Chain", "Module", "Reached"]

Chain: TypeAlias = tuple[str, ...]
"""A name and the attributes taken of it."""

LOADED, WHOLE = "<loaded>", "<whole>"
"""Stand among the reached names of a module: it is imported by name; all of it is needed."""

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

_GIVEN = frozenset(dir(builtins)) | {
    "PythonFinalizationError",
    "__annotations__",
    "__class__",
    "__file__",
    "__path__",
}
"""Names that a module has without binding them."""

_SANDBOX_NAMES = frozenset(
    {"*", "ActorStopped", "MailboxFull", "TaskFailed", "ToolError", "actor", "http", "log", "task", "tools"}
)
"""What `capsule` offers inside the sandbox; code that reaches for more belongs to the application."""


@dataclass(frozen=True)
class Reached:
    """What is reached of a module: a set of units, and the names that were asked for."""

    units: frozenset[Unit] = frozenset()
    names: frozenset[str] = frozenset()


class Module:
    """A module's units and how they depend on one another."""

    def __init__(self, file: Sibling, imports: Imports, find: Callable[[str], Module]) -> None:
        """`find` answers the application's other modules."""
        self.name, self.source, self.path, self.is_package = file.name, file.source, file.path, file.is_package
        self.imports, self._find = imports, find
        tree = parse(file.source, file.path)
        self.units = units_of(tree, imports)
        self.definitions = {unit.node.name: unit for unit in self.units if isinstance(unit.node, _DEFINITIONS)}
        self.imported = {name for unit in self.units if unit.alias for name in unit.binds}
        self.binders: dict[str, list[Unit]] = {}
        self._capsule = Declarations(tree)
        self._futures = [unit for unit in self.units if unit.is_future]
        self._importing = [unit for unit in self.units if has_imports(unit.node)]
        self._links: dict[Unit, list[Link]] = {}
        self._uses: dict[str, list[tuple[Unit, Chain]]] = {}
        self._chains: dict[Unit, set[Chain]] = {}
        self._asked: set[str] = set()
        self._aliases = dict(_aliases_in(tree))
        for unit in self.units:
            for name in unit.binds:
                self.binders.setdefault(name, []).append(unit)
            for chain in unit.names.chains:
                self._uses.setdefault(chain[0], []).append((unit, chain))

    def complete(self, before: Reached, task: str, units: Iterable[Unit], names: Iterable[str]) -> Reached:
        """`before` with `units`, and whatever binds `names`, and all that these read in this module.

        Raises InvalidProgram, which names `task`, if that needs an import that cannot go along into the sandbox.
        """
        chosen, reached = set(before.units), set(before.names)
        new, wanted = list(units), list(names)
        new += self._futures
        while new or wanted:
            while new:
                unit = new.pop()
                if unit not in chosen:
                    chosen.add(unit)
                    wanted += unit.names.reads
            name = wanted.pop() if wanted else None
            if name and name not in reached:
                reached.add(name)
                if name == WHOLE:
                    new += self._all_units()
                    wanted += [bound for unit in new for bound in unit.binds]
                else:
                    new += self._binders_of(name, task)
        return Reached(frozenset(chosen), frozenset(reached))

    def links_of(self, unit: Unit) -> list[Link]:
        """What the imports in `unit` bind to modules of the application."""
        if unit not in self._links:
            self._links[unit] = list(self.imports.links_in(unit.node, unit.alias))
        return self._links[unit]

    def links_among(self, units: Collection[Unit]) -> Iterator[tuple[Unit, Link]]:
        """The links of all `units`, in the order of the source."""
        return ((unit, link) for unit in self._importing if unit in units for link in self.links_of(unit))

    def links_called(self, name: str) -> Iterator[Link]:
        """The links at module level that bind `name`, those of stars as if it were spelled out."""
        for unit in self.binders.get(name) or self.stars_with(name):
            for link in self.links_of(unit):
                if link.place == "module" and link.name in (name, "*"):
                    yield link

    def uses(self, reached: Reached, name: str) -> set[Chain]:
        """How the `reached` units use the module-level `name`: what is taken of it."""
        return {chain[1:] for unit, chain in self._uses.get(name, ()) if unit in reached.units}

    def uses_within(self, unit: Unit, name: str) -> set[Chain]:
        """How `unit` uses a name that is bound inside it, whatever the scope."""
        if unit not in self._chains:
            self._chains[unit] = set(_chains_in(unit.node))
        return {chain[1:] for chain in self._chains[unit] if chain[0] == name}

    def has(self, name: str) -> bool:
        """Whether the module binds `name`."""
        return name in self.binders or any(True for _ in self.stars_with(name))

    def defines(self, name: str) -> bool:
        """Whether the module binds `name` to something else than a module in it."""
        binders = self.binders.get(name, [])
        links = [link for unit in binders for link in self.links_of(unit) if link.name == name]
        return self.has(name) and not (
            len(links) == len(binders) > 0 and all((link.module, link.part) == (self.name, name) for link in links)
        )

    def offers(self, name: str) -> bool:
        """Whether `from module import *` brings `name`, or may bring it."""
        return self.has(name) and self._lists(name)

    def surely_changes(self, unit: Unit) -> set[str]:
        """The module's names whose value `unit` changes in place."""
        changes = set() if unit.is_definition else unit.names.changes
        return (changes | unit.calls.objects) - self.imported

    def may_change(self, unit: Unit, reached: Collection[str]) -> bool:
        """Whether `unit` may change one of the `reached` names through a module, an argument or another name."""
        changes = set() if unit.is_definition else unit.names.changes
        through_modules = (changes | unit.calls.objects) & self.imported
        own = set(self.definitions)
        through_arguments = unit.calls.arguments - self.imported - own
        aliased = {self._aliases[name] for name in changes | unit.calls.objects if name in self._aliases}
        if not unit.calls.changed.isdisjoint(reached) or not (aliased - self.imported).isdisjoint(reached):
            return True
        if (through_modules | through_arguments).isdisjoint(reached):
            return False
        # Whoever is not from here and is handed a function most often runs it for the application, as a thread does.
        runs_own = bool(unit.calls.functions) and unit.calls.functions <= own and not unit.calls.objects
        return runs_own or not (unit.names.reads & own - unit.calls.functions)

    def is_declared(self, node: ast.stmt) -> bool:
        """Whether `node` is a task or an actor."""
        return isinstance(node, _DEFINITIONS) and self._capsule.on(node) is not None

    def is_application(self, unit: Unit) -> bool:
        """Whether `unit` needs the half of `capsule` that is not in the sandbox."""
        if unit.alias and isinstance(unit.node, ast.ImportFrom) and unit.node.module == "capsule":
            return unit.alias.name not in _SANDBOX_NAMES
        return any(root in self._capsule.modules and name not in _SANDBOX_NAMES for root, name in unit.names.attributes)

    def is_certain(self, unit: Unit) -> bool:
        """Whether the sandbox is known to have all that `unit` imports."""
        return all(self.imports.can_import(node) for node in modules_of(unit.node))

    def _all_units(self) -> list[Unit]:
        """All but those that need what is not in the sandbox, directly or through another."""
        left_out = {unit for unit in self.units if self.is_application(unit)}
        while True:
            gone = {name for unit in left_out for name in unit.binds}
            more = {unit for unit in self.units if unit not in left_out and unit.names.reads & gone}
            if not more:
                return [unit for unit in self.units if unit not in left_out]
            left_out |= more

    def _binders_of(self, name: str, task: str) -> list[Unit]:
        binders = self.binders.get(name) or list(self.stars_with(name))
        able = [unit for unit in binders if name not in unit.blocked and "*" not in unit.blocked]
        if binders and not able:
            blocked = binders[0].blocked.get(name) or binders[0].blocked["*"]
            raise refusal(f"{task} needs {name!r}, which comes {blocked.why}", self.source, self.path, blocked.node)
        return able

    def stars_with(self, name: str) -> Iterator[Unit]:
        """The star imports that bring `name`."""
        if name in (LOADED, WHOLE, *self._asked):
            return
        self._asked.add(name)  # two modules may take everything of each other
        found = [unit for unit in self.units if any(self._brings(unit, star, name) for star in unit.stars)]
        self._asked.discard(name)
        yield from found

    def _brings(self, unit: Unit, star: ast.ImportFrom, name: str) -> bool:
        for link in self.imports.links_in(star, None):
            return self._find(link.module).offers(name)
        provided = provided_by_star(star)
        if not unit.is_star and (provided is None or not self.imports.can_import(star)):
            return False  # behind a condition, which may be meant for elsewhere
        return name not in _GIVEN if provided is None else name in provided

    def _lists(self, name: str) -> bool:
        """Whether `name` stands in `__all__`: as it is written, if that is in one place, or else as the running
        application has it. Without one it is the public names.
        """
        units = [unit for unit in self.units if "__all__" in unit.binds | unit.names.changes | unit.calls.arguments]
        if not units:
            return not name.startswith("_")
        listed = _literal(units[0].node) if len(units) == 1 else None
        if listed is None:
            listed = getattr(sys.modules.get(self.name), "__all__", None)
        return listed is None or name in listed


def _aliases_in(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names that stand for the value of another: `B = A`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            yield from ((target.id, node.value.id) for target in node.targets if isinstance(target, ast.Name))


def _literal(node: ast.stmt) -> Collection[str] | None:
    """The names in a list that is assigned as it stands there; None for any other statement."""
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    try:
        return None if value is None else frozenset(ast.literal_eval(value))
    except (ValueError, TypeError):
        return None


def _chains_in(node: ast.AST) -> Iterator[Chain]:
    """Every name in `node` with the attributes taken of it."""
    pending = [node]
    while pending:
        each = pending.pop()
        chain = chain_of(each)
        if chain:
            yield chain
        else:
            pending.extend(ast.iter_child_nodes(each))
