"""Which calls run when a module-level statement does, as far as its text tells."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from .names import chain_of, changed_by, root_of

__all__ = ["Calls", "Handed", "calls_of"]

_QUIET = frozenset({"breakpoint", "exit", "help", "input", "print", "quit"})
_OBSERVERS = frozenset({"critical", "debug", "error", "exception", "info", "log", "warning"})
"""Methods whose name says that they report; a statement that only reports changes nothing a task could see."""


@dataclass(frozen=True)
class Handed:
    """A name that is an argument of a call."""

    name: str
    function: tuple[str, ...]
    """What is called, a name with the attributes taken of it."""

    place: int | str
    """Its number among the arguments, or its keyword."""

    def is_changed_by(self, function: ast.FunctionDef) -> bool:
        """Whether `function`, if it is what is called, changes this argument in place."""
        plain = [*function.args.posonlyargs, *function.args.args]
        named = {argument.arg for argument in [*plain, *function.args.kwonlyargs]}
        if isinstance(self.place, str):
            own = self.place if self.place in named else None
        else:
            own = plain[self.place].arg if self.place < len(plain) else None
        return own is not None and any(_changes(node, own) for node in ast.walk(function))


@dataclass
class Calls:
    """The calls of one statement, without those inside functions that it only defines."""

    functions: set[str] = field(default_factory=set)
    """Names called, decorated with or derived from: `load()`, `@register`, `class A(Base)`."""

    objects: set[str] = field(default_factory=set)
    """Names with a method called for its effect: `TABLE.append(1)` as a statement, `@APP.command()`."""

    arguments: set[str] = field(default_factory=set)
    """Names handed to a call whose result is dropped: `heapify(QUEUE)`."""

    handed: set[Handed] = field(default_factory=set)
    """The same of every call, also of one whose result is used: `kept = fill(QUEUE)`."""


def calls_of(node: ast.stmt) -> Calls:
    """The calls that run with `node`."""
    reader = _Reader()
    reader.visit(node)
    return reader.found


class _Reader(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found = Calls()

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name):
            self.found.functions.add(node.func.id)
        if function := chain_of(node.func):
            self.found.handed |= {Handed(name, function, place) for place, name in _names_given(node)}
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value
        if isinstance(call, ast.Call) and not _only_reports(call.func):
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            self.found.arguments |= {value.id for value in given if isinstance(value, ast.Name)}
            self._note_object(call.func)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._decorated(node.decorator_list)
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - named by ast

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._decorated(node.decorator_list)
        self.found.functions |= {base.id for base in node.bases if isinstance(base, ast.Name)}
        methods = (ast.FunctionDef, ast.AsyncFunctionDef)
        for child in [*node.bases, *node.keywords, *(part for part in node.body if not isinstance(part, methods))]:
            self.visit(child)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """A lambda is defined here, not run."""

    def _decorated(self, decorators: list[ast.expr]) -> None:
        for decorator in decorators:
            if isinstance(decorator, ast.Name):
                self.found.functions.add(decorator.id)
            self._note_object(decorator.func if isinstance(decorator, ast.Call) else decorator)
            self.visit(decorator)

    def _note_object(self, target: ast.expr) -> None:
        root = root_of(target)
        if root and not isinstance(target, ast.Name):
            self.found.objects.add(root)


def _only_reports(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in _QUIET
    return isinstance(function, ast.Attribute) and function.attr in _OBSERVERS


def _names_given(call: ast.Call) -> Iterator[tuple[int | str, str]]:
    """The arguments of a call that are plain names, each with its number or keyword."""
    for number, value in enumerate(call.args):
        if isinstance(value, ast.Name):
            yield number, value.id
    for keyword in call.keywords:
        if keyword.arg and isinstance(keyword.value, ast.Name):
            yield keyword.arg, keyword.value.id


def _changes(node: ast.AST, name: str) -> bool:
    """Whether `node` by itself changes the value of `name` in place."""
    if isinstance(node, ast.Call):
        return changed_by(node) == name
    if isinstance(node, ast.AugAssign):
        return root_of(node.target) == name
    is_target = isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load)
    return is_target and root_of(node) == name
