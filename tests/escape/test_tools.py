"""What a hostile guest can do with the tools that it was given, and with those that it was not."""

from __future__ import annotations

import argparse
import datetime as dt
import decimal
import logging
import re
import threading
import uuid
from dataclasses import dataclass

import anyio
import pytest

from capsule import Policy, Runtime, Tool
from capsule._guest.cache import CompiledGuest
from escape.actor_programs import ACTOR, SAY
from escape.hosts import watched
from host.jobs import stray

TRY = """
from capsule import ToolError
def attempt(call):
    try: return call()
    except ToolError as error: return [error.error_type, error.message]
"""


@dataclass
class Point:
    x: int
    y: float = 0.0


def typed(text: str, number: int, at: dt.datetime, point: Point, raw: bytes, more: list[uuid.UUID]) -> str:
    return "/".join(type(each).__name__ for each in (text, number, at, point, raw, more))


def anything(value: object = None, **more: int) -> object:
    return value


def money(amount: decimal.Decimal) -> str:
    return str(amount)


RIGHT = '["a", 1, "2026-01-01T00:00:00", {"x": 1}, "aGk=", []]'
ODD = {
    "wrong number": '["a"]',
    "text for a number": '["a", "1", "2026-01-01T00:00:00", {"x": 1}, "aGk=", []]',
    "bool for a number": '["a", true, "2026-01-01T00:00:00", {"x": 1}, "aGk=", []]',
    "number for a text": '[1, 1, "2026-01-01T00:00:00", {"x": 1}, "aGk=", []]',
    "fraction": '["a", 1.5, "2026-01-01T00:00:00", {"x": 1}, "aGk=", []]',
    "no date": '["a", 1, "2026-99-01T00:00:00", {"x": 1}, "aGk=", []]',
    "number for a date": '["a", 1, 5, {"x": 1}, "aGk=", []]',
    "list for a dataclass": '["a", 1, "2026-01-01T00:00:00", [1], "aGk=", []]',
    "class in a dataclass": '["a", 1, "2026-01-01T00:00:00", {"__class__": 1}, "aGk=", []]',
    "text for bytes": '["a", 1, "2026-01-01T00:00:00", {"x": 1}, "!!", []]',
    "no uuid": '["a", 1, "2026-01-01T00:00:00", {"x": 1}, "aGk=", ["x"]]',
    "dict for a text": '[{"a": 1}, 1, "2026-01-01T00:00:00", {"x": 1}, "aGk=", []]',
}


@pytest.mark.parametrize("args", ODD.values(), ids=ODD.keys())
async def test_arguments_of_wrong_shapes(
    guest: CompiledGuest, write, args: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They are refused with the signature; the function is not called, and the host's log stays empty."""
    source = SAY + '@task\ndef main(args): return say(\'tool\', \'{"tool":"typed","args":%s,"kwargs":{}}\' % args)'
    file = write("a.py", source)
    async with Runtime(tools=[typed]) as runtime:
        assert await runtime.run(file, args) == "invalid"
        assert await runtime.run(file, RIGHT) == "str/int/datetime/Point/bytes/list"
    assert [record for record in caplog.records if record.name == "capsule"] == []


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        ('{"tool":"anything","args":[[[1]]],"kwargs":{}}', [[1]]),
        ('{"tool":"anything","args":[],"kwargs":{"more":1}}', None),
        ('{"tool":"anything","args":[' + "[" * 400 + "]" * 400 + '],"kwargs":{}}', ...),
        ('{"tool":"anything","args":[' + "[" * 5000 + "]" * 5000 + '],"kwargs":{}}', "invalid"),
        ('{"tool":"anything","args":[' + "9" * 4000 + '],"kwargs":{}}', ...),
        ('{"tool":"anything","args":[' + "9" * 5000 + '],"kwargs":{}}', "invalid"),
        ('{"tool":"anything","args":[NaN],"kwargs":{}}', "invalid"),
        ('{"tool":"anything","args":[1e999],"kwargs":{}}', "invalid"),
        ('{"tool":"anything","args":["\\ud800"],"kwargs":{}}', "invalid"),
        ('{"tool":"anything","args":[1,2,3],"kwargs":{}}', "invalid"),
        ('{"tool":"anything","args":[],"kwargs":{"value":1,"x":"no"}}', "invalid"),
        ('{"tool":"anything","args":{"value":1},"kwargs":{}}', "invalid"),
        ('{"tool":"anything","args":[],"kwargs":{},"timeout":1}', "invalid"),
        ('{"tool":"Anything","args":[],"kwargs":{}}', "denied"),
        ('{"tool":"anything.__globals__","args":[],"kwargs":{}}', "denied"),
        ('{"tool":"__call__","args":[],"kwargs":{}}', "denied"),
        ('{"tool":"","args":[],"kwargs":{}}', "denied"),
        ('{"tool":"anything\\u0000","args":[],"kwargs":{}}', "denied"),
    ],
)
async def test_odd_payloads(
    guest: CompiledGuest, write, payload: str, answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever arrives is one kind of refusal or a plain value, and the next call is answered."""
    file = write("a.py", SAY + "@task\ndef main(payload): return say('tool', payload)")
    async with Runtime(tools=[anything]) as runtime:
        found = await runtime.run(file, payload)
        assert answer is ... or found == answer
        assert await runtime.run(file, '{"tool":"anything","args":[7],"kwargs":{}}') == 7
    assert [record for record in caplog.records if record.name == "capsule"] == []


async def test_a_ref_is_no_argument_of_a_tool(guest: CompiledGuest, write) -> None:
    """A ref is refused wherever it stands in the arguments, and so is a made-up one."""
    source = (
        ACTOR + SAY + "@actor\nclass A: pass\n@task\ndef main():\n    A()\n    mark = '{\"capsule:actor\":%d}'\n"
        '    return [say(\'tool\', \'{"tool":"anything","args":[\' + value + \'],"kwargs":{}}\')\n'
        "            for value in (mark % 1, '[' + mark % 1 + ']', '{\"x\":' + mark % 1 + '}', mark % 9)]"
    )
    file = write("a.py", source)
    async with Runtime(tools=[anything]) as runtime:
        assert set(await runtime.run(file)) <= {"invalid", "denied"}


async def test_errors_tell_nothing_of_the_process(
    guest: CompiledGuest, write, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception's text arrives without paths and without addresses, by which a memory layout could be known."""

    def shows() -> None:
        raise ValueError(f"bad {object()!r} and {anything!r} at {hex(id(anything))}")

    async def gone() -> None:
        raise OSError(2, "No such file", "/home/ada/secret.db")

    def looks(text: str) -> None:
        raise KeyError((print, text, threading.Lock()))

    file = write("a.py", ACTOR + TRY + "@task\ndef main(): return [attempt(lambda: t()) for t in "
                 "(tools.shows, tools.gone, lambda: tools.looks('x'))]")  # fmt: skip
    caplog.set_level(logging.CRITICAL, "capsule")
    async with Runtime(tools=[shows, gone, looks]) as runtime:
        found = repr(await runtime.run(file))
    assert "/home" not in found
    assert not re.search(r"0x[0-9a-fA-F]{6,}", found), found


@pytest.mark.parametrize("how", ["at once", "by restarts", "by children", "by telling", "by sub-tasks"])
async def test_a_tool_is_called_as_often_as_it_may(guest: CompiledGuest, write, how: str) -> None:
    """`max_calls` holds for a message and all that comes of it, whatever that does."""
    ways = {
        "at once": "    import asyncio\n    async def many(): await asyncio.gather(*(tools.pay() for _ in range(50)), "
        "return_exceptions=True)\n    asyncio.run(many())\n",
        "by restarts": "    pays = Pays()\n    for _ in range(3):\n        try: pays.die()\n        except TaskFailed: pass\n",
        "by children": "    for _ in range(5):\n        try: Pays().pay()\n        except (TaskFailed, ActorStopped): pass\n",
        "by telling": "    pays = Pays()\n    for _ in range(5): pays.tell.pay()\n    import time\n    time.sleep(0.5)\n",
        "by sub-tasks": "    for _ in range(5):\n        try: pay()\n        except TaskFailed: pass\n",
    }
    paid: list[int] = []

    def pay() -> None:
        paid.append(1)

    source = (
        ACTOR + "import os\nfrom capsule import ToolError\n@actor\nclass Pays:\n    def __init__(self):\n        try: "
        "tools.pay()\n        except ToolError: pass\n    def pay(self): tools.pay()\n    def die(self): os.abort()\n"
        "@task\ndef pay(): tools.pay()\n@task\ndef main():\n" + ways[how]
    )
    file = write("a.py", source)
    async with Runtime(tools=[Tool(pay, max_calls=2)]) as runtime:
        await (await runtime.spawn(file)).outcome()
    assert len(paid) <= 2


async def test_one_family_has_some_threads_only(guest: CompiledGuest, write) -> None:
    """Calls of a plain function that never comes back, given up over and over, leave threads for everybody else."""
    go = threading.Event()

    def hangs() -> None:
        go.wait(20)

    def answers() -> int:
        return 42

    hostile = write("a.py", SAY + "@task\ndef main():\n    for _ in range(60):\n        ticket = calls.submit('tool', "
                    "'{\"tool\":\"hangs\",\"args\":[],\"kwargs\":{}}')\n        calls.next(0.01)\n        calls.cancel(ticket)\n")  # fmt: skip
    harmless = write("b.py", ACTOR + "@task\ndef main(): return tools.answers()")
    try:
        with anyio.fail_after(20):
            async with Runtime(tools=[hangs, answers]) as runtime:
                refs = [await runtime.spawn(hostile) for _ in range(4)]
                for ref in refs:
                    await ref.outcome()
                with anyio.fail_after(5):
                    assert await runtime.run(harmless) == 42
                go.set()
    finally:
        go.set()


async def test_a_tool_that_fails_at_every_call(guest: CompiledGuest, write, caplog: pytest.LogCaptureFixture) -> None:
    """A guest that makes a tool fail without end holds neither the loop nor fills the log of the host."""

    async def fails(number: int) -> None:
        raise ValueError(f"no {number}")

    source = (
        ACTOR + TRY + "@task\ndef main():\n    for n in range(600): attempt(lambda: tools.fails(n))\n    return 1\n"
    )
    file = write("a.py", source)
    caplog.set_level(logging.WARNING)
    async with Runtime(policy=Policy(compute="HIGH"), tools=[fails]) as runtime, watched() as measures:
        assert await runtime.run(file) == 1
    assert measures.gap < 2
    assert len(caplog.records) <= 200


async def test_numbers_that_are_none(guest: CompiledGuest, write) -> None:
    """A hint decides what a text may become; it ends no more than that call."""
    file = write("a.py", ACTOR + TRY + "@task\ndef main(): return [attempt(lambda: tools.money(v)) for v in "
                 "('1.5', 'x', '', [1], None, '1' * 5000)]")  # fmt: skip
    async with Runtime(tools=[money]) as runtime:
        first, *others, long = await runtime.run(file)
    assert first == "1.5"
    assert {kind for kind, _ in others} == {"invalid"}
    assert long == "1" * 5000


async def test_no_guest_ends_the_runtime_through_a_tool(guest: CompiledGuest, write) -> None:
    """What ends a process or a task ends here no more than the call: a tool that parses what a guest wrote may exit."""

    def exits() -> None:
        argparse.ArgumentParser(exit_on_error=True).parse_args(["--no-such"])

    async def given_up() -> None:
        raise await stray()

    file = write("a.py", ACTOR + TRY + "@task\ndef main(): return [attempt(tools.exits), attempt(tools.given_up)]")
    harmless = write("b.py", "def main(): return 1")
    reached = False
    async with Runtime(tools=[exits, given_up]) as runtime:
        assert [kind for kind, _ in await runtime.run(file)] == ["tool_error", "tool_error"]
        assert await runtime.run(harmless) == 1
        reached = True
    assert reached
