"""typer's commands and groups, quick to start: nothing is loaded to check what needs no check.

typer has pydantic check each value, which takes longer to load than all the rest of this command line. An option that
was not given and a text as it was written are right without it. What is left, such as a number, is checked as ever.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption


class _Check:
    """What turns words into a value, for one parameter; it asks typer's own if need be."""

    def __init__(self, full: Any) -> None:
        self._full = full

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        kind, is_many = param.type_descriptor.annotation, param.multiple or param.nargs == -1
        if value is None:
            return () if is_many else None
        if kind is str and isinstance(value, str):
            return value
        if kind == list[str] and is_many and isinstance(value, (list, tuple)):
            return value
        if value is param.default:
            return value
        return self._full().coerce(value, param=param, ctx=ctx)


class _Option(TyperOption):
    def get_runtime_param(self) -> Any:
        return _Check(super().get_runtime_param)


class _Argument(TyperArgument):
    def get_runtime_param(self) -> Any:
        return _Check(super().get_runtime_param)


_LEAN: dict[type, Any] = {TyperOption: _Option, TyperArgument: _Argument}


def _made_lean(params: list[Any]) -> list[Any]:
    for param in params:
        # An older typer checks by itself and has no such method: then nothing asks for it.
        param.__class__ = _LEAN.get(type(param), type(param))
    return params


class LeanCommand(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options and arguments."""
        return _made_lean(super().get_params(ctx))


class LeanGroup(TyperGroup):
    """A command that has commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options."""
        return _made_lean(super().get_params(ctx))
