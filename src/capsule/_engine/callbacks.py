"""The functions that wasmtime calls, from C, on a carrier, on the guest's own stack.

Nothing may raise through them: an exception cannot cross C, and one that is not an Exception has been seen to end
the process. Each catches BaseException, leaves it with the sandbox it belongs to, and answers with an error that
ends that guest only. They are module-level because ctypes frees a callback that nobody holds.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import bindings as c
from . import values
from .calls import Refused
from .handles import new_error

if TYPE_CHECKING:
    from .guest_state import GuestState

LIVE: dict[int, GuestState] = {}
"""Live sandboxes by the number that their store carries: how a callback finds whose call it is."""

_MOST_NAME = 256  # bytes in the name of an operation
_MOST_RANDOM = 256  # what wasi-libc asks for at a time; wasmtime's own answers up to 64 MiB, for 260 ms on our thread


def _state_of(context: c.Pointer) -> GuestState:
    return LIVE[c.context_get_data(context)]


def _guarded(state: GuestState | None, work: Callable[[], None]) -> str | None:
    """Run `work`; what it raises goes into the sandbox's own slot, and its text is answered."""
    try:
        work()
    except BaseException as error:
        if state is not None and state.host_error is None:
            state.host_error = error
        return str(error) if isinstance(error, (Refused, values.TooLong)) else "host error"
    return None


def _sync(work: Callable[[GuestState, Any, Any], None]) -> Any:
    """A plain host function from `work(state, args, results)`."""

    def callback(data: int, context: Any, kind: Any, args: Any, nargs: int, results: Any, nresults: int) -> int:
        try:
            state = _state_of(context)
            failed = _guarded(state, lambda: work(state, args, results))
            return 0 if failed is None else new_error(failed)
        except BaseException:
            return new_error("host error")

    return c.SyncCallback(callback)


def _submit(state: GuestState, args: Any, results: Any) -> None:
    if args[0].of.string.size > _MOST_NAME:
        raise Refused(f"the name of an operation has at most {_MOST_NAME} bytes")
    operation = values.lift_string(args[0], _MOST_NAME)
    payload = values.lift_string(args[1], state.limits.max_message)
    values.lower_u64(results[0], state.calls.submit(operation, payload))


def _cancel(state: GuestState, args: Any, results: Any) -> None:
    state.calls.cancel(values.lift_u64(args[0]))


def _at_once(env: int) -> bool:
    return True


# Held here: ctypes frees a callback that nobody holds.
_AT_ONCE = c.ContinuationCallback(_at_once)


def _waiting(begin: Callable[[GuestState, Any, Any], int]) -> Any:
    """A host function that parks the guest. `begin(state, args, results)` answers the address of what says whether it
    may go on.
    """

    def callback(
        data: int,
        context: Any,
        kind: Any,
        args: Any,
        nargs: int,
        results: Any,
        nresults: int,
        error: Any,
        continuation: Any,
    ) -> None:
        try:
            # First of all: wasmtime aborts the process if the continuation is left unset.
            continuation.contents.callback = _AT_ONCE
            state = _state_of(context)

            def work() -> None:
                continuation.contents.env = begin(state, args, results)

            failed = _guarded(state, work)
            if failed is None:
                continuation.contents.callback = c.IS_TEXT
                return
        except BaseException:
            failed = "host error"
        error[0] = ctypes.cast(new_error(failed), c.ErrorPointer)

    return c.AsyncCallback(callback)


def _next(state: GuestState, args: Any, results: Any) -> int:
    """Parks the guest until there is a completion, which its state hands over."""
    return state.begin_wait(values.lift_f64(args[0]), results[0])


def _checkpoint(state: GuestState, args: Any, results: Any) -> int:
    """Parks the guest until it is polled again."""
    return state.begin_turn()


def _write(state: GuestState, args: Any, results: Any) -> None:
    text = args[1].of.string
    data = ctypes.string_at(text.data, min(text.size, state.output.room))
    state.output.write(values.lift_u8(args[0]), data, text.size)


def _random_bytes(state: GuestState, args: Any, results: Any) -> None:
    count = values.lift_u64(args[0])
    if count > _MOST_RANDOM:
        raise Refused(f"more than {_MOST_RANDOM} random bytes in one call are not allowed: ask for fewer at a time")
    values.lower_bytes(results[0], os.urandom(count))


next_completion = _waiting(_next)
checkpoint = _waiting(_checkpoint)
submit = _sync(_submit)
cancel = _sync(_cancel)
write = _sync(_write)
random_bytes = _sync(_random_bytes)


def refusal(what: str, allow: str) -> Any:
    """A host function that ends the guest: it asked for `what`; `allow` says what would allow it."""

    def work(state: GuestState, args: Any, results: Any) -> None:
        raise Refused(f"{what} is not allowed: {allow}")

    return _sync(work)


class Aborted(Exception):
    """The interpreter inside the sandbox gave up and was about to say so on its own standard error."""


def _abort(state: GuestState, args: Any, results: Any) -> None:
    raise Aborted


abort = _sync(_abort)
