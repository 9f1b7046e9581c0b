"""Programs of several modules in the real guest."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from capsule import Policy, Runtime, TaskFailed
from capsule._actor.call import Call
from capsule._engine.engine import WasmEngine
from capsule._guest.slicing import slice_of
from capsule._values import Module, Program
from capsule.abc import Limits
from capsule.testing.listener import RecordingListener
from guest.applications import SHIPPED, Applications, main_of


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def engine(guest):
    async with WasmEngine(Path(guest.file), min_ram=guest.min_ram) as opened:
        yield opened


def request_of(program: Program, function: str) -> str:
    body = json.dumps({"function": function, "call": [[], {}]})
    return Call(program=program, name=function, policy=Policy(), body=body).with_program({}, (), is_last=True)


async def answers(engine: WasmEngine, *requests: str) -> list[dict]:
    """What one sandbox says to each of `requests`."""
    limits = Limits(fuel=10**10, ram=128 << 20, max_output=1 << 20, max_message=1 << 20)
    sandbox = engine.open(limits, RecordingListener())
    with anyio.fail_after(20):
        replies = [await sandbox.call(request, timeout=10, is_last=False) for request in requests]
    sandbox.close()
    return [json.loads(reply.reply) for reply in replies]


@pytest.mark.parametrize(("files", "modules", "value"), SHIPPED.values(), ids=SHIPPED)
async def test_a_slice_with_its_modules_runs(engine, applications: Applications, files, modules, value):
    """In the sandbox, the function gives the value that it gives in its application."""
    program = slice_of(applications.load(files, main_of(files)).f)
    (answer,) = await answers(engine, request_of(program, "f"))
    assert answer.get("ok", answer) == value


async def test_a_traceback_shows_the_lines_of_a_module(engine, applications: Applications):
    """File, line and text of a sibling are those of the application, and nothing of capsule's is shown."""
    files = {
        "pack/__init__.py": "",
        "pack/app.py": "from .helpers import fail\ndef f():\n  return fail()",
        "pack/helpers.py": "REST = 1\n\ndef fail():\n  raise ValueError('no')",
    }
    program = slice_of(applications.load(files, "pack.app").f)
    (answer,) = await answers(engine, request_of(program, "f"))
    assert answer["error"]["traceback"] == (
        "Traceback (most recent call last):\n"
        '  File "pack/app.py", line 3, in f\n    return fail()\n'
        "  File \"pack/helpers.py\", line 4, in fail\n    raise ValueError('no')\n"
        "ValueError: no\n"
    )


async def test_an_error_while_a_module_loads_shows_its_own_lines(engine, applications: Applications):
    """Of the import system, nothing is shown."""
    module = applications.load({"app.py": "def f():\n  import late\n  return late.X", "late.py": "X = 1 / 0"})
    (answer,) = await answers(engine, request_of(slice_of(module.f), "f"))
    assert "importlib" not in answer["error"]["traceback"]
    assert 'File "late.py", line 1, in <module>' in answer["error"]["traceback"]


async def test_a_second_program_finds_none_of_the_modules_before(engine):
    """Each program of a sandbox brings its own modules."""
    first, second = (
        Program(path="a.py", source="import other\ndef f(): return other.X", modules=modules)
        for modules in ((Module(name="other", path="other.py", source="X = 1"),), ())
    )
    one, two = await answers(engine, request_of(first, "f"), request_of(second, "f"))
    assert one["ok"] == 1
    assert "no module named 'other'" in two["error"]["message"]


@pytest.mark.parametrize("name", ["capsule", "capsule_sdk", "json", "sys"])
async def test_what_the_sandbox_has_is_not_hidden(engine, name):
    """A module under a name that is loaded already is refused, not mistaken for the other."""
    modules = (Module(name=name, path="other.py", source="X = 1"),)
    (answer,) = await answers(engine, request_of(Program(path="a.py", source="def f(): ...", modules=modules), "f"))
    assert f"{name!r} would hide one that the sandbox has" in answer["error"]["message"]


READY = """
import sys
from capsule_sdk import _ready
def f(): return [name for name in _ready.NAMES if name not in sys.modules]
"""

TEN_DRAWS = """
import email.utils, random, secrets, sqlite3, statistics, tempfile, uuid
def f():
    return [
        str(uuid.uuid1().clock_seq), str(uuid.getnode()), str(uuid.uuid4()), secrets.token_hex(8),
        str(statistics.NormalDist().samples(2)), next(tempfile._get_candidate_names()), email.utils.make_msgid(),
        str(random.random()), str(random.Random().random()),
        *sqlite3.connect(":memory:").execute("select random(), hex(randomblob(300))").fetchone(),
    ]
"""


async def test_what_programs_often_import_is_there(engine):
    """Each of these modules is imported before the snapshot."""
    (answer,) = await answers(engine, request_of(Program(path="a.py", source=READY), "f"))
    assert answer["ok"] == []


async def test_an_id_needs_no_sockets(engine):
    """What looks for the name or the address of this machine finds none, and goes on; sockets would end the sandbox."""
    source = """
import email.utils, importlib, platform, socket, uuid
def f():
    for module in (uuid, socket):
        importlib.reload(module)
    names = [socket.getfqdn(), socket.getfqdn(" a.example "), platform.node()]
    return [*names, uuid.uuid1().version, uuid.uuid6().version, email.utils.make_msgid(domain=None)[-11:]]
"""
    (answer,) = await answers(engine, request_of(Program(path="a.py", source=source), "f"))
    assert answer["ok"] == ["localhost", "a.example", "(none)", 1, 6, "@localhost>"]


async def test_a_program_has_a_name(engine):
    """`sys.argv` holds the program's path, by which `argparse` calls it."""
    source = "import argparse, sys\ndef f(): return [sys.argv, argparse.ArgumentParser().prog]"
    (answer,) = await answers(engine, request_of(Program(path="a.py", source=source), "f"))
    assert answer["ok"] == [["a.py"], "a.py"]


async def test_modules_that_stand_ready_draw_anew(engine):
    """None of them keeps a state of `random` from the snapshot, which all sandboxes would share."""
    drawn = [(await answers(engine, request_of(Program(path="a.py", source=TEN_DRAWS), "f")))[0] for _ in range(2)]
    one, other = (answer["ok"] for answer in drawn)
    assert [number for number, (mine, others) in enumerate(zip(one, other, strict=True)) if mine == others] == []


HIDING = {
    "a module": ("import queue\nfrom numbers import Number\ndef f(): return queue.X", [("queue", "X = 1", False)], 1),
    "a package": (
        "import html.parser\ndef f(): return html.parser.X",
        [("html", "", True), ("html.parser", "X = 2", False)],
        2,
    ),
    "one that others of the library have": (
        "import fractions, statistics\ndef f(): return [fractions.X, float(statistics.mean([1, 2]))]",
        [("fractions", "X = 3", False)],
        [3, 1.5],
    ),
    "one that the library imports late": (
        "import shelve\ndef f(): return shelve.Pickler",
        [("pickle", "Pickler, Unpickler, DEFAULT_PROTOCOL = 4, 5, 6", False)],
        4,
    ),
}


@pytest.mark.parametrize(("source", "others", "value"), HIDING.values(), ids=HIDING)
async def test_what_stands_ready_can_be_hidden(engine, source, others, value):
    """A file of the application comes before the library, also where the library is loaded already."""
    modules = tuple(
        Module(name=name, path=f"{name}.py", source=text, is_package=is_package) for name, text, is_package in others
    )
    hiding = request_of(Program(path="a.py", source=source, modules=modules), "f")
    plain = request_of(Program(path="b.py", source="import queue\ndef f(): return hasattr(queue, 'Queue')"), "f")
    first, second = await answers(engine, hiding, plain)
    assert (first.get("ok"), second.get("ok")) == (value, True), (first, second)


async def test_a_task_of_a_module_is_found(engine, applications: Applications):
    """The host calls it by its module and name."""
    files = {
        "app.py": "from jobs import g\ndef f(): return g",
        "jobs.py": "from capsule import task\n@task\ndef g(): return 7",
    }
    program = slice_of(applications.load(files).f)
    (answer,) = await answers(engine, request_of(program, "jobs:g"))
    assert answer["ok"] == 7


WRITES = """
from capsule import actor, task, tools, ToolError
@actor(ram="96MB", compute="HIGH")
class A:
    def large(self): return [["x" * 1000 for _ in range(9000)] for _ in range(8)]
    def room(self): return len(bytearray(30_000_000))
class Odd(dict):
    def items(self):
        try: tools.tell({1, 2})
        except TypeError: pass
        return super().items()
@task
def nested(): return [{"a": Odd(b=[1])}, 2]
@task
def circular():
    inner = []
    inner.append(inner)
    try: tools.tell(inner)
    except TypeError as error: return [str(error), [inner is None]]
"""


def tell(thing: object) -> None:
    """A tool."""


async def test_what_ends_the_writing_of_a_value(runtime: Runtime, write) -> None:
    """An answer that has no room, one within another, and one that cannot be written leave nothing to the next."""
    file = write("writes.py", WRITES)
    ref = await runtime.spawn(f"{file}:A")
    with pytest.raises(TaskFailed):
        await ref.large()
    assert await ref.room() == 30_000_000
    ref.kill()
    nested = await runtime.spawn(f"{file}:nested", tools=[tell])
    assert await nested.result() == [{"a": {"b": [1]}}, 2]
    circular = await runtime.spawn(f"{file}:circular", tools=[tell])
    text, rest = await circular.result()
    assert ("contains itself" in text, rest) == (True, [False])


LARGE_AND_SMALL = """
from capsule import actor, task
@actor
class One:
    def __init__(self): self.came = []
    def take(self, text): self.came.append(len(text))
    def sizes(self): return self.came
@task
async def main():
    one = One()
    for size in (900_000, 800_000, 1, 200_000, 2): one.tell.take("x" * size)
    return await one.sizes()
"""


async def test_large_messages_among_small_ones(runtime: Runtime, write) -> None:
    """They arrive in the order in which they were sent, although large ones are decoded one at a time."""
    assert await runtime.run(write("t.py", LARGE_AND_SMALL)) == [900_000, 800_000, 1, 200_000, 2]
