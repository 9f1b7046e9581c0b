"""The part of wasmtime's C API that capsule calls, declared, and the version it was checked against.

wasmtime-py generates such declarations from the C headers, of all there is, and puts synchronous classes on top. This
room calls the asynchronous component functions directly and owns every handle itself. A test compares each line below
with wasmtime-py's. Pointers to what only the library looks into are plain addresses.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_double, c_int64, c_size_t, c_uint8, c_uint32, c_uint64
from ctypes import c_void_p as address
from typing import Any, ClassVar

from .._versions import version_of
from ..errors import SetupError
from .library import brief, c_library, function

CHECKED_VERSION = "50.0"
WASI_VERSION = "0.2.12"
"""Of the WASI interfaces that libwasmtime 50.0 defines. A shadow under another version hides nothing."""

INSTALLED_VERSION = version_of("wasmtime")

if not INSTALLED_VERSION.startswith(CHECKED_VERSION + "."):
    raise SetupError(
        f"wasmtime {INSTALLED_VERSION} is installed, and capsule's bindings were checked against {CHECKED_VERSION}; "
        f"run: pip install 'wasmtime=={CHECKED_VERSION}.*'"
    )

Pointer = Any
"""A pointer to one of wasmtime's structures: an address, or what ctypes made of one."""

# Values of the component model. The union has the members alone that capsule reads or writes, and the largest.

U8, U64, F64, STRING, LIST, TUPLE = 2, 8, 10, 12, 13, 15


class ByteVector(ctypes.Structure):
    """`wasm_byte_vec_t`"""

    _fields_: ClassVar = [("size", c_size_t), ("data", POINTER(c_uint8))]


class Value(ctypes.Structure):
    """`wasmtime_component_val_t`"""


class ValueList(ctypes.Structure):
    """`wasmtime_component_vallist_t`"""

    _fields_: ClassVar = [("size", c_size_t), ("data", POINTER(Value))]


class ValueTuple(ctypes.Structure):
    """`wasmtime_component_valtuple_t`"""

    _fields_: ClassVar = [("size", c_size_t), ("data", POINTER(Value))]


class Text(ctypes.Structure):
    """A ByteVector that is read only: bytes of Python's can stand in it, which it keeps alive."""

    _fields_: ClassVar = [("size", c_size_t), ("data", ctypes.c_char_p)]


class _Variant(ctypes.Structure):
    _fields_: ClassVar = [("discriminant", ByteVector), ("val", POINTER(Value))]


class _Payload(ctypes.Union):
    _fields_: ClassVar = [
        ("u8", c_uint8),
        ("u64", c_uint64),
        ("f64", c_double),
        ("string", ByteVector),
        ("text", Text),
        ("list", ValueList),
        ("tuple", ValueTuple),
        ("variant", _Variant),
    ]


Value._fields_ = [("kind", c_uint8), ("of", _Payload)]


class Instance(ctypes.Structure):
    """`wasmtime_component_instance_t`"""

    _fields_: ClassVar = [("store_id", c_uint64), ("_private", c_uint32)]


class Function(ctypes.Structure):
    """`wasmtime_component_func_t`"""

    _fields_: ClassVar = [("_instance", Instance), ("_private", c_uint32), ("_private_too", address)]


class _Error(ctypes.Structure):
    pass


ErrorPointer = POINTER(_Error)

# Functions of ours that the library calls.

Finalizer = CFUNCTYPE(None, address)
NO_FINALIZER = ctypes.cast(0, Finalizer)
ContinuationCallback = CFUNCTYPE(c_bool, address)
IS_TEXT = ContinuationCallback(("strlen", c_library))
"""True where a byte of one stands before a zero, false where a zero does. C alone asks this, at every poll of a guest
that waits: a function of ours would have to get in line for the interpreter lock each time.
"""


class _Continuation(ctypes.Structure):
    _fields_: ClassVar = [("callback", ContinuationCallback), ("env", address), ("finalizer", Finalizer)]


_VALUES = (POINTER(Value), c_size_t)
_CALL = (address, address, address, *_VALUES, *_VALUES)
SyncCallback = CFUNCTYPE(c_size_t, *_CALL)
AsyncCallback = CFUNCTYPE(None, *_CALL, POINTER(ErrorPointer), POINTER(_Continuation))

# Memories that we make, and the engine asks for.

MemoryGetCallback = CFUNCTYPE(c_size_t, address, POINTER(c_size_t), POINTER(c_size_t))
MemoryGrowCallback = CFUNCTYPE(c_size_t, address, c_size_t)


class LinearMemory(ctypes.Structure):
    """`wasmtime_linear_memory_t`"""

    _fields_: ClassVar = [
        ("env", address),
        ("get_memory", MemoryGetCallback),
        ("grow_memory", MemoryGrowCallback),
        ("finalizer", Finalizer),
    ]


NewMemoryCallback = CFUNCTYPE(c_size_t, address, address, *[c_size_t] * 4, POINTER(LinearMemory))


class MemoryCreator(ctypes.Structure):
    """`wasmtime_memory_creator_t`"""

    _fields_: ClassVar = [("env", address), ("new_memory", NewMemoryCallback), ("finalizer", Finalizer)]


# The engine.

config_new = function("wasm_config_new", address)
config_async_stack_size = function("wasmtime_config_async_stack_size_set", None, address, c_size_t)
config_max_wasm_stack = function("wasmtime_config_max_wasm_stack_set", None, address, c_size_t)
config_memory_creator = function("wasmtime_config_host_memory_creator_set", None, address, POINTER(MemoryCreator))
engine_new = function("wasm_engine_new_with_config", address, address)
engine_delete = function("wasm_engine_delete", None, address)
engine_increment_epoch = function("wasmtime_engine_increment_epoch", None, address)


def config_switch(config: Pointer, name: str, is_on: bool) -> None:
    """Switch a setting of an engine that is on or off."""
    function(f"wasmtime_config_{name}_set", None, address, c_bool)(config, is_on)


# The component, and what it can import.

component_new = function("wasmtime_component_new", address, address, c_char_p, c_size_t, address)
component_serialize = function("wasmtime_component_serialize", address, address, POINTER(ByteVector))
component_load = function("wasmtime_component_deserialize_file", address, address, c_char_p, address)
component_delete = function("wasmtime_component_delete", None, address)
component_get_export = function("wasmtime_component_get_export_index", address, address, address, c_char_p, c_size_t)
linker_new = function("wasmtime_component_linker_new", address, address)
linker_delete = function("wasmtime_component_linker_delete", None, address)
linker_add_wasi = function("wasmtime_component_linker_add_wasip2", address, address)
linker_allow_shadowing = function("wasmtime_component_linker_allow_shadowing", None, address, c_bool)
linker_root = function("wasmtime_component_linker_root", address, address)
linker_add_instance = function(
    "wasmtime_component_linker_instance_add_instance", address, address, c_char_p, c_size_t, address
)
linker_instance_delete = function("wasmtime_component_linker_instance_delete", None, address)
linker_add_async = function(
    "wasmtime_component_linker_instance_add_func_async",
    *(address, address, c_char_p, c_size_t, AsyncCallback, address, Finalizer),
)
linker_add_sync = function(
    "wasmtime_component_linker_instance_add_func",
    *(address, address, c_char_p, c_size_t, SyncCallback, address, Finalizer),
)

# A store and its context.

store_new = brief("wasmtime_store_new", address, address, address, Finalizer)
store_delete = function("wasmtime_store_delete", None, address)
store_context = brief("wasmtime_store_context", address, address)
store_limiter = brief("wasmtime_store_limiter", None, address, c_int64, c_int64, c_int64, c_int64, c_int64)
context_get_data = brief("wasmtime_context_get_data", address, address)
context_get_fuel = brief("wasmtime_context_get_fuel", address, address, POINTER(c_uint64))
context_set_fuel = brief("wasmtime_context_set_fuel", address, address, c_uint64)
context_set_wasi = brief("wasmtime_context_set_wasi", address, address, address)
context_set_epoch_deadline = brief("wasmtime_context_set_epoch_deadline", None, address, c_uint64)
context_yield_at_fuel = brief("wasmtime_context_fuel_async_yield_interval", address, address, c_uint64)
context_yield_at_epoch = brief("wasmtime_context_epoch_deadline_async_yield_and_update", address, address, c_uint64)
wasi_new = brief("wasi_config_new", address)
wasi_delete = function("wasi_config_delete", None, address)
wasi_preopen_dir = function("wasi_config_preopen_dir", c_bool, address, c_char_p, c_char_p, c_bool)

# Calls.

future_poll = function("wasmtime_call_future_poll", c_bool, address)
future_delete = function("wasmtime_call_future_delete", None, address)
future_delete_ended = brief("wasmtime_call_future_delete", None, address)
instantiate_async = brief(
    "wasmtime_component_linker_instantiate_async",
    *(address, address, address, address, POINTER(Instance), POINTER(ErrorPointer)),
)
instance_get_function = brief(
    "wasmtime_component_instance_get_func", c_bool, POINTER(Instance), address, address, POINTER(Function)
)
call_async = brief(
    "wasmtime_component_func_call_async",
    *(address, POINTER(Function), address, *_VALUES, *_VALUES, POINTER(ErrorPointer)),
)

# Values and errors.

value_delete = brief("wasmtime_component_val_delete", None, POINTER(Value))
bytes_new = brief("wasm_byte_vec_new", None, POINTER(ByteVector), c_size_t, POINTER(c_uint8))
bytes_delete = function("wasm_byte_vec_delete", None, POINTER(ByteVector))
list_new = brief("wasmtime_component_vallist_new", None, POINTER(ValueList), c_size_t, POINTER(Value))
tuple_new = brief("wasmtime_component_valtuple_new_uninit", None, POINTER(ValueTuple), c_size_t)
error_new = function("wasmtime_error_new", address, c_char_p)
error_delete = function("wasmtime_error_delete", None, address)
error_message = function("wasmtime_error_message", None, address, POINTER(ByteVector))
