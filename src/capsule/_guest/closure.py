"""What a task or an actor needs of its whole application: the units of its own module and of those it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import InvalidProgram
from .imports import Imports, Link
from .reach import LOADED, WHOLE, Chain, Module, Reached
from .siblings import Library, Sibling
from .units import Unit

__all__ = ["Application", "Search"]

State: TypeAlias = Mapping[Module, Reached]
_NOTHING = Reached()
_MOST_HOPS = 20  # imports of one name from module to module; two may import it of each other


@dataclass(frozen=True)
class _Want:
    """Something that is needed of a module."""

    module: Module
    units: frozenset[Unit] = frozenset()
    names: frozenset[str] = frozenset()


class Application:
    """The modules of the application, each taken apart when it is first asked for."""

    def __init__(self, home: Sibling, package: str, packages: frozenset[str] = frozenset()) -> None:
        self.library = Library(home.name, packages)
        self._modules: dict[str, Module] = {}
        self.home = Module(home, Imports(self.library, package), self.find)
        """The module of the task or actor itself."""
        self._modules[home.name] = self.home

    def find(self, name: str) -> Module:
        """The module called `name`. Raises InvalidProgram if its source cannot be read."""
        if name not in self._modules:
            file = self.library.sibling(name)
            self._modules[name] = Module(file, Imports(self.library, file.package), self.find)
        return self._modules[name]

    def submodule(self, package: Module, name: str) -> Module | None:
        """The module `name` of `package`, if there is one that can go along."""
        full = f"{package.name}.{name}"
        if not package.is_package or (full not in self._modules and self.library.why_not(full)):
            return None
        return self.find(full)

    def parent(self, module: Module) -> Module | None:
        """The package that `module` is in."""
        name = module.name.rpartition(".")[0]
        return self.find(name) if name else None

    def meant_by(self, link: Link) -> tuple[Module, str | None]:
        """The module that `link` leads to, and the part of it that is meant; None for the module itself."""
        target = self.find(link.module)
        inner = self.submodule(target, link.part) if link.part and not target.defines(link.part) else None
        return (inner, None) if inner else (target, link.part)

    def modules_called(self, module: Module, name: str, hops: int = 0) -> Iterator[Module]:
        """The modules that `name` of `module` is bound to by imports."""
        for link in module.links_called(name) if hops < _MOST_HOPS else ():
            target, part = self.meant_by(link)
            if part is None:
                yield target
            else:
                yield from self.modules_called(target, name if part == "*" else part, hops + 1)

    def definition(
        self, module: Module, chain: Chain, within: State | None, hops: int = 0
    ) -> tuple[Module, Unit] | None:
        """The function or class that `chain` means in `module`, looked for in the modules `within` (None: in all)."""
        first = chain[0] if chain and hops < _MOST_HOPS else ""
        if first in module.definitions:
            return module, module.definitions[first]
        for link in module.links_called(first) if first else ():
            if within is None or any(link.module == each.name for each in within):
                target, part = self.meant_by(link)
                own = () if part is None else (first if part == "*" else part,)
                found = self.definition(target, (*own, *chain[1:]), within, hops + 1)
                if found:
                    return found
        return None


class Search:
    """The slice of an application as it grows. A state is never changed, so that an attempt can be given up."""

    def __init__(self, application: Application, task: str) -> None:
        self.application, self.task = application, task
        self.state: State = {}
        self._tried: set[tuple[Module, Unit | Chain]] = set()
        self._failed: set[frozenset[_Want]] = set()

    def run(self) -> State:
        """What is reached of each module.

        Raises InvalidProgram if the task needs what cannot go along into the sandbox.
        """
        home = self.application.home
        if self.task not in home.binders:
            reason = f"{self.task!r} stands in the `__main__` block, which no sandbox runs; move it out"
            raise InvalidProgram(reason, path=home.path)
        self.state = self._close({}, [_Want(home, names=frozenset({self.task}))])
        while sum(self._add_changes(module) or self._add_hints(module) for module in list(self.state)):
            pass
        return self.state

    def star_names(self, module: Module, star: Unit) -> list[str] | None:
        """The names that the star import `star` is needed for; None if it stays as it is."""
        reached = self.state[module]
        if WHOLE in reached.names or not module.links_of(star):
            return None
        return self._names_of_star(module, star, reached)

    # Growing.

    def _close(self, state: State, wants: Iterable[_Want]) -> State:
        """`state` with `wants` and everything that these need in turn."""
        grown, pending = dict(state), list(wants)
        while pending:
            want = pending.pop()
            before = grown.get(want.module)
            after = want.module.complete(before or _NOTHING, self.task, want.units, want.names)
            if after == before:
                continue
            grown[want.module] = after
            pending += self._wants_of(want.module, after)
            for group in self._guarded_wants_of(want.module, after):
                grown = dict(self._attempt(grown, group) or grown)
        return grown

    def _attempt(self, state: State, wants: Iterable[_Want]) -> State | None:
        """`state` with `wants`, or None if one of them cannot go along or belongs to the application."""
        group = frozenset(wants)
        if group in self._failed:
            return None
        try:
            after = self._close(state, group)
        except InvalidProgram:
            after = None
        if after is not None:
            new = ((module, reached.units - state.get(module, _NOTHING).units) for module, reached in after.items())
            if all(_is_harmless(module, unit) for module, units in new for unit in units):
                return after
        self._failed.add(group)
        return None

    def _wants_of(self, module: Module, reached: Reached) -> Iterator[_Want]:
        """What the imports that are `reached` in `module` need of others."""
        for unit, link in module.links_among(reached.units):
            if not link.guarded:
                yield from self._wants_of_link(module, unit, link, reached)

    def _guarded_wants_of(self, module: Module, reached: Reached) -> Iterator[list[_Want]]:
        """The same of each import whose failure is provided for."""
        for unit, link in module.links_among(reached.units):
            if link.guarded:
                yield _readable(self._wants_of_link(module, unit, link, reached))

    def _wants_of_link(self, module: Module, unit: Unit, link: Link, reached: Reached) -> Iterator[_Want]:
        target = self.application.find(link.module)
        yield from self._loads(self.application.find(link.loads))
        if link.name == "*":
            if WHOLE in reached.names:
                yield from self._follow(target, (), whole=True)
            for name in self._names_of_star(module, unit, reached):
                for use in sorted(module.uses(reached, name)) or [()]:
                    yield from self._follow(target, (name, *use), whole=True)
            return
        start: Chain = (link.part,) if link.part else ()
        uses = module.uses(reached, link.name) if link.place == "module" else module.uses_within(unit, link.name)
        for use in [()] if link.place == "class" else sorted(uses):
            yield from self._follow(target, (*start, *use), whole=True)
        if not uses:
            yield from self._follow(target, start, whole=False)

    def _names_of_star(self, module: Module, star: Unit, reached: Reached) -> list[str]:
        wanted = reached.names - set(module.binders)
        return sorted(name for name in wanted if star in module.stars_with(name))

    def _follow(self, module: Module, chain: Chain, *, whole: bool) -> Iterator[_Want]:
        """What is needed of `module` for taking `chain` of it; `whole` if all of a module where the chain ends."""
        yield from self._loads(module)
        if not chain:
            if whole:
                yield _Want(module, names=frozenset({WHOLE}))
            return
        first, rest = chain[0], chain[1:]
        if module.has(first):
            yield _Want(module, names=frozenset({first}))
            for inner in self.application.modules_called(module, first):
                yield from self._follow(inner, rest, whole=whole)
            return
        inner_module = self.application.submodule(module, first)
        if inner_module:
            yield from self._follow(inner_module, rest, whole=whole)
        elif module.has("__getattr__"):
            yield _Want(module, names=frozenset({"__getattr__"}))

    def _loads(self, module: Module) -> Iterator[_Want]:
        """`module` and the packages around it, even if nothing is needed of them."""
        each: Module | None = module
        while each is not None:
            yield _Want(each, names=frozenset({LOADED}))
            each = self.application.parent(each)

    # Statements that change what is reached, and annotations.

    def _add_changes(self, module: Module) -> bool:
        """Add the statements of `module` that change a reached name's value in place; whether there was one."""
        sure = frozenset(unit for unit in self._untried(module) if self._surely_changes(module, unit))
        if sure:  # all at once: a table of handlers may have hundreds of them
            self.state = self._close(self.state, [_Want(module, sure)])
        added = bool(sure)
        for unit in self._untried(module):
            if self._surely_changes(module, unit):
                continue  # since one of those here was added: in the next round
            if self._may_change(module, unit) and self._is_safe(module, unit):
                added |= self._add(module, unit, [_Want(module, frozenset({unit}))])
        return added

    def _untried(self, module: Module) -> Iterator[Unit]:
        """The units of `module` that were not tried and, when it is their turn, are not reached."""
        for unit in module.units:
            if unit not in self.state[module].units and (module, unit) not in self._tried:
                yield unit

    def _surely_changes(self, module: Module, unit: Unit) -> bool:
        return not module.surely_changes(unit).isdisjoint(self.state[module].names)

    def _add_hints(self, module: Module) -> bool:
        """Add what annotations mention, as far as it is harmless; whether there was any."""
        chains = {chain for unit in self.state[module].units for chain in unit.names.hinted}
        new = [chain for chain in sorted(chains) if (module, chain) not in self._tried]
        return sum(self._add(module, chain, _readable(self._wants_of_hint(module, chain))) for chain in new) > 0

    def _wants_of_hint(self, module: Module, chain: Chain) -> Iterator[_Want]:
        name, *rest = chain
        yield _Want(module, names=frozenset({name}))
        for link in module.links_called(name):
            part = () if link.part is None else (name if link.part == "*" else link.part,)
            yield from self._follow(self.application.find(link.module), (*part, *rest), whole=False)

    def _add(self, module: Module, what: Unit | Chain, wants: Iterable[_Want]) -> bool:
        """Add `wants`, which are those of `what`, if they can go along; whether that made a difference."""
        self._tried.add((module, what))
        before, after = self.state, self._attempt(self.state, wants)
        self.state = after or before
        return after is not None and after != before

    def _may_change(self, module: Module, unit: Unit) -> bool:
        """Whether `unit` changes a reached name through a module, an argument, or a function that it calls."""
        for home, ran in self._ran_by(module, unit, self.state):
            if home in self.state and ran.names.changes & self.state[home].names:
                return True
        return module.may_change(unit, self.state[module].names)

    def _is_safe(self, module: Module, unit: Unit) -> bool:
        """Whether `unit` runs neither a task, an actor nor an event loop while the program loads."""
        try:
            ran = self._ran_by(module, unit, None)
        except InvalidProgram:  # nobody knows what a module does that cannot be read
            return False
        return not any(isinstance(each.node, ast.AsyncFunctionDef) or home.is_declared(each.node) for home, each in ran)

    def _ran_by(self, module: Module, unit: Unit, within: State | None) -> set[tuple[Module, Unit]]:
        """The functions and classes that may run when `unit` does, looked for in the modules `within` (None: all)."""
        ran: set[tuple[Module, Unit]] = set()
        roots = unit.calls.functions | unit.calls.objects
        pending: list[tuple[Module, Chain]] = [(module, (name,)) for name in unit.calls.functions]
        pending += [(module, chain) for chain in unit.names.chains if len(chain) > 1 and chain[0] in roots]
        while pending:
            where, chain = pending.pop()
            found = self.application.definition(where, chain, within)
            if found and found not in ran:
                ran.add(found)
                pending += [(found[0], each) for each in found[1].names.chains]
        return ran


def _readable(wants: Iterator[_Want]) -> list[_Want]:
    """`wants`, or none if one of the modules cannot be read."""
    try:
        return list(wants)
    except InvalidProgram:
        return []


def _is_harmless(module: Module, unit: Unit) -> bool:
    return module.is_certain(unit) and not module.is_application(unit)
