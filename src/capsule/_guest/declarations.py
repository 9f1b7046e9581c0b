"""What a source declares: its tasks and actors, with their settings. Read from the tree, never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from .._values import ActorSpec, TaskSpec
from ..errors import InvalidProgram
from .arguments import parameters_of, signature_of
from .parsing import refusal
from .settings import SETTINGS, SettingsReader

if TYPE_CHECKING:
    from .actors import ActorReader, FindBase

__all__ = ["SETTINGS", "Declarations", "Definition", "Function", "classes_of", "declared_in", "functions_of", "spec_of"]

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

MOST_PARTS = 10_000
"""Methods and bases of all actors of a program together, inherited ones counted for each: a short source could name
millions."""


def declared_in(
    tree: ast.Module, source: str, path: str, find_base: FindBase | None = None
) -> tuple[tuple[TaskSpec, ...], tuple[ActorSpec, ...]]:
    """The tasks and the actors that `tree` declares, each in the order of the source.

    `find_base` finds bases of actors in other modules. Raises InvalidProgram for a declaration that cannot be read
    without running it, or that makes no sense.
    """
    reader = _Reader(tree, source, path, find_base)
    found = list(reader.read())
    reader.check_the_rest()
    tasks = tuple(spec for spec in found if isinstance(spec, TaskSpec))
    return tasks, tuple(spec for spec in found if isinstance(spec, ActorSpec))


def functions_of(tree: ast.Module) -> Iterator[Function]:
    """The functions that stand at module level, those inside an `if` or `try` there included."""
    return (node for node in _definitions_of(tree) if isinstance(node, Function))


def classes_of(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """The classes that stand at module level, likewise."""
    return (node for node in _definitions_of(tree) if isinstance(node, ast.ClassDef))


def spec_of(function: Function, settings: dict[str, Any] | None = None) -> TaskSpec:
    """The task that `function` is, with `settings` as declared (`name` among them)."""
    limits = dict(settings or {})
    return TaskSpec(
        name=limits.pop("name", function.name),
        function=function.name,
        line=function.lineno,
        is_async=isinstance(function, ast.AsyncFunctionDef),
        parameters=parameters_of(function.args),
        signature=signature_of(function.args),
        settings=limits,
    )


class Declarations:
    """Finds `@task` and `@actor` in a source, whatever they are called there."""

    def __init__(self, tree: ast.Module) -> None:
        self.names: dict[str, str] = {}
        """What `capsule.task` and `capsule.actor` are called, with which of them it is."""
        self.modules: set[str] = set()
        """What `capsule` is called."""
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "capsule" and not node.level:
                for alias in node.names:
                    kinds = ("task", "actor") if alias.name == "*" else (alias.name,)
                    self.names |= {alias.asname or kind: kind for kind in kinds if kind in ("task", "actor")}
            elif isinstance(node, ast.Import):
                self.modules |= set(filter(None, map(_name_of_capsule, node.names)))

    def on(self, node: Definition, kind: str | None = None) -> ast.expr | None:
        """The decorator that makes `node` a `kind`, "task" or "actor" (None: either), or None."""
        kinds = (kind,) if kind else ("task", "actor")
        return next((each for each in node.decorator_list if self._kind(each) in kinds), None)

    def _kind(self, decorator: ast.expr) -> str | None:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            return target.attr if target.value.id in self.modules else None
        return self.names.get(target.id) if isinstance(target, ast.Name) else None


def _definitions_of(tree: ast.Module) -> Iterator[Definition]:
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, Definition):
            yield node
        elif not isinstance(node, ast.expr):
            pending.extend(reversed(list(ast.iter_child_nodes(node))))


def _name_of_capsule(alias: ast.alias) -> str | None:
    if alias.name == "capsule":
        return alias.asname or "capsule"
    return "capsule" if alias.name.startswith("capsule.") and not alias.asname else None


class _Reader:
    def __init__(self, tree: ast.Module, source: str, path: str, find_base: FindBase | None) -> None:
        self.tree, self.source, self.path = tree, source, path
        self.declarations = Declarations(tree)
        self._find_base = find_base
        self._parts = 0
        self._seen: dict[str, tuple[str, int]] = {}

    @cached_property
    def _actors(self) -> ActorReader:
        from .actors import ActorReader  # most programs have none

        return ActorReader({node.name: node for node in classes_of(self.tree)}, self._find_base)

    def read(self) -> Iterator[TaskSpec | ActorSpec]:
        for node in _definitions_of(self.tree):
            kind = "actor" if isinstance(node, ast.ClassDef) else "task"
            declaration = self.declarations.on(node, kind)
            if declaration is None:
                continue
            settings = SettingsReader(kind, self.source, self.path).read(declaration)
            if isinstance(node, ast.ClassDef):
                self._count(len(self._actors.ancestry(node)), node)
                actor = self._actors.actor_of(node, settings, declaration)
                self._check_one_of_a_name("actor", actor.name, node)
                self._check_methods(actor, node)
                yield actor
            else:
                task = spec_of(node, settings)
                self._check_one_of_a_name("task", task.name, node)
                yield task

    def check_the_rest(self) -> None:
        """Refuse declarations that stand where they declare nothing."""
        at_module_level = set(map(id, _definitions_of(self.tree)))
        for node in ast.walk(self.tree):
            if not isinstance(node, Definition):
                continue
            is_class = isinstance(node, ast.ClassDef)
            if is_class and self.declarations.on(node, "task"):
                reason = f"{node.name!r} is a class, but a task is a function at module level; mark a class with @actor"
                raise self._refused(reason, node)
            if not is_class and self.declarations.on(node, "actor"):
                reason = (
                    f"{node.name!r} is a function, but an actor is a class at module level; mark a function with @task"
                )
                raise self._refused(reason, node)
            if id(node) not in at_module_level and self.declarations.on(node):
                what = "an actor is a class" if is_class else "a task is a function"
                raise self._refused(f"{node.name!r} is not at module level, but {what} at module level", node)

    def _check_one_of_a_name(self, kind: str, name: str, node: Definition) -> None:
        """Refuse a second of one name, and a second definition under one name, which would hide the first."""
        for key, shown in ((f"called {name}", name), (f"defined {node.name}", node.name)):
            first, line = self._seen.setdefault(key, (kind, node.lineno))
            if line != node.lineno:
                what = f"there are two {kind}s" if first == kind else "there are an actor and a task"
                raise self._refused(f"{what} {shown!r}; the first is on line {line}", node)

    def _count(self, more: int, node: ast.ClassDef) -> None:
        self._parts += more
        if self._parts > MOST_PARTS:
            raise self._refused(f"the actors up to here have more than {MOST_PARTS:,} methods and bases", node)

    def _check_methods(self, actor: ActorSpec, node: ast.ClassDef) -> None:
        from .actors import RESERVED_METHODS

        self._count(len(actor.methods), node)
        for method in actor.methods:
            if method.name in RESERVED_METHODS:
                reason = f"{method.name!r} is what the ref of an actor offers itself; call the method something else"
                places = (each for each in ast.walk(self.tree) if isinstance(each, Function))
                here = next((each for each in places if (each.name, each.lineno) == (method.name, method.line)), node)
                raise self._refused(reason, here)

    def _refused(self, reason: str, node: ast.AST) -> InvalidProgram:
        return refusal(reason, self.source, self.path, node)
