"""Who lives in a runtime: every actor by its number, the named ones by name, and those whose work is done."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import TYPE_CHECKING

from ..errors import InvalidArguments, NameTaken

if TYPE_CHECKING:
    from .actor import Actor

_LOOK_AT = 4
"""Actors that one sweep looks at: more than a spawn adds, so that the dropped ones cannot pile up."""


class Registry:
    """Owned by the runtime. An actor is in it from its spawn until it has stopped."""

    def __init__(self) -> None:
        self._actors: OrderedDict[Actor, None] = OrderedDict()
        self._names: dict[str, Actor] = {}
        self._numbers = itertools.count(1)
        self._spent: OrderedDict[Actor, None] = OrderedDict()
        """Actors of tasks that have answered the call they were spawned with and were asked nothing else."""

    def __len__(self) -> int:
        return len(self._actors)

    def all(self) -> list[Actor]:
        """The living actors, oldest first."""
        return list(self._actors)

    def find(self, name: str) -> Actor | None:
        """The living actor of that name."""
        return self._names.get(name)

    def check_name(self, name: str | None) -> None:
        """Raises NameTaken, and InvalidArguments for what is no name."""
        if name is not None and (not isinstance(name, str) or not name):
            raise InvalidArguments(f"name: {name!r} is not a name; use a text that is not empty")
        if name is not None and name in self._names:
            raise NameTaken(name)

    def next_number(self) -> int:
        """A number that no actor of this runtime had before."""
        return next(self._numbers)

    def add(self, actor: Actor) -> None:
        """A new actor. Raises NameTaken."""
        self.check_name(actor.name)
        self._actors[actor] = None
        if actor.name is not None:
            self._names[actor.name] = actor

    def remove(self, actor: Actor) -> None:
        """It has stopped; its name is free again."""
        self._actors.pop(actor, None)
        self._spent.pop(actor, None)
        if actor.name is not None and self._names.get(actor.name) is actor:
            del self._names[actor.name]

    def mark_spent(self, actor: Actor, is_spent: bool) -> None:
        """Note whether `actor` could go if its place were needed."""
        if is_spent:
            self._spent[actor] = None
        else:
            self._spent.pop(actor, None)

    def free_one(self) -> bool:
        """Stop the one that has been spent for longest, because somebody waits for a place. False if there is none."""
        if not self._spent:
            return False
        actor, _ = self._spent.popitem(last=False)
        actor.stop_soon("its work was done, and others waited for its place")
        return True

    def sweep(self) -> None:
        """Stop spent actors that nobody holds a ref to any more: nothing can ever be asked of them."""
        for _ in range(min(_LOOK_AT, len(self._spent))):
            actor, _ = self._spent.popitem(last=False)
            if actor.is_reachable:
                self._spent[actor] = None  # looked at again after the others
            else:
                actor.stop_soon("its work was done, and nobody held a ref to it")

    def end_all(self) -> None:
        """Cancel all actors, each by itself. They end soon.

        A scope that is cancelled as a whole looks, each time that a part of it ends, into all parts that are not
        cancelled by themselves (anyio on asyncio): with thousands of actors that took a minute.
        """
        for actor in self.all():
            actor.leave()
