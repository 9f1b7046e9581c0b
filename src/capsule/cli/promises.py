"""What some modules get from one that is put off, so that it stays so.

`from module import name` asks for the name at once, and most that do so only pass it on: it stands in an annotation, or
in a function that a plain run does not call. They get a promise, which does what is done with it to what it stands for,
and gives way to it once that is there. And some ask for a constant, which is kept with the byte code of its module.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    Get = Callable[[str], Any]
    """What a module has under a name."""

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

CONSTANTS = frozenset({("inspect", "dis", "COMPILER_FLAG_NAMES")})
"""Who asks for which dict that is always the same."""

KEPT = "constants"
"""Where these are kept: under this word, the module and the stamp of its source."""


class Promise:
    """Stands for a function or a class that is not there yet, and for a union with one."""

    __slots__ = ("_made_of", "_of")

    def __init__(self, of: ModuleType, made_of: Callable[[Get], Any]) -> None:
        """Of a module that is put off; `made_of` makes it of what the module has, which it is given a way to."""
        self._of, self._made_of = of, made_of

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _real(self)(*args, **kwargs)

    def __getitem__(self, item: Any) -> Any:
        return _real(self)[item]

    def __getattr__(self, name: str) -> Any:
        if name in Promise.__slots__:  # of a copy that is being made
            raise AttributeError(name)
        return getattr(_real(self), name)

    def __or__(self, other: Any) -> Promise:
        return Promise(self._of, lambda get: _made(self, get) | _made(other, get))

    def __ror__(self, other: Any) -> Promise:
        return Promise(self._of, lambda get: _made(other, get) | _made(self, get))

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, _real(self))

    def __subclasscheck__(self, cls: type) -> bool:
        return issubclass(cls, _real(self))

    def __eq__(self, other: object) -> bool:
        return bool(_real(self) == _real(other))

    def __hash__(self) -> int:
        return hash(_real(self))

    def __reduce_ex__(self, _: Any) -> tuple[Any, ...]:
        return _real, (_real(self),)  # copied and pickled as what it stands for


def _made(thing: Any, get: Get) -> Any:
    return thing._made_of(get) if type(thing) is Promise else thing  # noqa: SLF001


def _real(thing: Any) -> Any:
    """What it stands for: its module is loaded for that."""
    return _made(thing, lambda name: getattr(thing._of, name))  # noqa: SLF001


_bases: dict[tuple[str, str], type] = {}


def promise(who: str | None, module: ModuleType, name: str) -> Any:
    """What `who` gets of `module` under `name`; None if nothing was promised, and it has to be loaded."""
    of = module.__name__, name
    if (who, *of) in PROMISED:
        return Promise(module, lambda get: get(name))
    return _bases.setdefault(of, type(name, (), {})) if (who, *of) in BASES else None


def keep_promises(module: ModuleType) -> None:
    """All of it is there: what stood for its names gives way to them, where it was given to. It is asked for none."""
    names = module.__dict__
    for (of, name), base in [*_bases.items()]:
        if of == module.__name__ and name in names:
            derived: Any
            for derived in type.__subclasses__(base):
                derived.__bases__ = (names[name],)
    for owner in {sys.modules.get(who) for who, of, name in PROMISED if of == module.__name__ and name in names}:
        for name, value in [*getattr(owner, "__dict__", {}).items()]:
            if type(value) is Promise and value._of is module:  # noqa: SLF001
                setattr(owner, name, _made(value, names.__getitem__))
