"""Which names of its module a piece of code reaches, found by following Python's scopes through the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from .bindings import bindings_of, bound_name

__all__ = ["Names", "chain_of", "last_name", "names_of", "root_of"]

MUTATORS = frozenset(
    """
    add append appendleft clear discard extend extendleft insert move_to_end pop popitem popleft remove reverse rotate
    setdefault sort update
    """.split()
)
"""Methods that change their object, wherever the call stands."""


class Names(msgspec.Struct):
    """What a piece of code does with the names of its module."""

    reads: set[str] = msgspec.field(default_factory=set)
    """Needed for it to run."""

    hints: set[str] = msgspec.field(default_factory=set)
    """Mentioned in annotations, which Python 3.14 evaluates only if somebody asks."""

    changes: set[str] = msgspec.field(default_factory=set)
    """Names whose value it changes in place, and those that its functions rebind with `global`."""

    chains: set[tuple[str, ...]] = msgspec.field(default_factory=set)
    """Each use of a name with the attributes taken of it: `a.b.c` is ("a", "b", "c"), a bare `a` is ("a",)."""

    hinted: set[tuple[str, ...]] = msgspec.field(default_factory=set)
    """The same in annotations."""

    @property
    def attributes(self) -> set[tuple[str, str]]:
        """Pairs of a name and the attribute taken of it."""
        return {(chain[0], chain[1]) for chain in self.chains | self.hinted if len(chain) > 1}


def names_of(*nodes: ast.AST) -> Names:
    """What `nodes`, which stand at module level, do with the names of their module."""
    reader = _Reader()
    reader.visit_all(nodes)
    return reader.found


def root_of(node: ast.AST) -> str | None:
    """The name that an expression such as `TABLE["x"].rows` or `table().rows` starts from."""
    while not isinstance(node, ast.Name):
        if isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return None
    return node.id


def chain_of(node: ast.AST) -> tuple[str, ...]:
    """`a.b.c` as ("a", "b", "c") and `a` as ("a",); empty for any other expression."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) else ()


def last_name(node: ast.expr) -> str:
    """`c` of `a.b.c`, and the name itself; empty for an expression that does not end in a name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class _Scope(msgspec.Struct):
    kind: str
    bound: set[str]
    globals: set[str] = msgspec.field(default_factory=set)


class _Reader(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found = Names()
        self.scopes: list[_Scope] = []
        self.in_hint = False

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._rebind(node.id)
        else:
            self._reach((node.id,))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._reach((node.target.id,))
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self._rebind(bound_name(alias))

    visit_ImportFrom = visit_Import  # noqa: N815 - named by ast

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._note_change(node)
        chain = chain_of(node)
        if chain:
            self._reach(chain)
        else:
            self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._note_change(node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            self._change(root_of(node.func))
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit_all([node.target, node.value])
        self._hint([node.annotation])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_all(node.decorator_list)
        self._visit_defaults(node.args)
        self._rebind(node.name)
        with self._type_parameters(node):
            self._hint([*(arg.annotation for arg in _arguments(node.args)), node.returns])
            self._visit_body(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - named by ast

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_defaults(node.args)
        self._visit_body(node.args, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_all(node.decorator_list)
        self._rebind(node.name)
        with self._type_parameters(node):
            self.visit_all([*node.bases, *node.keywords])
            with self._scope(_Scope("class", set())) as scope:
                for statement in node.body:
                    self._visit_in_class(statement, scope)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        first, *rest = node.generators
        self.visit(first.iter)  # evaluated outside
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        with self._scope(_Scope("comprehension", bindings_of(*(g.target for g in node.generators)).bound)):
            self.visit_all([first.target, *first.ifs, *rest, *results])

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp  # noqa: N815 - named by ast

    def visit_TypeAlias(self, node: ast.AST) -> None:
        with self._type_parameters(node):
            self._hint([getattr(node, "value", None)])

    def _visit_defaults(self, arguments: ast.arguments) -> None:
        self.visit_all([*arguments.defaults, *arguments.kw_defaults])

    def _visit_body(self, arguments: ast.arguments, body: Iterable[ast.AST]) -> None:
        body = list(body)
        found = bindings_of(*body)
        bound = found.local | {argument.arg for argument in _arguments(arguments)}
        with self._scope(_Scope("function", bound, found.globals)):
            self.visit_all(body)

    def _visit_in_class(self, statement: ast.stmt, scope: _Scope) -> None:
        """A name is the class's own from its first binding on: `size = size` reads the module's."""
        found = bindings_of(statement)
        scope.globals |= found.globals
        if isinstance(statement, (ast.For, ast.While, ast.With, ast.If, ast.Try, ast.Match)):
            scope.bound |= found.local  # bound by one part, read by another
        self.visit(statement)
        scope.bound |= found.local

    def _hint(self, nodes: Iterable[ast.AST | None]) -> None:
        before, self.in_hint = self.in_hint, True
        self.visit_all(nodes)
        self.in_hint = before

    @contextmanager
    def _scope(self, scope: _Scope) -> Iterator[_Scope]:
        self.scopes.append(scope)
        yield scope
        self.scopes.pop()

    @contextmanager
    def _type_parameters(self, node: ast.AST) -> Iterator[None]:
        """The scope of `[T: Bound]`, whose bounds are evaluated as late as annotations are."""
        parameters = getattr(node, "type_params", [])
        with self._scope(_Scope("comprehension", {parameter.name for parameter in parameters})):
            self._hint(parameters)
            yield

    def _reach(self, chain: tuple[str, ...]) -> None:
        if self._is_global(chain[0]):
            (self.found.hints if self.in_hint else self.found.reads).add(chain[0])
            (self.found.hinted if self.in_hint else self.found.chains).add(chain)

    def _note_change(self, node: ast.Attribute | ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._change(root_of(node))

    def _change(self, name: str | None) -> None:
        if name and self._is_global(name):
            self.found.changes.add(name)

    def _rebind(self, name: str) -> None:
        """Note a binding of `name`, if it is one of the module's made from within, with `global`."""
        owner = next((scope for scope in reversed(self.scopes) if scope.kind != "comprehension"), None)
        if owner is not None and name in owner.globals:
            self.found.reads.add(name)
            self.found.chains.add((name,))
            self.found.changes.add(name)

    def _is_global(self, name: str) -> bool:
        for depth, scope in enumerate(reversed(self.scopes)):
            if name in scope.globals:
                return True
            if name in scope.bound and (scope.kind != "class" or depth == 0):
                return False
        return True


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return plain + [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
