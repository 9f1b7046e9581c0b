"""The capability "http" against real servers on loopback, hostile ones among them: what goes out and what comes back."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest

from capsule import Denied, InvalidArguments, Policy
from capsule._actor.family import Family
from capsule._actor.requests import Requests
from host.servers import BINARY, Server, serving
from host.web import Web, limited


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        yield opened


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    opened = Web()
    yield opened
    await opened.http.aclose()


async def test_a_request(web: Web, server: Server) -> None:
    """Status, headers and body come back, and the record says what it was."""
    answer = await web.get(server.url("/?a=1#part"))
    assert (answer["status"], answer["reason"], answer["url"]) == (200, "OK", server.url("/?a=1"))
    assert base64.b64decode(answer["body"]) == b"hello"
    assert ("X-One", "1") in [tuple(pair) for pair in answer["headers"]]
    assert web.told == [("GET", server.url("/?a=1"), 200, 5)]
    assert web.requests.told[0].duration_ms > 0


async def test_bytes_survive(web: Web, server: Server) -> None:
    """Every byte, both ways."""
    assert await web.body(server.url("/binary")) == BINARY
    assert await web.body(server.url("/mirror"), method="POST", body=base64.b64encode(BINARY).decode()) == BINARY


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "query"])
async def test_methods(web: Web, server: Server, method: str) -> None:
    """Any method but those of tunnels."""
    said = msgspec.json.decode(await web.body(server.url("/echo"), method=method))
    assert said["method"] == method.upper()


async def test_head_has_no_body(web: Web, server: Server) -> None:
    """The length that it tells is not waited for."""
    answer = await web.get(server.url("/"), "HEAD")
    assert (answer["status"], answer["body"]) == (200, "")


@pytest.mark.parametrize("path", ["/gzip", "/deflate"])
async def test_compressed_bodies(web: Web, server: Server, path: str) -> None:
    """They are opened, and their headers say nothing else; or they stay as they are, for clients that open them."""
    opened = await web.get(server.url(path))
    assert base64.b64decode(opened["body"]) == b"packed" * 100
    assert not {name.lower() for name, _ in opened["headers"]} & {"content-encoding", "content-length"}
    closed = await web.get(server.url(path), decode=False)
    assert len(base64.b64decode(closed["body"])) < 100
    assert {"content-encoding", "content-length"} <= {name.lower() for name, _ in closed["headers"]}


async def test_chunks_and_early_hints(web: Web, server: Server) -> None:
    """Framing is the host's business: the guest sees a body."""
    answer = await web.get(server.url("/chunked"))
    assert base64.b64decode(answer["body"]) == b"abcde"
    assert "transfer-encoding" not in {name.lower() for name, _ in answer["headers"]}
    assert await web.body(server.url("/early")) == b"late"
    twice = await web.get(server.url("/twice"))
    assert [value for name, value in twice["headers"] if name == "X-Two"] == ["a", "b"]


async def test_connections_are_kept(web: Web, server: Server) -> None:
    """One after another goes over one connection, and no cookie stays behind on it."""
    for _ in range(5):
        await web.get(server.url("/cookie"))
    assert server.connections == 1
    assert server.heads("cookie") == []


async def test_what_goes_out_is_what_was_written(web: Web, server: Server) -> None:
    """No header of a library's; those about the connection are the host's own."""
    headers = [
        ("X-A", "b"),
        ("X-A", " c "),
        ("Host", "evil.example"),
        ("connection", "upgrade"),
        ("Content-Length", "9"),
    ]
    said = msgspec.json.decode(await web.body(server.url("/echo"), headers=headers))
    lines = [line for line in said["head"].split("\r\n")[1:] if line]
    assert lines == [f"Host: 127.0.0.1:{server.port}", "X-A: b", "X-A: c"]


@pytest.mark.parametrize(
    "headers",
    [
        *([("X", "a\r\nHost: b")], [("X", "a\nb")], [("X\r\nY", "a")], [("X", "a\x00b")], [("", "a")], [("a b", "c")]),
        *([("X:", "a")], [("X", "\u20ac")], [("X", "a")] * 201, [("X", "a" * 65_000)]),
    ],
)
async def test_headers_that_no_request_has(web: Web, server: Server, headers: Any) -> None:
    """Nothing gets into a request by way of a header's text."""
    with pytest.raises(InvalidArguments, match="headers"):
        await web.get(server.url("/"), headers=headers)
    assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "/",
            "127.0.0.1",
            "//127.0.0.1/",
            "http:",
            "http:127.0.0.1",
            "http://",
            "http:///a",
            "http://127.0.0.1:99999/",
            "http://[::1/",
        ),
        *("http://127.0.0.1\r\n/", "http://127.0.0.1/a b", "http://127.0.0.1/\x00", "http://127.0.0.1\\@a.com/"),
        *("http://127.0.0.1/" + "a" * 16_000, "http://a%2eb/", "http://[fe80::1%25eth0]/", "http://\ud800.com/"),
        *("http://1.2.3.4.5/", "http://-a.com/", "http://a..b/", "http://*/"),
    ],
)
async def test_urls_that_are_none(web: Web, url: str) -> None:
    """What no URL is is refused before anything is looked up."""
    with pytest.raises((InvalidArguments, Denied)):
        await web.get(url)
    assert (web.looked_up, web.told) == ([], [])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1/", "http: or https:"),
        ("file:///etc/passwd", "http: or https:"),
        ("ws://127.0.0.1/", "http: or https:"),
        ("http://user:secret@127.0.0.1/", "an Authorization header"),
        ("http://127.0.0.1@evil.example/", "an Authorization header"),
        ("http://@127.0.0.1/", "an Authorization header"),
        ("http://example.com/", 'allowed_hosts=["example.com"]'),
        ("https://example.com:8443/", 'allowed_hosts=["example.com:8443"]'),
        ("http://sub.localhost/", 'allowed_hosts=["sub.localhost"]'),
        ("http://127.0.0.2/", 'allowed_hosts=["127.0.0.2"]'),
        ("http://[::1]:8080/", 'allowed_hosts=["[::1]:8080"]'),
        ("http://169.254.169.254/latest", 'allowed_hosts=["169.254.169.254"]'),
    ],
)
async def test_refusals(web: Web, url: str, words: str) -> None:
    """Each says which line would allow it, and none looks anything up or counts."""
    assert words in await web.denied(url)
    assert (web.looked_up, web.told) == ([], [])


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "connect"])
async def test_no_tunnels(web: Web, server: Server, method: str) -> None:
    """A tunnel would carry anything."""
    assert "HTTP method" in await web.denied(server.url("/"), method=method)


@pytest.mark.parametrize(
    "payload",
    [
        *(None, [], {}, {"method": "GET"}, {"method": 1, "url": "http://127.0.0.1/"}, {"method": "GET", "url": 1}),
        {"method": "GET", "url": "http://127.0.0.1/", "proxy": "http://a"},
        {"method": "GET", "url": "http://127.0.0.1/", "headers": {"a": "b"}},
        {"method": "GET", "url": "http://127.0.0.1/", "headers": [["a"]]},
        {"method": "GET", "url": "http://127.0.0.1/", "body": "not base64!"},
        {"method": "GET", "url": "http://127.0.0.1/", "timeout": -1},
        {"method": "GET", "url": "http://127.0.0.1/", "timeout": 1e300},
        {"method": "GET X", "url": "http://127.0.0.1/"},
        {"method": "", "url": "http://127.0.0.1/"},
    ],
)
async def test_payloads(web: Web, payload: Any) -> None:
    """Whatever a guest sends instead of a request is refused."""
    with pytest.raises((InvalidArguments, msgspec.ValidationError)):
        await web.send(payload)


SPELLINGS = ["0x7f.1", "2130706433", "017700000001", "127.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.0.0.1."]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_one_address_in_every_spelling(web: Web, server: Server, host: str) -> None:
    """It is allowed and refused as what it is."""
    assert await web.body(f"http://{host}:{server.port}/") == b"hello"
    assert "127.0.0.1" in await limited(web, allowed_hosts=["*"]).denied(f"http://{host}:{server.port}/")
    assert server.connections == 1


# Names and the addresses behind them.


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "0.0.0.0", "64:ff9b::7f00:1"]
)
@pytest.mark.parametrize("allowed", ["*", "*.example.com", "a.example.com@public"])
async def test_a_public_name_with_a_private_address(web: Web, server: Server, address: str, allowed: str) -> None:
    """A star opens no private network, whatever a name says of itself; nor does one good address beside a bad one."""
    limited(web, allowed_hosts=[allowed])
    web.names["a.example.com"] = [address, f"8.8.8.8 {address}"]
    for _ in range(2):
        text = await web.denied(f"http://a.example.com:{server.port}/")
        assert address not in text, "what a name leads to in a private network is the host's own"
    assert server.connections == 0


async def test_a_written_out_name_may_be_private(web: Web, server: Server) -> None:
    """A name in the policy, or an address in it, opens that place; nothing opens the metadata service but itself."""
    limited(web, allowed_hosts=["db.internal", "*.example.com", "127.0.0.1"])
    web.names |= {"db.internal": ["127.0.0.1", "169.254.169.254"], "a.example.com": ["127.0.0.1", "127.0.0.2"]}
    assert await web.body(f"http://db.internal:{server.port}/") == b"hello"
    assert "special" in await web.denied(f"http://db.internal:{server.port}/")
    assert await web.body(f"http://a.example.com:{server.port}/") == b"hello"
    assert "not public" in await web.denied(f"http://a.example.com:{server.port}/")


async def test_a_name_that_changes_between_two_look_ups(web: Web, server: Server, monkeypatch) -> None:
    """The address that was checked is the one that is connected to: there is no second look-up to lie in."""
    monkeypatch.setattr("capsule._host.allow_list.is_public", lambda address: str(address) == "127.0.0.1")
    limited(web, allowed_hosts=["*"])
    web.names["rebind.example"] = ["127.0.0.1", "10.0.0.1"]
    assert await web.body(f"http://rebind.example:{server.port}/") == b"hello"
    assert web.looked_up == ["rebind.example"]
    assert server.heads("host") == [f"rebind.example:{server.port}"]
    assert "not public" in await web.denied(f"http://rebind.example:{server.port}/")


async def test_a_connection_is_no_way_around_a_policy(web: Web, server: Server) -> None:
    """One that was made for a caller who may go there does not carry one who may not, nor another name."""
    limited(web, allowed_hosts=["db.internal", "other.internal"])
    web.names |= {"db.internal": ["127.0.0.1"], "other.internal": ["127.0.0.1"]}
    url = f"http://db.internal:{server.port}/"
    assert await web.body(url) == b"hello"
    assert await web.body(url) == b"hello"
    assert server.connections == 1
    assert await web.body(f"http://other.internal:{server.port}/") == b"hello"
    assert server.connections == 2
    assert "not public" in await limited(web, allowed_hosts=["*"]).denied(url)


async def test_the_second_address(web: Web, server: Server) -> None:
    """If the first of several takes no connection, the next is asked; the request is sent and counted once."""
    limited(web, allowed_hosts=["db.internal"])
    web.names["db.internal"] = ["127.0.0.2 127.0.0.1"]
    assert await web.body(f"http://db.internal:{server.port}/") == b"hello"
    assert len(server.requests) == len(web.told) == 1


async def test_the_real_look_up(server: Server) -> None:
    """Without a resolver of the test's: the machine's own."""
    web = Web()
    web.http.resolve = None
    async with anyio.create_task_group() as web.group:
        assert await web.body(server.url("/", "localhost")) == b"hello"
        limited(web, allowed_hosts=["*.invalid"])
        assert await web.failed("http://nowhere.invalid/") == "connection: there is no host nowhere.invalid"
    await web.http.aclose()


async def test_slow_names(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that gave its look-up up ends at once; a family has four threads at most, and others go on."""
    began, released, real = [], threading.Event(), socket.getaddrinfo

    def slow(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("slow"):
            began.append(name)
            assert released.wait(20)
        return real("localhost", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    web = Web()
    limited(web, allowed_hosts=["*.example"])
    web.http.resolve = None
    async with anyio.create_task_group() as web.group:
        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(partial(web.failed, f"http://slow{number}.example/", timeout=1))
        assert len(web.told) == 12
        assert len(began) == 4
        limited(web)  # another family
        assert await web.body(server.url("/", "localhost")) == b"hello"
        released.set()
    assert len(began) == 4
    await web.http.aclose()


async def test_leaving_waits_for_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it leave a thread that holds anything of the runtime's."""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (released.wait(20), [])[1])
    web = limited(Web(), allowed_hosts=["slow.example"])
    web.http.resolve = None
    with anyio.fail_after(5):
        async with anyio.create_task_group() as web.group:
            web.group.start_soon(web.failed, "http://slow.example/")
            await anyio.wait_all_tasks_blocked()
            web.group.cancel_scope.cancel()
    released.set()


# Redirects.


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("http://example.com/", 'allowed_hosts=["example.com"]'),
        ("//example.com/x", 'allowed_hosts=["example.com"]'),
        ("http://169.254.169.254/latest", 'allowed_hosts=["169.254.169.254"]'),
        ("http://2130706434/", 'allowed_hosts=["127.0.0.2"]'),
        ("file:///etc/passwd", "http: or https:"),
        ("http://a:b@127.0.0.1/", "an Authorization header"),
    ],
)
async def test_a_redirect_to_a_forbidden_host(web: Web, server: Server, target: str, words: str) -> None:
    """Each hop is checked as if it were the first."""
    server.redirects["x"] = target
    assert words in await web.denied(server.url("/redirect/302/x"))
    assert web.told == [("GET", server.url("/redirect/302/x"), 302, 0)]


@pytest.mark.parametrize("target", ["http://[x/", "http://a b/", "http://127.0.0.1:99999/", "http://1.2.3.4.5/"])
async def test_a_redirect_to_no_url(web: Web, server: Server, target: str) -> None:
    """It is the server that does not speak HTTP as it should; the guest's own call was right."""
    server.redirects["x"] = target
    text = await web.failed(server.url("/redirect/302/x"))
    assert text == f"connection: 127.0.0.1:{server.port} redirects to what is no URL"


async def test_redirects_are_followed(web: Web, server: Server) -> None:
    """Relative and absolute ones, each counted and told; or left alone."""
    server.redirects |= {"a": "b", "b": "/"}
    server.redirects["b"] = server.url("/")
    server.redirects["a"] = "/redirect/307/b"
    answer = await web.get(server.url("/redirect/301/a"))
    assert (answer["status"], answer["url"]) == (200, server.url("/"))
    assert [status for _, _, status, _ in web.told] == [301, 307, 200]
    left = await web.get(server.url("/redirect/301/a"), follow=False)
    assert left["status"] == 301


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        *((301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (307, "POST", "POST"), (308, "PUT", "PUT")),
        *((301, "PUT", "PUT"), (303, "HEAD", "HEAD"), (302, "GET", "GET")),
    ],
)
async def test_methods_after_a_redirect(web: Web, server: Server, status: int, method: str, then: str) -> None:
    """As browsers do it; a body goes along only where the method stays."""
    server.redirects["x"] = "/echo"
    body = base64.b64encode(b"abc").decode()
    await web.get(server.url(f"/redirect/{status}/x"), method, body=body, headers=[("Content-Type", "text/x")])
    assert server.requests[-1].startswith(f"{then} /echo")
    assert server.bodies[-1] == (b"abc" if then == method else b"")
    assert ("content-type" in server.requests[-1].lower()) is (then == method)


async def test_credentials_stay_with_their_origin(web: Web, server: Server) -> None:
    """Another host, port or scheme gets none of them."""
    web.names["localhost"] = ["127.0.0.1"]
    server.redirects |= {"own": "/echo", "other": server.url("/echo", "localhost")}
    secrets = [("Authorization", "Bearer s"), ("Cookie", "a=s"), ("X-Api-Key", "s"), ("X-Plain", "p")]
    await web.get(server.url("/redirect/302/own"), headers=secrets)
    assert "Bearer s" in server.requests[-1]
    await web.get(server.url("/redirect/302/other"), headers=secrets)
    last = server.requests[-1].lower()
    assert "x-plain: p" in last
    assert not any(f"{name.lower()}:" in last for name, _ in secrets[:3])


async def test_redirects_that_never_end(web: Web, server: Server) -> None:
    """They end with the policy's number."""
    text = await limited(web, max_redirects=3).failed(server.url("/round"))
    assert (
        text
        == "TooManyRedirects: following more than 3 redirects is not allowed; a larger max_redirects would allow it"
    )
    assert len(web.told) == 4


# Servers that mean ill.


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/bad-chunks", "connection"),
        ("/large-chunk", "connection"),
        ("/short", "connection"),
        ("/negative", "connection"),
        ("/two-lengths", "connection"),
        ("/no-http", "connection"),
        ("/hangs-up", "connection"),
        ("/endless-head", "connection"),
        ("/bad-gzip", "connection"),
        ("/many-codings", "connection"),
        ("/endless", "TooLarge"),
        ("/bomb", "TooLarge"),
        ("/bomb-bomb", "TooLarge"),
        ("/never", "timeout"),
        ("/drip", "timeout"),
        ("/drip-head", "timeout"),
    ],
)
async def test_bad_servers(web: Web, server: Server, path: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each ends as an answer that says what happened in words of ours, within its time, and leaves the client well."""
    began = time.monotonic()
    with anyio.fail_after(15):
        text = await limited(web, max_response="1MB").failed(
            server.url(path), timeout=1.5 if kind != "timeout" else 0.3
        )
    assert text.startswith(f"{kind}: ")
    assert time.monotonic() - began < 5
    assert not {"/tmp", "Errno", "httpx", "httpcore", "h11", "ssl.c"} & set(text.replace(":", " ").split())
    assert len(web.told) == 1
    assert web.told[0][3] <= 3 << 20
    assert await web.body(server.url("/")) == b"hello"
    assert [record for record in caplog.records if record.name.startswith(("capsule", "http"))] == []


async def test_an_upgrade_is_no_tunnel(web: Web, server: Server) -> None:
    """A connection that becomes something else is closed, and nothing can be written to it."""
    answer = await web.get(server.url("/upgrade"), timeout=1)
    assert answer.get("failed") or base64.b64decode(answer["body"]) in {b"", b"raw"}
    assert await web.body(server.url("/")) == b"hello"


async def test_the_size_of_a_response(web: Web, server: Server) -> None:
    """The cap holds to the byte, and says which line to change; so does that of a message."""
    assert len(await limited(web, max_response=2_000_000).body(server.url("/large"))) == 2_000_000
    text = await limited(web, max_response=1_999_999).failed(server.url("/large"))
    assert text.startswith("TooLarge: a response of more than 1.9MB is not allowed; a larger max_response")
    assert "a larger max_message" in await limited(web, max_message="1MB").failed(server.url("/large"))


async def test_nobody_listens(web: Web) -> None:
    """A closed port is an answer."""
    with serving() as gone:
        url = gone.url("/")
    assert (await web.failed(url)).startswith("refused: no connection to 127.0.0.1:")
    assert web.told == [("GET", url, 0, 0)]


async def test_many_headers(web: Web, server: Server) -> None:
    """A response has at most as many as a request may have; one with more has failed, and the next is answered."""
    assert len((await web.get(server.url("/many-headers?199")))["headers"]) == 200
    text = await web.failed(server.url("/many-headers?200"))
    assert text == f"connection: 127.0.0.1:{server.port} answers with more than 200 headers"
    assert await web.body(server.url("/")) == b"hello"


@pytest.mark.parametrize("path", ["/short", "/bad-chunks", "/large-chunk"])
async def test_a_body_that_is_cut_off(web: Web, server: Server, path: str) -> None:
    """The request has failed; or it is an answer that says so, for those who ask for what came."""
    assert (await web.failed(server.url(path))).endswith("hung up too early")
    answer = await web.get(server.url(path), cut=True)
    assert (answer["status"], answer["is_whole"]) == (200, False)
    assert base64.b64decode(answer["body"]) == {"/short": b"short", "/large-chunk": b"abc"}.get(path, b"")
    assert "is_whole" not in await web.get(server.url("/"), cut=True)


async def test_who_is_refused_by_address_is_not_told_of(web: Web, server: Server) -> None:
    """Nothing was sent."""
    limited(web, allowed_hosts=["*", "a.example"])
    web.names |= {"b.example": ["127.0.0.1"], "a.example": ["169.254.169.254"]}
    for host in ("127.0.0.1", "a.example", "b.example"):
        await web.denied(server.url("/", host))
    assert web.told == []


async def test_plain_text_where_tls_is_asked_for(web: Web, server: Server) -> None:
    """A server that speaks no TLS is no secure connection."""
    text = await web.failed(server.url("/").replace("http:", "https:"), timeout=5)
    assert text.startswith("connection: no secure connection to 127.0.0.1:")


# How many.


async def test_the_number_of_requests(web: Web, server: Server) -> None:
    """Those of a message and its sub-tasks together, redirects included; refused ones count for nothing."""
    limited(web, max_requests=3)
    server.redirects["x"] = "/"
    parent, child = web.requests, Requests(Policy(allowed_hosts=["127.0.0.1"]), Family(web.policy), web.requests)
    await web.get(server.url("/"))
    await web.denied("http://example.com/")
    web.requests = child
    await web.get(server.url("/redirect/302/x"))
    text = await web.denied(server.url("/"))
    assert text == (
        "more than 3 HTTP requests for one message and its sub-tasks is not allowed; "
        "Policy(max_requests=4) would allow it"
    )
    assert (len(parent.told), len(child.told)) == (1, 2)


async def test_many_at_once(web: Web, server: Server) -> None:
    """A family has its share of connections; the rest wait, and all are answered."""
    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(web.get, server.url("/slow"))
    assert len(server.requests) == 60
    assert server.connections <= 20


async def test_given_up(web: Web, server: Server) -> None:
    """Cancelling ends a request at once, and it is told of; the share and the client are free again."""
    limited(web, max_response="200MB", max_message="256MB")
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for path in ("/never", "/drip", "/endless", "/drip-head") * 10:
                group.start_soon(web.failed, server.url(path))
            while len(server.requests) < 5:
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    assert 0 < len(web.told) <= 40  # one that gets its turn in the moment of the end is told of too
    assert server.connections <= 20
    with anyio.fail_after(5):
        assert await web.body(server.url("/")) == b"hello"


async def test_closing(web: Web, server: Server) -> None:
    """Leaving closes what is open; afterwards a request opens a client anew."""
    await web.http.aclose()
    await web.get(server.url("/"))
    await web.http.aclose()
    await web.http.aclose()
    assert await web.body(server.url("/")) == b"hello"
    assert server.connections == 2
