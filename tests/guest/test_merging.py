"""Merging: the merged component answers as the one it was made of, and what merging does not know it refuses."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as some
from wasmtime import wat2wasm

from capsule._guest.cache import CompiledGuest
from capsule._guest.merging import HOT, Unmergeable, binary, bulk, component, merge, module, take_data_out, walk
from guest.linked import LINKED, PARAMETERS, Linked, compiled, engine

PLAIN = bytes(wat2wasm(LINKED))
MERGED = merge(PLAIN)
EXPORTS = ["twice", "seven", "push", "calls", "through", "got", "top", "shout", "shapes"]

numbers = some.integers(0, 8) | some.integers(0, 2**32 - 1)
calls = some.sampled_from(sorted(PARAMETERS)).flatmap(
    lambda name: some.tuples(some.just(name), *[numbers] * PARAMETERS[name])
)


def merged_modules(data: bytes) -> list[module.Module]:
    return [
        module.read_module(part.content)
        for part in component.read_component(data)
        if isinstance(part, component.CoreModule)
    ]


# The same answers.


@given(some.lists(calls, max_size=8))
@settings(deadline=None)
def test_it_answers_as_before(asked: list[tuple[str, int]]) -> None:
    """Any calls one after the other, on state that they share: the same answers, traps and calls of the host."""
    plain, merged = Linked(PLAIN), Linked(MERGED)
    assert [merged.ask(*call) for call in asked] == [plain.ask(*call) for call in asked]
    assert merged.heard == plain.heard


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (("calls", 4), 8 + 200 + 7),
        (("through", 2, 5), 15),
        (("through", 3, 5), 10),
        (("through", 4, 5), "wasm trap: indirect call type mismatch"),
        (("through", 8, 5), "wasm trap: uninitialized element"),
        (("got", 6), 10 + 6 * 7),
        (("push", 16), 4080),
        (("top",), 4096 - 4),
        (("shapes", 0), 10),
        (("shapes", 1), 2**32 - 1),
        (("shapes", 2), 0x0700),
        (("shapes", 3), 4 - 99 + 2**32),
        (("shout", 5), None),
    ],
)
def test_what_the_answers_are(call: tuple[str, int], answer: object) -> None:
    """So that the comparison above is not one of two failures."""
    linked = Linked(MERGED)
    assert linked.ask(*call) == answer
    assert linked.heard == (["hello"] if call[0] == "shout" else [])


def test_imports_and_exports_stay() -> None:
    """Of the component, by name and in order."""

    def described(data: bytes) -> tuple[list[str], list[str]]:
        kind = compiled(data).type
        return list(kind.imports(engine())), list(kind.exports(engine()))

    assert described(MERGED) == described(PLAIN) == (["seven", "log"], EXPORTS)


# What became of it.


def test_one_module_has_it_all() -> None:
    """Beside the one that fills the table of the host's functions; the other tables stand beside their elements."""
    merged, fill = merged_modules(MERGED)
    assert [(entry.module, entry.name) for entry in fill.imports] == [("", "$imports"), ("", "0")]
    assert [(entry.kind, entry.module, entry.name) for entry in merged.imports] == [(module.FUNCTION, "outside", "0")]
    assert len(merged.memories) == 1
    assert len(merged.tables) == 2
    assert all(not segment.offset.globals for segment in merged.elements)


def test_only_what_is_assigned_stays_a_global() -> None:
    """The stack pointer and a counter; where libraries lie is written into the code."""
    merged, _ = merged_modules(MERGED)
    assert [(one.type, one.is_mutable) for one in merged.globals] == [(0x7F, True), (0x7E, True)]


def test_what_nobody_reaches_is_left_out() -> None:
    """A function that a library exports and no other imports; those that stay keep their names."""
    names = set(merged_modules(MERGED)[0].names.values())
    assert {b"twice", b"thrice", b"both"} <= names
    assert b"unused" not in names
    assert b"unused" in PLAIN


def test_the_same_bytes_whatever_the_hashes() -> None:
    """In another process, whose sets have another order."""
    code = (
        "import sys, hashlib; from capsule._guest.merging import merge;"
        "print(hashlib.sha256(merge(sys.stdin.buffer.read())).hexdigest())"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=PLAIN,
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert done.stdout.decode().strip() == hashlib.sha256(MERGED).hexdigest()


def test_hot_functions_are_named_first() -> None:
    """In their order, before all segments that fill a table, and without a change of what the module does."""
    merged = merge(PLAIN, ["twice", "nobody", "unused", "thrice", "push"])
    raw = next(part.content for part in component.read_component(merged) if isinstance(part, component.CoreModule))
    elements = next(reader for number, reader in binary.sections(raw, module.PREAMBLE) if number == 9)
    names = {name: index for index, name in merged_modules(MERGED)[0].names.items()}
    assert elements.u32() == 1 + len(merged_modules(MERGED)[0].elements)
    assert (elements.byte(), elements.byte()) == (3, 0)
    assert elements.vec(elements.u32) == [names[b"twice"], names[b"thrice"]]  # `push` stands in no table
    assert Linked(merged).ask("through", 2, 5) == 15


def test_most_hot_names_are_functions_of_the_guest(guest: CompiledGuest) -> None:
    """A new CPython may have lost some; when many are gone, it is time to measure them again."""
    code = Path(guest.file).read_bytes()
    there = {name for name in HOT if f"::{name}\0".encode() in code}
    assert len(there) > 0.9 * len(HOT) > 300
    assert len(set(HOT)) == len(HOT)


def test_the_guest_is_merged(guest: CompiledGuest) -> None:
    """All of its native code belongs to one core module. (The one that fills a table has no code.)"""
    code = Path(guest.file).read_bytes()
    assert set(re.findall(rb"wasm\[(\d+)\]::function\[", code)) == {b"0"}


# What is refused.

MODULES = {
    "a start function": ("section 8", "(func $s) (start $s)"),
    "a passive segment": ("data segment", '(memory 1) (data $d "x")'),
    "a declared segment": ("element segment", "(elem declare func 0)"),
    "elements that are expressions": (
        "element segment",
        "(table 1 funcref) (elem (i32.const 0) funcref (ref.null func))",
    ),
    "a tag": ("section 13", "(tag (param i32))"),
    "a table of externref": ("type of a table", "(table 1 externref)"),
    "a shared memory": ("limits", "(memory 1 1 shared)"),
    "a memory of 64 bits": ("limits", "(memory i64 1)"),
    "two memories": ("2 memories", "(memory 1) (memory 1)"),
    "a vector": ("type of a global", "(global v128 (v128.const i64x2 0 0))"),
    "a global of functions": ("type of a global", "(global funcref (ref.null func))"),
    "a product": ("constant expression", "(global i32 (i32.mul (i32.const 2) (i32.const 3)))"),
    "a struct": ("a type is 0x5f", "(type (struct))"),
}
CODE = {
    "table.set": ("26 00", "(table.set 0 (i32.const 0) (ref.null func))"),
    "table.get": ("25 00", "(drop (table.get 0 (i32.const 0)))"),
    "table.grow": ("fc 0f", "(drop (table.grow 0 (ref.null func) (i32.const 1)))"),
    "table.copy": ("fc 0e", "(table.copy 0 0 (i32.const 0) (i32.const 0) (i32.const 0))"),
    "a vector": ("fd", "(drop (v128.const i64x2 0 0))"),
    "an atomic": ("fe", "(atomic.fence)"),
    "an exception": ("1f", "(try_table)"),
    "a second memory": ("28 42", "(drop (i32.load 1 (i32.const 0)))"),
    "a local of functions": ("local", "(local (ref null 0))"),
}


def alone(fields: str, code: str = "") -> bytes:
    """A component with one module of these fields, and a function that runs `code`."""
    text = f"""(component (core module $m {fields} (func (export "f") {code})) (core instance $i (instantiate $m))
        (func (export "f") (canon lift (core func $i "f"))))"""
    return bytes(wat2wasm(text))


def test_the_frame_of_the_refusals_is_fine() -> None:
    """Without what is refused, it is merged."""
    merge(alone("(table 1 funcref) (memory 1)", "(drop (i32.load (i32.const 0)))"))


@pytest.mark.parametrize(("said", "fields"), MODULES.values(), ids=MODULES)
def test_what_a_module_may_not_have(said: str, fields: str) -> None:
    """Each is named."""
    with pytest.raises(Unmergeable, match=re.escape(said)):
        merge(alone(fields))


@pytest.mark.parametrize(("said", "code"), CODE.values(), ids=CODE)
def test_what_code_may_not_do(said: str, code: str) -> None:
    """Above all nothing may write a table: whoever knows its content must be able to rely on it."""
    memories = "(memory 1) (memory 1)" if "i32.load 1" in code else ""
    with pytest.raises(Unmergeable, match=said):
        merge(alone("(table 1 funcref)" + memories, code))


COMPONENTS = {
    "an export of a module": ("exports a core item", '(core module $m) (export "m" (core module $m))'),
    "a module taken from outside": (
        "takes a core item from outside",
        "(core module $m) (component (core instance (instantiate $m)))",
    ),
    "a module given away": (
        "given a core item",
        """(core module $m) (component $c (import "m" (core module))) (instance (instantiate $c (with "m" (core module $m))))""",
    ),
    "a core type": ("section 3", "(core type (func))"),
    "an import of a module": ("section 3", '(core type $t (module)) (import "m" (core module (type $t)))'),
    "a global outside": (
        "a global",
        """(core module $e (memory (export "m") 1) (global (export "g") i32 (i32.const 1)))
        (core instance $e (instantiate $e))
        (import "f" (func $f (param "s" string))) (core func $f (canon lower (func $f) (memory (core memory $e "m"))))
        (core module $l (import "" "f" (func (param i32 i32))) (import "" "g" (global i32)))
        (core instance (instantiate $l
            (with "" (instance (export "f" (func $f)) (export "g" (global $e "g"))))))""",
    ),
}


@pytest.mark.parametrize(("said", "content"), COMPONENTS.values(), ids=COMPONENTS)
def test_what_a_component_may_not_have(said: str, content: str) -> None:
    """Whatever refers to a core module in a way that merging would break."""
    data = bytes(wat2wasm(f"(component {content})"))
    with pytest.raises(Unmergeable, match=said):
        merge(data)


@pytest.mark.parametrize("size", [0, 7, 8, 100, len(PLAIN) // 2, len(PLAIN) - 1])
def test_half_a_component(size: int) -> None:
    """One that ends in the middle is refused, and so is one of nothing but its beginning that is no component."""
    if size == 8:
        assert merge(PLAIN[:size]).startswith(component.PREAMBLE)
    else:
        with pytest.raises(Unmergeable):
            merge(PLAIN[:size])


# The parts.


@given(some.integers(0, 2**64))
def test_unsigned_numbers(number: int) -> None:
    """Written and read."""
    assert binary.Reader(binary.u32(number)).u32() == number


@given(some.integers(-(2**63), 2**63))
def test_signed_numbers(number: int) -> None:
    """Written and read."""
    assert binary.Reader(binary.s64(number)).s64() == number


def _padded(number: int) -> bytes:
    short = binary.u32(number)
    return bytes([byte | 0x80 for byte in short]) + b"\x80" * (4 - len(short)) + b"\0"


leb = some.integers(0, 2**28 - 1).flatmap(lambda number: some.sampled_from([binary.u32(number), _padded(number)]))
plain_instructions = some.one_of(
    some.sampled_from(
        [b"\x00", b"\x01", b"\x1a", b"\x1b", b"\x45", b"\x6a", b"\xc4", b"\x02\x40", b"\x04\x7f", b"\x0b"]
    ),
    some.builds(
        bytes.__add__, some.sampled_from([b"\x0c", b"\x20", b"\x22", b"\x41", b"\x42", b"\x28\x02", b"\x3e\x00"]), leb
    ),
    some.binary(min_size=4, max_size=4).map(lambda raw: b"\x43" + raw),
    some.binary(min_size=8, max_size=8).map(lambda raw: b"\x44" + raw),
    some.sampled_from([b"\xfc\x07", b"\x3f\x00", b"\xd0\x70", b"\x1c\x01\x7f"]),
    some.lists(leb, min_size=1, max_size=300).map(lambda all_: b"\x0e" + binary.u32(len(all_) - 1) + b"".join(all_)),
)
indexed_instructions = some.one_of(
    some.builds(bytes.__add__, some.sampled_from([b"\x10", b"\x12", b"\x23", b"\x24", b"\xd2"]), leb),
    some.builds(lambda first, second: b"\x11" + first + second, leb, leb),
    some.integers(0, 2**20).map(lambda number: b"\x02" + binary.s64(number)),
    some.sampled_from(bulk.INSTRUCTIONS),
)


@given(
    some.lists(
        some.tuples(plain_instructions, some.just(0)) | some.tuples(indexed_instructions, some.just(1)), max_size=40
    )
)
@settings(deadline=None)
def test_code_splits_where_its_instructions_do(code: list[tuple[bytes, int]]) -> None:
    """Whatever bytes stand in constants: exactly the instructions with an index come out, and nothing gets lost."""
    body = b"\x01\x02\x7f" + b"".join(instruction for instruction, _ in code) + b"\x0b"
    pairs = walk.split(body)
    assert b"".join(plain + indexed for plain, indexed in pairs) == body
    assert [indexed for _, indexed in pairs if indexed] == [found for found, is_indexed in code if is_indexed]


# Large copies, piece by piece.

PAGES = 8
SIZE = PAGES << 16


@functools.cache
def pieces() -> bytes:
    """A module with nothing but the two functions, and its memory."""
    parts = [
        (1, [bulk.TYPE]),
        (3, [b"\0", b"\0"]),
        (5, [b"\0" + binary.u32(PAGES)]),
        (
            7,
            [binary.name(name) + bytes([kind, index]) for name, kind, index in (("c", 0, 0), ("f", 0, 1), ("m", 2, 0))],
        ),
        (10, bulk.bodies()),
    ]
    return module.PREAMBLE + b"".join(binary.section(number, binary.vec(items)) for number, items in parts)


def in_pieces() -> tuple[wasmtime.Store, wasmtime.Memory, list[wasmtime.Func]]:
    store = wasmtime.Store(engine())
    exports = wasmtime.Instance(store, wasmtime.Module(engine(), pieces()), []).exports(store)
    return store, exports["m"], [exports["c"], exports["f"]]


places = some.integers(0, SIZE) | some.sampled_from(
    [number * bulk.PIECE + by for number in range(8) for by in (-1, 0, 1)]
)


@given(places, places, some.integers(0, SIZE) | places)
@settings(deadline=None, max_examples=200)
def test_a_copy_in_pieces(to: int, source: int, count: int) -> None:
    """The same as one memory.copy, also where the two overlap, in either direction."""
    to, source = max(to, 0), max(source, 0)
    count = max(0, min(count, SIZE - to, SIZE - source))
    store, memory, (copy, _) = in_pieces()
    content = random.Random(0).randbytes(SIZE)
    memory.write(store, content, 0)
    copy(store, to, source, count)
    expected = bytearray(content)
    expected[to : to + count] = content[source : source + count]
    assert memory.read(store, 0, SIZE) == expected


@given(places, some.integers(0, 255), some.integers(0, SIZE) | places)
@settings(deadline=None, max_examples=100)
def test_a_fill_in_pieces(to: int, value: int, count: int) -> None:
    """The same as one memory.fill."""
    to = max(to, 0)
    count = max(0, min(count, SIZE - to))
    store, memory, (_, fill) = in_pieces()
    memory.write(store, bytes(SIZE), 0)
    fill(store, to, value, count)
    expected = bytearray(SIZE)
    expected[to : to + count] = bytes([value]) * count
    assert memory.read(store, 0, SIZE) == expected


@pytest.mark.parametrize("number", [0, 1])
def test_beyond_the_memory(number: int) -> None:
    """It traps, as the instruction does."""
    store, _, functions = in_pieces()
    with pytest.raises(wasmtime.Trap, match="out of bounds"):
        functions[number](store, SIZE - 10, 0, 3 * bulk.PIECE)


# Without its data.


def test_the_data_of_a_component() -> None:
    """What is taken out are the first bytes of its memory, and with them it answers as before."""
    text = """(component (core module $m (memory (export "memory") 2)
        (data (i32.const 3) "abc") (data (i32.const 70000) "z") (data (i32.const 4) "X")
        (func (export "f") (result i32) (i32.load8_u (i32.const 4)))) (core instance $i (instantiate $m))
        (func (export "f") (result u32) (canon lift (core func $i "f"))))"""
    bare, image = take_data_out(bytes(wat2wasm(text)))
    assert image == b"\0\0\0aXc" + bytes(70000 - 6) + b"z"
    assert [content for _, content in memories(bare)] == [[]]
    with pytest.raises(Unmergeable, match="0 core modules with data"):
        take_data_out(bare)


def memories(data: bytes) -> list[tuple[bytes, list[module.Data]]]:
    return [
        module.read_memory(part.content)
        for part in component.read_component(data)
        if isinstance(part, component.CoreModule)
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ('(memory 1) (data (i32.const 65535) "ab")', "behind the end"),
        ('(memory 1) (global $g i32 (i32.const 1)) (data (global.get $g) "ab")', "not a constant"),
        ('(import "m" "m" (memory 1)) (data (i32.const 0) "ab")', "ends in the middle"),
    ],
)
def test_data_that_is_not_taken_out(fields: str, said: str) -> None:
    """Each is named."""
    with pytest.raises(Unmergeable, match=said):
        take_data_out(alone(fields))
