"""Secrets and requests in everything that can be at work: tasks, sub-tasks, actors, sessions, one file and one call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capsule import Ended, Left, Outcome, Policy, Requested, Runtime, Secret, TaskFailed, run
from capsule._guest.cache import CompiledGuest
from capsule.journal import JournalReader
from host.servers import Server, serving

VALUE = "sk-live-0123456789-secret"
SOURCE = """
import os
from capsule import actor, http, task
def ask(base, path="/key-json"): return http.get(base + path, headers={"X-Key": os.environ["KEY"]}).json()["key"]
@task
def main(base): return ask(base)
@task
def parent(base): return [child(base, 1), child(base, 2), ask(base)]
@task
def child(base, number): return http.get(f"{base}/echo?number={number}&key={os.environ['KEY']}").status_code
@actor
class Client:
    def __init__(self, base): self.base, self.first = base, ask(base)
    def again(self, path): return [self.first, http.post(self.base + path, data=os.environ["KEY"]).status_code]
    def go(self): os._exit(1)
"""
CODE = """
import os
from capsule import http
http.get({base!r} + "/key-json", headers={{"X-Key": os.environ["KEY"]}}).json()["key"] == os.environ["KEY"]
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        yield opened


@pytest.fixture
def secrets(server: Server) -> dict[str, Secret]:
    return {"KEY": Secret(VALUE, hosts=["127.0.0.1"])}


POLICY = Policy(allowed_hosts=["127.0.0.1"])


def told(outcome: Outcome) -> list[tuple[str, str, int]]:
    """Method, path and status of each request of a message."""
    requests = outcome.execution.host_requests
    assert all(request.duration_ms > 0 for request in requests)
    assert all(set(request) == {"method", "url", "status", "bytes", "duration_ms"} for request in plain(outcome))
    return [(each.method, each.url.split("/", 3)[3].partition("&")[0], each.status) for each in requests]


def plain(outcome: Outcome) -> list[dict[str, Any]]:
    return outcome.envelope()["execution"]["host_requests"]


async def test_a_task_and_its_sub_tasks(guest: CompiledGuest, write, server: Server, secrets) -> None:
    """Each message has the record of its own requests, sub-tasks among them, without values."""
    file, ends = write("t.py", SOURCE), []
    async with Runtime(policy=POLICY, secrets=secrets, on_event=ends.append) as runtime:
        outcome = await (await runtime.spawn(f"{file}:parent", server.url(""))).outcome()
    assert outcome.error is None, outcome.error
    assert outcome.result[:2] == [200, 200]
    assert outcome.result[2].startswith("capsule-secret-")
    assert told(outcome) == [("GET", "key-json", 200)]
    records = {each.task_name: told(each.outcome) for each in ends if isinstance(each, Ended)}
    assert records["child"] == [("GET", "echo?number=2", 200)]
    assert sum(VALUE in request for request in server.requests) == 3
    assert VALUE not in f"{outcome}{plain(outcome)}{ends}"
    assert "key=capsule-secret-" in f"{ends}"


async def test_an_actor(guest: CompiledGuest, write, server: Server, secrets) -> None:
    """Its messages have records of their own; a fresh sandbox finds the same placeholder."""
    file, ends = write("t.py", SOURCE), []
    async with Runtime(policy=POLICY, secrets=secrets, on_event=ends.append) as runtime:
        client = await runtime.spawn(f"{file}:Client", server.url(""))
        before = await client.again("/mirror")
        with pytest.raises(TaskFailed):
            await client.go()
        assert await client.again("/missing") == [before[0], 404]
    records = [(each.task_name, told(each.outcome)) for each in ends if isinstance(each, Ended)]
    assert records == [
        ("Client", [("GET", "key-json", 200)]),
        ("Client.again", [("POST", "mirror", 200)]),
        ("Client.go", []),
        ("Client", [("GET", "key-json", 200)]),
        ("Client.again", [("POST", "missing", 404)]),
    ]
    assert server.bodies.count(VALUE.encode()) == 2
    assert VALUE not in f"{ends}"


async def test_sessions(guest: CompiledGuest, server: Server, secrets) -> None:
    """Code in pieces as well, also after its sandbox was lost."""
    code = CODE.format(base=server.url(""))
    async with Runtime(policy=POLICY, secrets=secrets) as runtime:
        assert (await runtime.eval(code)).value is True
        async with runtime.session() as session:
            found = await session.run(code)
            assert found.value is True
            assert [each.status for each in found.execution.host_requests] == [200]
            await session.reset()
            assert (await session.run(code)).value is True
    assert server.heads("x-key") == [VALUE] * 3


async def test_one_file(guest: CompiledGuest, write, server: Server, secrets) -> None:
    """`run` takes them as a runtime does."""
    file = write("t.py", SOURCE)
    envelope = await run(file, [server.url("")], secrets=secrets, policy=POLICY)
    assert envelope["result"].startswith("capsule-secret-")
    assert server.heads("x-key") == [VALUE]


async def test_no_secrets(guest: CompiledGuest, write, server: Server) -> None:
    """Then there is no variable."""
    file = write("t.py", SOURCE)
    async with Runtime(policy=POLICY) as runtime:
        outcome = await (await runtime.spawn(file, server.url(""))).outcome()
    assert outcome.error.exception == "KeyError"
    assert outcome.error.message.startswith("'KEY'")


async def test_another_runtime(guest: CompiledGuest, write, server: Server, secrets) -> None:
    """Its placeholders are others, and one of a stranger's is text."""
    file = write("t.py", SOURCE)
    async with Runtime(policy=POLICY, secrets=secrets) as one, Runtime(policy=POLICY, secrets=secrets) as two:
        first, second = await one.run(file, server.url("")), await two.run(file, server.url(""))
        assert first != second
        await one.eval(f"from capsule import http; http.get({server.url('/')!r}, headers={{'X-Other': {second!r}}})")
    assert server.heads("x-other") == [second]


async def test_the_journal_has_no_value(server: Server, secrets: dict[str, Secret], tmp_path: Path) -> None:
    """What is printed, asked for, answered and raised comes to the journal with placeholders."""
    code = """
import os
from capsule import http, task
@task
def main(base):
    key = http.get(base + "/key-json", headers={"X-Key": os.environ["KEY"]}).json()["key"]
    print(key, end="")
    http.get(f"{base}/echo?key={os.environ['KEY']}")
    raise ValueError(key)
"""
    (tmp_path / "leaks.py").write_text(code, "utf-8")
    folder = tmp_path / "journal"
    with pytest.raises(TaskFailed):
        async with Runtime(secrets=secrets, policy=POLICY, journal=folder / "trace.db") as runtime:
            await runtime.run(str(tmp_path / "leaks.py"), server.url(""))
    with JournalReader(folder / "trace.db") as reader:
        events = [entry.event for entry in reader.entries(reader.run("last"))]
    urls = [event.request.url for event in events if isinstance(event, Requested)]
    assert [url.partition("?")[0] for url in urls] == [server.url("/key-json"), server.url("/echo")]
    assert isinstance(events[-1], Left)
    assert events[-1].exception == "TaskFailed"
    kept = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"/echo?key=" in kept
    assert VALUE.encode() not in kept
