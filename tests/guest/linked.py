"""A small component of the shape that componentize-py makes, as text, and how to ask one."""

from __future__ import annotations

import functools
from typing import Any

import wasmtime
from wasmtime import component as wc

LINKED = """
(component
  (import "seven" (func $seven (result u32)))
  (import "log" (func $log (param "text" string)))

  ;; What all share: a memory, a table, and where each library lies in them.
  (core module $Env
    (memory (export "memory") 1)
    (table (export "table") 9 funcref)
    (global (export "stack") (mut i32) (i32.const 4096))
    (global (export "a:table_base") i32 (i32.const 2))
    (global (export "b:table_base") i32 (i32.const 4))
    (global (export "b:memory_base") i32 (i32.const 1024))
    (global (export "GOT.mem:count") (mut i32) (i32.const 1030))
    (global (export "GOT.func:twice") (mut i32) (i32.const 3))
    (global (export "GOT.func:pair") (mut i32) (i32.const 5))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048)))
  (core instance $env (instantiate $Env))

  ;; What needs the memory to be called is called through a table that the last module fills.
  (core module $Shim
    (table (export "$imports") 1 1 funcref)
    (func (export "0") (param i32 i32)
      (call_indirect (param i32 i32) (local.get 0) (local.get 1) (i32.const 0))))
  (core instance $shim (instantiate $Shim))
  (core func $seven (canon lower (func $seven)))

  (core module $A
    (import "env" "memory" (memory 1))
    (import "host" "seven" (func $seven (result i32)))
    (import "env" "table" (table 9 funcref))
    (import "env" "table_base" (global $base i32))
    (import "env" "stack" (global $stack (mut i32)))
    (type $unary (func (param i32) (result i32)))
    (func $unused (export "unused") (param f64) (result f64) (local.get 0))
    (func $twice (export "twice") (type $unary) (i32.mul (local.get 0) (i32.const 2)))
    (func $thrice (type $unary) (i32.mul (local.get 0) (i32.const 3)))
    (func (export "seven") (result i32) (call $seven))
    (func (export "push") (param i32) (result i32)
      (global.set $stack (i32.sub (global.get $stack) (local.get 0)))
      (global.get $stack))
    (elem (global.get $base) func $thrice $twice)
    (data (i32.const 1024) "hello\\00\\05")
    (export "double" (func $twice))
    (export "host-seven" (func $seven)))
  (core instance $a (instantiate $A
    (with "host" (instance (export "seven" (func $seven))))
    (with "env" (instance
      (export "memory" (memory $env "memory")) (export "table" (table $env "table"))
      (export "table_base" (global $env "a:table_base")) (export "stack" (global $env "stack"))))))

  (core module $B
    (import "shim" "0" (func $log (param i32 i32)))
    (import "a" "twice" (func $twice (param i32) (result i32)))
    (import "a" "host-seven" (func $seven (result i32)))
    (import "a" "double" (func $again (param i32) (result i32)))
    (import "env" "memory" (memory 1))
    (import "env" "table" (table 9 funcref))
    (import "env" "table_base" (global $table i32))
    (import "env" "memory_base" (global $memory i32))
    (import "GOT.mem" "count" (global $count (mut i32)))
    (import "GOT.func" "twice" (global $at_twice (mut i32)))
    (import "GOT.func" "pair" (global $at_pair (mut i32)))
    (import "env" "stack" (global $stack (mut i32)))
    (global $own (mut i64) (i64.const -5))
    (global $half f32 (f32.const 0.5))
    (type $pair (func (param i32) (result i32 i32)))
    (type $unary (func (param i32) (result i32)))
    (func $both (type $pair) (local.get 0) (i32.add (local.get 0) (i32.const 1)))
    (func (export "calls") (param i32) (result i32)
      (i32.add (call $twice (local.get 0)) (i32.add (call $again (i32.const 100)) (call $seven))))
    (func (export "through") (param i32 i32) (result i32)
      (call_indirect (type $unary) (local.get 1) (local.get 0)))
    (func (export "got") (param i32) (result i32)
      (call_indirect (type $unary) (i32.load8_u (global.get $count)) (global.get $at_twice))
      (call_indirect (type $pair) (local.get 0) (global.get $at_pair))
      (i32.mul) (i32.add))
    (func (export "top") (result i32)
      (global.set $own (i64.add (global.get $own) (i64.const 1)))
      (i32.add (global.get $stack) (i32.wrap_i64 (global.get $own))))
    (func (export "shout") (param i32) (call $log (global.get $memory) (local.get 0)))
    (func (export "shapes") (param i32) (result i32) (local f64 i32)
      (block $deep (block $two (block $one (block $zero
        (br_table $zero $one $two $deep (local.get 0))) (return (i32.const 10)))
        (local.get 0) (block (type $pair) (param i32) (result i32 i32) (call $both)) (i32.sub) (return))
        (memory.fill (i32.const 0) (i32.const 7) (i32.const 9))
        (memory.copy (i32.const 16) (i32.const 4) (i32.const 3))
        (return (i32.load16_u offset=14 (i32.const 1))))
      (local.set 1 (f64.promote_f32 (f32.mul (global.get $half) (f32.const 9))))
      (drop (memory.grow (i32.const 1)))
      (select (result i32) (i32.trunc_sat_f64_s (local.get 1)) (memory.size) (i32.const 1))
      (loop (result i32) (if (result i32) (ref.is_null (ref.func $both)) (then (i32.const 1)) (else (i32.const -99))))
      (i32.add))
    (elem (table 0) (i32.const 4) func 1 $both)
    (elem (table 0) (global.get $table) func $seven))
  (core instance $b (instantiate $B
    (with "shim" (instance $shim)) (with "a" (instance $a))
    (with "GOT.mem" (instance (export "count" (global $env "GOT.mem:count"))))
    (with "GOT.func" (instance
      (export "twice" (global $env "GOT.func:twice")) (export "pair" (global $env "GOT.func:pair"))))
    (with "env" (instance
      (export "memory" (memory $env "memory")) (export "table" (table $env "table"))
      (export "table_base" (global $env "b:table_base")) (export "memory_base" (global $env "b:memory_base"))
      (export "stack" (global $env "stack"))))))

  (core func $log (canon lower (func $log) (memory (core memory $env "memory")) (realloc (core func $env "realloc"))))
  (core module $Fill
    (import "" "$imports" (table 1 1 funcref))
    (import "" "0" (func (param i32 i32)))
    (elem (i32.const 0) func 0))
  (core instance (instantiate $Fill
    (with "" (instance (export "$imports" (table $shim "$imports")) (export "0" (func $log))))))

  (func (export "twice") (param "x" u32) (result u32) (canon lift (core func $a "twice")))
  (func (export "seven") (result u32) (canon lift (core func $a "seven")))
  (func (export "push") (param "x" u32) (result u32) (canon lift (core func $a "push")))
  (func (export "calls") (param "x" u32) (result u32) (canon lift (core func $b "calls")))
  (func (export "through") (param "slot" u32) (param "x" u32) (result u32) (canon lift (core func $b "through")))
  (func (export "got") (param "x" u32) (result u32) (canon lift (core func $b "got")))
  (func (export "top") (result u32) (canon lift (core func $b "top")))
  (func (export "shout") (param "size" u32) (canon lift (core func $b "shout")))
  (func (export "shapes") (param "x" u32) (result u32) (canon lift (core func $b "shapes"))))
"""

PARAMETERS = {
    name: count
    for count, names in enumerate(("seven top", "twice push calls got shout shapes", "through"))
    for name in names.split()
}
"""What `LINKED` exports, and how many numbers each takes."""


@functools.cache
def engine() -> wasmtime.Engine:
    return wasmtime.Engine()


@functools.cache
def compiled(component: bytes) -> wc.Component:
    return wc.Component(engine(), component)


class Linked:
    """An instance of a component that imports what `LINKED` does. `heard` is what it logged."""

    def __init__(self, component: bytes) -> None:
        self.heard: list[str] = []
        self._store = wasmtime.Store(engine())
        linker = wc.Linker(engine())
        with linker.root() as root:
            root.add_func("seven", lambda _store: 7)
            root.add_func("log", lambda _store, text: self.heard.append(text))
        self._instance = linker.instantiate(self._store, compiled(component))

    def ask(self, name: str, *numbers: int) -> Any:
        """The answer of an export, or the kind of its trap."""
        function = self._instance.get_func(self._store, name)
        assert function is not None
        try:
            answer = function(self._store, *numbers)
        except wasmtime.WasmtimeError as error:
            return str(error).splitlines()[-1].strip()
        function.post_return(self._store)
        return answer
