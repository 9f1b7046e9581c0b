"""One module out of a program: what is reached, under new indices.

Globals that nothing assigns (where a library lies in memory, where its functions stand in the table) become
constants in the code. The table stands beside its elements, so the engine fills it only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from . import bulk, metering
from .binary import Reader, Unmergeable, name, s64, section, sized, u32, vec
from .linking import OUTSIDE, Item, Program
from .metering import Metering
from .module import FUNCTION, GLOBAL, MEMORY, PREAMBLE, TABLE, Module
from .reach import Reached
from .walk import CALLS, INDIRECT_CALLS, SPACES, Pairs, immediates

OUTSIDE_MODULE = "outside"
"""The module name of all imports; their names are the numbers of what was given."""

_KINDS = {"function": FUNCTION, "global": GLOBAL, "table": TABLE}


class Wanted(NamedTuple):
    """What is exported. While a function that `is_held` runs, nothing calls the host for its fuel."""

    item: Item
    is_held: bool = False


def emit(program: Program, wanted: dict[str, Wanted], hot: Sequence[str] = (), checkpoint: Item | None = None) -> bytes:
    """The module that does what `program` does and exports `wanted`. The same for the same program.

    The functions whose names are `hot`, if they stand in a table, are the first that the module refers to. With a
    `checkpoint`, a function from outside, its code counts fuel and calls that (see `metering`).
    """
    return _Emission(program, wanted, checkpoint).module(hot)


class _Emission:
    def __init__(self, program: Program, wanted: dict[str, Wanted], checkpoint: Item | None) -> None:
        self.program, self.wanted, self.checkpoint = program, wanted, checkpoint
        items = [one.item for one in wanted.values()]
        self.reached = Reached(program, items if checkpoint is None else [*items, checkpoint])
        self.types: dict[bytes, int] = {}
        self.outside, self.functions = sorted(self.reached.outside), sorted(self.reached.functions)
        self.globals = sorted(self.reached.assigned)
        self.tables, self.memories = self._defined(TABLE), self._defined(MEMORY)
        if len(self.memories) > 1:
            raise Unmergeable(f"{len(self.memories)} memories")
        if any(item.kind == GLOBAL for item in items):
            raise Unmergeable("a global that is wanted outside")
        if checkpoint is not None and not self.memories:
            raise Unmergeable("code without a memory that is to count its fuel")
        spaces = (self.outside + self.functions, self.globals, self.tables, self.memories)
        self.index = {item: number for space in spaces for number, item in enumerate(space)}
        self.filled = {segment.table for segment in program.segments()}
        self.own = len(self.outside) + len(self.functions)
        """The first function that is no program's."""
        self.metering: Metering | None = None
        if checkpoint is not None:
            self.metering = Metering(self.own + len(bulk.INSTRUCTIONS), len(self.globals))

    def _defined(self, kind: int) -> list[Item]:
        return [
            Item(number, kind, len(one.module.imported(kind)) + own)
            for number, one in enumerate(self.program.instances)
            for own in range(len(one.module.tables if kind == TABLE else one.module.memories))
        ]

    def module(self, hot: Sequence[str]) -> bytes:
        bodies = self._bodies()  # first: the code decides which types there are
        functions = [u32(self.type_index(self.program.type_of(item))) for item in self.functions]
        memories = [self._module(item).memories[self.program.own(item)] for item in self.memories]
        globals_ = [self._global(item) for item in self.globals]
        exported = {text: self.index[one.item] for text, one in self.wanted.items()}
        for kind, body in self._own_functions(exported):
            functions.append(u32(self.type_index(kind)))
            bodies.append(body)
        if self.metering is not None:
            memories.append(metering.CELL)
            globals_.append(metering.HELD_TYPE)
        imports = [self._import(item) for item in self.outside]
        parts = [
            (1, list(self.types)),
            (2, imports),
            (3, functions),
            (4, [self._module(item).tables[self.program.own(item)] for item in self.tables]),
            (5, memories),
            (6, globals_),
            (7, [name(text) + bytes([one.item.kind]) + u32(exported[text]) for text, one in self.wanted.items()]),
            (9, self._declared(hot) + self._elements()),
            (10, bodies),
            (11, self._data()),
        ]
        return PREAMBLE + b"".join(section(number, vec(items)) for number, items in parts if items) + self._names()

    def _own_functions(self, exported: dict[str, int]) -> Iterator[tuple[bytes, bytes]]:
        """Type and code of the functions behind those of the program. Those that are held take a name in `exported`."""
        if not self.memories:
            return
        checks = self.metering.checks_of_copies() if self.metering else ()
        for body in bulk.bodies(*checks):
            yield bulk.TYPE, body
        if self.metering is None or self.checkpoint is None:
            return
        yield metering.CHECKPOINT_TYPE, sized(self.metering.checkpoint(self.index[self.checkpoint]))
        number = self.own + len(bulk.INSTRUCTIONS)
        for text, one in self.wanted.items():
            if one.is_held:
                kind = self.program.type_of(one.item)
                yield kind, sized(self.metering.held(exported[text], Reader(kind, 1).u32()))
                number += 1
                exported[text] = number

    def bulk_function(self, instruction: bytes) -> int:
        """The function that stands for an instruction of `bulk`."""
        return self.own + bulk.INSTRUCTIONS.index(instruction)

    def _module(self, item: Item) -> Module:
        return self.program.instances[item.instance].module

    def type_index(self, kind: bytes) -> int:
        return self.types.setdefault(kind, len(self.types))

    def constant(self, item: Item) -> bytes:
        """The instruction that answers what a global starts with."""
        value = self.program.initial(item)
        return value.instruction or b"\x41" + s64(self.program.constant(item.instance, value))

    def _import(self, item: Item) -> bytes:
        kind = self.type_index(self.program.type_of(item))
        return name(OUTSIDE_MODULE) + name(str(item.number)) + bytes([FUNCTION]) + u32(kind)

    def _global(self, item: Item) -> bytes:
        described = self._module(item).globals[self.program.own(item)]
        return bytes([described.type, described.is_mutable]) + self.constant(item) + b"\x0b"

    def _declared(self, hot: Sequence[str]) -> list[bytes]:
        """A segment that puts nothing anywhere: it only names functions before the others do."""
        by_name = {name.encode(): list[int]() for name in hot}
        for item in sorted({function for segment in self.program.segments() for function in segment.functions}):
            if item in self.reached.functions:
                by_name.get(self._module(item).names.get(item.number, b""), []).append(self.index[item])
        found = [u32(index) for indices in by_name.values() for index in indices]
        return [b"\x03\x00" + vec(found)] if found else []

    def _elements(self) -> list[bytes]:
        return [
            b"\x02"
            + u32(self.index[table])
            + b"\x41"
            + s64(offset)
            + b"\x0b\x00"
            + vec(u32(self.index[one]) for one in functions)
            for table, offset, functions in self.program.segments()
            if functions
        ]

    def _data(self) -> list[bytes]:
        return [
            b"\x00\x41" + s64(self.program.constant(number, data.offset)) + b"\x0b" + sized(data.content)
            for number, one in enumerate(self.program.instances)
            for data in one.module.data
        ]

    def _bodies(self) -> list[bytes]:
        translations = [_Translation(self, number) for number in range(len(self.program.instances))]
        bodies = []
        for item in self.functions:
            translation = translations[item.instance]
            pairs = self.reached.functions[item]
            if self.metering is not None:
                is_watched = self._is_watched(item, pairs)
                pairs = self.metering.metered(pairs, is_watched=is_watched)
            bodies.append(sized(b"".join([plain + translation[indexed] for plain, indexed in pairs])))
        return bodies

    def _is_watched(self, item: Item, pairs: Pairs) -> bool:
        """Whether it calls a function of the host, itself or through a table that none of the modules fills."""
        calls = {indexed for _, indexed in pairs if indexed and indexed[0] in CALLS | INDIRECT_CALLS}
        return any(self._leads_outside(item.instance, indexed) for indexed in calls)

    def _leads_outside(self, instance: int, call: bytes) -> bool:
        number = immediates(call)[-1]
        if call[0] in CALLS:
            return self.program.find(instance, FUNCTION, number).instance == OUTSIDE
        return self.program.find(instance, TABLE, number) not in self.filled

    def _names(self) -> bytes:
        """The names of the functions, which traps and profilers show."""
        known = ((item, self._module(item).names.get(item.number)) for item in self.functions)
        names = vec(u32(self.index[item]) + sized(text) for item, text in known if text is not None)
        return section(0, name("name") + section(1, names))


class _Translation(dict[bytes, bytes]):
    """The instructions of one instance, each translated when it is first met."""

    def __init__(self, emission: _Emission, instance: int) -> None:
        super().__init__({b"": b""})
        self._emission, self._instance = emission, instance

    def __missing__(self, instruction: bytes) -> bytes:
        done = self[instruction] = self._translate(instruction)
        return done

    def _translate(self, instruction: bytes) -> bytes:
        if instruction in bulk.INSTRUCTIONS:
            return b"\x10" + u32(self._emission.bulk_function(instruction))
        operation, numbers = instruction[0], immediates(instruction)
        if operation == 0x23:
            item = self._emission.program.find(self._instance, GLOBAL, *numbers)
            if item not in self._emission.index:
                return self._emission.constant(item)
        parts = [self._number(space, number) for space, number in zip(SPACES[operation], numbers, strict=True)]
        if operation in {0x02, 0x03, 0x04}:  # the type of a block is a signed number
            return bytes([operation]) + s64(parts[0])
        return bytes([operation]) + b"".join(map(u32, parts))

    def _number(self, space: str, number: int) -> int:
        if space == "type":
            return self._emission.type_index(self._emission.program.instances[self._instance].module.types[number])
        return self._emission.index[self._emission.program.find(self._instance, _KINDS[space], number)]
