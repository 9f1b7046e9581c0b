;; A CPython extension module in text form: `_capsule_probe.pages()` answers the size of the linear memory in
;; pages of 64 KiB, which no call of wasmtime's C API does for a component. `wat2wasm` turns it into the shared
;; library that componentize-py links when it finds `_capsule_probe.cpython-314-wasm32-wasi.so` on the path.
;;
;; Layout at $base (all offsets from CPython 3.14's headers, 32-bit):
;;    0  the text "_capsule_probe"        16  the text "pages"
;;   24  PyMethodDef[2]: name, function, flags, doc; then zeros
;;   56  PyModuleDef: base 20 bytes (reference count first), m_name, m_doc, m_size, m_methods
(module
  (@dylink.0 (mem-info (memory 136 4) (table 1 0)))
  (import "env" "memory" (memory 0))
  (import "env" "__indirect_function_table" (table 1 funcref))
  (import "env" "__memory_base" (global $base i32))
  (import "env" "__table_base" (global $table i32))
  (import "env" "PyModule_Create2" (func $create (param i32 i32) (result i32)))
  (import "env" "PyLong_FromLong" (func $long (param i32) (result i32)))
  (func $pages (param i32 i32) (result i32)
    (call $long (memory.size)))
  (elem (global.get $table) func $pages)
  (data (global.get $base) "_capsule_probe\00\00pages\00\00\00")
  (func $at (param i32) (result i32)
    (i32.add (global.get $base) (local.get 0)))
  (func (export "__wasm_apply_data_relocs")
    (i32.store (call $at (i32.const 24)) (call $at (i32.const 16)))
    (i32.store (call $at (i32.const 28)) (global.get $table))
    (i32.store (call $at (i32.const 32)) (i32.const 4))            ;; METH_NOARGS
    (i32.store (call $at (i32.const 56)) (i32.const 1))            ;; a reference that is never given up
    (i32.store (call $at (i32.const 76)) (call $at (i32.const 0))) ;; m_name
    (i32.store (call $at (i32.const 84)) (i32.const -1))           ;; m_size: no state of its own
    (i32.store (call $at (i32.const 88)) (call $at (i32.const 24))));; m_methods
  (func (export "PyInit__capsule_probe") (result i32)
    (call $create (call $at (i32.const 56)) (i32.const 1013))))    ;; PYTHON_API_VERSION
