"""The capability "package": a guest reads the packages of its own program, a file at a time.

Which set that is stands in the program and is never said by a guest. A name is looked up in the set's own table of
contents and means nothing else; no path of this machine is made of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import anyio
import msgspec

from ..abc import CallContext, Capability
from ..errors import Denied, InvalidArguments, InvalidPackages

__all__ = ["Readable", "make_package_capability"]

MOST_NAME = 400

MOST_AHEAD = 1 << 20
"""Characters of modules that are handed over before they are asked for."""


class Readable(Protocol):
    """A set of packages."""

    def find(self, module: str) -> tuple[str, bool] | None:
        """The path of a module and whether it is a package."""

    def code(self, path: str) -> str | None:
        """Its byte code as text."""

    def ahead(self, module: str, seen: set[str]) -> Iterable[str]:
        """What will be imported because `module` is, but for what is in `seen`, which gets it."""

    def code_size(self, path: str) -> int:
        """Characters of its byte code; 0 if there is none."""

    def size(self, path: str) -> int | None:
        """Bytes of a file."""

    def read(self, path: str) -> bytes:
        """A file."""

    def entries(self, folder: str) -> dict[str, int | None] | None:
        """What is in a folder, with the bytes of files."""

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder at a path."""


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    module: str | None = None
    ahead: bool = False
    file: str | None = None
    folder: str | None = None
    status: str | None = None


def make_package_capability(
    set_of: Callable[[CallContext], Readable | None], room_of: Callable[[CallContext], int]
) -> Capability:
    """The capability. `set_of` answers the packages of a caller's program, in a thread, as it may open files; `room_of`
    says how many bytes its guest takes at once.

    `{"module"}` answers `{"path", "is_package", "code"?, "source"?}` or null, `{"file"}` the content in base64 or
    null, `{"folder"}` its names, each with its bytes or null for a folder, or null. `{"status"}` answers the bytes of a
    file, -1 for a folder, or null. With `{"module", "ahead": true}` there is `"ahead"` too: the same by
    name for what that module will import, once for each message; else a package of sixty modules is sixty host calls.
    Raises Denied for a program without packages, and InvalidPackages where those that are kept are damaged.
    """
    sent = WeakKeyDictionary[Any, set[str]]()

    async def package(context: CallContext, payload: Any) -> Any:
        asked = msgspec.convert(payload, _Asked)
        names = [name for name in (asked.module, asked.file, asked.folder, asked.status) if name is not None]
        if len(names) != 1 or len(names[0]) > MOST_NAME:
            raise InvalidArguments(f"package: one module, file or folder, of at most {MOST_NAME} characters")
        most = min(MOST_AHEAD, room_of(context)) if asked.ahead else 0
        seen = sent.setdefault(context.state, set()) if most > 0 else set()
        return await anyio.to_thread.run_sync(lambda: _answer(set_of(context), asked, most, seen))

    return package


def _answer(found: Readable | None, asked: _Asked, most: int, seen: set[str]) -> Any:
    if found is None:
        raise Denied("reading packages", 'packages=["..."], or a block of script metadata in the file,')
    if asked.module is not None:
        answer = _module(found, asked.module)
        if answer is not None and asked.ahead:
            answer["ahead"] = _ahead(found, asked.module, most, seen)
        return answer
    if asked.file is not None:
        return base64.b64encode(found.read(asked.file)).decode() if found.size(asked.file) is not None else None
    if asked.status is not None:
        return -1 if found.is_folder(asked.status) else found.size(asked.status)
    return found.entries(asked.folder or "")


def _ahead(found: Readable, module: str, most: int, seen: set[str]) -> dict[str, Any]:
    """As much as takes `most` characters of byte code. What has none is asked for when it is imported."""
    ahead: dict[str, Any] = {}
    seen.add(module)
    for name in found.ahead(module, seen) if most > 0 else ():
        where = found.find(name)
        size = found.code_size(where[0]) if where else 0
        most -= size + len(name)
        if most < 0:
            break
        try:
            if size:
                ahead[name] = _module(found, name)
        except (OSError, InvalidPackages):  # it is damaged, which its own import will say
            break
    return ahead


def _module(found: Readable, name: str) -> dict[str, Any] | None:
    where = found.find(name)
    if where is None:
        return None
    path, is_package = where
    answer: dict[str, Any] = {"path": path, "is_package": is_package}
    if found.size(path) is None:  # a folder without code of its own
        return answer
    code = found.code(path)
    return {**answer, "code": code} if code else {**answer, "source": base64.b64encode(found.read(path)).decode()}
