"""JSON that a guest wrote, decoded on the event loop, which waits for it."""

from __future__ import annotations

import gc
import re
import sys
from itertools import accumulate
from typing import Any, TypeVar, overload

import msgspec

from ..errors import InvalidArguments

LARGE = 100_000
"""Characters from which the collector is held back, and from which the payloads of host calls are decoded in turn."""

MAX_DEPTH = 500
"""Lists and objects in one another. CPython 3.11 stops the decoder at its limit of recursion. Later releases have
another for functions in C: 3.13 stops it at ten thousand, for which a thread with a stack of 2 MB has no room, and from
3.14 on the decoder does not look at it. A deep value ended the process."""

_LOOK_FIRST = sys.version_info >= (3, 12)
_STRING = rb'"[^"\\]*+(?:\\(?s:.)[^"\\]*+)*+(?:"|\\?\Z)'
"""One without an end takes all that is left. Else each quote in it would be tried, which takes time with its square."""

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")  # as signed bytes: one deeper, one less
T = TypeVar("T")


@overload
def decode(text: str) -> Any: ...
@overload
def decode(text: str, shape: type[T]) -> T: ...
def decode(text: str, shape: Any = Any) -> Any:
    """The value of `text`. Raises MsgspecError, or RecursionError for a value nested too deeply.

    Before CPython 3.12 the collector runs in the middle of it: four million empty lists take 2.2 s instead of 0.3.
    Nothing else can run meanwhile, so holding it back concerns nobody.
    """
    if _LOOK_FIRST:
        check_depth(text)
    if len(text) < LARGE or not gc.isenabled():
        return msgspec.json.decode(text, type=shape)
    gc.disable()
    try:
        return msgspec.json.decode(text, type=shape)
    finally:
        gc.enable()


def check_parts(text: str, most: int) -> None:
    """Raises InvalidArguments if `text`, a JSON text or not, may have more than `most` values in it.

    Counts what stands before each, commas and brackets, those within its texts too: a fiftieth of what decoding takes.
    """
    if len(text) > most and text.count(",") + text.count("[") + text.count("{") > most:
        raise InvalidArguments(f"the payload has more than {most:,} commas and brackets in it")


def check_depth(text: str) -> None:
    """Raises RecursionError if `text`, a JSON text or not, is nested deeper than MAX_DEPTH. Does not recurse itself."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    brackets = re.sub(_STRING, b"", text.encode("utf-8", "replace")).translate(_STEPS, _NOT_BRACKETS)
    if max(accumulate(memoryview(brackets).cast("b")), default=0) > MAX_DEPTH:
        raise RecursionError("the JSON text is nested too deeply")
