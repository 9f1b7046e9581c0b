"""A component, read into parts: its core modules and how they are joined in detail, all else as the bytes it is.

What merging changes are the index spaces of core things. So whatever refers to one is a part of its own here, and
nothing that stays bytes may refer to one: `read_component` refuses what would.
"""

from __future__ import annotations

import functools
from typing import Final, TypeAlias

import msgspec

from .binary import Reader, Unmergeable, name, sections, u32, vec
from .module import FUNCTION, GLOBAL, MEMORY, TABLE

PREAMBLE: Final = b"\0asm\x0d\0\1\0"
INSTANCE = 0x12
_KINDS = (FUNCTION, TABLE, MEMORY, GLOBAL)
_CORE = 0x00
"""The sort of whatever belongs to core WebAssembly."""


class Verbatim(msgspec.Struct, frozen=True):
    """A section that has nothing to do with core things."""

    section: int
    content: bytes


class CoreModule(msgspec.Struct, frozen=True):
    """A core module."""

    content: bytes


class Instantiate(msgspec.Struct, frozen=True):
    """An instance of core module `module`; an argument is an instance, by the module name that is imported from it."""

    module: int
    arguments: dict[str, int]


class Bundle(msgspec.Struct, frozen=True):
    """An instance that only gives names to items: kind and index."""

    items: dict[str, tuple[int, int]]


class Alias(msgspec.Struct, frozen=True):
    """A core item that is an export of an instance."""

    kind: int
    instance: int
    name: str


class Option(msgspec.Struct, frozen=True):
    """An option of a canonical function, and the core item that it names, if any."""

    number: int
    item: tuple[int, int] | None = None


class Canon(msgspec.Struct, frozen=True):
    """A canonical function: `head`, the core function that it lifts (or none), its options, `tail`.

    `at` is where it stands in the component, which tells it from others of the same form.
    """

    at: int
    head: bytes
    lifted: int | None = None
    options: tuple[Option, ...] | None = None
    tail: bytes = b""

    @property
    def used(self) -> list[tuple[int, int]]:
        """The core items that it names, kind and index."""
        lifted = [] if self.lifted is None else [(FUNCTION, self.lifted)]
        return lifted + [option.item for option in self.options or () if option.item]


Part: TypeAlias = Verbatim | CoreModule | Instantiate | Bundle | Alias | Canon


def read_component(data: bytes) -> list[Part]:
    """The parts of a component in their order. Raises Unmergeable at whatever merging does not know."""
    parts: list[Part] = []
    for number, reader in sections(data, PREAMBLE):
        start = reader.at
        if number == 1:
            parts.append(CoreModule(reader.take(reader.end - reader.at)))
        elif number in _READERS:
            parts += reader.vec(functools.partial(_READERS[number], reader))
        elif number in _CHECKS:
            _CHECKS[number](reader)
            parts.append(Verbatim(number, reader.data[start : reader.end]))
        else:
            raise Unmergeable(f"a component with section {number}")
        if number in _READERS and reader.at != reader.end:
            raise Unmergeable(f"section {number} of a component has {reader.end - reader.at} bytes too many")
    return parts


def _core_instance(reader: Reader) -> Part:
    if reader.expect("the kind of a core instance", 0, 1) == 0:
        module = reader.u32()
        pairs = reader.vec(lambda: (reader.name(), reader.expect("an argument", INSTANCE), reader.u32()))
        return Instantiate(module, {name: index for name, _, index in pairs})
    items = reader.vec(lambda: (reader.name(), reader.expect("the kind of a core item", *_KINDS), reader.u32()))
    return Bundle({name: (kind, index) for name, kind, index in items})


def _alias(reader: Reader) -> Part:
    start = reader.at
    sort = reader.byte()
    kind = reader.expect("the kind of a core alias", *_KINDS) if sort == _CORE else -1
    target = reader.expect("the target of an alias", 0, 1, 2)
    if (sort == _CORE) != (target == 1):
        raise Unmergeable("an alias of a core item that is no export of a core instance")
    number = reader.u32()
    if target == 1:
        return Alias(kind, number, reader.name())
    reader.name() if target == 0 else reader.u32()
    return Verbatim(6, b"\x01" + reader.since(start))


def _canon(reader: Reader) -> Part:
    start = reader.at
    kind = reader.expect("a canonical function", 0x00, 0x01, 0x02, 0x03, 0x04)
    if kind > 1:  # resource.new, resource.drop, resource.rep
        reader.u32()
        return Canon(start, reader.since(start))
    reader.expect("a canonical function", 0)
    number = reader.u32()
    if kind == 1:
        head = reader.since(start)
        return Canon(start, head, None, tuple(reader.vec(lambda: _option(reader))))
    options = tuple(reader.vec(lambda: _option(reader)))
    return Canon(start, b"\0\0", number, options, u32(reader.u32()))


def _option(reader: Reader) -> Option:
    number = reader.expect("an option of a canonical function", 0, 1, 2, 3, 4, 5)
    if number < 3:  # how text is encoded
        return Option(number)
    return Option(number, (MEMORY if number == 3 else FUNCTION, reader.u32()))  # memory, realloc, post-return


_READERS = {2: _core_instance, 6: _alias, 8: _canon}


def _nothing_core_inside(reader: Reader) -> None:
    """A component inside this one may have core modules of its own, but take none from here."""
    for number, inner in sections(reader.data[reader.at : reader.end], PREAMBLE):
        if number == 4:
            _nothing_core_inside(inner)
        elif number == 6:
            inner.vec(functools.partial(_outer_core, inner))


def _outer_core(reader: Reader) -> None:
    sort = reader.byte()
    if sort == _CORE:
        reader.byte()
    target = reader.expect("the target of an alias", 0, 1, 2)
    reader.u32()
    if target < 2:
        reader.name()
    elif sort == _CORE:
        raise Unmergeable("a component inside that takes a core item from outside")
    else:
        reader.u32()


def _no_core_arguments(reader: Reader) -> None:
    def argument() -> None:
        reader.name()
        if reader.byte() == _CORE:
            raise Unmergeable("an instance of a component that is given a core item")
        reader.u32()

    def one() -> None:
        reader.expect("the kind of an instance", 0)
        reader.u32()
        reader.vec(argument)

    reader.vec(one)


def _no_core_exports(reader: Reader) -> None:
    def one() -> None:
        reader.byte()
        reader.name()
        if reader.byte() == _CORE:
            raise Unmergeable("a component that exports a core item")
        reader.u32()
        if reader.expect("the type of an export", 0, 1):
            raise Unmergeable("an export with a type of its own")

    reader.vec(one)


def _anything(_reader: Reader) -> None:
    """Types, imports and custom sections: what they say of core things is said by structure and not by index."""


_CHECKS = {
    0: _anything,
    4: _nothing_core_inside,
    5: _no_core_arguments,
    7: _anything,
    10: _anything,
    11: _no_core_exports,
}


def write_instantiate(module: int, arguments: dict[str, int]) -> bytes:
    """An entry of the core instance section."""
    pairs = [name(text) + bytes([INSTANCE]) + u32(index) for text, index in arguments.items()]
    return b"\x00" + u32(module) + vec(pairs)


def write_bundle(items: dict[str, tuple[int, int]]) -> bytes:
    """An entry of the core instance section."""
    return b"\x01" + vec(name(text) + bytes([kind]) + u32(index) for text, (kind, index) in items.items())


def write_alias(kind: int, instance: int, text: str) -> bytes:
    """An entry of the alias section."""
    return bytes([_CORE, kind, 1]) + u32(instance) + name(text)
