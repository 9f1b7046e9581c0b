"""How the core modules of a component are joined, and which of them can be one."""

from __future__ import annotations

from .component import Alias, Bundle, Canon, CoreModule, Instantiate, Part
from .linking import Argument, Exported, Given, Instance, Program
from .module import FUNCTION, Import, read_module

LIFT = 0
"""The first byte of a canonical function that makes no core function."""


class Wiring:
    """The core index spaces of a component, and which of its instances can be merged."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.modules = [part.content for part in parts if isinstance(part, CoreModule)]
        self.instances = [part for part in parts if isinstance(part, Instantiate | Bundle)]
        self._items: tuple[list[Alias | Canon], ...] = ([], [], [], [])
        for part in parts:
            if isinstance(part, Alias):
                self._items[part.kind].append(part)
            elif isinstance(part, Canon) and part.head[0] != LIFT:
                self._items[FUNCTION].append(part)
        self.late = self._late()
        self.merged = [
            number
            for number, one in enumerate(self.instances)
            if isinstance(one, Instantiate) and number not in self.late
        ]

    def source(self, kind: int, index: int) -> Alias | Canon:
        """Where a core item comes from: a canonical function, or an export of an instance that has a module."""
        return self._export(self._items[kind][index])

    def _export(self, item: Alias | Canon) -> Alias | Canon:
        if isinstance(item, Alias) and isinstance(bundle := self.instances[item.instance], Bundle):
            return self.source(*bundle.items[item.name])
        return item

    def argument(self, instance: Instantiate, entry: Import) -> Alias | Canon:
        """What an instance gets for an import of its module."""
        return self._export(Alias(entry.kind, instance.arguments[entry.module], entry.name))

    def _late(self) -> set[int]:
        """The instances that need a canonical function which itself needs an instance; they cannot be part of it."""
        late: set[int] = set()
        for number, one in enumerate(self.instances):
            if isinstance(one, Instantiate):
                given: list[Alias | Canon] = []
                for argument in one.arguments.values():
                    bundle = self.instances[argument]
                    if isinstance(bundle, Bundle):
                        given += [self.source(*item) for item in bundle.items.values()]
                    else:
                        given.append(Alias(FUNCTION, argument, ""))
                if any(item.used if isinstance(item, Canon) else item.instance in late for item in given):
                    late.add(number)
        return late

    def program(self) -> tuple[Program, list[Canon]]:
        """What can be merged, and the canonical functions that it takes from outside, by number."""
        outside: dict[Canon, int] = {}
        place = {number: position for position, number in enumerate(self.merged)}

        def argument(source: Alias | Canon) -> Argument:
            if isinstance(source, Alias):
                return Exported(place[source.instance], source.name)
            return Given(outside.setdefault(source, len(outside)))

        instances = []
        for number in self.merged:
            one = self.instances[number]
            assert isinstance(one, Instantiate)
            module = read_module(self.modules[one.module])
            instances.append(Instance(module, [argument(self.argument(one, entry)) for entry in module.imports]))
        return Program(instances), list(outside)
