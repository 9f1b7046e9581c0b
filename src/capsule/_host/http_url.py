"""URLs of requests: checked, in their normal form, with a host that the allow-list can be asked about. Pure.

Most are written as they should be, which one pattern finds out; httpx2's parser, which knows all the others, takes
a tenth of a millisecond for each.
"""

from __future__ import annotations

import re

import httpx2
import msgspec

from .._hosts import host_text, normal_host
from ..errors import Denied, InvalidArguments

__all__ = ["MOST_URL", "Url", "checked_url", "joined"]

MOST_URL = 16_000

_NEVER = re.compile(r"[\x00-\x20\\\x7f]")
_AUTHORITY = re.compile(r"//|[/?#]")
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]+:[0-9]")  # the parser takes the host for a scheme
_PORTS = {"http": 80, "https": 443}
_SEGMENT = "[A-Za-z0-9_~-][A-Za-z0-9_~.-]*"
_PLAIN = re.compile(
    rf"(https?)://([a-z0-9.-]+)(?::([1-9][0-9]{{0,4}}))?((?:/{_SEGMENT})*/?(?:\?[A-Za-z0-9_~.=&-]+)?)", re.ASCII
)
"""Nothing in it has another spelling, but for a host that is a number or the port that is the scheme's own."""


class Url(msgspec.Struct, frozen=True):
    """Where a request goes. `host` is in its normal form, `target` is what follows it, at least "/"."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def explicit_port(self) -> int | None:
        """The port, if it is not the scheme's own."""
        return None if self.port == _PORTS[self.scheme] else self.port

    @property
    def place(self) -> str:
        """Host and port as a URL spells them."""
        return host_text(self.host, self.explicit_port)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}{self.target}"


def checked_url(text: str) -> Url:
    """The URL in a text, without its fragment. Raises InvalidArguments and Denied."""
    if len(text) > MOST_URL:
        raise InvalidArguments(f"url: it has more than {MOST_URL:,} characters")
    return _plain(text) or _parsed(text)


def joined(url: Url, location: str) -> Url:
    """Where a redirect from `url` leads. Raises InvalidArguments and Denied."""
    try:
        text = str(httpx2.URL(str(url)).join(location))
    except (httpx2.InvalidURL, ValueError, UnicodeError):
        raise InvalidArguments("the redirect leads to no URL") from None
    return checked_url(text)


def _plain(text: str) -> Url | None:
    """The URL in a text that has no other spelling."""
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    scheme, host, digits, target = match.groups()
    port = int(digits) if digits else _PORTS[scheme]
    if port >= 1 << 16 or not _is_normal(host):
        return None
    return Url(scheme, host, port, target if target.startswith("/") else f"/{target}")


def _is_normal(host: str) -> bool:
    try:
        return normal_host(host) == host
    except ValueError:
        return False


def _parsed(text: str) -> Url:
    if _NEVER.search(text):
        raise InvalidArguments("url: blanks, control characters and backslashes stand in no URL; quote them")
    try:
        url = httpx2.URL(text)
        scheme = url.scheme
        if not scheme or _HOST_AND_PORT.match(text):
            raise InvalidArguments(f"url: {text[:100]!r} has no scheme; a URL begins with http:// or https://")
        if scheme not in _PORTS:
            raise Denied(f"a request to {scheme[:20] or 'no'}: URLs", "http: or https: in their place")
        if url.userinfo or any("@" in part for part in _AUTHORITY.split(text, maxsplit=2)[1:2]):
            raise Denied("a URL with a user or a password in it", "an Authorization header in its place")
        host = normal_host(url.raw_host.decode("ascii"))
        port = _PORTS[scheme] if url.port is None else url.port
        if not 0 < port < 1 << 16:
            raise ValueError("its port is no number from 1 to 65535")
        found = Url(scheme, host, port, url.raw_path.decode("ascii"))
        if str(found) != text:
            found = msgspec.structs.replace(found, target=httpx2.URL(str(found)).raw_path.decode("ascii"))
    except (httpx2.InvalidURL, ValueError, UnicodeError) as error:
        raise InvalidArguments(f"url: this is no URL to send a request to ({error})") from None
    return found
