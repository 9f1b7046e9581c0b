"""The modules that an import statement may load, by their dotted names.

Standard library only: the build copies this file into the guest, which reads packages with it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard


def names_of(node: ast.AST, package: str) -> Iterator[str]:
    """What `node` may load, if it is an import; `package` is the package of its module ("" for none)."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        home = package.split(".") if package else []
        if node.level > len(home):  # leads out of every package; Python says so where it happens
            return
        base = [*home[: len(home) - node.level + 1]] if node.level else []
        base += [node.module] if node.module else []
        if base:
            yield ".".join(base)
        yield from (".".join([*base, alias.name]) for alias in node.names if alias.name != "*")


def with_packages(names: Iterator[str]) -> Iterator[str]:
    """Each of `names` behind the packages that it is in, which are loaded before it."""
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def run_first(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when the module is loaded, most likely: no function's, and none for type checkers."""
    todo: list[ast.AST] = [*reversed(tree.body)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.stmt):
            yield node
        inner = node.orelse if _is_for_checkers(node) else ast.iter_child_nodes(node)
        todo.extend(reversed([each for each in inner if isinstance(each, _HAVE_STATEMENTS)]))


_HAVE_STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)


def _is_for_checkers(node: ast.AST) -> TypeGuard[ast.If]:
    if not isinstance(node, ast.If):
        return False
    return "TYPE_CHECKING" in {getattr(node.test, "id", None), getattr(node.test, "attr", None)}
