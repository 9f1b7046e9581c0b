"""Code that counts its own fuel: where it takes from what is left, when it calls the host, and when it must not."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
import wasmtime
from wasmtime import _bindings, wat2wasm
from wasmtime import component as wc

from capsule._engine.loaded import make_engine
from capsule._guest.merging import Unmergeable, binary, component, merge, metering, module, walk

TEXT = """
(component
  (import "capsule:host/calls@0.1.0" (instance $calls (export "checkpoint" (func))))
  (core func $checkpoint (canon lower (func $calls "checkpoint")))
  (core module $M
    (import "capsule:host/calls@0.1.0" "checkpoint" (func $checkpoint))
    (memory (export "memory") 4)
    (global $count (mut i32) (i32.const 0))
    (table 2 funcref)
    (type $unary (func (param i32) (result i32)))
    (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (func $turns (param i32) (result i32)
      (loop $again
        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
        (br_if $again (local.get 0)))
      (local.get 0))
    (func $nested (param i32) (result i32) (local i32)
      (loop $outer
        (local.set 1 (i32.const 3))
        (loop $inner
          (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
          (br_if $inner (local.get 1)))
        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
        (br_if $outer (local.get 0)))
      (local.get 0))
    (func $many (param i32) (result i32) (local.get 0)
      (loop (param i32) (result i32)
        (i32.sub (i32.const 1)) (local.tee 0) (local.get 0) (br_if 0)))
    (func $deep (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 7))))
    (func $tail (param i32) (result i32)
      (if (i32.eqz (local.get 0)) (then (return (i32.const 7))))
      (return_call $tail (i32.sub (local.get 0) (i32.const 1))))
    (func $mutual (param i32) (result i32)
      (if (i32.eqz (local.get 0)) (then (return (i32.const 7))))
      (call_indirect (type $unary) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))
    (func $fill (param i32) (result i32)
      (memory.fill (i32.const 0) (i32.const 1) (local.get 0)) (i32.const 0))
    (func $straight (param i32) (result i32) (call $leaf (call $leaf (local.get 0))))
    (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $count (call $turns (i32.const 50)))
      (i32.const 1024))
    (func (export "take") (param i32 i32) (result i32) (local.get 1))
    (func (export "give") (param i32) (result i32)
      (i32.store (i32.const 8) (i32.const 1024)) (i32.store (i32.const 12) (i32.const 3)) (i32.const 8))
    (func (export "clear") (param i32) (drop (call $turns (i32.const 50))))
    (elem (i32.const 0) func $leaf $mutual)
    (export "leaf" (func $leaf)) (export "turns" (func $turns)) (export "nested" (func $nested))
    (export "many" (func $many)) (export "deep" (func $deep)) (export "tail" (func $tail))
    (export "mutual" (func $mutual)) (export "fill" (func $fill)) (export "straight" (func $straight)))
  (core instance $m (instantiate $M
    (with "capsule:host/calls@0.1.0" (instance (export "checkpoint" (func $checkpoint))))))
  %s
  (func (export "take") (param "text" string) (result u32)
    (canon lift (core func $m "take") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
  (func (export "give") (param "x" u32) (result string)
    (canon lift (core func $m "give") (memory (core memory $m "memory")) (post-return (core func $m "clear")))))
"""
NAMES = ("leaf", "turns", "nested", "many", "deep", "tail", "mutual", "fill", "straight")
LIFTED = "\n".join(
    f'(func (export "{name}") (param "x" u32) (result u32) (canon lift (core func $m "{name}")))' for name in NAMES
)
PLAIN = bytes(wat2wasm(TEXT % LIFTED))
METERED = merge(PLAIN, is_metered=True)


class Metered:
    """An instance of the component. Nothing is left in its cell from the start, so each check calls the host."""

    def __init__(self, wasm: bytes = METERED) -> None:
        self.checks = 0
        engine = wasmtime.Engine.__new__(wasmtime.Engine)  # an engine as ours, which wasmtime-py owns
        engine._set_ptr(ctypes.cast(make_engine(counts=False).pointer, ctypes.POINTER(_bindings.wasm_engine_t)))
        self._store = wasmtime.Store(engine)
        linker = wc.Linker(engine)
        with linker.root() as root, root.add_instance("capsule:host/calls@0.1.0") as calls:
            calls.add_func("checkpoint", self._checkpoint)
        self._instance = linker.instantiate(self._store, wc.Component(engine, wasm))

    def _checkpoint(self, _store: Any) -> None:
        self.checks += 1

    def ask(self, name: str, argument: Any) -> tuple[Any, int]:
        """The answer of an export, and how often the host was called meanwhile."""
        function = self._instance.get_func(self._store, name)
        assert function is not None
        self.checks = 0
        answer = function(self._store, argument)
        function.post_return(self._store)
        return answer, self.checks


@pytest.mark.parametrize(
    ("name", "argument", "answer", "checks"),
    [
        ("leaf", 4, 5, 0),  # ends by itself
        ("straight", 4, 6, 1),
        ("turns", 10, 0, 10),
        ("nested", 5, 0, 5 + 5 * 3),
        ("many", 6, 0, 6),
        ("deep", 5, 7, 6),
        ("tail", 5, 7, 6),
        ("mutual", 5, 7, 6),
        ("fill", 100, 0, 2),
        ("fill", 3 * 65536, 0, 2 + 2),  # the last piece is the rest
    ],
)
def test_where_it_looks(name: str, argument: int, answer: int, checks: int) -> None:
    """At each call of what calls others, each turn of a loop, each copy, and each piece of a large one."""
    assert Metered().ask(name, argument) == (answer, checks)


def test_the_host_is_not_called_while_it_hands_something_over() -> None:
    """To be called then would end the guest: neither for an argument, nor for what follows the answer."""
    metered = Metered()
    assert metered.ask("take", "abc") == (3, 0)
    answer, checks = metered.ask("give", 0)
    assert (len(answer), checks) == (3, 0)
    assert metered.ask("turns", 3) == (0, 3)  # and afterwards it is again


@pytest.mark.parametrize(("name", "argument"), [("take", "abc"), ("give", 0)])
def test_what_hands_over_without_end_traps(name: str, argument: Any) -> None:
    """Nobody else would end it: where a program has spoilt its heap, to allocate may never end."""
    long = bytes(wat2wasm((TEXT % LIFTED).replace("(i32.const 50)", "(i32.const 1_000_000)")))
    with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
        Metered(merge(long, is_metered=True)).ask(name, argument)


def test_loops_and_calls_of_the_host_are_watched() -> None:
    """They may take longer than their fuel says, and look whether the host wants to be called."""
    wanted = b"\x29\x43\x01\x08"
    counted = metering.Metering(7, 0)
    for is_watched, code in ((False, "(call 0) (loop)"), (True, "(call 0) (loop)")):
        raw = bytes(wat2wasm(f"(module (func) (func {code}))"))
        (_, body) = module.read_module(raw).bodies
        checks = [plain for plain, _ in counted.metered(walk.split(body), is_watched=is_watched) if is_check(plain)]
        assert [wanted in check for check in checks] == [is_watched, True]


def test_what_is_taken() -> None:
    """About one unit for an instruction: what stands in blocks counts less, what stands in a loop for each turn."""
    counted = metering.Metering(7, 0)

    def costs(code: str) -> list[int]:
        raw = bytes(wat2wasm(f"(module (func) (func (param i32) {code}))"))
        (_, body) = module.read_module(raw).bodies
        done = counted.metered(walk.split(body))
        assert b"".join(plain + indexed for plain, indexed in done if not is_check(plain)) == body
        return [cost_of(plain) for plain, _ in done if is_check(plain)]

    ten = "(local.set 0 (i32.const 1))" * 5  # ten instructions, twenty bytes
    assert costs(ten) == []
    assert costs(ten + "(call 0)") == [11]
    assert costs(f"(loop {ten}) {ten} (call 0)") == [12, 10]
    assert costs(f"(loop (block {ten} {ten}) {ten})") == [21]
    assert costs(f"(loop {ten} (loop {ten} {ten}))") == [11, 20]
    assert costs(ten * 30) == [300]  # nothing in it loops or calls, but it is long


def is_check(plain: bytes) -> bool:
    return plain.startswith(b"\x41\x00\x41\x00\x29\x43\x01")


def cost_of(check: bytes) -> int:
    return binary.Reader(check, 9).s64()


REFUSED = {
    "no function to call": (
        "no function 'checkpoint'",
        TEXT.replace('"checkpoint"', '"checkpoints"') % "",
    ),
    "no memory": (
        "without a memory",
        """(component (import "capsule:host/calls@0.1.0" (instance $calls (export "checkpoint" (func))))
        (core func $c (canon lower (func $calls "checkpoint")))
        (core module $M (import "capsule:host/calls@0.1.0" "checkpoint" (func)))
        (core instance (instantiate $M (with "capsule:host/calls@0.1.0" (instance (export "checkpoint" (func $c)))))))""",
    ),
    "code in what stays": (
        "has code",
        """(component (import "capsule:host/calls@0.1.0" (instance $calls
            (export "checkpoint" (func)) (export "log" (func (param "text" string)))))
        (core func $c (canon lower (func $calls "checkpoint")))
        (core module $M (import "capsule:host/calls@0.1.0" "checkpoint" (func)) (memory (export "m") 1))
        (core instance $m (instantiate $M (with "capsule:host/calls@0.1.0" (instance (export "checkpoint" (func $c))))))
        (core func $log (canon lower (func $calls "log") (memory (core memory $m "m"))))
        (core module $Late (import "" "log" (func (param i32 i32))) (func (export "f")))
        (core instance $late (instantiate $Late (with "" (instance (export "log" (func $log))))))
        (func (export "f") (canon lift (core func $late "f"))))""",
    ),
}


@pytest.mark.parametrize(("said", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_metered(said: str, text: str) -> None:
    """Each is named; without a meter it can be merged."""
    wasm = bytes(wat2wasm(text))
    merge(wasm)
    with pytest.raises(Unmergeable, match=said):
        merge(wasm, is_metered=True)


def test_its_memory_is_no_guests() -> None:
    """The second memory is exported by nobody, and only checks name it."""
    code = next(part.content for part in component.read_component(METERED) if isinstance(part, component.CoreModule))
    (memories,) = (reader for number, reader in component.sections(code, module.PREAMBLE) if number == 5)
    assert memories.u32() == 2
    (exports,) = (reader for number, reader in component.sections(code, module.PREAMBLE) if number == 7)
    kinds = exports.vec(lambda: (exports.name(), exports.byte(), exports.u32()))
    assert [index for _, kind, index in kinds if kind == module.MEMORY] == [0]
