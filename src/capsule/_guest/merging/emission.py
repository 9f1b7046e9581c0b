"""One module out of a program: what is reached, under new indices.

Globals that nothing assigns (where a library lies in memory, where its functions stand in the table) become
constants in the code. The table stands beside its elements, so the engine fills it only where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import bulk
from .binary import Unmergeable, name, s64, section, sized, u32, vec
from .linking import Item, Program
from .module import FUNCTION, GLOBAL, MEMORY, PREAMBLE, TABLE, Module
from .reach import Reached
from .walk import SPACES, immediates

OUTSIDE_MODULE = "outside"
"""The module name of all imports; their names are the numbers of what was given."""

_KINDS = {"function": FUNCTION, "global": GLOBAL, "table": TABLE}


def emit(program: Program, wanted: dict[str, Item], hot: Sequence[str] = ()) -> bytes:
    """The module that does what `program` does and exports `wanted`. The same for the same program.

    The functions whose names are `hot`, if they stand in a table, are the first that the module refers to.
    """
    return _Emission(program, wanted).module(hot)


class _Emission:
    def __init__(self, program: Program, wanted: dict[str, Item]) -> None:
        self.program, self.wanted = program, wanted
        self.reached = Reached(program, list(wanted.values()))
        self.types: dict[bytes, int] = {}
        self.outside, self.functions = sorted(self.reached.outside), sorted(self.reached.functions)
        self.globals = sorted(self.reached.assigned)
        self.tables, self.memories = self._defined(TABLE), self._defined(MEMORY)
        if len(self.memories) > 1:
            raise Unmergeable(f"{len(self.memories)} memories")
        if any(item.kind == GLOBAL for item in wanted.values()):
            raise Unmergeable("a global that is wanted outside")
        spaces = (self.outside + self.functions, self.globals, self.tables, self.memories)
        self.index = {item: number for space in spaces for number, item in enumerate(space)}

    def _defined(self, kind: int) -> list[Item]:
        return [
            Item(number, kind, len(one.module.imported(kind)) + own)
            for number, one in enumerate(self.program.instances)
            for own in range(len(one.module.tables if kind == TABLE else one.module.memories))
        ]

    def module(self, hot: Sequence[str]) -> bytes:
        bodies = self._bodies()  # first: the code decides which types there are
        functions = [u32(self.type_index(self.program.type_of(item))) for item in self.functions]
        if self.memories:
            bodies += bulk.BODIES
            functions += [u32(self.type_index(bulk.TYPE))] * len(bulk.BODIES)
        imports = [self._import(item) for item in self.outside]
        parts = [
            (1, list(self.types)),
            (2, imports),
            (3, functions),
            (4, [self._module(item).tables[self.program.own(item)] for item in self.tables]),
            (5, [self._module(item).memories[self.program.own(item)] for item in self.memories]),
            (6, [self._global(item) for item in self.globals]),
            (7, [name(text) + bytes([item.kind]) + u32(self.index[item]) for text, item in self.wanted.items()]),
            (9, self._declared(hot) + self._elements()),
            (10, bodies),
            (11, self._data()),
        ]
        return PREAMBLE + b"".join(section(number, vec(items)) for number, items in parts if items) + self._names()

    def bulk_function(self, instruction: bytes) -> int:
        """The function that stands for an instruction of `bulk`, behind those of the program."""
        return len(self.outside) + len(self.functions) + bulk.INSTRUCTIONS.index(instruction)

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
            bodies.append(sized(b"".join([plain + translation[indexed] for plain, indexed in pairs])))
        return bodies

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
