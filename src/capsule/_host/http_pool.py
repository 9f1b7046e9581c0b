"""Connections that are open and free, by where they lead. Taking one costs the same however many there are.

httpcore2 has a pool, which looks at every connection for every request: with five hundred open that was most of what
a request cost. The connections are its own.
"""

from __future__ import annotations

import ssl
import time
from typing import Any, TypeAlias
from weakref import WeakSet

import anyio
import httpcore2
import httpx2

from .http_network import ToAddress

__all__ = ["Pool"]

Connection: TypeAlias = httpcore2.AsyncHTTPConnection

Place: TypeAlias = tuple[bytes, bytes, int, object]
"""Scheme, host and port of an origin, and whose it is: None for everybody's."""

_MOST_IDLE = 50
_IDLE_SECONDS = 15.0


class Pool:
    """Owns connections that nobody uses; those in use are with whoever took them. `aclose` ends the idle ones.

    A connection that has carried a body stays with its `owner`: a server that does not read the body would take it for
    the next request, and answer that to whoever asks next.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context, self._network = ssl_context, ToAddress()
        self._loading = anyio.Lock()
        self._idle: dict[Place, list[Connection]] = {}
        self._oldest_first: dict[Connection, tuple[Place, float]] = {}  # where, and since when
        self._carried = WeakSet[Connection]()
        self._is_open = True

    async def take(self, origin: httpcore2.Origin, owner: object, *, has_body: bool) -> Connection:
        """A connection to `origin` that nobody else has: the one used last, or a new one, which connects when used."""
        await self._close_expired()
        connection = await self._idle_one(origin, owner) or await self._new(origin)
        if has_body:
            self._carried.add(connection)
        return connection

    async def _idle_one(self, origin: httpcore2.Origin, owner: object) -> Connection | None:
        for place in (_place_of(origin, owner), _place_of(origin, None)):
            while free := self._idle.get(place):
                connection = free[-1]
                self._forget(connection)
                if not connection.has_expired():
                    return connection
                await _close(connection)
        return None

    async def _new(self, origin: httpcore2.Origin) -> Connection:
        context = await self._trust() if origin.scheme == b"https" else None
        return httpcore2.AsyncHTTPConnection(
            origin, context, keepalive_expiry=_IDLE_SECONDS, network_backend=self._network
        )

    async def _trust(self) -> ssl.SSLContext:
        """Whose certificates are good. To read them takes 40 to 170 ms: once, when they are needed, and in a thread."""
        async with self._loading:
            if self._ssl_context is None:
                self._ssl_context = await anyio.to_thread.run_sync(_default_context)
        return self._ssl_context

    async def give_back(self, origin: httpcore2.Origin, owner: object, connection: Connection) -> None:
        """It is used no more: kept if another request can use it, and else closed."""
        if not self._is_open or not connection.is_idle() or connection.is_closed() or _has_more(connection):
            await _close(connection)
            return
        place = _place_of(origin, owner if connection in self._carried else None)
        self._idle.setdefault(place, []).append(connection)
        self._oldest_first[connection] = place, time.monotonic()
        if len(self._oldest_first) > _MOST_IDLE:
            await self._close_oldest()

    async def aclose(self) -> None:
        """Close what is idle, and from now on whatever is given back."""
        self._is_open = False
        while self._oldest_first:
            await self._close_oldest()

    async def _close_expired(self) -> None:
        # By the clock alone: `has_expired` asks the system, which is for the one connection that is to be used.
        latest = time.monotonic() - _IDLE_SECONDS
        while self._oldest_first and next(iter(self._oldest_first.values()))[1] < latest:
            await self._close_oldest()

    async def _close_oldest(self) -> None:
        connection = next(iter(self._oldest_first))
        self._forget(connection)
        await _close(connection)

    def _forget(self, connection: Connection) -> None:
        place, _ = self._oldest_first.pop(connection)
        self._idle[place].remove(connection)
        if not self._idle[place]:
            del self._idle[place]


def _default_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


def _place_of(origin: httpcore2.Origin, owner: object) -> Place:
    return origin.scheme, origin.host, origin.port, owner


def _has_more(connection: Connection) -> bool:
    """Whether the other side has sent more than its answer, which whoever asks next would take for theirs."""
    http11: Any = connection._connection  # noqa: SLF001 - httpcore2 itself does not look, and has no other way to ask
    return bool(http11._h11_state.trailing_data[0])  # noqa: SLF001


async def _close(connection: Connection) -> None:
    with anyio.CancelScope(shield=True):
        await connection.aclose()
