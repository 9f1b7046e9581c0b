"""A component with all of its linked core modules as one.

wasmtime fills a function table that other modules import when it instantiates them, entry by entry. One that stands
in the same module as its elements it fills where it is used. Merging makes the second of the first.

A function of the host that needs the guest's memory to pass its arguments can only be lowered when the memory is
there, after the module that calls it. wit-component solves this with a table that a last small module fills. That
module stays what it is; all others become one.
"""

from __future__ import annotations

from collections.abc import Sequence

from .binary import Unmergeable, section, u32, vec
from .component import (
    PREAMBLE,
    Bundle,
    Canon,
    Instantiate,
    Option,
    Verbatim,
    read_component,
    write_alias,
    write_bundle,
    write_instantiate,
)
from .emission import OUTSIDE_MODULE, Wanted, emit
from .linking import Exported
from .metering import CHECKPOINT
from .module import FUNCTION, read_module
from .wiring import LIFT, Wiring


def merge(component: bytes, hot: Sequence[str] = (), *, is_metered: bool = False) -> bytes:
    """`component` with its linked core modules merged: the same imports, exports and behaviour, the same each time.

    `hot` are names of functions that are called through a table often (see `hot`). If it `is_metered`, its code counts
    its fuel (see `metering`). Takes a second or two for the guest. Raises Unmergeable if there is something in it that
    merging does not know.
    """
    parts = read_component(component)
    return _Rewriting(Wiring(parts), is_metered).component(hot)


class _Rewriting:
    """The component written anew: what stays is copied, and what it needs of core things is put before it."""

    def __init__(self, wiring: Wiring, is_metered: bool) -> None:
        self._wiring = wiring
        self._program, self._outside = wiring.program()
        self._checkpoint = self._program.given(CHECKPOINT) if is_metered else None
        self._place = {number: position for position, number in enumerate(wiring.merged)}
        self._wanted: dict[str, Wanted] = {}
        self._modules: list[bytes] = [b""]  # the merged one first: its content is known at the end
        self._sections: list[bytes] = []
        self._instance_count = 0
        self._instances: dict[int, int] = {}
        self._merged: int | None = None
        self._counts = [0, 0, 0, 0]
        self._canons: dict[Canon, int] = {}
        self._aliases: dict[tuple[int, int, str], int] = {}

    def component(self, hot: Sequence[str]) -> bytes:
        number = 0
        for part in self._wiring.parts:
            if isinstance(part, Verbatim):
                if not (part.section == 0 and part.content[1:].startswith(b"component-name")):  # names of what is gone
                    self._sections.append(section(part.section, part.content))
            elif isinstance(part, Canon):
                self._canon(part)
            elif isinstance(part, Instantiate | Bundle):
                if number in self._wiring.late:
                    self._instance(number)
                number += 1
        self._modules[0] = emit(self._program, self._wanted, hot, self._checkpoint)
        return PREAMBLE + b"".join(section(1, module) for module in self._modules) + b"".join(self._sections)

    def _add(self, number: int, entry: bytes) -> None:
        self._sections.append(section(number, vec([entry])))

    def _canon(self, canon: Canon) -> None:
        content = canon.head
        if canon.lifted is not None:
            content += u32(self._item(FUNCTION, canon.lifted))
        if canon.options is not None:
            content += vec([self._option(option) for option in canon.options])
        self._add(8, content + canon.tail)
        if canon.head[0] != LIFT:
            self._canons[canon] = self._new(FUNCTION)

    def _option(self, option: Option) -> bytes:
        if option.item is None:
            return bytes([option.number])
        is_held = self._checkpoint is not None and option.item[0] == FUNCTION
        return bytes([option.number]) + u32(self._item(*option.item, is_held=is_held))

    def _new(self, kind: int) -> int:
        self._counts[kind] += 1
        return self._counts[kind] - 1

    def _new_instance(self, entry: bytes) -> int:
        self._add(2, entry)
        self._instance_count += 1
        return self._instance_count - 1

    def _item(self, kind: int, index: int, *, is_held: bool = False) -> int:
        """The new index of a core item, which is made known first if need be. One that `is_held` is called by the
        host in the middle of what it hands over.
        """
        source = self._wiring.source(kind, index)
        if isinstance(source, Canon):
            if source not in self._canons:
                raise Unmergeable("a module needs a canonical function that comes after it")
            return self._canons[source]
        name = source.name
        if source.instance in self._place:
            instance = self._merged_instance()
            item = self._program.exported(Exported(self._place[source.instance], name), kind)
            name = self._export(name, Wanted(item, is_held))
        else:
            instance = self._instances[source.instance]
        key = (kind, instance, name)
        if key not in self._aliases:
            self._add(6, write_alias(*key))
            self._aliases[key] = self._new(kind)
        return self._aliases[key]

    def _export(self, name: str, wanted: Wanted) -> str:
        """The name under which the merged module exports it: its own, with a mark if another one took it."""
        while self._wanted.setdefault(name, wanted) != wanted:
            name += "'"
        return name

    def _merged_instance(self) -> int:
        if self._merged is None:
            given = {}
            for number, canon in enumerate(self._outside):
                if canon not in self._canons:
                    raise Unmergeable("a module needs a canonical function that comes after it")
                given[str(number)] = (FUNCTION, self._canons[canon])
            outside = self._new_instance(write_bundle(given))
            self._merged = self._new_instance(write_instantiate(0, {OUTSIDE_MODULE: outside}))
        return self._merged

    def _instance(self, number: int) -> None:
        """An instance that stays."""
        one = self._wiring.instances[number]
        assert isinstance(one, Instantiate)
        arguments = {}
        for name, index in one.arguments.items():
            bundle = self._wiring.instances[index]
            if not isinstance(bundle, Bundle):
                raise Unmergeable("an instance that stays takes all that another one exports")
            items = {text: (kind, self._item(kind, own)) for text, (kind, own) in bundle.items.items()}
            arguments[name] = self._new_instance(write_bundle(items))
        self._modules.append(self._wiring.modules[one.module])
        if self._checkpoint is not None and read_module(self._modules[-1]).bodies:
            raise Unmergeable("a module that stays what it is has code, which would not be counted")
        self._instances[number] = self._new_instance(write_instantiate(len(self._modules) - 1, arguments))
