"""Writes the chosen units of a source back as text, each on its original line."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from .parsing import lines_of
from .units import Unit

__all__ = ["source_of"]


def source_of(units: Iterable[Unit], source: str, stars: Mapping[Unit, Sequence[str]]) -> str:
    """`source` with only `units` in it. Every line keeps its number; lines that nothing is left of are blank.

    Comments between the units go too; an import that is kept in part is spelled anew, and so is one of `stars`, which
    names what it is needed for.
    """
    lines = lines_of(source)
    kept = [""] * len(lines)
    aliases: dict[ast.stmt, list[ast.alias]] = {}
    for unit in units:
        names = aliases.setdefault(unit.node, [])
        if unit in stars:
            names += map(ast.alias, stars[unit])
        elif unit.alias:
            names.append(unit.alias)
    for node in sorted(aliases, key=lambda node: (node.lineno, node.col_offset)):
        for number, text in enumerate(_text_of(node, aliases[node], lines), _first_line(node)):
            kept[number - 1] += ("; " if kept[number - 1] else "") + text
    return "\n".join(kept)


def _text_of(node: ast.stmt, names: list[ast.alias], lines: list[str]) -> list[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)) and set(names) != set(node.names):
        return [_import_of(node, [alias for alias in node.names if alias in names] or names)]
    first, last = _first_line(node), node.end_lineno or node.lineno
    start = node.col_offset if first == node.lineno else 0  # a decorator stands alone on its line
    text = lines[first - 1 : last]
    text[-1] = _cut(text[-1], 0, node.end_col_offset)
    text[0] = _cut(text[0], start, None)
    return text


def _import_of(node: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> str:
    if isinstance(node, ast.Import):
        return ast.unparse(ast.Import(names))
    return ast.unparse(ast.ImportFrom(node.module, names, node.level))


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _cut(line: str, start: int, end: int | None) -> str:
    """A part of `line`, by the byte positions that a syntax tree counts in."""
    return line.encode()[start:end].decode()
