"""What is declared of wasmtime's C API by hand is what wasmtime-py generated from its headers."""

from __future__ import annotations

import ast
import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from wasmtime import _bindings as generated
from wasmtime import _ffi

from capsule._engine import bindings, library
from capsule._engine.version import SWITCHED_OFF

DECLARED = {
    node.targets[0].id: node.value.args[0].value
    for node in ast.parse(Path(bindings.__file__).read_text("utf-8")).body
    if isinstance(node, ast.Assign)
    and isinstance(node.value, ast.Call)
    and ast.unparse(node.value.func) in {"function", "brief"}
}
"""Our name -> the library's."""

STRUCTURES = {
    "ByteVector": "wasm_byte_vec_t",
    "Text": "wasm_byte_vec_t",
    "Value": "wasmtime_component_val_t",
    "ValueList": "wasmtime_component_vallist_t",
    "ValueTuple": "wasmtime_component_valtuple_t",
    "Instance": "wasmtime_component_instance_t",
    "Function": "wasmtime_component_func_t",
    "_Payload": "wasmtime_component_valunion_t",
    "_Variant": "wasmtime_component_valvariant_t",
    "_Continuation": "wasmtime_async_continuation_t",
    "LinearMemory": "wasmtime_linear_memory_t",
    "MemoryCreator": "wasmtime_memory_creator_t",
}
SECOND_NAMES = {"text": "string"}
"""What two of our names stand for, and its name in the library."""

CALLBACKS = {
    "SyncCallback": "wasmtime_component_func_callback_t",
    "AsyncCallback": "wasmtime_component_func_async_callback_t",
    "ContinuationCallback": "wasmtime_func_async_continuation_callback_t",
    "NewMemoryCallback": "wasmtime_new_memory_callback_t",
    "MemoryGetCallback": "wasmtime_memory_get_callback_t",
    "MemoryGrowCallback": "wasmtime_memory_grow_callback_t",
}


def shape(kind: object) -> object:
    """What C sees of a type: a pointer, or a number of some size and sort."""
    if kind is None:
        return None
    if kind in {ctypes.c_void_p, ctypes.c_char_p} or issubclass(kind, (ctypes._Pointer, ctypes._CFuncPtr)):
        return "pointer"
    return ctypes.sizeof(kind), kind._type_


def test_the_declarations_are_found() -> None:
    """The tables below are read from the source, so that no line escapes."""
    assert len(DECLARED) > 40
    assert {"wasmtime_component_func_call_async", "wasmtime_store_new"} <= set(DECLARED.values())


@pytest.mark.parametrize("name", DECLARED)
def test_a_function(name: str) -> None:
    """Result and arguments are as wasmtime-py has them."""
    ours, theirs = getattr(bindings, name), getattr(generated, f"_{DECLARED[name]}")
    assert shape(ours.restype) == shape(theirs.restype)
    assert [shape(each) for each in ours.argtypes] == [shape(each) for each in theirs.argtypes]


@pytest.mark.parametrize(
    "name", ["wasm_component_model", "epoch_interruption", "consume_fuel", "wasm_custom_page_sizes", *SWITCHED_OFF]
)
def test_a_switch(name: str) -> None:
    """Each setting that we switch is a bool."""
    theirs = getattr(generated, f"_wasmtime_config_{name}_set")
    assert [theirs.restype, *map(shape, theirs.argtypes)] == [None, "pointer", shape(ctypes.c_bool)]


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure(name: str) -> None:
    """It is as large, and what we name of it stands at the same place."""
    ours, theirs = getattr(bindings, name), getattr(generated, STRUCTURES[name])
    assert ctypes.sizeof(ours) == ctypes.sizeof(theirs)
    assert ctypes.alignment(ours) == ctypes.alignment(theirs)
    for field, _ in ours._fields_:
        if not field.startswith("_"):
            place, same = getattr(ours, field), getattr(theirs, SECOND_NAMES.get(field, field))
            assert (place.offset, place.size) == (same.offset, same.size), field


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback(name: str) -> None:
    """Functions of ours are called with what they expect."""
    ours, theirs = getattr(bindings, name), getattr(generated, CALLBACKS[name])
    assert shape(ours._restype_) == shape(theirs._restype_)
    assert [shape(each) for each in ours._argtypes_] == [shape(each) for each in theirs._argtypes_]


@pytest.mark.parametrize("name", ["U8", "U64", "F64", "STRING", "LIST", "TUPLE"])
def test_a_kind_of_value(name: str) -> None:
    """The numbers of the kinds of values."""
    assert getattr(bindings, name) == getattr(_ffi, f"WASMTIME_COMPONENT_{name}").value


def test_it_is_the_same_library() -> None:
    """It is the file that wasmtime-py loads, so both see one wasmtime."""
    assert library._library._name == _ffi.dll._name


def test_wasmtime_py_is_not_imported() -> None:
    """An engine is loaded without it."""
    code = "import sys, capsule._engine.engine; sys.exit('wasmtime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
