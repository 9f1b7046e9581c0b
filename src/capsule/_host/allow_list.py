"""Which hosts and which addresses a caller may reach. Pure: the look-up and the connection are made elsewhere."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable

from .._hosts import Address, Pattern, normal_address

__all__ = ["AllowList", "allow_list", "is_public"]

_NOT_PUBLIC = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",
    )
)
"""IANA's special-purpose registry for IPv4, multicast, and where Azure's machines find their host."""

_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""All that IANA has given out as global unicast; everything else is special in some way."""

_NOT_PUBLIC_V6 = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_BY_ADDRESS_ONLY = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "224.0.0.0/4"),
        "240.0.0.0/4",
        *("::/128", "fe80::/10", "fec0::/10", "fd00:ec2::254/128", "fd20:ce::254/128", "ff00::/8"),
    )
)
"""Link-local, the metadata services of clouds, multicast and unspecified addresses: whoever owns a name that is
allowed can point it there, so only the address itself, written out, allows these."""


class AllowList:
    """`allowed_hosts`, ready for questions. Hosts and addresses come in their normal form."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [Pattern.parse(text) for text in patterns]

    def allows_host(self, host: str, port: int) -> bool:
        """Whether a request to `host` may be made at all; where its name leads is another question."""
        return any(pattern.matches(host, port) for pattern in self._patterns)

    def allows_address(self, host: str, port: int, address: Address) -> bool:
        """Whether a connection for `host`, which is allowed, may go to `address`."""
        if is_public(address):
            return True
        named = [pattern for pattern in self._patterns if not pattern.public_only]
        if any(pattern.matches(_text(address), port) for pattern in named):
            return True
        return not is_by_address_only(address) and any(pattern.matches(host, port) for pattern in named)


@functools.lru_cache(maxsize=1000)
def allow_list(patterns: tuple[str, ...]) -> AllowList:
    """The same, remembered: a policy's hosts are asked about at every request."""
    return AllowList(patterns)


@functools.lru_cache(maxsize=1000)
def is_public(address: Address) -> bool:
    """Whether `address` is one of the open internet's, whatever form it hides in."""
    inner = _inside(address)
    if isinstance(inner, ipaddress.IPv4Address):
        return not any(inner in network for network in _NOT_PUBLIC)
    return inner in _GLOBAL_V6 and not any(inner in network for network in _NOT_PUBLIC_V6)


def is_by_address_only(address: Address) -> bool:
    """Whether a name that leads to `address` is not enough to go there."""
    inner = _inside(address)
    has_zone = getattr(address, "scope_id", None) is not None
    return has_zone or any(inner in network for network in _BY_ADDRESS_ONLY if network.version == inner.version)


def _inside(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, mapped, 6to4 or NAT64; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _text(address: Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    found = str(mapped or address)
    assert normal_address(found) is not None
    return found
