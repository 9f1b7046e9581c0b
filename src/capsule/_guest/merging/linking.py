"""Modules that import from each other, as one program: every index of every module leads to what it stands for."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec

from .binary import Unmergeable
from .module import FUNCTION, GLOBAL, TABLE, Constant, Module

OUTSIDE = -1


class Item(NamedTuple):
    """Something that is defined once: the instance that defines it (or OUTSIDE), its kind, its number there."""

    instance: int
    kind: int
    number: int


class Given(NamedTuple):
    """An argument that comes from outside all modules: a function, by its number among all of them."""

    number: int


class Exported(NamedTuple):
    """An argument that is an export of another instance."""

    instance: int
    name: str


Argument: TypeAlias = Given | Exported


class Instance(msgspec.Struct, frozen=True):
    """A module with one argument for each of its imports, in their order."""

    module: Module
    arguments: list[Argument]


class Segment(NamedTuple):
    """Functions that stand in a table when the program starts, from the slot `offset` on."""

    table: Item
    offset: int
    functions: list[Item]


class Program:
    """Instances in the order in which they would be instantiated, linked to each other."""

    def __init__(self, instances: list[Instance]) -> None:
        self.instances = instances
        self._sources = [
            [[a for i, a in zip(one.module.imports, one.arguments, strict=True) if i.kind == kind] for kind in range(4)]
            for one in instances
        ]
        self._given = {
            argument.number: one.module.types[entry.type]
            for one in instances
            for entry, argument in zip(one.module.imports, one.arguments, strict=True)
            if isinstance(argument, Given)
        }

    def given(self, source: tuple[str, str]) -> Item:
        """The function from outside that one of the modules imports by these names. Raises Unmergeable."""
        for one in self.instances:
            for entry, argument in zip(one.module.imports, one.arguments, strict=True):
                if (entry.module, entry.name) == source and isinstance(argument, Given):
                    return Item(OUTSIDE, FUNCTION, argument.number)
        raise Unmergeable(f"no function {source[1]!r} of {source[0]!r} that is taken from outside")

    def find(self, instance: int, kind: int, index: int) -> Item:
        """What an index of an instance stands for."""
        sources = self._sources[instance][kind]
        if index >= len(sources):
            return Item(instance, kind, index)
        source = sources[index]
        if isinstance(source, Given):
            if kind != FUNCTION:
                raise Unmergeable("only functions may come from outside")
            return Item(OUTSIDE, kind, source.number)
        return self.exported(source, kind)

    def exported(self, source: Exported, kind: int) -> Item:
        """What an instance exports by a name."""
        exports = self.instances[source.instance].module.exports
        if exports.get(source.name, (None,))[0] != kind:
            raise Unmergeable(f"no export {source.name!r} of kind {kind} in a module that others import it from")
        return self.find(source.instance, kind, exports[source.name][1])

    def own(self, item: Item) -> int:
        """The index of an item among those that its module defines."""
        return item.number - len(self._sources[item.instance][item.kind])

    def type_of(self, item: Item) -> bytes:
        """The type of a function."""
        if item.instance == OUTSIDE:
            return self._given[item.number]
        module = self.instances[item.instance].module
        return module.types[module.functions[self.own(item)]]

    def body_of(self, item: Item) -> bytes:
        """The code of a function that a module defines."""
        return self.instances[item.instance].module.bodies[self.own(item)]

    def constant(self, instance: int, value: Constant) -> int:
        """The i32 that a constant expression answers when the program starts."""
        if value.instruction:
            raise Unmergeable("a constant that should be an i32")
        total = value.base
        for index in value.globals:
            item = self.find(instance, GLOBAL, index)
            total += self.constant(item.instance, self.initial(item))
        return (total + 2**31) % 2**32 - 2**31

    def initial(self, item: Item) -> Constant:
        """The expression that a global starts with."""
        return self.instances[item.instance].module.globals[self.own(item)].value

    def segments(self) -> list[Segment]:
        """All element segments, in the order in which they are written into their tables."""
        return [
            Segment(
                self.find(number, TABLE, segment.table),
                self.constant(number, segment.offset),
                [self.find(number, FUNCTION, index) for index in segment.functions],
            )
            for number, one in enumerate(self.instances)
            for segment in one.module.elements
        ]
