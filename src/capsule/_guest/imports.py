"""Which imports can go along into the sandbox, and why the others cannot."""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from .modules import STANDARD, why_missing

__all__ = [
    "can_import",
    "guarded_imports",
    "is_main_guard",
    "is_type_checking",
    "modules_of",
    "provided_by_star",
    "why_not",
]

_GUARDS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_SIBLING = (
    "a module of the application, and those cannot be shipped into the sandbox yet; move what the task needs here"
)
_RELATIVE = "a relative import, and other modules cannot be shipped into the sandbox yet; move what the task needs here"


def why_not(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str | None:
    """Why this part of an import cannot go along into the sandbox, as `from 'module', reason`; None if it can.

    Modules of the standard library always can; one that the sandbox lacks fails there with a reason of its own.
    """
    if isinstance(node, ast.ImportFrom) and node.level:
        return f"from {'.' * node.level + (node.module or '')!r}, {_RELATIVE}"
    module, package = _module_of(node, alias)
    if package == "capsule" or _is_standard(package):
        return None
    reason = _SIBLING if _is_sibling(package) else why_missing(package)
    return f"from {module!r}: {reason}" if reason is not _SIBLING else f"from {module!r}, {reason}"


def can_import(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether the sandbox is known to have every module that `node` imports."""
    return all(why_not(node, alias) is None and why_missing(_module_of(node, alias)[1]) is None for alias in node.names)


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


def is_type_checking(node: ast.AST) -> bool:
    """Whether `node` is an `if TYPE_CHECKING:` block."""
    return isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING"


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
        return any(_last_name(call.func) == "suppress" and any(map(_catches, call.args)) for call in calls)
    return False


def _catches(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(map(_catches, caught.elts))
    return caught is None or _last_name(caught) in _GUARDS


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _module_of(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> tuple[str, str]:
    module = (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
    return module, module.partition(".")[0]


def _is_standard(package: str) -> bool:
    if package not in STANDARD and package not in sys.stdlib_module_names:
        return False
    origin = _origin(package)  # a file of the application may hide a module of the library
    return origin is None or any(origin.is_relative_to(folder) for folder in _standard_folders())


def _is_sibling(package: str) -> bool:
    origin = _origin(package)
    return origin is not None and not {"site-packages", "dist-packages"} & set(origin.parts)


def _origin(package: str) -> Path | None:
    """The file or folder of a module found by its top-level name, without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError, AttributeError):  # ValueError: loaded without a spec, as __main__ is
        return None
    places = [*(spec.submodule_search_locations or [])] if spec and not spec.has_location else []
    place = spec.origin if spec and spec.has_location else places[0] if places else None
    return Path(place).resolve() if place else None


def _standard_folders() -> list[Path]:
    paths = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), f"{sys.base_prefix}/DLLs"]
    return [Path(path).resolve() for path in paths]
