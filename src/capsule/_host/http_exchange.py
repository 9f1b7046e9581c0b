"""One request of a guest and the redirects it leads to: checked at every hop, bounded while it streams, told about.

The order is the same for each hop: the host against the allow-list, the count of requests, the look-up, each address
that it answered against the allow-list, and then a connection to one of exactly those addresses.
"""

from __future__ import annotations

import base64
import time
from contextlib import aclosing
from typing import Any

import anyio
import httpx2
import msgspec

from .._hosts import Address, host_text, normal_address
from .._values import HostRequest
from ..errors import Denied
from ..policy import format_size
from .allow_list import AllowList, is_by_address_only
from .http import Http, HttpCaller
from .http_client import HttpClient, Outgoing
from .http_network import NO_TLS
from .http_request import Asked, Hop, check_request, hop_after

__all__ = ["serve"]

MOST_ADDRESSES = 4
"""Of the addresses that a name has, so many are tried."""


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
        with anyio.fail_after(asked.timeout):
            async with caller.share:
                return await _Exchange(http, http.client, caller, asked).run(hop)
    except TimeoutError:
        return {"failed": "timeout", "message": f"{hop.url.host} did not answer within {asked.timeout:g} s"}
    except Failed as failed:
        return {"failed": failed.kind, "message": str(failed)}


class _Exchange:
    """One request and the redirects that it leads to."""

    def __init__(self, http: Http, client: HttpClient, caller: HttpCaller, asked: Asked) -> None:
        self._http, self._client, self._caller, self._asked = http, client, caller, asked
        self._allowed = AllowList(caller.policy.allowed_hosts)

    async def run(self, hop: Hop) -> dict[str, Any]:
        most = self._caller.policy.max_redirects
        for followed in range(most + 1):
            self._check_host(hop)
            self._caller.begin()
            answer, location = await self._send(hop)
            if location is None or not self._asked.follow:
                return answer
            if followed < most:
                hop = hop_after(hop, answer["status"], location)
        raise TooManyRedirects(f"following more than {most} redirects", "a larger max_redirects")

    def _check_host(self, hop: Hop) -> None:
        if not self._allowed.allows_host(hop.host, hop.port):
            raise Denied(f"a request to {host_text(hop.host, hop.explicit_port)}", _allow_line(hop))

    async def _send(self, hop: Hop) -> tuple[dict[str, Any], str | None]:
        began, status, size = time.monotonic(), 0, 0
        try:
            addresses = await self._addresses(hop)
            outgoing = Outgoing(hop.method, hop.url, hop.headers, hop.body)
            async with self._client.send(outgoing, addresses) as response:
                status = response.status_code
                body = bytearray()
                async with aclosing(response.aiter_bytes() if self._asked.decode else response.aiter_raw()) as pieces:
                    async for piece in pieces:
                        body += piece
                        size = len(body)
                        self._check_size(max(size, response.num_bytes_downloaded))
                        await anyio.lowlevel.checkpoint()  # a piece is up to a megabyte of work
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise _failure(error, hop) from None
        finally:
            took = round((time.monotonic() - began) * 1000, 3)
            told = HostRequest(method=hop.method, url=hop.told, status=status, bytes=size, duration_ms=took)
            self._caller.tell(told)
        return _answer(response, bytes(body), hop, is_decoded=self._asked.decode), _location(response)

    def _check_size(self, size: int) -> None:
        policy = self._caller.policy
        if size > policy.max_response_bytes:
            most = format_size(policy.max_response_bytes)
            raise TooLarge(f"a response of more than {most}", "a larger max_response")
        if size * 4 // 3 > policy.max_message_bytes:  # it crosses as base64
            most = format_size(policy.max_message_bytes)
            raise TooLarge(f"a response that takes more than {most} as a message", "a larger max_message")

    async def _addresses(self, hop: Hop) -> list[Address]:
        literal = normal_address(hop.host)
        try:
            found = [literal] if literal is not None else await self._http.resolve(hop.host, hop.port)
        except (OSError, UnicodeError):
            raise Failed("connection", f"there is no host {hop.host}") from None
        for address in found:
            if not self._allowed.allows_address(hop.host, hop.port, address):
                _refuse_address(hop, address, is_literal=literal is not None)
        if not found:
            raise Failed("connection", f"there is no host {hop.host}")
        return found[:MOST_ADDRESSES]


def _refuse_address(hop: Hop, address: Address, *, is_literal: bool) -> None:
    if is_literal:
        raise Denied(f"a request to {hop.host}, which is no public address,", _allow_line(hop))
    if is_by_address_only(address):
        raise Denied(
            f"a request to {hop.host}, whose address is link-local or otherwise special,",
            "that address itself in allowed_hosts",
        )
    raise Denied(f"a request to {hop.host}, whose address is not public,", _allow_line(hop))


def _allow_line(hop: Hop) -> str:
    return f'allowed_hosts=["{host_text(hop.host, hop.explicit_port)}"]'


def _location(response: httpx2.Response) -> str | None:
    """Where a redirect leads; None for any other response."""
    is_redirect = response.status_code in {301, 302, 303, 307, 308}
    return response.headers.get("location") if is_redirect else None


_FRAMING = {"connection", "keep-alive", "proxy-connection", "trailer", "transfer-encoding", "upgrade"}
"""Headers about the connection to the server, which is not the guest's."""


def _answer(response: httpx2.Response, body: bytes, hop: Hop, *, is_decoded: bool) -> dict[str, Any]:
    gone = _FRAMING
    if is_decoded and "content-encoding" in response.headers:
        gone = _FRAMING | {"content-encoding", "content-length"}
    headers = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in response.headers.raw
        if name.decode("latin-1").lower() not in gone
    ]
    return {
        "status": response.status_code,
        "reason": response.reason_phrase,
        "url": str(hop.url),
        "headers": headers,
        "body": base64.b64encode(body).decode("ascii"),
    }


def _failure(error: Exception, hop: Hop) -> Failed:
    """What the guest may know of an error of the client's: never its text, which may name addresses or files."""
    place = host_text(hop.host, hop.explicit_port)
    if isinstance(error, httpx2.ConnectTimeout):
        return Failed("timeout", f"{place} did not take a connection in time")
    if isinstance(error, httpx2.ConnectError):
        is_tls = str(error) == NO_TLS
        return Failed("connection", f"no secure connection to {place}" if is_tls else f"no connection to {place}")
    if isinstance(error, httpx2.DecodingError):
        return Failed("connection", f"the body from {place} is not what its Content-Encoding says")
    if isinstance(error, httpx2.RemoteProtocolError):
        return Failed("connection", f"{place} does not speak HTTP as it should, or hung up too early")
    return Failed("connection", f"the connection to {place} broke")
