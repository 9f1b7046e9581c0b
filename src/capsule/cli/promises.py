"""What some modules get from one that is put off, so that it stays so.

`from module import name` asks for the name at once, and most that do so only pass it on: it stands in an annotation, or
in a function that a plain run does not call. They get a promise, which does what is done with it to what it stands for.
And some ask for a constant, which is kept with the byte code of its module.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PROMISED = frozenset(
    {
        ("anyio._backends._asyncio", "anyio._core._sockets", "convert_ipv6_sockaddr"),
        ("anyio._backends._asyncio", "anyio._core._streams", "create_memory_object_stream"),
        ("anyio._core._exceptions", "textwrap", "dedent"),
        ("anyio.abc._sockets", "ipaddress", "IPv4Address"),
        ("anyio.abc._sockets", "ipaddress", "IPv6Address"),
        ("pathlib", "urllib.parse", "quote_from_bytes"),
    }
)
"""Who takes which name from which of them. Whoever else asks has it loaded."""

BASES = frozenset({("inspect", "ast", "NodeVisitor")})
"""Who derives a class from which of them, that it has no instance of before it asks the module for something else. It
gets a class without anything, which gives way to the real one then."""

ASKED = {"dis": ("COMPILER_FLAG_NAMES",)}
"""Constants by module: inspect asks for this one, to name its own."""

CONSTANTS = "constants"
"""Where they are kept: under this word, the module and the stamp of its source."""


class Promise:
    """Stands for a function or a class that is not there yet, and for a union with one."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._find()(*args, **kwargs)

    def __getitem__(self, item: Any) -> Any:
        return self._find()[item]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def __or__(self, other: Any) -> Promise:
        return Promise(lambda: _real(self) | _real(other))

    def __ror__(self, other: Any) -> Promise:
        return Promise(lambda: _real(other) | _real(self))

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._find())


def _real(thing: Any) -> Any:
    return thing._find() if type(thing) is Promise else thing  # noqa: SLF001
