"""A core module, read into values as far as merging needs them. Raises Unmergeable at whatever it does not know."""

from __future__ import annotations

from typing import Final

import msgspec

from .binary import Reader, Unmergeable, sections

PREAMBLE: Final = b"\0asm\1\0\0\0"
FUNCTION, TABLE, MEMORY, GLOBAL = range(4)
"""The kinds of what is imported and exported."""

_FUNCREF, _EXTERNREF = 0x70, 0x6F
_NUMBERS = (0x7F, 0x7E, 0x7D, 0x7C)


class Import(msgspec.Struct, frozen=True):
    """One import; `type` is the index of a function's type, and 0 for all else."""

    module: str
    name: str
    kind: int
    type: int = 0


class Constant(msgspec.Struct, frozen=True):
    """What a constant expression answers: `base` plus the values of `globals`, or an instruction of another type."""

    base: int = 0
    globals: tuple[int, ...] = ()
    instruction: bytes = b""


class Global(msgspec.Struct, frozen=True):
    """A global of a number type."""

    type: int
    is_mutable: bool
    value: Constant


class Elements(msgspec.Struct, frozen=True):
    """Functions that stand in a table from the start."""

    table: int
    offset: Constant
    functions: list[int]


class Data(msgspec.Struct, frozen=True):
    """Bytes that stand in the memory from the start."""

    offset: Constant
    content: bytes


class Module(msgspec.Struct):
    """A core module. Indices are its own: imports come first in each index space."""

    types: list[bytes] = []
    imports: list[Import] = []
    functions: list[int] = []
    tables: list[bytes] = []
    memories: list[bytes] = []
    globals: list[Global] = []
    exports: dict[str, tuple[int, int]] = {}
    elements: list[Elements] = []
    bodies: list[bytes] = []
    data: list[Data] = []
    names: dict[int, bytes] = {}

    def imported(self, kind: int) -> list[Import]:
        """The imports of one kind, in their index space's order."""
        return [entry for entry in self.imports if entry.kind == kind]


def read_module(data: bytes) -> Module:
    """The module in `data`."""
    module = Module()
    for number, reader in sections(data, PREAMBLE):
        if number == 0:
            _read_custom(reader, module)
            continue
        if number not in _SECTIONS:
            raise Unmergeable(f"a core module with section {number}")
        field, read = _SECTIONS[number]
        setattr(module, field, read(reader))
        if reader.at != reader.end:
            raise Unmergeable(f"section {number} of a core module has {reader.end - reader.at} bytes too many")
    if len(module.bodies) != len(module.functions):
        raise Unmergeable("a core module with functions without code")
    return module


def read_memory(data: bytes) -> tuple[bytes, list[Data]]:
    """The limits of the first memory of the module in `data` (empty if it has none), and what stands there at first."""
    limits, content = b"", list[Data]()
    for number, reader in sections(data, PREAMBLE):
        if number == 5 and reader.u32():
            limits = _limits(reader)
        elif number == 11:
            content = _all_data(reader)
    return limits, content


def _read_custom(reader: Reader, module: Module) -> None:
    if reader.name() == "name":
        while reader.at < reader.end:
            number, size = reader.byte(), reader.u32()
            if number == 1:
                module.names = dict(reader.vec(lambda: (reader.u32(), reader.take(reader.u32()))))
            else:
                reader.take(size)


def _types(reader: Reader) -> list[bytes]:
    def one() -> bytes:
        start = reader.at
        reader.expect("a type", 0x60)
        for _ in range(2):
            reader.vec(lambda: reader.expect("a value's type", *_NUMBERS, _FUNCREF, _EXTERNREF, 0x7B))
        return reader.since(start)

    return reader.vec(one)


def _imports(reader: Reader) -> list[Import]:
    def one() -> Import:
        module, name = reader.name(), reader.name()
        kind = reader.expect("the kind of an import", FUNCTION, TABLE, MEMORY, GLOBAL)
        if kind == FUNCTION:
            return Import(module, name, kind, reader.u32())
        _DESCRIPTIONS[kind](reader)
        return Import(module, name, kind)

    return reader.vec(one)


def _table(reader: Reader) -> bytes:
    start = reader.at
    reader.expect("the type of a table", _FUNCREF)
    _limits(reader)
    return reader.since(start)


def _limits(reader: Reader) -> bytes:
    start = reader.at
    has_maximum = reader.expect("the limits of a table or memory", 0, 1)
    for _ in range(1 + has_maximum):
        reader.u32()
    return reader.since(start)


def _global_type(reader: Reader) -> tuple[int, bool]:
    return reader.expect("the type of a global", *_NUMBERS), bool(reader.expect("a global's mutability", 0, 1))


_DESCRIPTIONS = {TABLE: _table, MEMORY: _limits, GLOBAL: _global_type}


def _global(reader: Reader) -> Global:
    kind, is_mutable = _global_type(reader)
    return Global(kind, is_mutable, _constant(reader))


def _constant(reader: Reader) -> Constant:
    """A constant expression: one constant of any number type, or a sum of i32 constants and globals."""
    start, base, depth = reader.at, 0, 0
    found: list[int] = []
    while (operation := reader.byte()) != 0x0B:
        if operation == 0x41:
            base, depth = base + reader.s64(), depth + 1
        elif operation == 0x23:
            found.append(reader.u32())
            depth += 1
        elif operation == 0x6A:
            depth -= 1
        elif operation in {0x42, 0x43, 0x44} and reader.at == start + 1:
            reader.s64() if operation == 0x42 else reader.take(4 if operation == 0x43 else 8)
            reader.expect("a constant of more than one instruction", 0x0B)
            return Constant(instruction=reader.since(start)[:-1])
        else:
            raise Unmergeable(f"{operation:#04x} in a constant expression")
    if depth != 1:
        raise Unmergeable("a constant expression that is no sum")
    return Constant(base, tuple(found))


def _exports(reader: Reader) -> dict[str, tuple[int, int]]:
    return {
        name: (kind, index)
        for name, kind, index in reader.vec(
            lambda: (
                reader.name(),
                reader.expect("the kind of an export", FUNCTION, TABLE, MEMORY, GLOBAL),
                reader.u32(),
            )
        )
    }


def _elements(reader: Reader) -> list[Elements]:
    def one() -> Elements:
        flags = reader.expect("the kind of an element segment", 0, 2)
        table = reader.u32() if flags == 2 else 0
        offset = _constant(reader)
        if flags == 2:
            reader.expect("the kind of an element", 0)
        return Elements(table, offset, reader.vec(reader.u32))

    return reader.vec(one)


def _bodies(reader: Reader) -> list[bytes]:
    return reader.vec(lambda: reader.take(reader.u32()))


def _data(reader: Reader) -> Data:
    reader.expect("the kind of a data segment", 0)
    return Data(_constant(reader), reader.take(reader.u32()))


def _all_data(reader: Reader) -> list[Data]:
    return reader.vec(lambda: _data(reader))


_SECTIONS = {
    1: ("types", _types),
    2: ("imports", _imports),
    3: ("functions", lambda reader: reader.vec(reader.u32)),
    4: ("tables", lambda reader: reader.vec(lambda: _table(reader))),
    5: ("memories", lambda reader: reader.vec(lambda: _limits(reader))),
    6: ("globals", lambda reader: reader.vec(lambda: _global(reader))),
    7: ("exports", _exports),
    9: ("elements", _elements),
    10: ("bodies", _bodies),
    11: ("data", _all_data),
}
"""The sections that merging knows, and where what they say goes. No start function, no tags, no passive segments."""
