"""One pooled HTTP client for a runtime, which connects to addresses that it is given and looks up no name itself.

A connection in the pool belongs to a scheme, a name, a port and the address that was checked for it. So no request
rides on a connection that was made for another name (its certificate was not checked for this one) or to an address
that its own policy was not asked about.

Of httpx2 it is the requests, the responses and the connections below them, without its AsyncClient: that one follows
redirects, keeps cookies, reads the environment, adds headers and logs each URL, and none of it is wanted here.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

import anyio
import httpcore2
import httpx2

from .._hosts import Address
from .http_pool import Pool
from .turns import Turn

__all__ = ["HttpClient", "Outgoing", "pieces_of"]

MOST_CONNECTIONS = 500
"""Open at once in a runtime; requests beyond them wait for their turn."""

_CONNECT_SECONDS = 10.0
_TIMEOUTS = {"connect": _CONNECT_SECONDS}
"""The rest of a request's time is its caller's to bound, as a whole and not for each read."""


@dataclass(frozen=True)
class Outgoing:
    """A request as it goes out, header for header."""

    method: str
    url: httpx2.URL
    headers: Sequence[tuple[str, str]]
    body: bytes | None

    def request(self) -> httpx2.Request:
        """The same for httpx2, which adds Host and the length of the body."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        return httpx2.Request(self.method, self.url, headers=headers, content=self.body)


_is_ours: ContextVar[bool] = ContextVar("_is_ours", default=False)
"""Whether a request of a guest is under way in this task."""


class _NotOurs(logging.Filter):
    """httpcore2 logs the headers of each response at debug level, and values of secrets may come back in them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _is_ours.get()


for _name in ("httpcore2.connection", "httpcore2.http11"):
    logging.getLogger(_name).addFilter(_NotOurs())


class HttpClient:
    """Sends single requests, each over a connection of its own or one that is free again. `aclose` ends them all."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._turns = anyio.CapacityLimiter(MOST_CONNECTIONS)
        self._pool = Pool(ssl_context or httpx2.create_ssl_context(trust_env=False))

    @asynccontextmanager
    async def send(
        self, outgoing: Outgoing, addresses: Sequence[Address], owner: object
    ) -> AsyncIterator[httpx2.Response]:
        """One request to the first of `addresses` that takes a connection; the response's body is not read yet.

        A connection that carries a body is `owner`'s alone from then on. Raises httpx2.HTTPError. Redirects are answers
        like any other.
        """
        async with Turn(self._turns):
            quiet = _is_ours.set(True)
            try:
                response = await self._first(outgoing, addresses, owner)
                try:
                    yield response
                finally:
                    with anyio.CancelScope(shield=True):
                        await response.aclose()
            finally:
                _is_ours.reset(quiet)

    async def _first(self, outgoing: Outgoing, addresses: Sequence[Address], owner: object) -> httpx2.Response:
        for address in addresses[:-1]:
            try:
                return await self._to(address, outgoing, owner)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):  # nothing was sent yet
                continue
        return await self._to(addresses[-1], outgoing, owner)

    async def _to(self, address: Address, outgoing: Outgoing, owner: object) -> httpx2.Response:
        request = outgoing.request()
        name = request.url.raw_host.decode("ascii")
        inner = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=request.url.raw_scheme,
                host=f"{name} {address}".encode("ascii"),
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions={"timeout": _TIMEOUTS, "sni_hostname": name},
        )
        origin = inner.url.origin
        connection = await self._pool.take(origin, owner, has_body=bool(outgoing.body))
        try:
            with _Translated():
                answer = await connection.handle_async_request(inner)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._pool.give_back(origin, owner, connection)
            raise
        return httpx2.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, lambda: self._pool.give_back(origin, owner, connection)),
            extensions={"reason_phrase": answer.extensions.get("reason_phrase", b"")},
            request=request,
        )

    async def aclose(self) -> None:
        """Close every connection that is idle, and the others when their requests end. Waits for no other side."""
        await self._pool.aclose()


def pieces_of(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """The body of a response of `HttpClient.send` as it comes, without the layers that would open what is packed."""
    assert isinstance(response.stream, _Body)
    return response.stream.pieces()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: httpcore2.Response, give_back: Callable[[], Awaitable[None]]) -> None:
        self._answer, self._give_back = answer, give_back
        self._is_closed = False

    def __aiter__(self) -> AsyncGenerator[bytes]:
        return self.pieces()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """What comes. Raises httpx2.HTTPError."""
        with _Translated():
            async with aclosing(self._answer.aiter_stream()) as pieces:
                async for piece in pieces:
                    yield piece

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            try:
                await self._answer.aclose()
            finally:
                await self._give_back()


_KINDS: tuple[tuple[type[Exception], type[httpx2.HTTPError]], ...] = (
    (httpcore2.ConnectTimeout, httpx2.ConnectTimeout),
    (httpcore2.TimeoutException, httpx2.ReadTimeout),
    (httpcore2.ConnectError, httpx2.ConnectError),
    (httpcore2.NetworkError, httpx2.ReadError),
    (httpcore2.ProtocolError, httpx2.RemoteProtocolError),
)


class _Translated:
    """Raises httpx2's errors for httpcore2's."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for inner, outer in _KINDS:
            if isinstance(error, inner):
                raise outer(str(error)) from error
