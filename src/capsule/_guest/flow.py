"""Which names a block at module level needs from before it: those that it reads where it has not surely bound them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from .bindings import bindings_of
from .names import names_of

__all__ = ["reads_from_before"]


def reads_from_before(node: ast.stmt) -> set[str]:
    """The names that `node` reads without having bound them itself on the way there.

    Without this, two loops over the same variable would need each other.
    """
    reads: set[str] = set()
    _step(node, frozenset(), reads)
    return reads


def _follow(statements: Iterable[ast.stmt], bound: frozenset[str], reads: set[str]) -> frozenset[str]:
    """Add to `reads`; the names that are surely bound after `statements`."""
    for statement in statements:
        bound = _step(statement, bound, reads)
    return bound


def _step(node: ast.stmt, bound: frozenset[str], reads: set[str]) -> frozenset[str]:
    branches = list(_branches(node))
    if not branches:
        return _evaluate([node], bound, reads)
    inside = _evaluate(_head(node), bound, reads)
    ends = [_follow(body, _evaluate(head, inside, reads), reads) for head, body in branches]
    if isinstance(node, ast.If):  # one of its branches has run
        return ends[0] & ends[1] if node.orelse else inside
    return bound if isinstance(node, (ast.For, ast.While)) else inside


def _evaluate(nodes: Iterable[ast.AST], bound: frozenset[str], reads: set[str]) -> frozenset[str]:
    for node in nodes:
        reads |= names_of(node).reads - bound
        bound |= bindings_of(node).local
    return bound


def _head(node: ast.stmt) -> Iterator[ast.AST]:
    """What runs before the branches of `node`, in order."""
    if isinstance(node, ast.For):
        yield from (node.iter, node.target)
    elif isinstance(node, (ast.If, ast.While)):
        yield node.test
    elif isinstance(node, ast.With):
        yield from node.items
    elif isinstance(node, ast.Match):
        yield node.subject


def _branches(node: ast.stmt) -> Iterator[tuple[list[ast.AST], list[ast.stmt]]]:
    """The branches of `node`, each with what runs just before it; none if it is no block."""
    if isinstance(node, ast.Match):
        for case in node.cases:
            yield [case.pattern, *([case.guard] if case.guard else [])], case.body
    elif isinstance(node, (ast.If, ast.For, ast.While, ast.With, ast.Try)) or type(node).__name__ == "TryStar":
        for field in ("body", "orelse", "finalbody"):
            yield [], getattr(node, field, [])
        for handler in getattr(node, "handlers", []):
            name = [ast.Name(handler.name, ast.Store())] if handler.name else []
            yield [*([handler.type] if handler.type else []), *name], handler.body
