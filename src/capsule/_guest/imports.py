"""Which imports can go along into the sandbox, and why the others cannot."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .bindings import bound_name
from .names import last_name
from .siblings import Library

__all__ = [
    "Imports",
    "Link",
    "guarded_imports",
    "is_main_guard",
    "is_type_checking",
    "modules_of",
    "provided_by_star",
]

_GUARDS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}

Place: TypeAlias = Literal["module", "class", "function"]


@dataclass(frozen=True)
class Link:
    """A name that an import binds to a module of the application, or to a part of one."""

    name: str
    """`*` for a star."""

    module: str
    part: str | None
    """None if the name is the module itself."""

    loads: str
    """What is imported for it: for `import a.b` that is `a.b`, although the name is `a`."""

    place: Place
    guarded: bool
    """Whether its failure is provided for."""


@dataclass(frozen=True)
class Imports:
    """What the imports of one module mean, whose relative imports start from `package`."""

    library: Library
    package: str

    def why_not(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str | None:
        """Why this part of an import cannot go along into the sandbox, as `from 'module', reason`; None if it can.

        Modules of the standard library always can; one that the sandbox lacks fails there with a reason of its own.
        """
        module, shown = self._module_of(node, alias), _shown(node, alias)
        package = module.partition(".")[0]
        if not module:
            return f"from {shown!r}, a relative import, but this module is in no package"
        if package == "capsule" or self.library.is_standard(package):
            return None
        if not self.library.is_application(module):
            reason = self.library.why_missing(package)
            return f"from {shown!r}: {reason}" if reason else None
        why = self.library.why_not(module)
        if not why and isinstance(node, ast.ImportFrom) and self.library.is_there(f"{module}.{alias.name}"):
            why = self.library.why_not(f"{module}.{alias.name}")
        return f"from {shown!r}, {why}" if why else None

    def can_import(self, node: ast.Import | ast.ImportFrom) -> bool:
        """Whether the sandbox is known to have every module that `node` imports."""
        return all(self._is_certain(node, alias) for alias in node.names)

    def links_in(self, node: ast.stmt, only: ast.alias | None) -> Iterator[Link]:
        """What the imports in `node` bind to the application's modules, those inside functions included."""
        for found, place, guarded in _imports_within(node, "module", guarded=False):
            for alias in found.names:
                module = self._module_of(found, alias)
                if only not in (None, alias) or not self._is_linked(module):
                    continue
                if isinstance(found, ast.ImportFrom):
                    yield Link(bound_name(alias), module, alias.name, module, place, guarded)
                else:
                    bound = module if alias.asname else module.partition(".")[0]
                    yield Link(bound_name(alias), bound, None, module, place, guarded)

    def _is_linked(self, module: str) -> bool:
        return bool(module) and self.library.is_application(module) and not self.library.why_not(module)

    def _is_certain(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> bool:
        if self.why_not(node, alias) is not None:
            return False
        module = self._module_of(node, alias)
        return self.library.is_application(module) or self.library.why_missing(module) is None

    def _module_of(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
        """The full name of the module that is imported; empty for a relative one that leads nowhere."""
        if isinstance(node, ast.Import):
            return alias.name
        if not node.level:
            return node.module or ""
        parts = self.package.split(".") if self.package else []
        if node.level > len(parts):
            return ""
        return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def _shown(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    return "." * node.level + (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name


def modules_of(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when the module-level statement `node` does and that nothing catches."""
    return (found for found, guarded in guarded_imports(node) if not guarded)


def guarded_imports(node: ast.AST, guarded: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """The imports that run with `node`, each with whether their failure is provided for or cannot happen."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node, guarded
    elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.expr)):
        for field, value in ast.iter_fields(node):
            inside = guarded or (field == "body" and _guards(node))
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from guarded_imports(child, inside)


def has_imports(node: ast.AST) -> bool:
    """Whether an import that can run stands in `node`, inside functions too."""
    return any(True for _ in _imports_within(node, "module", guarded=False))


def _imports_within(
    node: ast.AST, place: Place, *, guarded: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom, Place, bool]]:
    """Every import in `node` that can run, with where it stands and whether its failure is provided for."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node, place, guarded
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        place, guarded = "function", False
    elif isinstance(node, ast.ClassDef):
        place = "class"
    for field, value in ast.iter_fields(node):
        if field == "body" and is_type_checking(node):
            continue
        inside = guarded or (field == "body" and _guards(node))
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):
                yield from _imports_within(child, place, guarded=inside)


def is_type_checking(node: ast.AST) -> bool:
    """Whether `node` is an `if TYPE_CHECKING:` block."""
    return isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING"


def is_main_guard(node: ast.AST) -> bool:
    """Whether `node` is an `if __name__ == "__main__":` block, which never runs in a sandbox."""
    if not (isinstance(node, ast.If) and isinstance(node.test, ast.Compare) and len(node.test.comparators) == 1):
        return False
    sides = (node.test.left, node.test.comparators[0])
    names = {side.id for side in sides if isinstance(side, ast.Name)}
    texts = {side.value for side in sides if isinstance(side, ast.Constant)}
    return isinstance(node.test.ops[0], ast.Eq) and names == {"__name__"} and texts == {"__main__"} and not node.orelse


def provided_by_star(node: ast.ImportFrom) -> frozenset[str] | None:
    """The names that `from x import *` brings, as the running application has them; None if it is not known."""
    module = None if node.level else sys.modules.get(node.module or "")
    if module is None:
        return None
    listed = getattr(module, "__all__", None)
    return frozenset(listed if listed is not None else [name for name in vars(module) if not name.startswith("_")])


def _guards(node: ast.AST) -> bool:
    if is_type_checking(node):
        return True
    if isinstance(node, ast.Try):
        return any(_catches(handler.type) for handler in node.handlers)
    if isinstance(node, ast.With):
        calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
        return any(last_name(call.func) == "suppress" and any(map(_catches, call.args)) for call in calls)
    return False


def _catches(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(map(_catches, caught.elts))
    return caught is None or last_name(caught) in _GUARDS
