"""Secrets on their way out: which of them a request carries, whether they may go where it goes, and the values put in.

A hop keeps the placeholders, so whatever is told or followed later has them too. The values are in what goes onto the
wire and nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import msgspec

from .._hosts import Address
from .._secrets import Held, Secrets
from ..errors import Denied, InvalidArguments
from .allow_list import AllowList
from .http_request import MOST_HEADER_TEXT, VALUE, Hop
from .http_url import MOST_URL, Url

__all__ = ["Carried", "carried_by"]

_BASIC = re.compile(r"(basic\s+)([A-Za-z0-9+/_=-]+)", re.IGNORECASE)
_IN_A_PATH = "!$&'()*+,;=:@"

Escape = Callable[[str], str]


class Filled(NamedTuple):
    """What goes onto the wire."""

    url: Url
    headers: Sequence[tuple[str, str]]
    body: bytes | None


class Carried:
    """The secrets whose placeholders are in one hop."""

    def __init__(self, hop: Hop, held: Iterable[Held]) -> None:
        self._hop, self._held = hop, list(held)

    def check_host(self) -> None:
        """Raises Denied if one of them must not go to the hop's host, wherever its name leads."""
        for held in self._held:
            if not AllowList(held.secret.hosts).allows_host(self._hop.url.host, self._hop.url.port):
                raise self._denied(held)

    def check_addresses(self, addresses: Sequence[Address]) -> None:
        """Raises Denied if one of them must not go to one of `addresses`, or not in plain sight."""
        host, port = self._hop.url.host, self._hop.url.port
        for held in self._held:
            allowed = AllowList(held.secret.hosts)
            if not all(allowed.allows_address(host, port, address) for address in addresses):
                raise self._denied(held)
            is_plain_allowed = AllowList(held.secret.plain_hosts).allows_host(host, port)
            is_seen = self._hop.url.scheme != "https" and not all(address.is_loopback for address in addresses)
            if is_seen and not is_plain_allowed:
                raise Denied(
                    f"the secret {held.name} over plain http: to {self._hop.url.place}",
                    f'https:, or Secret(..., hosts=["http://{self._hop.url.place}"]),',
                )

    def filled(self, most_body: int) -> Filled:
        """The hop with the values in it. Raises InvalidArguments if it becomes too large, or no request."""
        if not self._held:
            return Filled(self._hop.url, self._hop.headers, self._hop.body)
        return Filled(self._url(), self._headers(), self._body(most_body))

    def _denied(self, held: Held) -> Denied:
        place = self._hop.url.place
        return Denied(f"the secret {held.name} in a request to {place}", f'Secret(..., hosts=["{place}"])')

    def _put_in(self, text: str, escape: Escape) -> str:
        for held in self._held:
            text = text.replace(held.placeholder, escape(held.value))
        return text

    def _url(self) -> Url:
        path, question, query = self._hop.url.target.partition("?")
        path = self._put_in(path, lambda value: quote(value, safe=_IN_A_PATH))
        query = self._put_in(query, lambda value: quote(value, safe=""))
        target = f"{path}{question}{query}"
        if len(target) > MOST_URL:
            raise InvalidArguments(f"url: with its secrets it has more than {MOST_URL:,} characters")
        return msgspec.structs.replace(self._hop.url, target=target)

    def _headers(self) -> Sequence[tuple[str, str]]:
        headers = [(name, self._header(value)) for name, value in self._hop.headers]
        if sum(len(name) + len(value) for name, value in headers) > MOST_HEADER_TEXT:
            raise InvalidArguments(f"headers: with their secrets they have more than {MOST_HEADER_TEXT:,} characters")
        for name, value in headers:
            if not VALUE.fullmatch(value):
                raise InvalidArguments(f"headers: the secret in {name!r} has a character that no header can have")
        return headers

    def _header(self, value: str) -> str:
        inside = _inside_basic(value)
        if inside is not None:
            word, text = inside
            filled = self._put_in(text, str)
            if filled != text:
                return word + base64.b64encode(filled.encode()).decode("ascii")
        return self._put_in(value, str)

    def _body(self, most: int) -> bytes | None:
        body = self._hop.body
        if not body:
            return body
        escape = _escape_of(self._hop.headers)
        for held in self._held:
            word, value = held.placeholder.encode(), escape(held.value).encode()
            if len(body) + body.count(word) * (len(value) - len(word)) > most:
                raise InvalidArguments("body: with its secrets it is larger than max_message allows")
            body = body.replace(word, value)
        return body


def carried_by(hop: Hop, secrets: Secrets) -> Carried:
    """The secrets whose placeholders stand anywhere in `hop`."""
    if not secrets:
        return Carried(hop, ())
    texts = [str(hop.url), *(f"{name}\n{value}" for name, value in hop.headers)]
    texts += [inside[1] for inside in (_inside_basic(value) for _, value in hop.headers) if inside]
    text, body = "\n".join(texts).lower(), hop.body or b""
    return Carried(hop, (held for held in secrets if held.placeholder in text or held.placeholder.encode() in body))


def _inside_basic(value: str) -> tuple[str, str] | None:
    """The word and the decoded text of `Basic ...`, or None for any other header."""
    match = _BASIC.fullmatch(value)
    if match is None:
        return None
    letters = match[2].translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return match[1], base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def _escape_of(headers: Iterable[tuple[str, str]]) -> Escape:
    """How a value is written in a body of this kind."""
    kind = next((value for name, value in headers if name.lower() == "content-type"), "").partition(";")[0].strip()
    if kind.lower() == "application/x-www-form-urlencoded":
        return quote_plus
    if kind.lower() == "application/json" or kind.lower().endswith("+json"):
        return lambda value: json.dumps(value)[1:-1]
    return str
