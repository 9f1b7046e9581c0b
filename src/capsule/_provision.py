"""The packages of one runtime's programs: at hand before a program runs, open while guests read them.

Their byte code is made by a sandbox, which has the right Python for it and which nothing in a package's source can
leave. It only compiles; no code of a package runs there.
"""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from msgspec.structs import replace

from ._values import Packages, Parameter, Program, TaskSpec
from ._versions import version_of
from .abc import CallContext
from .errors import InvalidProgram, SetupError

if TYPE_CHECKING:  # what reads packages is large, and most runtimes have none
    from ._installing import Progress
    from ._packages.shelf import Code, PackageSet

__all__ = ["COMPILER", "Provision"]

MOST_OPEN = 32
"""Sets that are open at once; one that is needed again is opened again."""

MOST_AT_WORK = 4
"""Sets that are fetched at once; a slow one does not hold up the others."""

MOST_KNOWN = 1000

MOST_IMPORTS = 500
"""Modules that a file is taken to import first."""

BATCH = 512 << 10
"""Bytes of source that one call compiles."""

COMPILER = Program(
    path="compile.py",
    source="from capsule_sdk._byte_code import of_packages, of_program",
    tasks=tuple(
        TaskSpec(
            name="compile",
            function=function,
            line=1,
            parameters=(Parameter(name="files", kind="positional_or_keyword", required=True),),
        )
        for function in ("of_packages", "of_program")
    ),
)
"""What the sandbox does. A file that does not compile goes along as its source, and fails where it is imported."""

Compile = Callable[[list[tuple[str, str]]], Awaitable[list[Any] | None]]
"""Runs COMPILER on files (path, base64 of the source); None if its sandbox did not answer."""


class Provision:
    """Makes packages ready and reads them. `extra` are those that every program of the runtime gets."""

    def __init__(self, extra: Sequence[str], *, takes_declared: bool) -> None:
        """Raises InvalidPackages."""
        self._extra = _parsed(extra)
        self._takes_declared = takes_declared
        self._ready: dict[tuple[str, ...], Packages] = {}
        self._open: OrderedDict[str, PackageSet] = OrderedDict()
        self._locks: dict[tuple[str, ...], anyio.Lock] = {}
        self._at_work = anyio.CapacityLimiter(MOST_AT_WORK)
        self._opening = threading.Lock()
        self._compile: Compile | None = None
        self._progress: Progress = lambda _: None

    @cached_property
    def _guest(self) -> str:
        """Whose byte code it is."""
        return version_of("componentize-py")

    @property
    def extra_names(self) -> frozenset[str]:
        """What every program can import, by top-level name, once `prepare` has answered."""
        return frozenset(self._ready[self._extra].names) if self._extra else frozenset()

    def use(self, compiled: Compile, progress: Progress) -> None:
        """What the open runtime offers: how code is compiled, and who hears of what takes long."""
        self._compile, self._progress = compiled, progress

    def check(self, program: Program) -> None:
        """Raises InvalidProgram if the program declares packages and files may not."""
        if program.requirements and not self._takes_declared:
            wanted = ", ".join(program.requirements)
            reason = f"the file declares packages ({wanted}), and this runtime takes none from files"
            raise InvalidProgram(f"{reason}; Runtime(script_packages=True) would", path=program.path)

    async def prepare(self, program: Program) -> Program:
        """`program` with its packages at hand. Raises InvalidPackages, SetupError and InvalidProgram."""
        self.check(program)
        wanted = tuple(sorted({*self._extra, *program.requirements}))
        if not wanted:
            return program
        found = self._at_hand(wanted)
        if found is None:
            found = await self._fetched(wanted)
        return replace(program, packages=found)

    def _at_hand(self, wanted: tuple[str, ...]) -> Packages | None:
        """What was made ready before, unless it was found to be damaged since."""
        found = self._ready.get(wanted)
        opened = self._open.get(found.key) if found is not None else None
        if found is None or opened is None or not opened.is_damaged:
            return found
        with self._opening:
            if self._open.get(found.key) is opened:
                del self._open[found.key]  # closed when the last thread that reads it lets go
        del self._ready[wanted]
        return None

    async def _fetched(self, wanted: tuple[str, ...]) -> Packages:
        """One caller does the work; others who want the same wait, and take over if it is cancelled."""
        try:
            async with self._locks.setdefault(wanted, anyio.Lock()), self._at_work:
                found = self._at_hand(wanted) or await self._make_ready(wanted)
        finally:
            self._locks.pop(wanted, None)  # who comes late to it waits for the same file lock instead
        if len(self._ready) >= MOST_KNOWN:  # files declare what they like
            self._ready = {self._extra: self._ready[self._extra]} if self._extra in self._ready else {}
        self._ready[wanted] = found
        return found

    async def _make_ready(self, wanted: tuple[str, ...]) -> Packages:
        from ._installing import code_file, install, open_set
        from ._packages.shelf import key_of

        key = key_of(wanted)
        code = code_file(key, self._guest)
        found = await anyio.to_thread.run_sync(open_set, key, code)
        if found is None:
            found = await anyio.to_thread.run_sync(open_set, key)
            if found is None:
                await install(wanted, self._progress)
                found = await anyio.to_thread.run_sync(open_set, key)
            if found is None:
                raise SetupError("the packages were fetched and are gone again: something removes files of the cache")
            try:
                await self._make_code(found, code)
            finally:
                found.close()
            found = await anyio.to_thread.run_sync(open_set, key, code)
            if found is None:
                raise SetupError("the packages' byte code is gone again: something removes files of the cache")
        with_names = Packages(key=key, names=found.names)
        found.close()
        return with_names

    async def _make_code(self, found: PackageSet, target: Path) -> None:
        from ._packages.shelf import write_code

        self._progress("compiling packages")
        code: dict[str, Code] = {}
        batch: list[tuple[str, str]] = []
        size = 0
        for path in found.sources():
            source = await anyio.to_thread.run_sync(found.read, path)
            batch.append((path, base64.b64encode(source).decode()))
            size += len(source)
            if size >= BATCH:
                code |= await self._compiled(batch, found)
                batch, size = [], 0
        code |= await self._compiled(batch, found)
        await anyio.to_thread.run_sync(write_code, target, code)

    async def _compiled(self, batch: list[tuple[str, str]], found: PackageSet) -> dict[str, Code]:
        from ._packages.shelf import Code

        assert self._compile is not None
        made = await self._compile([(f"/packages/{path}", source) for path, source in batch]) if batch else []
        if made is None and len(batch) > 1:  # one of them was too much for a sandbox: it alone stays a source
            middle = len(batch) // 2
            first = await self._compiled(batch[:middle], found)
            return {**first, **await self._compiled(batch[middle:], found)}
        codes = zip(batch, msgspec.convert(made or [], list[Code | None]), strict=False)
        return {
            path: Code(code.text, tuple(dict.fromkeys(found.with_packages(code.imports[:MOST_IMPORTS]))))
            for (path, _), code in codes
            if code is not None
        }

    def set_of(self, context: CallContext) -> PackageSet | None:
        """The packages of the program that a guest runs. Called in threads."""
        packages = context.program.packages
        return None if packages is None else self._opened(packages.key)

    def _opened(self, key: str) -> PackageSet:
        from ._installing import code_file, open_set

        with self._opening:
            if key not in self._open:
                found = open_set(key, code_file(key, self._guest))
                if found is None:
                    raise SetupError("the packages are gone: something removed files of the cache")
                self._open[key] = found
                if len(self._open) > MOST_OPEN:  # closed when the last thread that reads it lets go
                    self._open.popitem(last=False)
            self._open.move_to_end(key)
            return self._open[key]

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            self._open.popitem()[1].close()


def _parsed(wanted: Sequence[str]) -> tuple[str, ...]:
    """Raises InvalidPackages."""
    if isinstance(wanted, (list, tuple)) and not wanted:
        return ()
    from ._packages.requirements import parse_all

    return parse_all(wanted)
