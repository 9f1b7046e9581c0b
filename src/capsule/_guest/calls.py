"""Which calls run when a module-level statement does, as far as its text tells."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from .names import last_name, root_of

__all__ = ["Calls", "calls_of"]

_QUIET = frozenset({"breakpoint", "exit", "help", "input", "print", "quit"})
_OBSERVERS = frozenset({"critical", "debug", "error", "exception", "info", "log", "warning"})
"""Methods whose name says that they report; a statement that only reports changes nothing a task could see."""

_CHANGERS = frozenset({"delattr", "setattr", "update_wrapper"})
"""Functions of Python's that change their first argument, also where it is a function or a class."""

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp)


@dataclass
class Calls:
    """The calls of one statement, without those inside functions that it only defines."""

    functions: set[str] = field(default_factory=set)
    """Names called, decorated with or derived from: `load()`, `@register`, `class A(Base)`."""

    objects: set[str] = field(default_factory=set)
    """Names with a method called for its effect: `TABLE.append(1)` as a statement, `@APP.command()`."""

    arguments: set[str] = field(default_factory=set)
    """Names handed to a call whose result is dropped: `heapify(QUEUE)`."""

    changed: set[str] = field(default_factory=set)
    """The first of them, where what is called is known to change it: `setattr(Box, "size", 1)`."""


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
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value.elt if isinstance(node.value, _COMPREHENSIONS) else node.value
        if isinstance(call, ast.Call) and not _only_reports(call.func):
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            self.found.arguments |= {value.id for value in given if isinstance(value, ast.Name)}
            if last_name(call.func) in _CHANGERS and given and isinstance(given[0], ast.Name):
                self.found.changed.add(given[0].id)
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
    return last_name(function) in (_QUIET if isinstance(function, ast.Name) else _OBSERVERS)
