"""From a function or class in a running application to a program: the part of the application that it needs."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import msgspec

from .._values import Module, Program
from ..errors import InvalidProgram
from . import reach
from .bindings import bound_name
from .closure import Application, Search
from .declarations import Definition, classes_of, functions_of
from .emitting import source_of
from .parsing import parse, refusal, too_deep
from .program import program_from_source, shown_path, with_module
from .reach import LOADED
from .siblings import Sibling
from .units import Unit

__all__ = ["slice_of", "undeclared"]

MAX_MODULES = 4 << 20
"""Bytes of all modules that go along with a task, as far as they are needed."""


def slice_of(thing: Callable[..., object], packages: frozenset[str] = frozenset()) -> Program:
    """The program that holds `thing` and what it reaches in its application, each on its original line.

    `thing` is a plain function or a class at module level whose source is in a file. Names are followed through the
    syntax tree: imports, constants, functions, classes and other tasks, and the statements that change them. Nothing
    is executed. `packages` are the top-level names of the packages that the sandbox has.

    Raises InvalidProgram, with the line, if it is a lambda, stands inside a function or closes over live values, if
    its source cannot be found or has changed, or if it needs a module that cannot go along.
    """
    origin = _class_origin(thing) if isinstance(thing, type) else _function_origin(thing)
    path, source = _source_of(origin)
    with too_deep(path):
        if origin.fault:
            raise refusal(origin.fault, source, path, origin.line or _class_in(parse(source, path), origin.name))
        _check_unchanged(origin, parse(source, path), source, path)
        home = Sibling(origin.module, path, source, "__path__" in origin.namespace)
        search = Search(Application(home, origin.namespace.get("__package__") or "", packages), origin.name)
        _check_first_imports(search.application.home, origin.name)
        return _program_of(search)


def undeclared(program: Program, name: str, kind: str) -> InvalidProgram:
    """The refusal of what is "task" or "actor" in the application, and neither in the source that goes along."""
    article, below = ("a", "def") if kind == "task" else ("an", "class")
    reason = (
        f"{name} is {article} {kind} here, but not in the source that would go into the sandbox; "
        f"write @{kind} directly above its {below}"
    )
    tree = parse(program.source, program.path)
    found = (node for node in (*functions_of(tree), *classes_of(tree)) if node.name == name)
    return refusal(reason, program.source, program.path, next(found, None))


def _check_first_imports(home: reach.Module, name: str) -> None:
    """Refuse what a function imports first of all and the sandbox does not have: each call of it would fail there.

    An import behind a condition may be meant for elsewhere; it fails inside, where it says why.
    """
    node = home.definitions[name].node if name in home.definitions else None
    for statement in node.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else ():
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            for alias in statement.names:
                if why := home.imports.why_not(statement, alias):
                    reason = f"{name} needs {bound_name(alias)!r}, which comes {why}"
                    raise refusal(reason, home.source, home.path, statement)
        elif not isinstance(statement, (ast.Expr, ast.Assign, ast.AnnAssign, ast.Pass)):
            return


def _program_of(search: Search) -> Program:
    state, home = search.run(), search.application.home
    sources = {module: _source_of_slice(search, module, reached.units) for module, reached in state.items()}
    shipped = sorted((each for each, reached in state.items() if LOADED in reached.names), key=lambda each: each.name)
    total = sum(len(sources[module].encode()) for module in shipped)
    if total > MAX_MODULES:
        reason = f"the modules that {search.task} needs have {total:,} bytes; the most is {MAX_MODULES:,}"
        raise InvalidProgram(reason, path=home.path)
    program = program_from_source(sources[home], home.path, _Bases(search.application, home).find)
    for each in shipped:
        module = Module(name=each.name, path=each.path, source=sources[each], is_package=each.is_package)
        if each is home:  # what it declares is there already
            program = msgspec.structs.replace(program, modules=(*program.modules, module))
        else:
            declared = program_from_source(module.source, module.path, _Bases(search.application, each).find)
            program = with_module(program, module, declared)
    return msgspec.structs.replace(program, package=home.imports.package)


class _Bases:
    """Follows the bases of a module's classes into other modules."""

    def __init__(self, application: Application, home: reach.Module) -> None:
        self._application, self._home = application, home
        self._modules: dict[ast.ClassDef, reach.Module] = {}

    def find(self, cls: ast.ClassDef, chain: tuple[str, ...]) -> ast.ClassDef | None:
        """The class that `cls` calls by `chain`."""
        found = self._application.definition(self._modules.get(cls, self._home), chain, None)
        if found is None or not isinstance(found[1].node, ast.ClassDef):
            return None
        self._modules[found[1].node] = found[0]
        return found[1].node


def _source_of_slice(search: Search, module: reach.Module, units: frozenset[Unit]) -> str:
    found = ((unit, search.star_names(module, unit)) for unit in units if unit.is_star)
    text = source_of(units, module.source, {unit: names for unit, names in found if names is not None})
    return text if module is search.application.home else text.rstrip("\n")


@dataclass(frozen=True)
class _Origin:
    """Where a function or class comes from."""

    what: str
    name: str
    line: int | None
    """Of its first decorator, or of itself; None if a class does not know."""

    file: str | None
    shown_file: str
    module: str
    namespace: dict[str, Any]
    fault: str
    """Why it cannot be taken out of its surroundings; empty if it can."""


def _function_origin(function: Callable[..., object]) -> _Origin:
    plain = inspect.unwrap(function, stop=_stands_alone)
    if not isinstance(plain, FunctionType):
        raise InvalidProgram(f"{function!r} is not a Python function, so there is no source to run in a sandbox")
    code = plain.__code__
    return _Origin(
        what="function",
        name=code.co_name,
        line=code.co_firstlineno,
        file=inspect.getsourcefile(plain),
        shown_file=code.co_filename,
        module=str(plain.__globals__.get("__name__") or "__main__"),
        namespace=plain.__globals__,
        fault=_fault_of(plain),
    )


def _stands_alone(function: object) -> bool:
    """Whether `function` is a `def` of a module, and not the wrapper that a decorator put around one."""
    return isinstance(function, FunctionType) and "." not in function.__code__.co_qualname


def _fault_of(function: FunctionType) -> str:
    code = function.__code__
    if code.co_name == "<lambda>":
        return "a lambda has no name to be called by in the sandbox; write it as a def at module level"
    if function.__closure__:
        names = " and ".join(map(repr, code.co_freevars))
        return f"{code.co_name!r} closes over {names}, a live value of this process; pass it as an argument"
    return f"{code.co_qualname!r} does not stand at module level; move the def there" if "." in code.co_qualname else ""


def _class_origin(cls: type) -> _Origin:
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    name = cls.__qualname__
    return _Origin(
        what="class",
        name=name,
        line=cls.__dict__.get("__firstlineno__"),  # since Python 3.13
        file=file if isinstance(module, ModuleType) and str(file).endswith(".py") else None,
        shown_file=file or f"<{cls.__module__}>",
        module=cls.__module__,
        namespace=vars(module) if module else {},
        fault=f"{name!r} does not stand at module level; move the class there" if "." in name else "",
    )


def _source_of(origin: _Origin) -> tuple[str, str]:
    """The shown path and the source of the file that holds it."""
    file = origin.file
    if file and not file.startswith("<"):
        linecache.checkcache(file)
        lines = linecache.getlines(file, origin.namespace)
        if lines:
            return shown_path(file), "".join(line if line.endswith("\n") else line + "\n" for line in lines)
    reason = f"the source of {origin.name!r} cannot be found; put the {origin.what} in a file"
    raise InvalidProgram(reason, path=shown_path(origin.shown_file), line=origin.line)


def _check_unchanged(origin: _Origin, tree: ast.Module, source: str, path: str) -> None:
    definitions = functions_of(tree) if origin.what == "function" else classes_of(tree)
    if not any(node.name == origin.name and origin.line in (None, _first_line(node)) for node in definitions):
        name = origin.name
        reason = f"the file has changed since it was imported, {name!r} no longer stands here; restart the application"
        raise refusal(reason, source, path, origin.line)


def _class_in(tree: ast.AST, name: str) -> ast.ClassDef | None:
    """The first class that Python would give the qualified name `name`."""
    waiting = deque[tuple[ast.AST, str]]([(tree, "")])
    while waiting:
        node, home = waiting.popleft()
        if isinstance(node, ast.ClassDef) and home + node.name == name:
            return node
        if isinstance(node, Definition):
            home += f"{node.name}." if isinstance(node, ast.ClassDef) else f"{node.name}.<locals>."
        waiting.extend((child, home) for child in ast.iter_child_nodes(node))
    return None


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
