"""The modules beside a file that is run by its path: what it imports of its own folder goes along, each file whole.

Found as Python would find them for a script: the folder of the file comes before the library. Nothing is executed, and
no link leads out of the folder: who may write a program must not read others' files with it.
"""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from .._values import Module, Program
from ..errors import InvalidProgram
from ..recall import recalled
from .parsing import parse, too_deep
from .program import read_source, remembered, shown_path, with_module

__all__ = ["with_neighbours"]

MOST_MODULES = 500
MAX_MODULES = 4 << 20
"""Bytes of all modules that go along with a file."""

_TAKEN = {"capsule", "capsule_sdk", "componentize_py_runtime", "componentize_py_types", "main", "wit_world"}


def with_neighbours(program: Program, path: str | os.PathLike[str]) -> Program:
    """`program`, which was read from `path`, with the modules of its folder that it imports, wherever in its code.

    Raises InvalidProgram if one of them cannot be read, if they are too many or too large, or as `with_module` does.
    """
    folder = Path(os.path.abspath(path)).parent
    shown = Path(shown_path(path)).parent
    todo = sorted(_imported(program.source, program.path, ""), reverse=True)
    seen: set[str] = set(todo)
    size = 0
    while todo:
        found = _find(folder, shown, todo.pop())
        if found is None:
            continue
        size += len(found.source.encode())
        if size > MAX_MODULES or len(program.modules) >= MOST_MODULES:
            reason = f"it imports more of its folder than {MOST_MODULES} modules or {MAX_MODULES:,} bytes"
            raise InvalidProgram(reason, path=program.path)
        program = with_module(program, found, remembered(found.source, found.path, is_neighbour=True))
        package = found.name if found.is_package else found.name.rpartition(".")[0]
        new = _imported(found.source, found.path, package) - seen
        seen |= new
        todo.extend(sorted(new, reverse=True))
    return program


@functools.lru_cache(maxsize=256)
def _imported(source: str, path: str, package: str) -> frozenset[str]:
    """The dotted names of all modules that `source` may import, with the packages that they are in.

    Remembered, because a file is read again at every call.
    """

    def look() -> frozenset[str]:
        tree = parse(source, path)
        with too_deep(path):
            return frozenset(name for node in ast.walk(tree) for name in _names(node, package))

    names: frozenset[str] = recalled(("imports", source, package), look, frozenset)
    parts = [name.split(".") for name in names]
    every = {".".join(each[:end]) for each in parts for end in range(1, len(each) + 1)}
    return frozenset(name for name in every if name.partition(".")[0] not in _TAKEN)


def _names(node: ast.AST, package: str) -> Iterator[str]:
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


def _find(folder: Path, shown: Path, name: str) -> Module | None:
    """The module `name` of the folder, if it has one; a package without `__init__.py` is one without code."""
    parts = name.split(".")
    place = folder.joinpath(*parts)
    for file, is_package in ((place / "__init__.py", True), (place.with_name(f"{parts[-1]}.py"), False)):
        if os.path.lexists(file):
            return _read(folder, shown, file, name, is_package=is_package)
    if place.is_dir() and any(each.endswith(".py") for each in _listed(place)):
        return Module(name=name, path=(shown / Path(*parts)).as_posix(), source="", is_package=True)
    return None


def _read(folder: Path, shown: Path, file: Path, name: str, *, is_package: bool) -> Module:
    path = (shown / file.relative_to(folder)).as_posix()
    if not file.resolve().is_relative_to(folder.resolve()):
        raise InvalidProgram("a link leads out of the folder of the program that imports it", path=path)
    return Module(name=name, path=path, source=read_source(file, path), is_package=is_package)


def _listed(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir()]
    except OSError:
        return []
