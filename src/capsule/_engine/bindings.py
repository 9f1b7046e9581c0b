"""The names of wasmtime's C API that capsule calls, and the version they were checked against.

wasmtime-py generates these bindings from the C headers. Its classes are synchronous, so this room calls the
asynchronous component functions directly and owns every handle itself.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Callable
from typing import Any, TypeAlias

from wasmtime import _bindings as c
from wasmtime import _ffi as ffi

from ..errors import SetupError

CHECKED_VERSION = "50.0"
WASI_VERSION = "0.2.12"
"""Of the WASI interfaces that libwasmtime 50.0 defines. A shadow under another version hides nothing."""

INSTALLED_VERSION = importlib.metadata.version("wasmtime")

if not INSTALLED_VERSION.startswith(CHECKED_VERSION + "."):
    raise SetupError(
        f"wasmtime {INSTALLED_VERSION} is installed, and capsule's bindings were checked against {CHECKED_VERSION}; "
        f"run: pip install 'wasmtime=={CHECKED_VERSION}.*'"
    )

Pointer = Any
"""A ctypes pointer to one of wasmtime's structures."""

NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))

U8 = ffi.WASMTIME_COMPONENT_U8.value
U64 = ffi.WASMTIME_COMPONENT_U64.value
F64 = ffi.WASMTIME_COMPONENT_F64.value
LIST = ffi.WASMTIME_COMPONENT_LIST.value
STRING = ffi.WASMTIME_COMPONENT_STRING.value
TUPLE = ffi.WASMTIME_COMPONENT_TUPLE.value

Value: TypeAlias = c.wasmtime_component_val_t
ValueList: TypeAlias = c.wasmtime_component_vallist_t
ValueTuple: TypeAlias = c.wasmtime_component_valtuple_t
Instance: TypeAlias = c.wasmtime_component_instance_t
Function: TypeAlias = c.wasmtime_component_func_t
ErrorPointer = ctypes.POINTER(c.wasmtime_error_t)

AsyncCallback = c.wasmtime_component_func_async_callback_t
SyncCallback = c.wasmtime_component_func_callback_t
ContinuationCallback = c.wasmtime_func_async_continuation_callback_t

MemoryCreator: TypeAlias = c.wasmtime_memory_creator_t
NewMemoryCallback = c.wasmtime_new_memory_callback_t
MemoryGetCallback = c.wasmtime_memory_get_callback_t
MemoryGrowCallback = c.wasmtime_memory_grow_callback_t
Finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _brief(name: str) -> Callable[..., Any]:
    """A function of a microsecond, called with the interpreter lock held: to give the lock away and ask for it back
    costs more, and beside a busy event loop each time is one at which a carrier has to queue for it.
    """
    declared = getattr(c, "_" + name)
    return ctypes.PYFUNCTYPE(declared.restype, *declared.argtypes)((name, ffi.dll))


store_new = c.wasmtime_store_new
store_delete = c.wasmtime_store_delete
store_context = c.wasmtime_store_context
store_limiter = c.wasmtime_store_limiter
context_get_data = _brief("wasmtime_context_get_data")
context_get_fuel = _brief("wasmtime_context_get_fuel")
context_set_fuel = _brief("wasmtime_context_set_fuel")
context_set_wasi = c.wasmtime_context_set_wasi
context_set_epoch_deadline = _brief("wasmtime_context_set_epoch_deadline")
context_yield_at_fuel = c.wasmtime_context_fuel_async_yield_interval
context_yield_at_epoch = c.wasmtime_context_epoch_deadline_async_yield_and_update
engine_increment_epoch = c.wasmtime_engine_increment_epoch
config_memory_creator = c.wasmtime_config_host_memory_creator_set
config_async_stack_size = c.wasmtime_config_async_stack_size_set

future_poll = c.wasmtime_call_future_poll
future_delete = c.wasmtime_call_future_delete
instantiate_async = c.wasmtime_component_linker_instantiate_async
call_async = _brief("wasmtime_component_func_call_async")
instance_get_function = _brief("wasmtime_component_instance_get_func")
component_get_export = c.wasmtime_component_get_export_index
linker_add_async = c.wasmtime_component_linker_instance_add_func_async
linker_add_sync = c.wasmtime_component_linker_instance_add_func

value_delete = _brief("wasmtime_component_val_delete")
bytes_new = _brief("wasm_byte_vec_new")
bytes_delete = c.wasm_byte_vec_delete
list_new = _brief("wasmtime_component_vallist_new")
tuple_new = _brief("wasmtime_component_valtuple_new_uninit")

error_new = c.wasmtime_error_new
error_delete = c.wasmtime_error_delete
error_message = c.wasmtime_error_message
ByteVector = c.wasm_byte_vec_t

wasi_new = c.wasi_config_new
wasi_delete = c.wasi_config_delete
wasi_preopen_dir = c.wasi_config_preopen_dir
