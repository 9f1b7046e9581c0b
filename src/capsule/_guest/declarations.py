"""What a source declares: which functions are tasks, and with which settings. Read from the tree, never run."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from typing import Any, TypeAlias

from .._values import TaskSpec
from ..errors import InvalidPolicy, InvalidProgram
from ..policy import Policy
from .arguments import parameters_of, signature_of
from .parsing import refusal

__all__ = ["SETTINGS", "Declarations", "Function", "functions_of", "spec_of", "tasks_of"]

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

SETTINGS = ("name", "compute", "ram", "timeout", "max_retries", "max_output")
"""What `@task(...)` may name."""


def tasks_of(tree: ast.Module, source: str, path: str) -> tuple[TaskSpec, ...]:
    """The tasks that `tree` declares, in the order of the source.

    Raises InvalidProgram for a declaration that cannot be read without running it, or that makes no sense.
    """
    reader = _Reader(tree, source, path)
    tasks = tuple(reader.read())
    reader.check_the_rest()
    return tasks


def functions_of(tree: ast.Module) -> Iterator[Function]:
    """The functions that stand at module level, those inside an `if` or `try` there included."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, Function):
            yield node
        elif not isinstance(node, (ast.ClassDef, ast.expr)):
            pending.extend(reversed(list(ast.iter_child_nodes(node))))


def spec_of(function: Function, settings: dict[str, Any] | None = None) -> TaskSpec:
    """The task that `function` is, with `settings` as declared (`name` among them)."""
    limits = dict(settings or {})
    return TaskSpec(
        name=limits.pop("name", function.name),
        function=function.name,
        line=function.lineno,
        is_async=isinstance(function, ast.AsyncFunctionDef),
        parameters=parameters_of(function.args),
        signature=signature_of(function.args),
        settings=limits,
    )


class Declarations:
    """Finds `@task` in a source, whatever it is called there."""

    def __init__(self, tree: ast.Module) -> None:
        self.names: set[str] = set()
        """What `capsule.task` is called."""
        self.modules: set[str] = set()
        """What `capsule` is called."""
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "capsule" and not node.level:
                self.names |= {alias.asname or "task" for alias in node.names if alias.name in ("task", "*")}
            elif isinstance(node, ast.Import):
                self.modules |= set(filter(None, map(_name_of_capsule, node.names)))

    def on(self, node: Function | ast.ClassDef) -> ast.expr | None:
        """The `@task` decorator of `node`, or None."""
        return next(filter(self._is_task, node.decorator_list), None)

    def _is_task(self, decorator: ast.expr) -> bool:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            return target.attr == "task" and target.value.id in self.modules
        return isinstance(target, ast.Name) and target.id in self.names


def _name_of_capsule(alias: ast.alias) -> str | None:
    if alias.name == "capsule":
        return alias.asname or "capsule"
    return "capsule" if alias.name.startswith("capsule.") and not alias.asname else None


class _Reader:
    def __init__(self, tree: ast.Module, source: str, path: str) -> None:
        self.tree, self.source, self.path = tree, source, path
        self.declarations = Declarations(tree)
        self.functions = list(functions_of(tree))

    def read(self) -> Iterator[TaskSpec]:
        seen: dict[str, int] = {}
        for function in self.functions:
            declaration = self.declarations.on(function)
            if declaration is None:
                continue
            task = spec_of(function, self._settings(declaration))
            for kind, name in (("task", task.name), ("function", task.function)):
                if seen.setdefault(f"{kind} {name}", task.line) != task.line:
                    first = seen[f"{kind} {name}"]
                    raise self._refused(f"there are two tasks {name!r}; the first is on line {first}", function)
            yield task

    def check_the_rest(self) -> None:
        """Refuse declarations that stand where no task can be."""
        at_module_level = set(map(id, self.functions))
        for node in ast.walk(self.tree):
            if (
                not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
                or id(node) in at_module_level
            ):
                continue
            if self.declarations.on(node):
                what = "a class" if isinstance(node, ast.ClassDef) else "not at module level"
                raise self._refused(f"{node.name!r} is {what}, but a task is a function at module level", node)

    def _settings(self, declaration: ast.expr) -> dict[str, Any]:
        if not isinstance(declaration, ast.Call):
            return {}
        if declaration.args:
            raise self._refused("@task takes its settings by name, such as @task(timeout='5s')", declaration.args[0])
        settings: dict[str, Any] = {}
        for keyword in declaration.keywords:
            name = self._setting_name(keyword)
            if name in settings:
                raise self._refused(f"the setting {name!r} is given twice", keyword)
            settings[name] = self._literal(keyword)
            if settings[name] is not None:  # as if it were left out
                self._check(name, settings[name], keyword)
        return {name: value for name, value in settings.items() if value is not None}

    def _setting_name(self, keyword: ast.keyword) -> str:
        if keyword.arg is None:
            raise self._refused(
                "the settings of a task are read before anything runs, so ** cannot be followed", keyword
            )
        if keyword.arg not in SETTINGS:
            near = difflib.get_close_matches(keyword.arg, SETTINGS, 1)
            advice = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(SETTINGS)}"
            raise self._refused(f"a task has no setting {keyword.arg!r}; {advice}", keyword)
        return keyword.arg

    def _literal(self, keyword: ast.keyword) -> Any:
        try:
            return ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError):
            reason = f"the setting {keyword.arg!r} is read before anything runs, so it must be written out as a literal"
            raise self._refused(reason, keyword.value) from None

    def _check(self, name: str, value: Any, keyword: ast.keyword) -> None:
        if name == "name":
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise self._refused("name: this is not a name; write it as printable text", keyword.value)
            return
        try:
            Policy(**{name: value})
        except InvalidPolicy as error:
            raise self._refused(str(error), keyword.value) from None
        except (ValueError, OverflowError):  # a number too long for Python itself to turn into text or a float
            raise self._refused(f"{name}: the value is too large", keyword.value) from None

    def _refused(self, reason: str, node: ast.AST) -> InvalidProgram:
        return refusal(reason, self.source, self.path, node)
