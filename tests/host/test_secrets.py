"""Secrets on the wire: where a value goes, how it is written there, and that it does not come back."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from capsule import InvalidArguments, Secret
from host.servers import Server, serving
from host.test_tls import CA, speaking_tls, trusting
from host.web import Web, limited

VALUE = "sk-live/7h3+v4lue=&\\"
OTHER = "an-other-secret"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        yield opened


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    secrets = {"KEY": Secret(VALUE, hosts=["127.0.0.1"]), "OTHER": Secret(OTHER, hosts=["localhost"])}
    opened = Web(secrets=secrets, ssl_context=trusting(CA), allowed_hosts=["127.0.0.1", "localhost", "*.example"])
    opened.names["localhost"] = ["127.0.0.1"]
    limited(opened, allowed_hosts=["127.0.0.1", "localhost", "a.example"])
    yield opened
    await opened.http.aclose()


def key(web: Web, name: str = "KEY") -> str:
    """What a guest has of a secret."""
    return web.secrets.environment[name]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_in_headers(web: Web, server: Server) -> None:
    """In any header, with text around it, more than once."""
    headers = [("Authorization", f"Bearer {key(web)}"), ("X-Twice", f"{key(web)} {key(web)}")]
    await web.get(server.url("/"), headers=headers)
    assert server.heads("authorization") == [f"Bearer {VALUE}"]
    assert server.heads("x-twice") == [f"{VALUE} {VALUE}"]


async def test_in_basic_authentication(web: Web, server: Server) -> None:
    """Clients write user and password as base64, so it is opened and written again."""
    for user, password in ((key(web), ""), ("user", key(web))):
        await web.get(server.url("/"), headers=[("Authorization", "Basic " + b64(f"{user}:{password}"))])
    await web.get(server.url("/"), headers=[("Authorization", "Basic " + b64("user:password"))])
    await web.get(server.url("/"), headers=[("Authorization", "Basic ###")])
    told = server.heads("authorization")
    assert told == [
        f"Basic {b64(VALUE + ':')}",
        f"Basic {b64('user:' + VALUE)}",
        f"Basic {b64('user:password')}",
        "Basic ###",
    ]


async def test_in_a_url(web: Web, server: Server) -> None:
    """In the path and behind the question mark, quoted; the record keeps the placeholder."""
    answer = await web.get(server.url(f"/echo/bot{key(web)}/send?key={key(web)}&a=b"))
    said = json.loads(base64.b64decode(answer["body"]))
    line = server.requests[0].split("\r\n")[0]
    assert line == ("GET /echo/botsk-live%2F7h3+v4lue=&%5C/send?key=sk-live%2F7h3%2Bv4lue%3D%26%5C&a=b HTTP/1.1")
    assert said["query"] == f"key={key(web)}&a=b"
    assert web.told[0][1] == answer["url"] == server.url(f"/echo/bot{key(web)}/send?key={key(web)}&a=b")


@pytest.mark.parametrize(
    ("kind", "body", "sent"),
    [
        ("text/plain", "a {} b {}", f"a {VALUE} b {VALUE}"),
        ("application/json", '{{"key": "{}"}}', json.dumps({"key": VALUE})),
        ("application/vnd.api+json; charset=utf-8", '["{}"]', json.dumps([VALUE])),
        ("application/x-www-form-urlencoded", "a=b&key={}", "a=b&key=sk-live%2F7h3%2Bv4lue%3D%26%5C"),
        ("", "{}", VALUE),
    ],
)
async def test_in_a_body(web: Web, server: Server, kind: str, body: str, sent: str) -> None:
    """Escaped as its Content-Type asks, with a length that is right."""
    text = body.format(key(web), key(web))
    headers = [("Content-Type", kind)] if kind else []
    answer = await web.body(server.url("/mirror"), method="POST", body=b64(text), headers=headers)
    assert server.bodies == [sent.encode()]
    assert answer == text.encode()


async def test_what_carries_no_placeholder(web: Web, server: Server) -> None:
    """It goes out as it is, and it may go anywhere that is allowed."""
    web.names["a.example"] = ["127.0.0.1"]
    for host in ("127.0.0.1", "localhost", "a.example"):
        assert (
            await web.body(server.url("/mirror", host), method="POST", body=b64("capsule-secret-"))
            == b"capsule-secret-"
        )


@pytest.mark.parametrize("where", ["header", "basic", "query", "path", "body", "name", "shouted"])
@pytest.mark.parametrize("host", ["localhost", "a.example"])
async def test_elsewhere(web: Web, server: Server, where: str, host: str) -> None:
    """A placeholder is refused on the way to any other host, before anything is looked up or sent."""
    word = key(web)
    more: dict[str, Any] = {
        "header": {"headers": [("X", f"a{word}b")]},
        "basic": {"headers": [("Authorization", "basic " + b64(f"a:{word}"))]},
        "body": {"method": "POST", "body": b64(f"a{word}b")},
        "name": {"headers": [(word, "a")]},
        "shouted": {"headers": [("X", word.upper())]},
    }.get(where, {})
    path = {"query": f"/?a={word}", "path": f"/{word}/"}.get(where, "/")
    text = await web.denied(server.url(path, host), **more)
    assert text == (
        f"the secret KEY in a request to {host}:{server.port} is not allowed; "
        f'Secret(..., hosts=["{host}:{server.port}"]) would allow it'
    )
    assert (web.looked_up, server.connections, web.told) == ([], 0, [])


async def test_each_secret_has_its_own_hosts(web: Web, server: Server) -> None:
    """Both in one request go nowhere."""
    await web.get(server.url("/", "localhost"), headers=[("X", key(web, "OTHER"))])
    assert server.heads("x") == [OTHER]
    for host in ("localhost", "127.0.0.1"):
        assert "secret" in await web.denied(server.url("/", host), headers=[("X", f"{key(web)} {key(web, 'OTHER')}")])


@pytest.mark.parametrize("path", ["header", "chunks", "gzip", "gzip-gzip", "base64", "hex", "json", "error"])
@pytest.mark.parametrize("decode", [True, False])
async def test_what_comes_back(web: Web, server: Server, path: str, decode: bool) -> None:
    """The placeholder stands where the value was, in headers and bodies, however they were cut or packed."""
    answer = await web.get(server.url(f"/key-{path}"), headers=[("X-Key", key(web))], decode=decode)
    assert server.heads("x-key") == [VALUE]
    whole = json.dumps(answer) + base64.b64decode(answer["body"]).decode()
    for part in (VALUE, VALUE[:-2], VALUE[2:], b64(VALUE)[:12], VALUE.encode().hex()):
        assert part not in whole
    assert key(web) in whole


async def test_a_value_that_comes_from_elsewhere(web: Web, server: Server) -> None:
    """It does not matter who sent it there, or that this request carried nothing."""
    server.redirects["key"] = f"https://a.example/?k={VALUE}"
    answer = await web.get(server.url("/redirect/302/key", "localhost"), follow=False)
    assert dict(answer["headers"])["Location"] == f"https://a.example/?k={key(web)}"


async def test_a_body_that_is_cut_off(web: Web, server: Server) -> None:
    """What came of it has no value in it."""
    answer = await web.get(server.url("/key-cut"), headers=[("X-Key", key(web))], cut=True)
    assert not answer["is_whole"]
    assert base64.b64decode(answer["body"]).decode() == f"<{key(web)}"


async def test_a_body_that_cannot_be_opened(web: Web, server: Server) -> None:
    """Nobody could find a value in it, so it does not come in."""
    text = await web.failed(server.url("/key-packed"), headers=[("X-Key", key(web))])
    assert text == "connection: 127.0.0.1 packs the body in a way that the host cannot open"


async def test_redirects(web: Web, server: Server) -> None:
    """Each hop is asked about anew; a value in a Location is a placeholder again."""
    web.names["a.example"] = ["127.0.0.1"]
    server.redirects |= {"same": "/echo", "other": server.url("/echo", "a.example"), "key": server.url("/echo/")}
    headers = [("X-Key", key(web))]
    assert (await web.get(server.url("/redirect/307/same"), headers=headers))["status"] == 200
    assert server.heads("x-key") == [VALUE, VALUE]
    assert "the secret KEY in a request to a.example" in await web.denied(
        server.url("/redirect/307/other"), headers=headers
    )
    assert "the secret KEY" in await web.denied(server.url("/redirect/307/other"), method="POST", body=b64(key(web)))
    assert (await web.get(server.url("/key-redirect"), headers=headers))["status"] == 200
    assert "k=sk-live%2F7h3%2Bv4lue" in server.requests[-1]
    server.redirects["key"] = server.url("/echo/", "a.example")
    for path in ("/key-redirect", "/key-redirect-path"):
        assert "the secret KEY" in await web.denied(server.url(path), headers=headers)
    assert not [one for one in server.requests if "a.example" in one]
    assert VALUE not in str(web.told)


async def test_credentials_stay_behind(web: Web, server: Server) -> None:
    """A redirect to another origin drops them, and with them the secret: then it may go there."""
    web.names["a.example"] = ["127.0.0.1"]
    server.redirects["other"] = server.url("/", "a.example")
    headers = [("Authorization", f"Bearer {key(web)}")]
    assert await web.body(server.url("/redirect/302/other"), headers=headers) == b"hello"
    assert server.heads("authorization") == [f"Bearer {VALUE}"]


async def test_plain_http_is_for_this_machine(server: Server) -> None:
    """Elsewhere a value needs TLS, or a pattern that says otherwise; that is asked of the address."""
    web = Web(secrets={"KEY": Secret(VALUE, hosts=["db.example", "127.0.0.1"])})
    limited(web, allowed_hosts=["db.example"])
    web.names["db.example"] = ["10.0.0.1"]
    text = await web.denied(server.url("/", "db.example"), headers=[("X", key(web))])
    assert "over plain http:" in text
    assert f'hosts=["http://db.example:{server.port}"]' in text
    web.names["db.example"] = ["127.0.0.1"]
    await web.get(server.url("/", "db.example"), headers=[("X", key(web))])
    assert server.heads("x") == [VALUE]
    web.secrets = web.secrets.__class__({"KEY": Secret(VALUE, hosts=[f"http://db.example:{server.port}"])})
    limited(web, allowed_hosts=["db.example"], timeout="1s")
    web.names["db.example"] = ["10.255.255.1"]
    text = await web.failed(server.url("/", "db.example"), headers=[("X", key(web))], timeout=0.1)
    assert text.startswith(("timeout", "refused"))
    await web.http.aclose()


async def test_a_star_opens_no_private_network(server: Server) -> None:
    """A name below a pattern with a star must have a public address, for the secret as for the request."""
    web = Web(secrets={"KEY": Secret(VALUE, hosts=["*.example"])})
    limited(web, allowed_hosts=["a.example"])
    web.names["a.example"] = ["127.0.0.1"]
    assert "the secret KEY" in await web.denied(server.url("/", "a.example"), headers=[("X", key(web))])
    assert await web.body(server.url("/", "a.example")) == b"hello"
    await web.http.aclose()


@pytest.mark.parametrize(
    "host", ["127.0.0.1.example", "xlocalhost", "local-host", "localhost.example", "sub.localhost"]
)
async def test_names_that_look_alike(web: Web, host: str) -> None:
    """A pattern of a secret matches as one of `allowed_hosts` does: a name is that name alone."""
    limited(web, allowed_hosts=["*"])
    for name in ("KEY", "OTHER"):
        assert f"the secret {name}" in await web.denied(f"https://{host}/", headers=[("X", key(web, name))])


async def test_over_tls(web: Web) -> None:
    """The usual way, and the name is checked before anything is sent."""
    with speaking_tls("127.0.0.1") as server, speaking_tls("localhost") as wrong:
        await web.get(server.url("/"), headers=[("X", key(web))])
        assert server.heads("x") == [VALUE]
        assert "no secure connection" in await web.failed(wrong.url("/"), headers=[("X", key(web))])
        assert wrong.requests == []


async def test_too_much_of_it(server: Server) -> None:
    """A short text of placeholders cannot become more than the host holds."""
    web = Web(secrets={"KEY": Secret("x" * 8000, hosts=["127.0.0.1"])})
    limited(web, max_message="1MB")
    with pytest.raises(InvalidArguments, match="body: with its secrets"):
        await web.get(server.url("/"), "POST", body=b64(key(web) * 200))
    with pytest.raises(InvalidArguments, match="headers: with their secrets"):
        await web.get(server.url("/"), headers=[("X", key(web) * 100)])
    with pytest.raises(InvalidArguments, match="url: with its secrets"):
        await web.get(server.url("/?" + key(web) * 3))
    assert server.connections == 0
    await web.http.aclose()


async def test_a_value_that_no_header_can_have(server: Server) -> None:
    """A key of several lines is for bodies; in a header it would be more headers."""
    web = Web(secrets={"KEY": Secret("-----BEGIN\r\nHost: a.example", hosts=["127.0.0.1"])})
    with pytest.raises(InvalidArguments, match="a character that no header can have") as caught:
        await web.get(server.url("/"), headers=[("X", key(web))])
    assert "BEGIN" not in str(caught.value)
    assert await web.body(server.url("/mirror"), method="POST", body=b64(key(web))) == key(web).encode()
    assert server.bodies == [b"-----BEGIN\r\nHost: a.example"]
    await web.http.aclose()
