"""Byte code of programs that run again, so that a fresh sandbox need not parse and compile what many have before it.

To compile is half the work of the smallest task, and nine tenths of what it takes to start a program of some hundred
lines. But a guest is hostile, and nothing that one made may reach another. So byte code comes only from a sandbox of
its own, which is given the source of one program and runs none of it; and it is kept under all that went in: the texts,
and the names that tracebacks show. It is made beside the runs, never before one, and it ends with the runtime. The
sandbox that compiles is one beyond `max_sandboxes`, and the only one: a full runtime is where it is needed most.
"""

from __future__ import annotations

import base64
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from ._values import Program

__all__ = ["Codes"]

MOST_PROGRAMS = 1000
"""That are remembered, those among them that ran once."""

MOST_BYTES = 64 << 20
"""Of all byte code that is kept."""

MOST_CODE = 1 << 20
"""Bytes of one program's; it lies in the memory of each of its sandboxes."""

MOST_GROWTH = 8
"""Times the source, and a kilobyte: to read more than that takes longer than to compile the source."""

MOST_SOURCE = 1 << 20
"""Characters of one program, with its modules."""

MOST_KEY = 2048
"""Characters of a program that is kept under its own text."""

SHORT = 500
"""Characters; what is shorter runs twice as often before it is worth a sandbox."""

_QUOTED = rb"[=\x80-\xff]"
"""What `binascii.a2b_qp` must not see as it is, or the guest not as a character: one byte in twenty-five of byte code.
Of all ways to hand bytes over as text, a guest reads this one at the least cost, and hardly feels it if it does not."""

Compile = Callable[[list[tuple[str, str]]], Awaitable[Any]]
"""What a sandbox makes of (path, source): a list of texts, None for each that has no byte code. None if it failed."""


class _Known(msgspec.Struct):
    runs: int = 0
    code: tuple[str, ...] = ()
    is_settled: bool = False
    """Whether there will be no other code."""

    @property
    def size(self) -> int:
        return sum(map(len, self.code))


class Codes:
    """The byte code of one open runtime."""

    def __init__(self, compiled: Compile, start_soon: Callable[..., None]) -> None:
        """`start_soon` is of the task group that owns the work."""
        self._compiled, self._start_soon = compiled, start_soon
        self._known: OrderedDict[str | bytes, _Known] = OrderedDict()
        self._size = 0
        self._is_busy = False
        self._is_closed = False

    def of(self, program: Program) -> Sequence[str]:
        """For a sandbox that is about to load `program`: byte code of it and of its modules, quoted-printable.

        It is "" for those without, and empty if there is none: then it is made soon, if this has been asked often
        enough. Does not wait.
        """
        files = [(program.path, program.source), *((module.path, module.source) for module in program.modules)]
        size = sum(len(source) for _, source in files)
        if not program.source or size > MOST_SOURCE or self._is_closed:
            return ()
        key = _key(files)
        known = self._known.setdefault(key, _Known())
        self._known.move_to_end(key)
        known.runs += 1
        self._forget()
        if not known.is_settled and known.runs >= (2 if size >= SHORT else 4) and not self._is_busy:
            self._is_busy = True
            self._start_soon(self._make, key, files)
        return known.code

    def close(self) -> None:
        """Make no more."""
        self._is_closed = True
        self._known.clear()

    async def _make(self, key: str | bytes, files: list[tuple[str, str]]) -> None:
        try:
            self._keep(key, _checked(await self._compiled(files), files))
        finally:
            self._is_busy = False

    def _keep(self, key: str | bytes, code: tuple[str, ...]) -> None:
        known = self._known.get(key)
        if known is not None:  # else it was forgotten meanwhile
            known.code, known.is_settled = code, True
            self._size += known.size
            self._forget()

    def _forget(self) -> None:
        """Let go of what was not asked for longest, down to the caps."""
        while len(self._known) > MOST_PROGRAMS or self._size > MOST_BYTES:
            _, oldest = self._known.popitem(last=False)
            self._size -= oldest.size


def _key(files: list[tuple[str, str]]) -> str | bytes:
    """What stands for these texts alone: a digest, or all of them if they are short, for hashlib is long to load."""
    texts = "".join(f"{len(path)}:{path}{len(source)}:{source}" for path, source in files)
    if len(texts) <= MOST_KEY:
        return texts
    import hashlib

    return hashlib.blake2b(texts.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def _checked(made: Any, files: list[tuple[str, str]]) -> tuple[str, ...]:
    """What a sandbox answered, which is not trusted, as texts; empty if it is of no use."""
    if not isinstance(made, list) or len(made) != len(files):
        return ()
    if sum(len(text) for text in made if isinstance(text, str)) > MOST_CODE * 3 // 2:  # before the loop decodes it
        return ()
    code = tuple(_code_in(text, source) for text, (_, source) in zip(made, files, strict=True))
    return code if 0 < sum(map(len, code)) <= MOST_CODE else ()


def _code_in(text: Any, source: str) -> str:
    """What `text` says in base64, as sandboxes are given it; "" if it says nothing, or more than is worth it."""
    if not isinstance(text, str) or len(text) > MOST_GROWTH * len(source) + 1024:
        return ""
    try:
        code = base64.b64decode(text, validate=True)
    except ValueError:  # binascii's is one
        return ""
    return re.sub(_QUOTED, lambda found: b"=%02X" % ord(found[0]), code).decode()
