"""The allow-list: what a pattern stands for, in every spelling, which addresses are public, and how a ceiling cuts."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capsule import InvalidPolicy, Policy
from capsule._host.allow_list import AllowList, is_by_address_only, is_public
from capsule._hosts import Pattern, host_text, narrowed, normal_address, normal_host, normal_patterns

LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
V4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)
ADDRESSES = V4 | V6
HOSTS = NAMES | ADDRESSES.map(lambda address: normal_host(str(address)))
PORTS = st.integers(1, 65535)
SMALL_NAMES = st.lists(st.sampled_from(["a", "b", "com"]), min_size=1, max_size=3).map(".".join)
SMALL_HOSTS = SMALL_NAMES | st.sampled_from(["10.0.0.1", "8.8.8.8", "127.0.0.1", "169.254.169.254", "::1"])
SMALL_PORTS = st.sampled_from([80, 443, 8080])


@st.composite
def small_patterns(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["*", "below", "host", "public"]))
    port = draw(st.none() | SMALL_PORTS)
    if kind == "*":
        return host_text("*", port)
    if kind == "below":
        return host_text(f"*.{draw(SMALL_NAMES)}", port)
    return host_text(draw(SMALL_HOSTS), port) + ("@public" if kind == "public" else "")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("API.Example.COM", "api.example.com"),
        ("api.example.com.", "api.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("example\u3002com", "example.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("1.2.3.0x", "1.2.3.0"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("[::FFFF:7F00:1]", "127.0.0.1"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("my_service.local", "my_service.local"),
    ],
)
def test_spellings(text: str, normal: str) -> None:
    """One host has one spelling, whatever was written."""
    assert normal_host(text) == normal
    assert normal_host(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "a..b", "-a.com", "a-.com", "a b", "a/b", "a\\b", "a@b", "a%2eb", "a\x00b", "a\nb", "a?b", "a#b"),
        *("1.2.3.4.5", "256.0.0.1", "1.2.3.256", "4294967296", "0x100000000", "08.1", "a.1", "a.0x1f"),
        *("[127.0.0.1]", "fe80::1%eth0", "[fe80::1%25eth0]", ":::", "1::2::3", "a:b", "x" * 64, "a." * 200 + "b"),
        *("*", "*.com", "a.*.b", "\ud800"),
    ],
)
def test_no_hosts(text: str) -> None:
    """What only looks like a host is refused, never guessed at."""
    with pytest.raises(ValueError, match=r"."):
        normal_host(text)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("api.example.com", ["api.example.com:80", "api.example.com:1"], ["example.com:80", "x.api.example.com:80"]),
        ("*.example.com", ["a.example.com:80", "a.b.example.com:443"], ["example.com:80", "badexample.com:80"]),
        ("*.example.com:8080", ["a.example.com:8080"], ["a.example.com:80"]),
        ("a.com:8080", ["a.com:8080"], ["a.com:80", "a.com:443"]),
        ("*", ["a.com:80", "8.8.8.8:53", "::1:80"], []),
        ("*:443", ["a.com:443"], ["a.com:80"]),
        ("0x7f.1", ["127.0.0.1:80"], ["127.0.0.2:80", "localhost:80"]),
        ("[::1]:80", ["::1:80"], ["::1:81", "127.0.0.1:80"]),
        ("::1", ["::1:81"], ["::2:80"]),
        ("a.com@public", ["a.com:80"], ["b.com:80"]),
    ],
)
def test_patterns(pattern: str, yes: list[str], no: list[str]) -> None:
    """A pattern stands for what it says and nothing beside it."""
    allowed = AllowList([pattern])
    for text in (*yes, *no):
        host, _, port = text.rpartition(":")
        assert allowed.allows_host(host, int(port)) is (text in yes), text


@pytest.mark.parametrize(
    "text",
    [
        *("http://a.com", "a.com/", "a.com:0", "a.com:65536", "a.com:", "a.com:x", "a.com:-1", "*.", "*.*", "*a.com"),
        *("a.*", "**", "*.10.0.0.1", "u@a.com", "", " ", "@public", "[::1", "::1]", "a.com@private", 5, None, ["a"]),
    ],
)
def test_no_patterns(text: object) -> None:
    """A line that names no host is refused when the policy is made, by its own text."""
    with pytest.raises(InvalidPolicy, match=r"allowed_hosts: .* names no host"):
        Policy(allowed_hosts=[text])


@pytest.mark.parametrize("value", ["a.com", {"a.com": 1}, {"a.com"}, 5, None, [f"a{n}.com" for n in range(1001)]])
def test_no_lists(value: object) -> None:
    """A text is no list of hosts: each of its letters would be one."""
    with pytest.raises(InvalidPolicy, match="allowed_hosts: this is no list"):
        Policy(allowed_hosts=value)


PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "0.0.0.0"),
    *(
        "168.63.129.16",
        "169.254.169.254",
        "169.254.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.0.1",
    ),
    *("198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "::", "::1", "fe80::1", "fec0::1"),
    *("fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1"),
    *("2002:7f00:1::", "2002:0a00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2001::1"),
    *("2001:0:7f00:1::", "3fff::1", "5f00::1", "100::1", "4000::1", "fe80::1%1"),
]
PUBLIC = [
    *("8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "223.255.255.255"),
    *("2606:4700::1111", "2a00:1450::1", "2002:808:808::", "64:ff9b::808:808", "::ffff:8.8.8.8"),
]


@pytest.mark.parametrize("text", [*PRIVATE, *PUBLIC])
def test_public_addresses(text: str) -> None:
    """Only the open internet is public, and an address hidden in another is judged by what it is."""
    address = ipaddress.ip_address(text)
    assert is_public(address) is (text in PUBLIC)
    assert AllowList(["*"]).allows_address("a.com", 80, address) is (text in PUBLIC)
    assert AllowList(["*.com"]).allows_address("a.com", 80, address) is (text in PUBLIC)
    assert AllowList(["a.com@public"]).allows_address("a.com", 80, address) is (text in PUBLIC)
    named = text in PUBLIC or not is_by_address_only(address)
    assert AllowList(["a.com"]).allows_address("a.com", 80, address) is named
    assert AllowList(["*", "a.com:81"]).allows_address("a.com", 80, address) is (text in PUBLIC)
    if "%" not in text:
        assert AllowList(["*", host_text(normal_host(text), None)]).allows_address("a.com", 80, address)


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "168.63.129.16", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1", "0.0.0.0"]
)
def test_a_name_never_opens_the_metadata_service(text: str) -> None:
    """Who owns an allowed name could point it there; the address itself has to be written out."""
    address = ipaddress.ip_address(text)
    assert not AllowList(["a.com", "*", "*.com"]).allows_address("a.com", 80, address)
    assert AllowList(["a.com", f"{normal_host(text)}"]).allows_address("a.com", 80, address)


@given(ADDRESSES)
@example(ipaddress.ip_address("192.0.0.9"))
def test_never_more_than_the_library(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What Python calls private, loopback, link-local, multicast or reserved is not public, mapped or not."""
    mapped = getattr(address, "ipv4_mapped", None) or address
    is_special = mapped.is_loopback or mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified
    if is_special or (mapped.version == 4 and (mapped.is_private or mapped.is_reserved)):
        assert not is_public(address)


@given(V4)
def test_hidden_addresses(address: ipaddress.IPv4Address) -> None:
    """Mapped, 6to4 and NAT64 forms of an address are as public as itself."""
    number = int(address)
    for hidden in (0xFFFF << 32 | number, 0x2002 << 112 | number << 80, 0x64FF9B << 96 | number):
        inner = ipaddress.IPv6Address(hidden)
        assert is_public(inner) == is_public(address)
        assert is_by_address_only(inner) == is_by_address_only(address)


@given(V4, st.sampled_from(["{:d}", "0x{:x}", "0{:o}"]))
def test_spellings_of_addresses(address: ipaddress.IPv4Address, form: str) -> None:
    """Each spelling of an address is the address."""
    assert normal_host(form.format(int(address))) == str(address)
    parts = [form.format(part) for part in address.packed]
    assert normal_host(".".join(parts)) == str(address)
    assert normal_host(f"::ffff:{address}") == str(address)


@given(st.text(max_size=30))
def test_no_text_is_two_hosts(text: str) -> None:
    """A text is refused, or has one form that stays as it is and that a URL can hold."""
    try:
        host = normal_host(text)
    except ValueError:
        return
    assert normal_host(host) == host
    assert host.isascii()
    assert not set(host) & set("/\\@?#% \r\n\t*")


@given(HOSTS, PORTS)
def test_a_name_matches_itself_alone(host: str, port: int) -> None:
    """An exact name allows itself, in any case and with a dot behind it, and neither its parent nor its children."""
    (pattern,) = normal_patterns([host_text(host, None).upper() if ":" not in host else host])
    allowed = AllowList([pattern])
    assert allowed.allows_host(host, port)
    if normal_address(host) is None:
        assert not allowed.allows_host(f"x.{host}", port)
        assert not allowed.allows_host(f"x{host}", port)
        assert not AllowList([f"*.{host}"]).allows_host(host, port)
        assert AllowList([f"*.{host}"]).allows_host(f"x.{host}", port)


@given(small_patterns())
def test_patterns_round_trip(text: str) -> None:
    """The normal form of a pattern is itself."""
    pattern = Pattern.parse(text)
    assert Pattern.parse(str(pattern)) == pattern
    assert Policy(allowed_hosts=(text,)).allowed_hosts == Policy(allowed_hosts=[str(pattern)]).allowed_hosts


LISTS = st.lists(small_patterns(), max_size=4)


@given(LISTS, LISTS, SMALL_HOSTS, SMALL_PORTS, SMALL_HOSTS.map(normal_address).filter(bool))
def test_a_ceiling_only_cuts(one: list[str], other: list[str], host: str, port: int, address) -> None:
    """What two lists have in common allows nothing that either of them refuses; no address by way of another line."""
    both, first, second = (AllowList(normal_patterns(texts)) for texts in (narrowed(one, other), one, other))
    if both.allows_host(host, port):
        assert first.allows_host(host, port)
        assert second.allows_host(host, port)
        if both.allows_address(host, port, address):
            assert first.allows_address(host, port, address)
            assert second.allows_address(host, port, address)
    elif first.allows_host(host, port):
        assert not second.allows_host(host, port), "and loses no host that both allow"


@given(LISTS)
def test_ceilings(texts: list[str]) -> None:
    """The same ceiling changes nothing, none at all takes everything, and a star keeps each host."""
    own = normal_patterns(texts)
    assert {*narrowed(own, own)} >= {text for text in own if "@" not in text or text.removesuffix("@public") not in own}
    assert narrowed(own, ()) == narrowed((), own) == ()
    assert len(narrowed(own, ("*",))) <= len(own)


def test_policies_are_cut() -> None:
    """`within` cuts hosts and caps; a policy that says nothing allows nothing."""
    assert Policy().allowed_hosts == ()
    assert Policy(allowed_hosts=("a.com",)).within(Policy()).allowed_hosts == ()
    ceiling = Policy(allowed_hosts=["*.b.com", "c.com"], max_requests=5, max_response="1KB", max_redirects=0)
    cut = Policy(allowed_hosts=["a.b.com", "c.com:443", "*"]).within(ceiling)
    assert cut.allowed_hosts == ("a.b.com@public", "c.com:443", "*.b.com", "c.com@public")
    assert (cut.max_requests, cut.max_response_bytes, cut.max_redirects) == (5, 1024, 0)
    assert Policy(allowed_hosts=["10.0.0.1", "a.com"]).within(Policy.largest()).allowed_hosts == (
        "10.0.0.1@public",
        "a.com@public",
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"max_requests": -1},
        {"max_requests": True},
        {"max_response": 0},
        {"max_response": "1GB"},
        {"max_redirects": 101},
    ],
)
def test_bad_caps(settings: dict[str, object]) -> None:
    """Each cap has a range."""
    with pytest.raises(InvalidPolicy, match=next(iter(settings))):
        Policy(**settings)


@pytest.mark.parametrize("text", ["http://a.com", "https://a.com:8443", "http://a.com/x"])
def test_a_scheme(text: str) -> None:
    """A URL is no host, and the error says what to leave out."""
    with pytest.raises(InvalidPolicy, match="leave the scheme out"):
        Policy(allowed_hosts=[text])
