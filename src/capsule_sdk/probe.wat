;; A CPython extension module in text form, for the two things that Python code cannot do from inside:
;;   `_capsule_probe.pages()` answers the size of the linear memory in pages of 64 KiB, which no call of wasmtime's
;;   C API does for a component;
;;   `_capsule_probe.immortalize(object)` makes an object immortal, so that its reference count is never written again
;;   (see _settle.py). The value is CPython 3.14's _Py_IMMORTAL_INITIAL_REFCNT on 32-bit platforms, 5 << 28.
;; `wat2wasm` turns it into the shared library that componentize-py links when it finds
;; `_capsule_probe.cpython-314-wasm32-wasi.so` on the path.
;;
;; Layout at $base (offsets from CPython 3.14's headers, 32-bit):
;;    0  the text "_capsule_probe"        16  the text "pages"        24  the text "immortalize"
;;   40  PyMethodDef[3]: name, function, flags, doc; the last one all zeros
;;   88  PyModuleDef: base of 20 bytes (reference count first), m_name, m_doc, m_size, m_methods
(module
  (@dylink.0 (mem-info (memory 144 4) (table 2 0)))
  (import "env" "memory" (memory 0))
  (import "env" "__indirect_function_table" (table 2 funcref))
  (import "env" "__memory_base" (global $base i32))
  (import "env" "__table_base" (global $table i32))
  (import "env" "PyModule_Create2" (func $create (param i32 i32) (result i32)))
  (import "env" "PyLong_FromLong" (func $long (param i32) (result i32)))
  (func $pages (param $self i32) (param $none i32) (result i32)
    (call $long (memory.size)))
  (func $immortalize (param $self i32) (param $object i32) (result i32)
    (i32.store (local.get $object) (i32.const 0x50000000))
    (local.get $object))
  (elem (global.get $table) func $pages $immortalize)
  (data (global.get $base) "_capsule_probe\00\00pages\00\00\00immortalize\00")
  (func $at (param i32) (result i32)
    (i32.add (global.get $base) (local.get 0)))
  (func (export "__wasm_apply_data_relocs")
    (i32.store (call $at (i32.const 40)) (call $at (i32.const 16)))
    (i32.store (call $at (i32.const 44)) (global.get $table))
    (i32.store (call $at (i32.const 48)) (i32.const 4))             ;; METH_NOARGS
    (i32.store (call $at (i32.const 56)) (call $at (i32.const 24)))
    (i32.store (call $at (i32.const 60)) (i32.add (global.get $table) (i32.const 1)))
    (i32.store (call $at (i32.const 64)) (i32.const 8))             ;; METH_O
    (i32.store (call $at (i32.const 88)) (i32.const 1))             ;; a reference that is never given up
    (i32.store (call $at (i32.const 108)) (call $at (i32.const 0))) ;; m_name
    (i32.store (call $at (i32.const 116)) (i32.const -1))           ;; m_size: no state of its own
    (i32.store (call $at (i32.const 120)) (call $at (i32.const 40)))) ;; m_methods
  (func (export "PyInit__capsule_probe") (result i32)
    (call $create (call $at (i32.const 88)) (i32.const 1013))))     ;; PYTHON_API_VERSION
