"""Type hints of tools: resolved, checked to be something that JSON can become, and spelled for a guest."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import inspect as shapes

from ..errors import InvalidTool

UNIONS = (Union, types.UnionType)
_REFUSED = (shapes.ExtType, shapes.RawType)


def resolve(annotation: Any, home: dict[str, Any], culprit: str) -> Any:
    """The type that `annotation` means: Any if there is none, and names in it are looked up in the module `home`.

    `culprit` is named in the error. Raises InvalidTool for a name that is not there, and for a type that no JSON
    value becomes.
    """
    if annotation is inspect.Signature.empty:
        return Any

    def holder() -> None: ...

    holder.__annotations__ = {"hint": annotation}
    try:
        hint = typing.get_type_hints(holder, home, include_extras=True)["hint"]
    except Exception as error:  # whatever the text of a hint raises when it is evaluated
        raise InvalidTool(
            f"{culprit} has the hint {_shown(annotation)}, which cannot be read here ({error}); "
            "a name in a hint must stand at the top of the tool's module"
        ) from error
    hint = Any if hint is object else hint
    reason = _why_not(hint)
    if reason is not None:
        raise InvalidTool(f"{culprit} has the hint {_shown(annotation)}, which JSON cannot become: {reason}")
    return hint


def spell(hint: Any) -> str:
    """A hint as a guest reads it: names without modules. Never a repr, which could tell where something is defined."""
    origin = get_origin(hint)
    if hint is types.NoneType:
        return "None"
    if origin is Annotated:
        return spell(get_args(hint)[0])
    if origin in UNIONS:
        return " | ".join(spell(choice) for choice in get_args(hint))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, get_args(hint)))}]"
    if origin is not None and get_args(hint):
        inner = ", ".join("..." if part is Ellipsis else spell(part) for part in get_args(hint))
        return f"{_name_of(origin)}[{inner}]"
    return _name_of(hint)


def home_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The globals of the module in which the function below all wrappers was written."""
    inner: Any = function
    while True:
        if isinstance(inner, functools.partial):
            inner = inner.func
        elif hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        elif inspect.ismethod(inner):
            inner = inner.__func__
        elif inspect.isfunction(type(inner).__call__):
            inner = type(inner).__call__
        else:
            return getattr(inner, "__globals__", {})


def _name_of(thing: Any) -> str:
    name = getattr(thing, "__name__", None) or getattr(thing, "_name", None)
    return name if isinstance(name, str) else "..."


def _shown(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _why_not(hint: Any) -> str | None:
    try:
        shape = shapes.type_info(hint)
    except Exception as error:  # noqa: BLE001 - a hint may be any object, and its attributes may raise anything
        return str(error)
    for part in _parts(shape, set()):
        if isinstance(part, shapes.CustomType) and part.cls is not object:
            return f"{_name_of(part.cls)} has no form in JSON"
        if isinstance(part, _REFUSED):
            return f"{type(part).__name__.removesuffix('Type')} is not a value"
    return None


def _parts(shape: Any, seen: set[int]) -> Iterator[shapes.Type]:
    """The type and all that it is made of; a type may contain itself."""
    if isinstance(shape, (tuple, list)):
        for item in shape:
            yield from _parts(item, seen)
    elif isinstance(shape, (shapes.Type, shapes.Field)) and id(shape) not in seen:
        seen.add(id(shape))
        if isinstance(shape, shapes.Type):
            yield shape
        for name in shape.__struct_fields__:
            yield from _parts(getattr(shape, name), seen)


def become(value: Any, hint: Any) -> Any:
    """A JSON value as the type that `hint` says, as strictly as if it were decoded. Raises ValidationError."""
    return value if hint is Any else msgspec.convert(value, hint, strict=True, str_keys=True)
