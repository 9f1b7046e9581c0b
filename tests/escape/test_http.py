"""Hostile guests against real servers on loopback: what the right to send requests does not give, row by row.

Each row's program gets the server's URL; its neighbour, which does nothing wrong, must pass in the same runtime.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from capsule import Policy, Requested, RightsRefused, Runtime, Secret
from capsule._guest.cache import CompiledGuest
from capsule._values import Outcome
from escape.hosts import watched
from host.servers import BINARY, Server, serving

HARMLESS = "    return http.get(base + '/').text()"
RAW = """
    import json
    from capsule_sdk import _wire
    def raw(**more):
        return _wire.call("http", {"method": "GET", "url": base + "/", **more}, lambda answer: OSError(answer["message"]))
"""
TWICE = "    return http.get(base + '/').status_code + http.get(base + '/').status_code"


@dataclass(frozen=True, kw_only=True)
class Row:
    """`hostile` is the body of `main(base)`. It ends with `error_type` and a message with `message`, or `result`."""

    name: str
    hostile: str
    result: Any = None
    error_type: str | None = "denied"
    message: str = ""
    harmless: str = HARMLESS
    value: Any = "hello"
    policy: dict[str, Any] = field(default_factory=dict)


def fetches(url: str) -> str:
    return f"    return http.get({url}).text()"


def refused(name: str, url: str, words: str, **more: Any) -> Row:
    return Row(name=name, hostile=fetches(url), message=words, **more)


ROWS = (
    Row(
        name="no right at all",
        hostile=fetches("base"),
        message='allowed_hosts=["127.0.0.1:',
        policy={"allowed_hosts": ()},
        harmless="    return 'hello'",
    ),
    refused("another host", "'http://example.com/'", 'allowed_hosts=["example.com"]'),
    refused("the metadata service", "'http://169.254.169.254/latest/meta-data/'", "169.254.169.254"),
    refused("a redirect to it", "base + '/redirect/302/metadata'", 'allowed_hosts=["169.254.169.254"]'),
    refused("a redirect to another host", "base + '/redirect/307/other'", 'allowed_hosts=["example.com"]'),
    refused("a redirect to a file", "base + '/redirect/302/file'", "http: or https:"),
    refused("a user that looks like a host", "'http://127.0.0.1@example.com/'", "a user or a password"),
    refused("a backslash", r"'http://example.com\\@127.0.0.1/'", "backslashes", error_type="task_error"),
    refused("a name that only begins so", "'http://127.0.0.1.example.com/'", 'allowed_hosts=["127.0.0.1.example.com"]'),
    refused(
        "loopback under a star",
        "base",
        "no public address",
        policy={"allowed_hosts": ("*",)},
        harmless="    return 'hello'",
    ),
    refused(
        "loopback in octal under a star",
        "base.replace('127.0.0.1', '0177.1')",
        "no public address",
        policy={"allowed_hosts": ("*",)},
        harmless="    return 'hello'",
    ),
    Row(
        name="a public name with a private address",
        hostile=fetches("base.replace('127.0.0.1', 'private.example.com')"),
        message="not public",
        policy={"allowed_hosts": ("*.example.com",)},
        harmless="    return 'hello'",
    ),
    Row(
        name="a name whose address changes between two look-ups",
        hostile="    http.get(base.replace('127.0.0.1', 'changes.internal') + '/')\n"
        "    return http.get(base.replace('127.0.0.1', 'changes.internal') + '/').text()",
        message="link-local or otherwise special",
        policy={"allowed_hosts": ("changes.internal", "127.0.0.1")},
    ),
    Row(
        name="a name that changes between a request and its redirect",
        hostile=fetches("base.replace('127.0.0.1', 'changes.internal') + '/redirect/302/changes'"),
        message="link-local or otherwise special",
        policy={"allowed_hosts": ("changes.internal", "127.0.0.1")},
    ),
    Row(
        name="another port",
        hostile=fetches("base"),
        message="allowed_hosts",
        policy={"allowed_hosts": ("127.0.0.1:1",)},
        harmless="    return 'hello'",
    ),
    refused(
        "a header in a header",
        "base, headers={'X': 'a\\r\\nHost: b'}",
        "a character that no header can have",
        error_type="task_error",
    ),
    Row(
        name="a header in a URL",
        hostile=fetches("base + '/ HTTP/1.1\\r\\nX: y'"),
        message="stand in no URL",
        error_type="task_error",
        harmless="    return http.get(base + '/', params={'a': 'b\\r\\nc'}).text()",
    ),
    Row(
        name="another Host",
        hostile="    return http.get(base + '/echo', headers={'Host': 'example.com'}).json()['head'].count('example.com')",
        error_type=None,
        result=0,
    ),
    Row(name="a method that tunnels", hostile="    http.request('CONNECT', base)", message="HTTP method CONNECT"),
    Row(
        name="a payload that is none",
        hostile=RAW + "    raw(proxy='http://x')",
        message="proxy",
        error_type="task_error",
    ),
    Row(
        name="more redirects than allowed",
        hostile=RAW + "    raw(max_redirects=1000)",
        message="max_redirects",
        error_type="task_error",
    ),
    refused("redirects without end", "base + '/round'", "a larger max_redirects"),
    Row(
        name="more requests than allowed",
        hostile="    for _ in range(10): http.get(base + '/')",
        message="Policy(max_requests=3)",
        policy={"max_requests": 2},
        harmless=TWICE,
        value=400,
    ),
    Row(
        name="more requests by way of sub-tasks",
        hostile="    for _ in range(10): other(base)",
        message="Policy(max_requests=3)",
        error_type="task_error",
        policy={"max_requests": 2},
        harmless=TWICE,
        value=400,
    ),
    Row(
        name="a sub-task with rights of its own making",
        hostile=RAW + "    _wire.call('task', {'task': 'other', 'args': [base], 'kwargs': {}, 'allowed_hosts': ['*']})",
        message="allowed_hosts",
        error_type="task_error",
    ),
    refused("a body without end", "base + '/endless'", "a larger max_response", policy={"max_response": "1MB"}),
    refused("a bomb", "base + '/bomb'", "a larger max_response", policy={"max_response": "1MB"}),
    refused("a head without end", "base + '/endless-head'", "does not speak HTTP", error_type="task_error"),
    refused("bad chunks", "base + '/bad-chunks'", "does not speak HTTP", error_type="task_error"),
    refused("no HTTP at all", "base + '/no-http'", "does not speak HTTP", error_type="task_error"),
    Row(
        name="an answer for the next guest",
        hostile="    return http.get(base + '/two-answers').text()",
        error_type=None,
        result="ok",
    ),
    refused("a server that never answers", "base + '/never', timeout=0.2", "within 0.2 s", error_type="task_error"),
    refused("a server that drips", "base + '/drip', timeout=0.2", "within 0.2 s", error_type="task_error"),
    Row(
        name="waiting longer than the task may",
        hostile=fetches("base + '/drip'"),
        error_type="timeout",
        policy={"timeout": "600ms"},
    ),
    Row(
        name="a crowd of requests that never end",
        hostile="""
    import asyncio
    async def all_of_them():
        await asyncio.gather(*(http.aget(base + "/never") for _ in range(90)))
    asyncio.run(all_of_them())""",
        error_type="timeout",
        policy={"timeout": "600ms"},
    ),
    Row(
        name="a socket",
        hostile="    import socket; socket.create_connection(('127.0.0.1', int(base.rpartition(':')[2])), 1)",
        error_type="denied",
        message="sockets",
    ),
    Row(
        name="a URL that nothing parses",
        hostile="    return http.get('http://[::1' + '/' * 100_000).text()",
        message="url",
        error_type="task_error",
    ),
    Row(
        name="a refusal by way of the standard library",
        hostile="    import urllib.request; urllib.request.urlopen('http://example.com/')",
        message='allowed_hosts=["example.com"]',
    ),
    Row(
        name="a refusal that never was",
        hostile="    raise http.Denied('a request to a.com is not allowed; nothing would allow it')",
        message="a.com",
        error_type="task_error",
    ),
    Row(
        name="a refusal that was said before, in the error of today",
        hostile="""
    try: http.get('http://example.com/')
    except http.Denied: pass
    raise http.Denied('a request to a.com is not allowed; nothing would allow it')""",
        message="a.com",
        error_type="task_error",
    ),
    Row(
        name="errors that lead to one another without end",
        hostile="""
    errors = [ValueError(n) for n in range(300)]
    for one, other in zip(errors, errors[1:] + errors[:1]): one.reason = other
    try: http.get('http://example.com/')
    except http.Denied as error: errors[-1].reason = error
    raise ExceptionGroup("all of them", errors)""",
        message="all of them",
        error_type="task_error",
    ),
    Row(
        name="a request that is too much to decode",
        hostile=RAW + "    raw(headers=[['a', 'b']] * 50_000)",
        message="the payload has more than 100,000 commas and brackets",
        error_type="task_error",
        harmless="""    headers = {f"X-{n}": "," * 310 for n in range(196)}
    return len(http.post(base + "/mirror?" + "[" * 15_900, headers=headers, data=b"x" * 5_000_000).content)""",
        value=5_000_000,
    ),
    Row(
        name="a package that is too much to decode",
        hostile=RAW + "    _wire.call('package', {'module': ['a'] * 1_000}, lambda answer: OSError(answer['message']))",
        message="the payload has more than 1,000 commas and brackets",
        error_type="task_error",
    ),
    Row(
        name="headers without end",
        hostile=fetches("base + '/many-headers?20000'"),
        message="more than 200 headers",
        error_type="task_error",
        harmless="    return len(http.get(base + '/many-headers?199').headers.pairs)",
        value=200,
    ),
    Row(
        name="a cookie of another task's",
        hostile="    http.get(base + '/cookie'); return http.get(base + '/echo').json()['head'].lower().count('cookie')",
        error_type=None,
        result=0,
    ),
)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        opened.redirects |= {
            "metadata": "http://169.254.169.254/latest",
            "other": "//example.com/",
            "file": "file:///x",
            "changes": opened.url("/", "changes.internal"),
        }
        yield opened


def program(body: str) -> str:
    return (
        "from capsule import http, task\n@task\ndef main(base):\n"
        f"{body}\n@task\ndef other(base):\n    return http.get(base + '/').text()\n"
    )


class Names:
    """Answers as the owner of a name likes: `changes.internal` leads here once, and then to the metadata service."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, name: str, port: int) -> list[Any]:
        await anyio.lowlevel.checkpoint()
        self.asked.append(name)
        if name == "changes.internal":
            return [ipaddress.ip_address("127.0.0.1" if self.asked.count(name) == 1 else "169.254.169.254")]
        return [ipaddress.ip_address("127.0.0.1" if name.endswith("example.com") else "192.0.2.1")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_row(row: Row, guest: CompiledGuest, write, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The hostile program ends as the table says, quietly, and its neighbour passes."""
    hostile, harmless = write("hostile.py", program(row.hostile)), write("harmless.py", program(row.harmless))
    base = server.url("")
    policy = Policy(**{"allowed_hosts": ("127.0.0.1",), "timeout": "10s", **row.policy})
    with anyio.fail_after(20):
        async with Runtime(policy=policy) as runtime:
            runtime._http.resolve = Names()
            outcome = await (await runtime.spawn(hostile, base)).outcome()
            check(row, outcome)
            assert await runtime.run(harmless, base) == row.value
    assert [record for record in caplog.records if record.name.startswith(("capsule", "http"))] == []


def check(row: Row, outcome: Outcome) -> None:
    if row.error_type is None:
        assert (outcome.success, outcome.result) == (True, row.result), outcome.error
    else:
        assert outcome.error is not None, outcome.result
        assert outcome.error.error_type == row.error_type, outcome.error
        assert row.message in outcome.error.message, outcome.error


GOOD = """
import asyncio, http.client, socket, urllib.error, urllib.request
from capsule import http as web, task
from capsule.http import get, post, put, delete, patch, head
@task
def requests_like(base):
    r = get(base + "/", params={"a": [1, 2]}, headers={"X-A": "b"})
    said = post(base + "/echo", json={"x": [1]}).json()
    form = post(base + "/echo", data={"a": "b c"}).json()
    kinds = [f(base + "/echo").json()["method"] for f in (get, post, put, delete, patch)]
    try: get(base + "/missing").raise_for_status()
    except web.HTTPError as error: status = error.response.status_code, error.response.ok(), bool(error.response.ok)
    return [r.ok(), r.text(), r.headers["CONTENT-type"], r.url.partition("?")[2], said["body"], form["body"], kinds,
            status, list(head(base + "/").content), post(base + "/mirror", data=bytes(range(256))).content.hex()]
@task
def standard(base):
    with urllib.request.urlopen(urllib.request.Request(base + "/redirect/302/root", headers={"X": "y"}), timeout=5) as f:
        found = [f.status, f.read().decode(), f.headers["X-One"], f.url == base + "/"]
    for url, kind in ((base + "/missing", urllib.error.HTTPError), ("https://example.com/", urllib.error.URLError)):
        try: urllib.request.urlopen(url)
        except kind as error: found.append(str(error)[:30])
    with urllib.request.urlopen(base + "/mirror", data=bytes(range(256))) as f: found.append(f.read() == bytes(range(256)))
    try: urllib.request.urlopen(base + "/never", timeout=0.1)
    except TimeoutError as error: found.append(True)
    connection = http.client.HTTPConnection(base.split("//")[1], timeout=5)
    for method, path, body in (("GET", "/", None), ("POST", "/mirror", iter([b"ab", b"cd"])), ("HEAD", "/", None)):
        connection.request(method, path, body, encode_chunked=True)
        response = connection.getresponse()
        found.append([response.status, response.read().decode()])
    connection.close()
    try: http.client.HTTPSConnection("example.com").request("GET", "/")
    except OSError as error: found.append(type(error).__name__)
    return found
@task
def broken(base, gone):
    found, where = [], base.split("//")[1]
    connection = http.client.HTTPConnection(where, timeout=0.1)
    connection.request("GET", "/never")
    try: connection.getresponse()
    except TimeoutError: found.append("late")
    socket.setdefaulttimeout(0.1)
    connection = http.client.HTTPConnection(where)
    for fetch in (lambda: urllib.request.urlopen(base + "/never"),
                  lambda: connection.request("GET", "/never") or connection.getresponse()):
        try: fetch()
        except TimeoutError: found.append("late")
    socket.setdefaulttimeout(None)
    for path in ("/short", "/bad-chunks", "/short-of-gigabytes"):
        with urllib.request.urlopen(base + path) as answer:
            found.append(answer.status)
            try: answer.read()
            except http.client.IncompleteRead as error: found.append([error.partial.decode(), error.expected])
    try: urllib.request.urlopen(gone)
    except urllib.error.URLError as error: found.append([type(error.reason).__name__, error.reason.errno])
    try: http.client.HTTPConnection(gone.split("/")[2]).request("GET", "/")
    except ConnectionRefusedError as error: found.append(str(error).startswith("no connection to 127.0.0.1:"))
    return found
@task
def wrong(base):
    calls = (lambda: get("/x"), lambda: get("127.0.0.1/"), lambda: get("localhost:80/"), lambda: get(123),
             lambda: get(base, verify=False), lambda: post(base, 1, 2, 3), lambda: put(base, "a", data="b"),
             lambda: web.request("GET", base, auth=1), lambda: asyncio.run(web.aget(base, verify=False)))
    found = [get(base + "/echo", {"a": 1}).json()["query"], post(base + "/echo", {"a": 1}).json()["body"],
             put(base + "/echo", "b").json()["body"], patch(base + "/echo", None, [1]).json()["body"],
             asyncio.run(web.apost(base + "/echo", b"c")).json()["body"]]
    for call in calls:
        try: call()
        except (ValueError, TypeError) as error: found.append(f"{type(error).__name__}: {error}")
    return found
@task
async def at_once(base):
    responses = await asyncio.gather(*(web.aget(base + "/slow") for _ in range(30)))
    try: await web.aget(base + "/never", timeout=0.1)
    except TimeoutError as error: kind = type(error).__qualname__
    return [response.text() for response in responses].count("slow"), kind
"""


@pytest.mark.parametrize(
    ("task", "value"),
    [
        (
            "requests_like",
            [
                *(True, "hello", "text/plain; charset=utf-8", "a=1&a=2", '{"x": [1]}', "a=b+c"),
                ["GET", "POST", "PUT", "DELETE", "PATCH"],
                [404, False, False],
                [],
                BINARY.hex(),
            ],
        ),
        (
            "standard",
            [
                *(200, "hello", "1", True, "HTTP Error 404: Not Found", "<urlopen error a request to ex", True, True),
                *([200, "hello"], [200, "abcd"], [200, ""], "Denied"),
            ],
        ),
        ("at_once", [30, "Timeout"]),
        (
            "wrong",
            [
                *("a=1", "a=1", "b", "[1]", "c"),
                *(
                    f"ValueError: url: {text!r} has no scheme; a URL begins with http:// or https://"
                    for text in ("/x", "127.0.0.1/", "localhost:80/", "123")
                ),
                "TypeError: get() got an unexpected keyword argument 'verify'",
                "TypeError: post() takes a URL and 2 more by position, and 3 were given",
                "TypeError: put() got multiple values for argument 'data'",
                "TypeError: request() got an unexpected keyword argument 'auth'",
                "TypeError: aget() got an unexpected keyword argument 'verify'",
            ],
        ),
    ],
)
async def test_inside(guest: CompiledGuest, write, server: Server, task: str, value: Any) -> None:
    """What programs write with `capsule.http`, `urllib.request` and `http.client`, and every request in the outcome."""
    file = write("good.py", GOOD)
    server.redirects["root"] = "/"
    async with Runtime(policy=Policy(allowed_hosts=["127.0.0.1"])) as runtime:
        outcome = await (await runtime.spawn(f"{file}:{task}", server.url(""))).outcome()
    assert outcome.error is None, outcome.error
    assert outcome.result == value
    assert len(outcome.execution.host_requests) == len(server.requests)
    assert outcome.envelope()["execution"]["host_requests"][0]["status"] in {200, 302}


async def test_what_breaks_as_the_standard_library_has_it(guest: CompiledGuest, write, server: Server) -> None:
    """Late, cut off and refused ones: the errors of `http.client` and `urllib.request`, where CPython raises them."""
    with serving() as closed:
        gone = closed.url("/")
    async with Runtime(policy=Policy(allowed_hosts=["127.0.0.1"])) as runtime:
        found = await runtime.run(f"{write('good.py', GOOD)}:broken", server.url(""), gone)
    assert found[:7] == ["late", "late", "late", 200, ["short", 95], 200, ["", 1]]
    assert found[7:9] == [200, ["abc", 1 << 20]]  # who reads makes room for what is missing, which is bounded
    assert found[9:] == [["ConnectionRefused", 14], True]  # as WASI counts


REFUSED = {
    "alone": "http.get(URL)",
    "in a task group": """
    async def all_of_them():
        async with asyncio.TaskGroup() as group:
            for _ in range(3): group.create_task(http.aget(URL))
    asyncio.run(all_of_them())""",
    "in a group in a group, beside another": """
    try: http.get(URL)
    except http.Denied as error: raise ExceptionGroup("a", [ValueError(1), ExceptionGroup("b", [error])])""",
    "by way of http.client": "http_client.HTTPConnection('example.com').request('GET', '/')",
    "in the arguments of another": """
    try: http.get(URL)
    except http.Denied as error: failed = ValueError("x", OSError(error))
    raise failed""",
    "the reason of another": """
    try: http.get(URL)
    except http.Denied as error: raise RuntimeError("could not fetch") from error""",
    "of a tool": """
    from capsule import tools
    try: tools.absent(1)
    except Exception as error: raise RuntimeError("no tool") from error""",
}
FAILED = {
    "after it was dealt with": """
    try: http.get(URL)
    except http.Denied: pass
    1 / 0""",
    "while it was dealt with": """
    try: http.get(URL)
    except http.Denied: 1 / 0""",
    "with its words": """
    try: http.get(URL)
    except http.Denied as error: raise ValueError(str(error))""",
    "with attributes that raise": """
    class Liar(Exception):
        args = 5
        reason = error_type = property(lambda self: 1 / 0)
    try: http.get(URL)
    except http.Denied: pass
    raise Liar""",
    "instead of it": """
    try: http.get(URL)
    except http.Denied: raise RuntimeError("could not fetch") from None""",
}


@pytest.mark.parametrize(
    ("body", "error_type", "retries"),
    [
        *(pytest.param(body, "denied", 0, id=name) for name, body in REFUSED.items()),
        *(pytest.param(body, "task_error", 1, id=name) for name, body in FAILED.items()),
    ],
)
async def test_what_a_refusal_is(guest: CompiledGuest, write, body: str, error_type: str, retries: int) -> None:
    """An error that is one, or was raised for one, and says so; not one that comes after one. It is not tried again."""
    body = body if body.startswith("\n") else f"    {body}"
    source = f"import asyncio\nimport http.client as http_client\nURL = 'http://example.com/'\n{program(body)}"
    async with Runtime(policy=Policy(max_retries=1)) as runtime:
        outcome = await (await runtime.spawn(write("t.py", source), "")).outcome()
    assert outcome.error is not None
    assert (outcome.error.error_type, outcome.execution.retries) == (error_type, retries), outcome.error
    if error_type == "denied":
        assert outcome.error.message.count("is not allowed; ") == 1
        assert "would allow it" in outcome.error.message


async def test_many_headers_and_secrets(guest: CompiledGuest, write, server: Server) -> None:
    """They are counted before values are looked for in them, for which the event loop would wait."""
    file = write("t.py", program(fetches("base + '/many-headers?24000'")))
    secrets = {f"KEY_{n}": Secret(f"a value of some length {n}", hosts=["a.example"]) for n in range(20)}
    async with Runtime(policy=Policy(allowed_hosts=["127.0.0.1"]), secrets=secrets) as runtime, watched() as measures:
        outcome = await (await runtime.spawn(file, server.url(""))).outcome()
    assert "more than 200 headers" in outcome.error.message
    assert measures.gap < 1.0


async def test_failed_attempts_are_told(guest: CompiledGuest, write, server: Server) -> None:
    """The requests of each attempt stand in the outcome, those of a task that came to nothing too. Listeners hear of
    each when it has ended.
    """
    file, heard = write("t.py", program("    http.get(base + '/'); print('asked'); 1 / 0")), []
    policy = Policy(allowed_hosts=["127.0.0.1"], max_retries=2)
    async with Runtime(policy=policy, on_event=heard.append) as runtime:
        outcome = await (await runtime.spawn(file, server.url(""))).outcome()
    assert (outcome.error.error_type, outcome.execution.retries) == ("task_error", 2)
    assert [request.status for request in outcome.execution.host_requests] == [200, 200, 200]
    told = [event for event in heard if isinstance(event, Requested)]
    assert tuple(event.request for event in told) == outcome.execution.host_requests
    assert {(event.number, event.task_name) for event in told} == {(1, "main")}
    attempt = ["Requested", "Printed"]
    names = [type(event).__name__ for event in heard]
    assert names[1 : names.index("Ended") + 1] == [
        "Started",
        *attempt,
        "Retried",
        *attempt,
        "Retried",
        *attempt,
        "Ended",
    ]


async def test_a_ceiling(guest: CompiledGuest, write, server: Server) -> None:
    """A program that declares more than the runtime allows does not start."""
    file = write("t.py", program(fetches("base")).replace("@task", "@task(allowed_hosts=['127.0.0.1'])"))
    for ceiling, is_well in ((("127.0.0.1",), True), ((), False), (("*",), False), (("example.com",), False)):
        async with Runtime(ceiling=Policy(allowed_hosts=ceiling)) as runtime:
            if is_well:
                assert await runtime.run(file, server.url("")) == "hello"
                continue
            with pytest.raises(RightsRefused, match=r't.py:3, task main: allowed_hosts=\["127.0.0.1"\]'):
                await runtime.spawn(file, server.url(""))
    assert len(server.requests) == 1


class Careless(socketserver.StreamRequestHandler):
    """A server that reads no bodies, so that it takes one for the next request, and answers that a little later."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            path = line.split()[1]
            if path == b"/smuggled":
                time.sleep(0.05)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))


SMUGGLES = """
from capsule import http
def main(url):
    return http.{method}(url + "/mine", data="GET /smuggled HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n").text()
"""
HONEST = "from capsule import http\ndef main(url): return http.get(url + '/theirs').text()"


@pytest.mark.parametrize("method", ["post", "put"])
async def test_a_request_within_a_body(guest: CompiledGuest, write, method: str) -> None:
    """Whatever a server makes of a guest's body, nobody else gets the answer to it."""
    hostile, honest = write("hostile.py", SMUGGLES.format(method=method)), write("honest.py", HONEST)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Careless) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        async with Runtime(policy=Policy(allowed_hosts=("127.0.0.1",))) as runtime:
            for _ in range(3):
                assert await runtime.run(hostile, url) == "/mine"
                assert await runtime.run(honest, url) == "/theirs"
        server.shutdown()


class Crumbs(socketserver.StreamRequestHandler):
    """A body in chunks of one byte; or before it, hundreds of answers that say that one will come."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            if b"/soon" in self.rfile.readline():
                for _ in range(10):
                    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(30):
                self.wfile.write(b"1\r\nx\r\n" * 1000)
            self.wfile.write(b"0\r\n\r\n")


@pytest.mark.parametrize("path", ["/", "/soon"])
async def test_a_body_in_crumbs(guest: CompiledGuest, write, path: str) -> None:
    """Others have their turns of the event loop while it is read."""
    reads = write("reads.py", "from capsule import http\ndef main(url): return len(http.get(url).content)")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Crumbs) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        async with Runtime(policy=Policy(allowed_hosts=("127.0.0.1",), timeout="30s")) as runtime:
            turns, is_over = 0, anyio.Event()

            async def count() -> None:
                nonlocal turns
                while not is_over.is_set():
                    turns += 1
                    await anyio.lowlevel.checkpoint()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(count)
                assert await runtime.run(reads, f"http://127.0.0.1:{server.server_address[1]}{path}") == 30_000
                is_over.set()
            assert turns > 30_000 / 20
        server.shutdown()
