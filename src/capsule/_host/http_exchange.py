"""One request of a guest and the redirects it leads to: checked at every hop, bounded while it streams, told about.

The order is the same for each hop: the host against the allow-list, the count of requests, the look-up, each address
that it answered against the allow-list, and then a connection to one of exactly those addresses.
"""

from __future__ import annotations

import base64
import time
from contextlib import aclosing, nullcontext
from typing import Any

import anyio
import httpx2
import msgspec

from .._hosts import Address, normal_address
from .._scrubbing import Scrubber
from .._values import HostRequest
from ..errors import Denied, InvalidArguments
from ..policy import format_size
from .allow_list import allow_list, is_by_address_only
from .http import Http, HttpCaller
from .http_client import HttpClient, Incoming, Outgoing
from .http_network import NO_TLS, REFUSED
from .http_packing import MOST_LAYERS, can_open
from .http_request import Asked, Hop, check_request, hop_after
from .http_secrets import Carried, carried_by
from .turns import Turn

__all__ = ["serve"]

MOST_ADDRESSES = 4
"""Of the addresses that a name has, so many are tried."""


MOST_HEADERS = 200
"""Of a response, as many as a request may have. Each is looked through for values of secrets, which takes a while for
thousands of them; http.client itself stops at 100."""

WITHOUT_TURN, PIECE = 10_000, 500
"""Bytes of a body after which others have a turn of the event loop, and as how many bytes each piece of it counts."""


class TooLarge(Denied):
    """A response is larger than the policy allows."""


class TooManyRedirects(Denied):
    """The redirects do not end within what the policy allows."""


class Failed(Exception):
    """A request that came to nothing; `kind` and the text are for the guest."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


async def serve(http: Http, caller: HttpCaller, payload: Any) -> dict[str, Any]:
    """What the capability answers to a payload; see there."""
    asked = msgspec.convert(payload, Asked)
    hop = check_request(asked)
    if http.client is None:
        http.client = HttpClient(http.ssl_context)
    try:
        with nullcontext() if asked.timeout is None else anyio.fail_after(asked.timeout):
            async with Turn(caller.share):
                return await _Exchange(http, http.client, caller, asked).run(hop)
    except TimeoutError:
        return {"failed": "timeout", "message": f"{hop.url.host} did not answer within {asked.timeout:g} s"}
    except Failed as failed:
        return {"failed": failed.kind, "message": str(failed)}


class _Exchange:
    """One request and the redirects that it leads to."""

    def __init__(self, http: Http, client: HttpClient, caller: HttpCaller, asked: Asked) -> None:
        self._http, self._client, self._caller, self._asked = http, client, caller, asked
        self._allowed = allow_list(caller.policy.allowed_hosts)

    async def run(self, hop: Hop) -> dict[str, Any]:
        most = self._caller.policy.max_redirects
        for followed in range(most + 1):
            self._check_host(hop)
            carried = carried_by(hop, self._caller.secrets)
            carried.check_host()
            self._caller.begin()
            answer = await self._send(hop, carried)
            location = _location(answer) if self._asked.follow else None
            if location is None:
                return answer
            if followed < most:
                hop = _next(hop, answer["status"], location)
        raise TooManyRedirects(f"following more than {most} redirects", "a larger max_redirects")

    def _check_host(self, hop: Hop) -> None:
        if not self._allowed.allows_host(hop.url.host, hop.url.port):
            raise Denied(f"a request to {hop.url.place}", _allow_line(hop))

    async def _send(self, hop: Hop, carried: Carried) -> dict[str, Any]:
        began, status, body, is_refused = time.monotonic(), 0, bytearray(), False
        try:
            addresses = await self._addresses(hop)
            carried.check_addresses(addresses)
            filled = carried.filled(self._caller.policy.max_message_bytes)
            outgoing = Outgoing(hop.method, *filled)
            async with self._client.send(outgoing, addresses, self._caller.share) as response:
                status = response.status
                _check_headers(response, hop)
                is_whole = await self._read(response, body, hop)
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise _failure(error, hop) from None
        except Denied:
            is_refused = not status  # or it was sent, and its response is too large
            raise
        finally:
            if not is_refused:
                self._tell(hop, status, len(body), time.monotonic() - began)
        answer = self._answer(response, bytes(body), hop)
        return answer if is_whole else {**answer, "is_whole": False}

    def _tell(self, hop: Hop, status: int, size: int, seconds: float) -> None:
        url, took = self._caller.secrets.scrub(str(hop.url)), round(seconds * 1000, 3)
        self._caller.tell(HostRequest(method=hop.method, url=url, status=status, bytes=size, duration_ms=took))

    async def _read(self, response: Incoming, body: bytearray, hop: Hop) -> bool:
        """Read the body into `body`, without values of secrets. Whether all of it came. Raises TooLarge."""
        scrubber = self._caller.secrets.scrubber() if self._caller.secrets else None
        is_whole = True
        try:
            await self._read_pieces(response, body, scrubber, self._packings(response, hop))
        except httpx2.RemoteProtocolError:
            if not self._asked.cut:
                raise
            is_whole = False
        if scrubber:
            body += scrubber.rest()
            self._check_size(len(body))
        return is_whole

    async def _read_pieces(
        self, response: Incoming, body: bytearray, scrubber: Scrubber | None, packings: list[str]
    ) -> None:
        work = 0
        async with aclosing(response.pieces(packings)) as pieces:
            async for piece in pieces:
                body += scrubber.feed(piece) if scrubber else piece
                self._check_size(max(len(body), response.came))
                work += len(piece) + PIECE
                if work > WITHOUT_TURN:  # one read may bring thousands of pieces, and a piece be a megabyte
                    work = 0
                    await anyio.lowlevel.checkpoint()

    def _packings(self, response: Incoming, hop: Hop) -> list[str]:
        """The packings that are opened here: all or none. Where there are secrets all are: nobody finds a value in a
        packed body.
        """
        secrets = self._caller.secrets
        packings = response.packings() if self._asked.decode or secrets else []
        if can_open(packings):
            return packings
        if secrets or len(packings) > MOST_LAYERS:
            raise Failed("connection", f"{hop.url.host} packs the body in a way that the host cannot open")
        return []

    def _answer(self, response: Incoming, body: bytes, hop: Hop) -> dict[str, Any]:
        gone = _FRAMING | {"content-encoding", "content-length"} if self._packings(response, hop) else _FRAMING
        secrets = self._caller.secrets
        headers = [
            (secrets.scrub_bytes(name).decode("latin-1"), secrets.scrub_bytes(value).decode("latin-1"))
            for name, value in response.headers
            if name.decode("latin-1").lower() not in gone
        ]
        return {
            "status": response.status,
            # The bytes: a value in them is not itself any more without those that are not ASCII.
            "reason": secrets.scrub_bytes(response.reason).decode("ascii", "ignore"),
            "url": secrets.scrub(str(hop.url)),
            "headers": headers,
            "body": base64.b64encode(body).decode("ascii"),
        }

    def _check_size(self, size: int) -> None:
        policy = self._caller.policy
        if size > policy.max_response_bytes:
            most = format_size(policy.max_response_bytes)
            raise TooLarge(f"a response of more than {most}", "a larger max_response")
        if size * 4 // 3 > policy.max_message_bytes:  # it crosses as base64
            most = format_size(policy.max_message_bytes)
            raise TooLarge(f"a response that takes more than {most} as a message", "a larger max_message")

    async def _addresses(self, hop: Hop) -> list[Address]:
        literal = normal_address(hop.url.host)
        try:
            found = [literal] if literal is not None else await self._look_up(hop)
        except (OSError, UnicodeError):
            raise Failed("connection", f"there is no host {hop.url.host}") from None
        for address in found:
            if not self._allowed.allows_address(hop.url.host, hop.url.port, address):
                _refuse_address(hop, address, is_literal=literal is not None)
        if not found:
            raise Failed("connection", f"there is no host {hop.url.host}")
        return found[:MOST_ADDRESSES]

    async def _look_up(self, hop: Hop) -> list[Address]:
        return await self._http.addresses(hop.url.host, hop.url.port, self._caller.look_ups)


def _check_headers(response: Incoming, hop: Hop) -> None:
    if len(response.headers) > MOST_HEADERS:
        raise Failed("connection", f"{hop.url.place} answers with more than {MOST_HEADERS} headers")


def _next(hop: Hop, status: int, location: str) -> Hop:
    try:
        return hop_after(hop, status, location)
    except InvalidArguments:  # the server's fault, and not that of whoever asked
        place = hop.url.place
        raise Failed("connection", f"{place} redirects to what is no URL") from None


def _refuse_address(hop: Hop, address: Address, *, is_literal: bool) -> None:
    if is_literal:
        raise Denied(f"a request to {hop.url.host}, which is no public address,", _allow_line(hop))
    if is_by_address_only(address):
        raise Denied(
            f"a request to {hop.url.host}, whose address is link-local or otherwise special,",
            "that address itself in allowed_hosts",
        )
    raise Denied(f"a request to {hop.url.host}, whose address is not public,", _allow_line(hop))


def _allow_line(hop: Hop) -> str:
    return f'allowed_hosts=["{hop.url.place}"]'


def _location(answer: dict[str, Any]) -> str | None:
    """Where a redirect leads, without values of secrets; None for any other response."""
    is_redirect = answer["status"] in {301, 302, 303, 307, 308}
    return next((value for name, value in answer["headers"] if is_redirect and name.lower() == "location"), None)


_FRAMING = {"connection", "keep-alive", "proxy-connection", "trailer", "transfer-encoding", "upgrade"}
"""Headers about the connection to the server, which is not the guest's."""


def _failure(error: Exception, hop: Hop) -> Failed:
    """What the guest may know of an error of the client's: never its text, which may name addresses or files."""
    place = hop.url.place
    if isinstance(error, httpx2.ConnectTimeout):
        return Failed("timeout", f"{place} did not take a connection in time")
    if isinstance(error, httpx2.ConnectError):
        is_tls = str(error) == NO_TLS
        kind = "refused" if str(error) == REFUSED else "connection"
        return Failed(kind, f"no secure connection to {place}" if is_tls else f"no connection to {place}")
    if isinstance(error, httpx2.DecodingError):
        return Failed("connection", f"the body from {place} is not what its Content-Encoding says")
    if isinstance(error, httpx2.RemoteProtocolError):
        return Failed("connection", f"{place} does not speak HTTP as it should, or hung up too early")
    return Failed("connection", f"the connection to {place} broke")
