"""One pooled HTTP client for a runtime, which connects to addresses that it is given and looks up no name itself.

A connection in the pool belongs to a scheme, a name, a port and the address that was checked for it. So no request
rides on a connection that was made for another name (its certificate was not checked for this one) or to an address
that its own policy was not asked about.

Of httpx2 it is the connections, which are its httpcore2, and the errors. Its AsyncClient follows redirects, keeps
cookies, reads the environment, adds headers and logs each URL, and none of it is wanted here; its requests and
responses took a tenth of the time, and what opens packed bodies does so in steps without a bound.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from types import TracebackType

import anyio
import httpcore2
import httpx2
import msgspec

from .._hosts import Address
from .http_packing import Opened
from .http_pool import Pool
from .http_url import Url
from .turns import Turn

__all__ = ["HttpClient", "Incoming", "Outgoing"]

MOST_CONNECTIONS = 500
"""Open at once in a runtime; requests beyond them wait for their turn."""

_CONNECT_SECONDS = 10.0
_TIMEOUTS = {"connect": _CONNECT_SECONDS}
"""The rest of a request's time is its caller's to bound, as a whole and not for each read."""

_HAVE_BODIES = {"POST", "PUT", "PATCH", "QUERY"}
"""Methods of which a server waits to hear how long the body is, even if there is none."""


class Outgoing(msgspec.Struct, frozen=True):
    """A request as it goes out, header for header."""

    method: str
    url: Url
    headers: Sequence[tuple[str, str]]
    body: bytes | None

    def to(self, address: Address) -> httpcore2.Request:
        """The same for a connection to `address`, with Host and the length of the body added."""
        url, length = self.url, len(self.body or b"")
        headers = [(b"Host", url.place.encode("ascii"))]
        if length or self.method in _HAVE_BODIES:
            headers.append((b"Content-Length", b"%d" % length))
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        return httpcore2.Request(
            self.method,
            httpcore2.URL(scheme=url.scheme, host=f"{url.host} {address}", port=url.explicit_port, target=url.target),
            headers=headers,
            content=self.body,
            extensions={"timeout": _TIMEOUTS, "sni_hostname": url.host},
        )


class Incoming:
    """A response whose body is still to be read, once."""

    def __init__(self, response: httpcore2.Response, give_back: Callable[[], Awaitable[None]]) -> None:
        self._response, self._give_back = response, give_back
        self.status = response.status
        self.headers: Sequence[tuple[bytes, bytes]] = response.headers
        self.reason: bytes = response.extensions.get("reason_phrase", b"")
        self.came = 0
        """Bytes of the body that came by now; once it is opened, those that came out of a packing, if they are more."""

    def packings(self) -> list[str]:
        """How the body is packed, the outermost last; often not at all."""
        values = [value for name, value in self.headers if name.lower() == b"content-encoding"]
        words = (word.strip().lower() for word in b",".join(values).decode("latin-1").split(","))
        return [word for word in words if word not in {"", "identity"}]

    async def pieces(self, packings: Sequence[str] = ()) -> AsyncGenerator[bytes]:
        """The body as it comes, opened as far as `packings` say. Some pieces are empty.

        Raises httpx2.HTTPError, DecodingError for what is not packed so.
        """
        opened, wire = Opened(packings), 0
        with _Translated():
            async with aclosing(self._response.aiter_stream()) as pieces:
                async for data in pieces:
                    wire += len(data)
                    for piece in opened.feed(data):
                        self.came = max(wire, opened.largest)
                        yield piece

    async def aclose(self) -> None:
        """The rest of the body is not wanted."""
        try:
            await self._response.aclose()
        finally:
            await self._give_back()


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
        self._pool = Pool(ssl_context)

    @asynccontextmanager
    async def send(self, outgoing: Outgoing, addresses: Sequence[Address], owner: object) -> AsyncIterator[Incoming]:
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

    async def _first(self, outgoing: Outgoing, addresses: Sequence[Address], owner: object) -> Incoming:
        for address in addresses[:-1]:
            try:
                return await self._to(address, outgoing, owner)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):  # nothing was sent yet
                continue
        return await self._to(addresses[-1], outgoing, owner)

    async def _to(self, address: Address, outgoing: Outgoing, owner: object) -> Incoming:
        request = outgoing.to(address)
        origin = request.url.origin
        connection = await self._pool.take(origin, owner, has_body=bool(outgoing.body))
        try:
            with _Translated():
                response = await connection.handle_async_request(request)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._pool.give_back(origin, owner, connection)
            raise
        return Incoming(response, lambda: self._pool.give_back(origin, owner, connection))

    async def aclose(self) -> None:
        """Close every connection that is idle, and the others when their requests end. Waits for no other side."""
        await self._pool.aclose()


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
