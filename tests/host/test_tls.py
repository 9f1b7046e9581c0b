"""Requests over TLS to servers on loopback, with certificates of a CA of the tests' own."""

from __future__ import annotations

import base64
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from capsule import Policy, Runtime
from capsule._guest.cache import CompiledGuest
from host.servers import BINARY, Server, serving
from host.web import Web, limited

CA = trustme.CA()
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def trusting(*cas: trustme.CA) -> ssl.SSLContext:
    """A client's context as capsule makes it, but for whom it trusts."""
    context = ssl.create_default_context()
    for ca in cas:
        ca.configure_trust(context)
    return context


@contextmanager
def speaking_tls(*names: str, ca: trustme.CA = CA, **certificate: Any) -> Iterator[Server]:
    """A server with a certificate for `names`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, **certificate).configure_cert(context)
    with serving(context) as server:
        yield server


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    opened = Web(ssl_context=trusting(CA))
    yield opened
    await opened.http.aclose()


async def test_a_request_over_tls(web: Web) -> None:
    """Bytes come and go, and the connection is kept."""
    with speaking_tls("127.0.0.1") as server:
        assert await web.body(server.url("/")) == b"hello"
        text = base64.b64encode(BINARY * 1000).decode()
        assert await web.body(server.url("/mirror"), method="POST", body=text) == BINARY * 1000
        assert server.connections == 1


async def test_an_answer_that_nobody_asked_for(web: Web) -> None:
    """What came behind an answer, in a record of its own too, is not the answer to the next request."""
    with speaking_tls("127.0.0.1") as server:
        for _ in range(20):
            assert await web.body(server.url("/two-answers")) == b"ok"
            assert await web.body(server.url("/")) == b"hello"


async def test_the_name_is_what_the_certificate_is_checked_for(web: Web) -> None:
    """Not the address that the name leads to; it is also what the server is asked for."""
    web.names |= {"good.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    limited(web, allowed_hosts=["good.example", "other.example", "127.0.0.1"])
    with speaking_tls("good.example") as server:
        for _ in range(2):
            assert await web.body(server.url("/", "good.example")) == b"hello"
            for wrong in ("other.example", "127.0.0.1"):
                text = await web.failed(server.url("/", wrong))
                assert text == f"connection: no secure connection to {wrong}:{server.port}"
        assert set(server.heads("host")) == {f"good.example:{server.port}"}
        assert len(server.requests) == 2


async def test_a_redirect_to_a_name_that_the_certificate_is_not_for(web: Web) -> None:
    """A connection that stands is not used for another name, though it is the same address and port."""
    web.names |= {"good.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    limited(web, allowed_hosts=["good.example", "other.example"])
    with speaking_tls("good.example") as server:
        server.redirects |= {"other": server.url("/", "other.example"), "same": server.url("/", "good.example")}
        assert await web.body(server.url("/redirect/302/same", "good.example")) == b"hello"
        assert "no secure connection" in await web.failed(server.url("/redirect/302/other", "good.example"))


@pytest.mark.parametrize(
    "certificate",
    [{"ca": trustme.CA()}, {"not_after": LONG_AGO, "not_before": LONG_AGO}],
    ids=["a stranger", "expired"],
)
async def test_certificates_that_nobody_should_trust(web: Web, certificate: Any) -> None:
    """No request gets as far as the server."""
    with speaking_tls("127.0.0.1", **certificate) as server:
        assert "no secure connection" in await web.failed(server.url("/"))
        assert server.requests == []


async def test_the_machine_s_own_certificates() -> None:
    """Without a context of the test's, a CA that the machine does not know is a stranger."""
    web = Web()
    with speaking_tls("127.0.0.1") as server:
        assert "no secure connection" in await web.failed(server.url("/"))
    await web.http.aclose()


async def test_plain_http_to_a_server_that_speaks_tls(web: Web) -> None:
    """It is an answer, not a wait."""
    with speaking_tls("127.0.0.1") as server:
        text = await web.failed(server.url("/").replace("https:", "http:"), timeout=5)
        assert text.startswith("connection: ")


SOURCE = """
from capsule import http, task
import http.client, urllib.request
@task
def main(base):
    from capsule.http import get
    found = [get(base).text(), urllib.request.urlopen(base).read().decode()]
    connection = http.client.HTTPSConnection(base.split("//")[1].rstrip("/"))
    connection.request("GET", "/")
    found.append(connection.getresponse().read().decode())
    for wrong in (get, urllib.request.urlopen):
        try: wrong(base.replace("good", "other"))
        except OSError as error: found.append(str(error).partition(" to ")[0][-20:])
    return found
"""


async def test_inside(guest: CompiledGuest, write) -> None:
    """`capsule.http`, `urllib.request` and `http.client` speak it by way of the host, which checks the name."""
    web = Web()
    web.names |= {"good.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    file = write("t.py", SOURCE)
    with speaking_tls("good.example") as server:
        async with Runtime(policy=Policy(allowed_hosts=["good.example", "other.example"])) as runtime:
            runtime._http.resolve, runtime._http.ssl_context = web._look_up, trusting(CA)
            found = await runtime.run(file, server.url("/", "good.example"))
    assert found == ["hello", "hello", "hello", "no secure connection", "no secure connection"]
