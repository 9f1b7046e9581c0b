"""A task's parameters: read from its `def`, spelled for people, and matched against a call."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from .._values import Parameter, TaskSpec
from ..errors import InvalidArguments

__all__ = ["check_arguments", "parameters_of", "signature_of"]

_MOST_NAMES = 10  # that an error lists
_MOST_DEFAULT = 40  # characters of a default value that a signature spells out
_PLACES = ("positional_only", "positional_or_keyword")


def parameters_of(arguments: ast.arguments) -> tuple[Parameter, ...]:
    """The parameters that a `def` declares, in its order."""
    return tuple(parameter for _, _, parameter in _walk(arguments))


def signature_of(arguments: ast.arguments) -> str:
    """The parameters as text, such as `(text: str, times: int = 1)`."""
    parts: list[str] = []
    before = ""
    for argument, default, parameter in _walk(arguments):
        kind = parameter.kind
        if before == "positional_only" != kind:
            parts.append("/")
        if kind == "keyword_only" and before not in ("keyword_only", "var_positional"):
            parts.append("*")
        parts.append(_spell(argument, default, kind))
        before = kind
    if before == "positional_only":
        parts.append("/")
    return f"({', '.join(parts)})"


def check_arguments(spec: TaskSpec, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Check that the function of `spec` can be called with `args` and `kwargs`; values are not looked at.

    Raises InvalidArguments, which names the argument and spells the signature, if Python would refuse the call.
    """
    if not kwargs and _fills_places(spec, len(args)):
        return
    taken = _check_positional(spec, len(args))
    if kwargs:
        kinds: dict[str, str] = {parameter.name: parameter.kind for parameter in spec.parameters}
        takes_any = _has(spec, "var_keyword")
        for name in kwargs:
            _check_keyword(spec, name, kinds, taken, takes_any)
    given = taken | ({p.name for p in spec.parameters if p.kind != "positional_only"} & set(kwargs))
    missing = [p.name for p in spec.parameters if p.required and p.name not in given]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        more = f" and {len(missing) - _MOST_NAMES} more" if len(missing) > _MOST_NAMES else ""
        names = " and ".join(map(repr, missing[:_MOST_NAMES]))
        raise _refused(spec, f"is missing the argument{plural} {names}{more}")


def _walk(arguments: ast.arguments) -> Iterator[tuple[ast.arg, ast.expr | None, Parameter]]:
    """Each argument with its default and what it is, in the order of the source."""
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [*[None] * (len(plain) - len(arguments.defaults)), *arguments.defaults]
    for index, (argument, default) in enumerate(zip(plain, defaults, strict=True)):
        if index < len(arguments.posonlyargs):
            yield argument, default, Parameter(argument.arg, "positional_only", default is None)
        else:
            yield argument, default, Parameter(argument.arg, "positional_or_keyword", default is None)
    if arguments.vararg:
        yield arguments.vararg, None, Parameter(arguments.vararg.arg, "var_positional", False)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield argument, default, Parameter(argument.arg, "keyword_only", default is None)
    if arguments.kwarg:
        yield arguments.kwarg, None, Parameter(arguments.kwarg.arg, "var_keyword", False)


def _spell(argument: ast.arg, default: ast.expr | None, kind: str) -> str:
    stars = {"var_positional": "*", "var_keyword": "**"}.get(kind, "")
    annotation = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    if default is None:
        return f"{stars}{argument.arg}{annotation}"
    value = _shorten(default)
    return f"{argument.arg}{annotation}{' = ' if annotation else '='}{value}"


def _shorten(default: ast.expr) -> str:
    try:
        value = ast.unparse(default)
    except ValueError:  # a number too long for Python to turn into text
        return "..."
    return value if len(value) <= _MOST_DEFAULT and "\n" not in value else "..."


def _fills_places(spec: TaskSpec, given: int) -> bool:
    """Whether `given` arguments by position are a whole call, and nothing of it goes into a `*args`."""
    for number, parameter in enumerate(spec.parameters):
        if number >= given:
            if parameter.required:
                return False
        elif parameter.kind not in _PLACES:
            return False
    return given <= len(spec.parameters)


def _check_positional(spec: TaskSpec, given: int) -> set[str]:
    """The names that `given` positional arguments fill."""
    places = [p.name for p in spec.parameters if p.kind in _PLACES]
    if given > len(places) and not _has(spec, "var_positional"):
        plural = "" if len(places) == 1 else "s"
        were = "was" if given == 1 else "were"
        raise _refused(spec, f"takes {len(places)} positional argument{plural} but {given} {were} given")
    return set(places[:given])


def _check_keyword(spec: TaskSpec, name: str, kinds: Mapping[str, str], taken: set[str], takes_any: bool) -> None:
    kind = kinds.get(name)
    if kind in ("positional_or_keyword", "keyword_only"):
        if name in taken:
            raise _refused(spec, f"got two values for the argument {name!r}")
    elif not takes_any:
        by_position = kind == "positional_only"
        raise _refused(
            spec, f"takes the argument {name!r} by position only" if by_position else f"has no argument {name!r}"
        )


def _has(spec: TaskSpec, kind: str) -> bool:
    return any(parameter.kind == kind for parameter in spec.parameters)


def _refused(spec: TaskSpec, why: str) -> InvalidArguments:
    name = spec.name if spec.function == "__init__" else spec.function.rpartition(":")[2]
    return InvalidArguments(f"{name}() {why}; it is {name}{spec.signature}")
