"""What a tool takes and answers: its signature, read once, and the checks of each call against it."""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable
from inspect import Parameter
from typing import Any

import msgspec

from ..errors import InvalidArguments, InvalidTool
from .tool_errors import sayable, scrub
from .tool_hints import become, home_of, resolve, spell

_PLAIN = (type(None), bool, int, float, str)
_STARS: dict[Any, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
_MOST_DEFAULT = 60  # characters of a default value in a signature
_MOST_NAME = 100  # characters of a name that a guest made up

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxlong = _brief.maxother = 60


class WrongAnswer(Exception):
    """A tool answered something that is not JSON, or not what its hint says."""


class Shape:
    """The signature of a function, with each hint resolved.

    Keywords that a functools.partial has set are no parameters: a caller cannot set them anew.
    Raises InvalidTool for a signature that cannot be read or that no JSON values fit.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._set = frozenset(function.keywords) if isinstance(function, functools.partial) else frozenset()
        found = _signature_of(name, function)
        kept = [parameter for parameter in found.parameters.values() if parameter.name not in self._set]
        self._signature = found.replace(parameters=kept)
        home = home_of(function)
        self._hints = {
            parameter.name: resolve(parameter.annotation, home, f"the tool {name!r}: the parameter {parameter.name!r}")
            for parameter in kept
        }
        self._answer = resolve(found.return_annotation, home, f"the tool {name!r}: its answer")
        self.text = self._spell()
        """The signature as a guest reads it."""

    def bind(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A call's JSON values as what the function takes.

        Raises InvalidArguments, which names the argument and the signature, for a call that does not fit.
        """
        args, kwargs = self._json_only([args, kwargs])
        overridden = sorted(self._set & kwargs.keys())
        if overridden:
            raise self._refusal(f"got an unexpected keyword argument {overridden[0]!r}")
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise self._refusal(_cut(str(error))) from None
        for name, value in bound.arguments.items():
            bound.arguments[name] = self._converted(self._signature.parameters[name], value)
        return bound.args, bound.kwargs

    def check_answer(self, value: Any) -> Any:
        """What the function answered, as JSON values in the shape that its hint says.

        What the hint does not name, such as the further fields of a derived class, is left out; a float that is no
        number becomes null where the hint allows that. Raises WrongAnswer.
        """
        try:
            text = msgspec.json.encode(value)
            if self._answer is not Any:
                text = msgspec.json.encode(msgspec.json.decode(text, type=self._answer))
            return msgspec.json.decode(text)
        except Exception as error:
            raise WrongAnswer(f"{self.text} answered a {type(value).__name__}: {error}") from error

    def _json_only(self, given: list[Any]) -> Any:
        def refuse(_thing: object) -> Any:
            raise self._refusal("takes JSON values; an actor is none")

        return msgspec.to_builtins(given, enc_hook=refuse)

    def _converted(self, parameter: Parameter, value: Any) -> Any:
        hint = self._hints[parameter.name]
        if parameter.kind is Parameter.VAR_POSITIONAL:
            return tuple(self._become(item, hint, f"{parameter.name}[{at}]") for at, item in enumerate(value))
        if parameter.kind is Parameter.VAR_KEYWORD:
            return {name: self._become(item, hint, name) for name, item in value.items()}
        return self._become(value, hint, parameter.name)

    def _become(self, value: Any, hint: Any, name: str) -> Any:
        try:
            return become(value, hint)
        except msgspec.ValidationError as error:
            reason = _reason(str(error))
            raise self._refusal(f"got {_brief.repr(value)} for {_cut(repr(name))}: {reason}") from None

    def _refusal(self, what: str) -> InvalidArguments:
        return InvalidArguments(sayable(f"{self._name}() {what}; it is {self.text}"))

    def _spell(self) -> str:
        parts: list[str] = []
        last = None
        for parameter in self._signature.parameters.values():
            kind = parameter.kind
            if last is Parameter.POSITIONAL_ONLY and kind is not last:
                parts.append("/")
            if kind is Parameter.KEYWORD_ONLY and last not in {kind, Parameter.VAR_POSITIONAL}:
                parts.append("*")
            parts.append(self._spell_one(parameter))
            last = kind
        if last is Parameter.POSITIONAL_ONLY:
            parts.append("/")
        answer = "" if self._signature.return_annotation is Parameter.empty else f" -> {spell(self._answer)}"
        return f"{self._name}({', '.join(parts)}){answer}"

    def _spell_one(self, parameter: Parameter) -> str:
        is_hinted = parameter.annotation is not Parameter.empty
        text = (
            _STARS.get(parameter.kind, "")
            + parameter.name
            + (f": {spell(self._hints[parameter.name])}" if is_hinted else "")
        )
        if parameter.default is Parameter.empty:
            return text
        return text + (" = " if is_hinted else "=") + _default(parameter.default)


def _signature_of(name: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError, NameError) as error:  # NameError: a hint, from Python 3.14 on
        raise InvalidTool(f"the tool {name!r} has no signature that can be read: {error}") from error


def _default(value: Any) -> str:
    """A default value, unless it is an object or text that tells about this machine."""
    text = repr(value) if type(value) in _PLAIN else "..."
    return text if len(text) <= _MOST_DEFAULT and scrub(text) == text else "..."


def _reason(text: str) -> str:
    """The words of msgspec on a value in our style; what stood there is told only if it stands deeper than the value.

    The text can be the program's own, from a `__post_init__`.
    """
    text = scrub(text.replace("`", ""))
    if not text.startswith("Expected "):
        return text
    return "e" + (text[1:].replace(" - at ", " at ") if " - at " in text else text[1:].partition(", got ")[0])


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_NAME else text[:_MOST_NAME] + "..."
