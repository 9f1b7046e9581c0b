"""The modules beside a file that is run by its path: what it imports of its own folder goes along, each file whole.

Found as Python would find them for a script: the folder of the file comes before the library. Nothing is executed, and
no link leads out of the folder: who may write a program must not read others' files with it.
"""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from .._values import Module, Program
from ..errors import InvalidProgram
from ..recall import recalled
from .parsing import parse, too_deep
from .program import read_source, remembered, shown_path, with_module

__all__ = ["with_neighbours"]

MOST_MODULES = 500
MAX_MODULES = 4 << 20
"""Bytes of all modules that go along with a file."""

MOST_DEPTH = 50
"""Packages in one another. What is deeper is not found."""

_TAKEN = {"capsule", "capsule_sdk", "componentize_py_runtime", "componentize_py_types", "main", "wit_world"}


def with_neighbours(program: Program, path: str | os.PathLike[str]) -> Program:
    """`program`, which was read from `path`, with the modules of its folder that it imports, wherever in its code.

    Raises InvalidProgram if one of them cannot be read, if they are too many or too large, or as `with_module` does.
    """
    folder = Path(os.path.abspath(path)).parent
    shown = Path(shown_path(path)).parent
    candidates = _candidates_in(folder)
    todo = sorted(candidates(_imported(program.source, program.path, "")), reverse=True)
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
        new = candidates(_imported(found.source, found.path, package)) - seen
        seen |= new
        todo.extend(sorted(new, reverse=True))
    return program


Imported: TypeAlias = tuple[tuple[str, str], ...]
"""Modules by their dotted names, each with a name that is taken from it, which may be a module too, or ""."""


@functools.lru_cache(maxsize=256)
def _imported(source: str, path: str, package: str) -> Imported:
    """What `source` may import. Remembered, because a file is read again at every call; so it is no longer than it."""

    def look() -> Imported:
        tree = parse(source, path)
        with too_deep(path):
            return tuple(dict.fromkeys(pair for node in ast.walk(tree) for pair in _pairs(node, package)))

    return recalled(("imports", source, package), look, tuple)


def _pairs(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        home = package.split(".") if package else []
        if node.level > len(home):  # leads out of every package; Python says so where it happens
            return
        base = [*home[: len(home) - node.level + 1]] if node.level else []
        module = ".".join([*base, node.module] if node.module else base)
        yield from ((module, "" if alias.name == "*" else alias.name) for alias in node.names)


def _candidates_in(folder: Path) -> Callable[[Imported], set[str]]:
    """Finds the dotted names that may be modules of the folder: those in a folder that is there. A chain of packages
    could be as long as the source, whether they are there or not.
    """

    @functools.cache
    def is_folder(name: str) -> bool:
        return _is_folder(f"{folder}/{name.replace('.', '/')}")

    @functools.cache
    def reached(module: str) -> tuple[tuple[str, ...], bool]:
        """The packages above it and itself, as far as there are folders; and whether it is one."""
        names: list[str] = []
        for part in module.split(".", MOST_DEPTH)[:MOST_DEPTH]:
            names.append(f"{names[-1]}.{part}" if names else part)
            if not is_folder(names[-1]):
                return tuple(names), False
        return tuple(names), names[-1] == module

    def candidates(imported: Imported) -> set[str]:
        found: set[str] = set()
        for module, name in imported:
            if module.partition(".")[0] not in _TAKEN:
                names, is_there = reached(module)
                found.update(names)
                found.update({f"{module}.{name}"} if name and is_there else ())
        return found

    return candidates


def _is_folder(place: str) -> bool:
    return os.path.isdir(place)  # noqa: PTH112 - Path.is_dir raises for a name that is too long


def _find(folder: Path, shown: Path, name: str) -> Module | None:
    """The module `name` of the folder, if it has one; a package without `__init__.py` is one without code."""
    parts = name.split(".")
    place = folder.joinpath(*parts)
    for file, is_package in ((place / "__init__.py", True), (place.with_name(f"{parts[-1]}.py"), False)):
        if os.path.lexists(file):
            return _read(folder, shown, file, name, is_package=is_package)
    if _is_folder(str(place)) and any(each.endswith(".py") for each in _listed(place)):
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
