"""From a function in a running application to a program: the part of its module that the function needs."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Callable
from types import FunctionType

from .._values import Program
from ..errors import InvalidProgram
from .declarations import Function, functions_of
from .emitting import source_of
from .parsing import parse, refusal, too_deep
from .program import program_from_source, shown_path
from .reach import Module

__all__ = ["slice_of"]


def slice_of(function: Callable[..., object]) -> Program:
    """The program that holds `function` and what it reaches in its module, each on its original line.

    `function` is a plain function at module level whose source is in a file. Names are followed through the syntax
    tree: imports, constants, functions, classes and other tasks, and the statements that change them. Nothing is
    executed. Raises InvalidProgram, with the line, if the function is a lambda, stands inside another one or closes
    over live values, if its source cannot be found or has changed, or if it needs a module that cannot go along.
    """
    plain = inspect.unwrap(function, stop=_stands_alone)
    if not isinstance(plain, FunctionType):
        raise InvalidProgram(f"{function!r} is not a Python function, so there is no source to run in a sandbox")
    path, source = _source_of(plain)
    _check_kind(plain, source, path)
    tree = parse(source, path)
    with too_deep(path):
        _check_unchanged(plain, tree, source, path)
        units = Module(tree, source, path).needed_by(plain.__code__.co_name)
        return program_from_source(source_of(units, source), path)


def _stands_alone(function: object) -> bool:
    """Whether `function` is a `def` of a module, and not the wrapper that a decorator put around one."""
    return isinstance(function, FunctionType) and "." not in function.__code__.co_qualname


def _source_of(function: FunctionType) -> tuple[str, str]:
    """The shown path and the source of the file that holds `function`."""
    code = function.__code__
    file = inspect.getsourcefile(function)
    if file and not file.startswith("<"):
        linecache.checkcache(file)
        lines = linecache.getlines(file, function.__globals__)
        if lines:
            return shown_path(file), "".join(line if line.endswith("\n") else line + "\n" for line in lines)
    reason = f"the source of {code.co_name!r} cannot be found; put the function in a file"
    raise InvalidProgram(reason, path=shown_path(code.co_filename), line=code.co_firstlineno)


def _check_kind(function: FunctionType, source: str, path: str) -> None:
    """Refuse what cannot be taken out of its surroundings."""
    code = function.__code__
    reason = ""
    if code.co_name == "<lambda>":
        reason = "a lambda has no name to be called by in the sandbox; write it as a def at module level"
    elif function.__closure__:
        names = " and ".join(map(repr, code.co_freevars))
        reason = f"{code.co_name!r} closes over {names}, a live value of this process; pass it as an argument"
    elif "." in code.co_qualname:
        reason = f"{code.co_qualname!r} does not stand at module level; move the def there"
    if reason:
        raise refusal(reason, source, path, code.co_firstlineno)


def _check_unchanged(function: FunctionType, tree: ast.Module, source: str, path: str) -> None:
    name, line = function.__code__.co_name, function.__code__.co_firstlineno
    if not any(node.name == name and _first_line(node) == line for node in functions_of(tree)):
        reason = f"the file has changed since it was imported, {name!r} no longer stands here; restart the application"
        raise refusal(reason, source, path, line)


def _first_line(node: Function) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
