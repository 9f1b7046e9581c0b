"""The settings of a declaration such as `@task(timeout="5s")`: read from the tree, checked, never run."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import InvalidPolicy, InvalidProgram
from ..policy import Policy
from .parsing import refusal

__all__ = ["ACTOR_SETTINGS", "SETTINGS", "SettingsReader"]

_LISTS = ("allowed_hosts", "allowed_files", "env_variables")

SETTINGS = ("name", "compute", "ram", "timeout", "max_retries", "max_output", *_LISTS, "workspace")
"""What `@task(...)` may name."""

ACTOR_SETTINGS = (
    *SETTINGS,
    *("max_mailbox", "idle_timeout", "on_failure", "max_restarts", "restart_window"),
)
"""What `@actor(...)` may name."""


class SettingsReader(msgspec.Struct, frozen=True):
    """Reads the settings of one kind of declaration: "task" or "actor"."""

    kind: str
    source: str
    path: str

    @property
    def known(self) -> Sequence[str]:
        """What this kind of declaration may name."""
        return SETTINGS if self.kind == "task" else ACTOR_SETTINGS

    def read(self, declaration: ast.expr) -> dict[str, Any]:
        """The settings that a decorator names; one that is None is as if it were left out.

        Raises InvalidProgram, which points at the setting, for what is unknown, wrong or no literal.
        """
        if not isinstance(declaration, ast.Call):
            return {}
        if declaration.args:
            example = "@task(timeout='5s')" if self.kind == "task" else "@actor(ram='64MB')"
            raise self._refused(f"@{self.kind} takes its settings by name, such as {example}", declaration.args[0])
        settings: dict[str, Any] = {}
        for keyword in declaration.keywords:
            name = self._name(keyword)
            if name in settings:
                raise self._refused(f"the setting {name!r} is given twice", keyword)
            settings[name] = self._literal(keyword)
            if settings[name] is not None:
                self._check(name, settings[name], keyword)
            if name == "allowed_files" and settings[name] is not None:  # in a form that can be looked up
                settings[name] = Policy(allowed_files=settings[name]).allowed_files
        return {name: value for name, value in settings.items() if value is not None}

    def _name(self, keyword: ast.keyword) -> str:
        an_item = "a task" if self.kind == "task" else "an actor"
        if keyword.arg is None:
            reason = f"the settings of {an_item} are read before anything runs, so ** cannot be followed"
            raise self._refused(reason, keyword)
        if keyword.arg not in self.known:
            raise self._refused(f"{an_item} has no setting {keyword.arg!r}; {self._advice(keyword.arg)}", keyword)
        return keyword.arg

    def _advice(self, name: str) -> str:
        if name in Policy.__struct_fields__:
            return f"{'an @actor or a' if name in ACTOR_SETTINGS else 'a'} Policy has one: Policy({name}=...)"
        import difflib  # only here, as a run without mistakes need not load it

        near = difflib.get_close_matches(name, self.known, 1)
        return f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(self.known)}"

    def _literal(self, keyword: ast.keyword) -> Any:
        try:
            value = ast.literal_eval(keyword.value)
            return tuple(value) if keyword.arg in _LISTS and isinstance(value, list) else value
        except (ValueError, TypeError, SyntaxError):
            reason = f"the setting {keyword.arg!r} is read before anything runs, so it must be written out as a literal"
            raise self._refused(reason, keyword.value) from None

    def _check(self, name: str, value: Any, keyword: ast.keyword) -> None:
        if name == "name":
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise self._refused("name: this is not a name; write it as printable text", keyword.value)
            return
        try:
            Policy().with_settings({name: value})
        except InvalidPolicy as error:
            raise self._refused(str(error), keyword.value) from None
        except (ValueError, OverflowError):  # a number too long for Python itself to turn into text or a float
            raise self._refused(f"{name}: the value is too large", keyword.value) from None

    def _refused(self, reason: str, node: ast.AST) -> InvalidProgram:
        return refusal(reason, self.source, self.path, node)
