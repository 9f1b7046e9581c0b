"""Which names a piece of code binds in its own scope: assignments, imports, definitions, patterns, loops."""

from __future__ import annotations

import ast
from collections.abc import Iterable

__all__ = ["Bindings", "bindings_of", "bound_name"]


class Bindings(ast.NodeVisitor):
    """Collects bound names; what nested functions, classes and comprehensions bind for themselves is left out."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.imported: set[str] = set()
        """Those that an import binds, which are in `bound` only if something else binds them too."""
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()

    @property
    def local(self) -> set[str]:
        """The names that belong to this scope if it is a function's."""
        return (self.bound | self.imported) - self.globals - self.nonlocals

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.bound.add(node.name)
        self._visit_all([*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)])

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - named by ast

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.bound.add(node.name)
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_all([*node.args.defaults, *filter(None, node.args.kw_defaults)])

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._visit_all([node.iter, *node.ifs])  # its targets are its own, a walrus inside is not

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.imported |= {bound_name(alias) for alias in node.names} - {"*"}

    visit_ImportFrom = visit_Import  # noqa: N815 - named by ast

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._bind(node.name, node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._bind(node.name, node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bind(node.name, node)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._bind(node.rest, node)

    def visit_Global(self, node: ast.Global) -> None:
        self.globals |= set(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.nonlocals |= set(node.names)

    def _bind(self, name: str | None, node: ast.AST) -> None:
        if name:
            self.bound.add(name)
        self.generic_visit(node)

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def bindings_of(*nodes: ast.AST) -> Bindings:
    """What `nodes` bind in the scope that they stand in."""
    found = Bindings()
    for node in nodes:
        found.visit(node)
    return found


def bound_name(alias: ast.alias) -> str:
    """The name that one part of an import binds (`*` for a star)."""
    return alias.asname or alias.name.partition(".")[0]
