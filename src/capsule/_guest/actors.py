"""An actor's class as the host reads it: its constructor and the methods that can be asked."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from .._values import ActorSpec, TaskSpec
from .arguments import parameters_of, signature_of
from .bindings import bindings_of
from .names import chain_of, last_name

__all__ = ["RESERVED_METHODS", "ActorReader", "Classes", "FindBase"]

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Classes: TypeAlias = Mapping[str, ast.ClassDef]
"""The classes of a program by their names."""

FindBase: TypeAlias = Callable[[ast.ClassDef, tuple[str, ...]], ast.ClassDef | None]
"""Finds the base that a class of another module, or of the program, calls by such a chain of names."""

RESERVED_METHODS = frozenset(
    """
    ask ask_nowait find is_done kill link monitor name number outcome result state statistics stop tell tell_nowait
    unlink wait_stopped
    """.split()
)
"""What a ref offers itself, so that no method of an actor can be asked under these names."""

_PROPERTIES = {"property", "cached_property", "abstractproperty", "setter", "getter", "deleter"}
_KEEP_PARAMETERS = {"abstractmethod", "cache", "classmethod", "final", "lru_cache", "override", "staticmethod"}
_WITHOUT_INIT = {"ABC", "Generic", "Protocol", "object"}
"""Bases that take no arguments of their own."""

_ANYTHING = ast.arguments([], [], ast.arg("args"), [], [], ast.arg("kwargs"), [])
_NOTHING = ast.arguments([], [], None, [], [], None, [])


class ActorReader:
    """Reads the actors of one program. What many actors inherit is read once."""

    def __init__(self, classes: Classes, elsewhere: FindBase | None) -> None:
        """`elsewhere` is asked for bases that are not among `classes`."""
        self.classes, self._elsewhere = classes, elsewhere
        self._from_elsewhere: set[ast.ClassDef] = set()
        self._bodies: dict[ast.ClassDef, _Body] = {}

    def actor_of(self, cls: ast.ClassDef, settings: dict[str, Any], declaration: ast.expr) -> ActorSpec:
        """The actor that `cls` is, with `settings` (`name` among them) as its decorator `declaration` has them."""
        limits = dict(settings)
        name = limits.pop("name", cls.name)
        return ActorSpec(
            name=name,
            cls=cls.name,
            line=cls.lineno,
            create=self._constructor(cls, name, declaration),
            methods=tuple(self.methods_of(cls)),
            settings=limits,
        )

    def methods_of(self, cls: ast.ClassDef) -> Iterator[TaskSpec]:
        """The public methods of `cls`: its own in the order of the source, then those of its bases in the program."""
        before: list[_Body] = []
        for body in map(self._body, self.ancestry(cls)):
            for name, method in body.methods.items():
                if not any(name in each.bound for each in before):
                    yield method
            before.append(body)

    def ancestry(self, cls: ast.ClassDef) -> list[ast.ClassDef]:
        """`cls`, then its bases from left to right, each with its own, as far as they stand in the program."""
        pending, found = [cls], dict[ast.ClassDef, None]()
        while pending:
            node = pending.pop()
            if node not in found:
                found[node] = None
                pending += filter(None, (self._base(node, base) for base in reversed(node.bases)))
        return list(found)

    def _base(self, cls: ast.ClassDef, base: ast.expr) -> ast.ClassDef | None:
        """The class that `base`, as `cls` names it, is in the program."""
        chain = chain_of(_bare(base))
        if cls not in self._from_elsewhere and len(chain) == 1 and chain[0] in self.classes:
            return self.classes[chain[0]]
        found = self._elsewhere(cls, chain) if self._elsewhere else None
        if found is not None:
            self._from_elsewhere.add(found)
        return found

    def _body(self, cls: ast.ClassDef) -> _Body:
        if cls not in self._bodies:
            self._bodies[cls] = _Body(cls)
        return self._bodies[cls]

    def _constructor(self, cls: ast.ClassDef, name: str, declaration: ast.expr) -> TaskSpec:
        for each in self.ancestry(cls):
            init = self._body(each).init
            if self._makes_its_own(each, declaration) or (init is None and self._has_unknown_base(each)):
                return _spec(name, "__init__", cls.lineno, _ANYTHING)
            if init is not None:
                return msgspec.structs.replace(init, name=name)
        return _spec(name, "__init__", cls.lineno, _NOTHING)

    def _makes_its_own(self, cls: ast.ClassDef, declaration: ast.expr) -> bool:
        """Whether something else than `__init__` may decide what `cls` is called with."""
        decorators = [_last_name(each) for each in cls.decorator_list if each is not declaration]
        metaclasses = [_last_name(each.value) for each in cls.keywords if each.arg in ("metaclass", None)]
        changed = {*decorators, *metaclasses} - {"ABCMeta", "final"}
        return bool(changed) or "__new__" in self._body(cls).functions

    def _has_unknown_base(self, cls: ast.ClassDef) -> bool:
        return any(_last_name(base) not in _WITHOUT_INIT and self._base(cls, base) is None for base in cls.bases)


class _Body:
    """What the body of a class defines."""

    def __init__(self, cls: ast.ClassDef) -> None:
        self.functions = {function.name: function for function in _defined_in(cls)}  # of two the later one holds
        self.bound = bindings_of(*cls.body).bound
        init = self.functions.get("__init__")
        self.init = _method(init) if init else None
        self.methods = {
            name: _method(function)
            for name, function in self.functions.items()
            if not name.startswith("_") and not _marks(function) & _PROPERTIES
        }


def _defined_in(cls: ast.ClassDef) -> Iterator[Function]:
    """The functions of its body, those inside an `if` or `try` there included."""
    pending: list[ast.AST] = list(reversed(cls.body))
    while pending:
        node = pending.pop()
        if isinstance(node, Function):
            yield node
        elif not isinstance(node, (ast.ClassDef, ast.expr)):
            pending.extend(reversed(list(ast.iter_child_nodes(node))))


def _method(function: Function) -> TaskSpec:
    is_async = isinstance(function, ast.AsyncFunctionDef)
    return _spec(function.name, function.name, function.lineno, _arguments_of(function), is_async=is_async)


def _arguments_of(function: Function) -> ast.arguments:
    """What a caller gives: without `self`; anything if a decorator may have changed it."""
    marks = _marks(function)
    if not marks <= _KEEP_PARAMETERS:
        return _ANYTHING
    return function.args if "staticmethod" in marks else _without_first(function.args)


def _without_first(arguments: ast.arguments) -> ast.arguments:
    before, plain = arguments.posonlyargs, arguments.args
    before, plain = (before[1:], plain) if before else (before, plain[1:])
    defaults = arguments.defaults[max(0, len(arguments.defaults) - len(before) - len(plain)) :]
    return ast.arguments(
        before, plain, arguments.vararg, arguments.kwonlyargs, arguments.kw_defaults, arguments.kwarg, defaults
    )


def _spec(name: str, function: str, line: int, arguments: ast.arguments, *, is_async: bool = False) -> TaskSpec:
    return TaskSpec(
        name=name,
        function=function,
        line=line,
        is_async=is_async,
        parameters=parameters_of(arguments),
        signature=signature_of(arguments),
    )


def _marks(function: Function) -> set[str]:
    """The last names of its decorators; an empty text stands for one that has none."""
    return {_last_name(decorator) for decorator in function.decorator_list}


def _bare(node: ast.expr) -> ast.expr:
    while isinstance(node, (ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node


def _last_name(node: ast.expr) -> str:
    return last_name(_bare(node))
