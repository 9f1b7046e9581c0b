"""The refs that a sandbox was given: the only actors it can name.

Inside, a ref is a number of the sandbox's own, and on the wire it is `{"capsule:actor": number}`. A number that was
never given out is refused, so two sandboxes can talk through refs that they were given and through nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..errors import Denied, ForeignRef, InvalidArguments
from .decoding import decode

if TYPE_CHECKING:
    from .actor import Actor
    from .ref import ActorRef
    from .world import World

T = TypeVar("T")

MARK = "capsule:actor"
"""The key of a ref on the wire. A dict of the user's with this key is refused."""

_KEY = f'"{MARK}":'
_NO_REF = object()

MOST_REFS = 10_000
"""Refs that one sandbox can hold."""

MOST_TEXT = 1_000_000
"""Characters of a value with refs in it: looking for them takes Python a while, and the event loop waits."""

_MARKED = '"' + "".join(rf"(?:{re.escape(c)}|\\u00{ord(c):02x})" for c in MARK) + r'"\s*:'
"""The key of a ref in a JSON text, with any of its letters written as an escape."""


class Grantable:
    """Something that stands for an actor and can be handed to a sandbox."""

    _capsule_actor: Actor


class Grants:
    """The refs that one actor or message was given, by number. They last as long as it does."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_number: dict[int, ActorRef] = {}  # held, so that the actors count as reachable
        self._numbers: dict[Actor, int] = {}
        self._last = 0  # no number is given out twice

    def write(self, value: Any, name: str) -> str:
        """`value`, called `name` in errors, as JSON text, its refs as numbers of this sandbox's.

        Raises InvalidArguments for what is no JSON or looks like a ref, and ForeignRef and Denied as `give`.
        """
        writer = _Writer(self)
        return writer.checked(self._world.to_json(value, name, writer.number_of), name)

    def encode(self, value: Any) -> bytes:
        """The same for what a capability answers, which may be anything that msgspec can write, as UTF-8."""
        writer = _Writer(self)
        text = msgspec.json.encode(value, enc_hook=writer.number_of)
        if MARK.encode() in text:
            writer.checked(text.decode(), "the answer")
        return text

    def give(self, actor: Actor) -> int:
        """The number of `actor`, a new one if it was not given yet.

        Raises ForeignRef for an actor of another runtime, and Denied beyond MOST_REFS.
        """
        if actor.world is not self._world:
            raise ForeignRef(actor.label)
        number = self._numbers.get(actor)
        if number is None:
            if len(self._numbers) >= MOST_REFS:
                self._forget_stopped()
            self._last += 1
            number = self._numbers[actor] = self._last
            self._by_number[number] = actor.ref()
        return number

    def sent(self, write: Callable[[], T]) -> T:
        """What `write` answers. If it raises, nothing is sent: the sandbox cannot name what was written until then."""
        before = self._last
        try:
            return write()
        except BaseException:
            for actor, number in list(self._numbers.items()):
                if number > before:
                    del self._by_number[number], self._numbers[actor]
            raise

    def forget_all(self) -> None:
        """The sandbox is no more: what it held is held by it no longer."""
        self._by_number, self._numbers = {}, {}

    def _forget_stopped(self) -> None:
        for actor, number in list(self._numbers.items()):
            if actor.state == "stopped":
                del self._by_number[number], self._numbers[actor]
        if len(self._numbers) >= MOST_REFS:
            raise Denied(f"holding more than {MOST_REFS:,} actors at once", "stopping some of them")

    def read(self, text: str) -> Any:
        """The value of a JSON text that came from this sandbox, with refs for its numbers.

        Raises MsgspecError, RecursionError, and Denied for a number that was never given.
        """
        return self.resolve(decode(text), text)

    def resolve(self, value: Any, text: str) -> Any:
        """`value`, which was decoded from `text`, with refs for its numbers. Raises Denied."""
        if (MARK not in text and "\\u" not in text) or not re.search(_MARKED, text, re.IGNORECASE):
            return value
        if len(text) > MOST_TEXT:
            raise Denied(f"a value of more than {MOST_TEXT:,} characters with actors in it", "sending them apart")
        return self._resolve(value)

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        number = value.get(MARK, _NO_REF)
        if number is _NO_REF:
            return {key: self._resolve(item) for key, item in value.items()}
        ref = self._by_number.get(number) if type(number) is int and len(value) == 1 else None
        if ref is None:
            raise Denied("using an actor that this sandbox was not given", "a ref passed to it")
        return ref


class _Writer:
    """Writes refs as numbers, and counts them: a key that looks like one was not written by us."""

    def __init__(self, grants: Grants) -> None:
        self._grants, self._given = grants, 0

    def number_of(self, thing: Any) -> Any:
        if not isinstance(thing, Grantable):
            raise TypeError(f"a value of type {type(thing).__name__}")
        self._given += 1
        return {MARK: self._grants.give(thing._capsule_actor)}

    def checked(self, text: str, name: str) -> str:
        if (MARK in text) and text.replace(": ", ":").count(_KEY) != self._given:
            raise InvalidArguments(f"{name}: the key {MARK!r} stands for actors; use another one")
        return text
