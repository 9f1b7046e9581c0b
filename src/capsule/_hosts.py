"""Names of hosts and the patterns of `allowed_hosts`: pure text, no look-up. The rules for addresses are elsewhere.

    api.example.com         that name alone, at any port
    api.example.com:8443    the same at one port
    *.example.com           names below example.com, not example.com itself
    *                       any host
    api.example.com@public  that name, but only where it has a public address

A name or an address that is written out may lie in a private network; what a star stands for may not. `@public` is
what remains of a written-out name under a ceiling that says it with a star.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

__all__ = ["Address", "Pattern", "beyond", "host_text", "narrowed", "normal_address", "normal_host", "normal_patterns"]

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

_MOST_NAME = 253
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NUMBER = r"0x[0-9a-f]*|[0-9]+"
_PUBLIC = "@public"
_BITS = 32


class Pattern(msgspec.Struct, frozen=True):
    """One line of `allowed_hosts`, in its normal form."""

    kind: Literal["any", "below", "name", "address"]
    host: str
    port: int | None
    public_only: bool
    """True for all that a star stands for, and for what says `@public`."""

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """The pattern in a text. Raises ValueError with a reason."""
        if not isinstance(text, str):
            raise ValueError(f"a host is a text, not {type(text).__name__}")  # noqa: TRY004 - the policy's error names the line
        rest = text.strip()
        if "://" in rest:
            raise ValueError("leave the scheme out")
        public_only = rest.endswith(_PUBLIC)
        host, port = _split_port(rest.removesuffix(_PUBLIC))
        if host == "*":
            return cls("any", "", port, public_only=True)
        if host.startswith("*."):
            below = normal_host(host[2:])
            if normal_address(below) is not None:
                raise ValueError("there is nothing below an address")
            return cls("below", below, port, public_only=True)
        name = normal_host(host)
        return cls("name" if normal_address(name) is None else "address", name, port, public_only)

    def matches(self, host: str, port: int) -> bool:
        """Whether it stands for `host`, in its normal form, at `port`."""
        if self.port not in (None, port):
            return False
        if self.kind == "any":
            return True
        return host.endswith(f".{self.host}") if self.kind == "below" else host == self.host

    def meet(self, other: Pattern) -> Pattern | None:
        """What both stand for, or None for nothing."""
        if None not in (self.port, other.port) and self.port != other.port:
            return None
        narrow, wide = (self, other) if _WIDTH[self.kind] <= _WIDTH[other.kind] else (other, self)
        is_inside = (
            wide.kind == "any"
            or (narrow.kind, narrow.host) == (wide.kind, wide.host)
            or (wide.kind == "below" and narrow.kind != "address" and narrow.host.endswith(f".{wide.host}"))
        )
        if wide.kind == narrow.kind == "below" and not is_inside:
            narrow, wide = wide, narrow
            is_inside = narrow.host.endswith(f".{wide.host}")
        if not is_inside:
            return None
        port = self.port if self.port is not None else other.port
        return replace(narrow, port=port, public_only=self.public_only or other.public_only)

    def covers(self, other: Pattern) -> bool:
        """Whether all that `other` stands for is allowed where this is.

        A name below a star is, though it is held to public addresses then; what can have none is not.
        """
        met = other.meet(self)
        if met is None or replace(met, public_only=other.public_only) != other:
            return False
        return met.public_only == other.public_only or not other.is_private

    @property
    def is_private(self) -> bool:
        """Whether it is written out and has no public address, whoever looks it up."""
        if self.kind == "address":
            return not ipaddress.ip_address(self.host).is_global
        return self.kind == "name" and (self.host == "localhost" or self.host.endswith(".localhost"))

    def __str__(self) -> str:
        stars = {"any": "*", "below": f"*.{self.host}"}
        text = host_text(stars.get(self.kind, self.host), self.port)
        return text + _PUBLIC if self.public_only and self.kind not in stars else text


_WIDTH = {"address": 0, "name": 0, "below": 1, "any": 2}


def normal_patterns(texts: Iterable[str]) -> tuple[str, ...]:
    """The patterns in their normal form, each once. Raises ValueError, which names the bad one."""
    found: dict[str, None] = {}
    for text in texts:
        try:
            found[str(Pattern.parse(text))] = None
        except ValueError as error:
            raise ValueError(f"{text!r} names no host ({error})") from None
    return tuple(found)


def narrowed(patterns: Iterable[str], ceiling: Iterable[str]) -> tuple[str, ...]:
    """What both lists allow, as a list of its own: never more than either."""
    limits = _Limits(ceiling)
    met = (pattern.meet(limit) for pattern in map(Pattern.parse, patterns) for limit in limits.near(pattern))
    texts = {str(pattern): None for pattern in met if pattern is not None}
    return tuple(text for text in texts if not (text.endswith(_PUBLIC) and text.removesuffix(_PUBLIC) in texts))


def beyond(patterns: Iterable[str], ceiling: Iterable[str]) -> tuple[str, ...]:
    """Those of `patterns` that stand for more than one of `ceiling` does."""
    limits = _Limits(ceiling)
    wanted = {str(pattern): pattern for pattern in map(Pattern.parse, patterns)}
    return tuple(
        text for text, pattern in wanted.items() if not any(limit.covers(pattern) for limit in limits.near(pattern))
    )


class _Limits:
    """The patterns of a ceiling. Two lists of a thousand names are compared without a look at each pair."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._all = [Pattern.parse(text) for text in texts]
        self._near: dict[str, list[Pattern]] = {limit.host: [] for limit in self._all}
        for limit in self._all:
            for found in [self._near[limit.host]] if limit.kind in ("name", "address") else self._near.values():
                found.append(limit)
        self._stars = [limit for limit in self._all if limit.kind in ("any", "below")]

    def near(self, pattern: Pattern) -> list[Pattern]:
        """In their order, all that may have something in common with `pattern`."""
        if pattern.kind in ("any", "below"):
            return self._all
        return self._near.get(pattern.host, self._stars)


def host_text(host: str, port: int | None) -> str:
    """`host` and `port` as a URL spells them."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


@functools.lru_cache(maxsize=1000)  # names alone: what is none is not kept
def normal_host(text: str) -> str:
    """The one spelling of a host: lower case, ASCII, no trailing dot, addresses as numbers in their shortest form.

    Raises ValueError with a reason for what is no host.
    """
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        if ":" not in text:
            raise ValueError("only an IPv6 address stands in brackets")
    if ":" in text:
        return _normal_ipv6(text)
    host = text if text.isascii() else _to_ascii(text)
    host = host.lower().removesuffix(".")
    if not host or len(host) > _MOST_NAME:
        raise ValueError("it is empty" if not host else "it is too long")
    labels = host.split(".")
    if re.fullmatch(_NUMBER, labels[-1]):
        return _normal_ipv4(labels)
    if not all(re.fullmatch(_LABEL, label) for label in labels):
        raise ValueError("a name is made of letters, digits, hyphens and dots")
    return host


@functools.lru_cache(maxsize=1000)
def normal_address(text: str) -> Address | None:
    """The address that a host in its normal form is, or None for a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _normal_ipv6(text: str) -> str:
    if "%" in text:
        raise ValueError("an address with a zone means something on one machine only")
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError("this is no IPv6 address") from None
    return str(address.ipv4_mapped or address)


def _normal_ipv4(parts: list[str]) -> str:
    """An IPv4 address as every resolver reads it: octal, hexadecimal, and with fewer than four parts."""
    if len(parts) > 4 or not all(re.fullmatch(_NUMBER, part) for part in parts):  # noqa: PLR2004 - bytes of an address
        raise ValueError("a host that ends in a number is an IPv4 address, and this is none")
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        raise ValueError("this is no IPv4 address") from None
    *high, last = numbers
    if any(number > 255 for number in high) or last >= 1 << (_BITS - 8 * len(high)):  # noqa: PLR2004
        raise ValueError("this is no IPv4 address")
    value = last + sum(number << (24 - 8 * place) for place, number in enumerate(high))
    return str(ipaddress.IPv4Address(value))


def _number(part: str) -> int:
    if len(part) > _BITS:
        raise ValueError
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8) if part.startswith("0") and len(part) > 1 else int(part)


def _to_ascii(text: str) -> str:
    import idna  # rarely needed, and large

    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError("this is no international name") from None


def _split_port(text: str) -> tuple[str, int | None]:
    host, colon, digits = text.rpartition(":")
    is_bare_ipv6 = ":" in host and not host.endswith("]")
    if not colon or is_bare_ipv6 or text.endswith("]"):
        return text, None
    if not re.fullmatch(r"[0-9]{1,5}", digits) or not 0 < int(digits) < 1 << 16:
        raise ValueError("the port is no number from 1 to 65535")
    return host, int(digits)
