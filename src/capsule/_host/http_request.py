"""What a guest may ask of HTTP: a method, a URL, headers and a body, checked before anything is looked up. Pure."""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

from ..errors import Denied, InvalidArguments
from .http_url import Url, checked_url, joined

__all__ = ["MOST_HEADER_TEXT", "VALUE", "Asked", "Hop", "check_request", "hop_after"]

MOST_HEADERS = 200
MOST_HEADER_TEXT = 64_000

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""What a header's value is made of."""

_OURS = {
    *("connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-authenticate"),
    *("proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
}
"""Headers about the connection, which is the host's: dropped, as every client library writes some of them."""

_CREDENTIALS = {"authorization", "cookie", "x-api-key", "x-auth-token", "api-key"}
"""Headers that stay behind when a redirect leads to another origin."""

_REFUSED_METHODS = {"CONNECT", "TRACE"}
_SEE_OTHER = 303
_MOVED = {301, 302}


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A request as it stands on the wire."""

    method: str
    url: str
    headers: list[tuple[str, str]] = []
    body: str | None = None
    """Base64."""

    timeout: float | None = None
    """Seconds for the whole of it, redirects included; None: what is left of the message's own time."""

    follow: bool = True
    """Whether redirects are followed here; otherwise they are answers."""

    decode: bool = True
    """Whether a compressed body is opened here; otherwise it comes as it was sent."""

    cut: bool = False
    """Whether a body that ends too early is an answer, which says so; otherwise the request has failed."""


class Hop(msgspec.Struct, frozen=True):
    """One request on its way to one place."""

    method: str
    url: Url
    headers: tuple[tuple[str, str], ...]
    body: bytes | None


def check_request(asked: Asked) -> Hop:
    """The first hop of a request. Raises InvalidArguments for what is none, Denied for what no policy allows."""
    if asked.timeout is not None and not 0 < asked.timeout < 1e9:  # noqa: PLR2004 - thirty years
        raise InvalidArguments("timeout: this is not a number of seconds above zero")
    method = asked.method.upper()
    if not _TOKEN.fullmatch(method):
        raise InvalidArguments("method: this is not the name of an HTTP method")
    if method in _REFUSED_METHODS:
        raise Denied(f"the HTTP method {method}", "nothing")
    return Hop(method, checked_url(asked.url), _checked_headers(asked.headers), _bytes_of(asked.body))


def hop_after(hop: Hop, status: int, location: str) -> Hop:
    """Where a redirect leads. What belongs to the old origin stays behind. Raises as `check_request`."""
    url = joined(hop.url, location)
    method, body, headers = hop.method, hop.body, hop.headers
    if (status == _SEE_OTHER and method != "HEAD") or (status in _MOVED and method == "POST"):
        method, body = "GET", None
        headers = tuple(header for header in headers if not header[0].lower().startswith("content-"))
    if url.origin != hop.url.origin:
        headers = tuple(header for header in headers if header[0].lower() not in _CREDENTIALS)
    return Hop(method, url, headers, body)


def _checked_headers(headers: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    if len(headers) > MOST_HEADERS or sum(len(name) + len(value) for name, value in headers) > MOST_HEADER_TEXT:
        raise InvalidArguments(f"headers: more than {MOST_HEADERS} of them, or {MOST_HEADER_TEXT:,} characters")
    kept = []
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
            raise InvalidArguments(f"headers: {name[:100]!r} or its value has a character that no header can have")
        if name.lower() not in _OURS:
            kept.append((name, value.strip(" \t")))
    return tuple(kept)


def _bytes_of(body: str | None) -> bytes | None:
    if body is None:
        return None
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArguments("body: this is not base64") from None
