"""What hostile actors can make the event loop do: nothing that holds it for long, and the neighbours are answered."""

from __future__ import annotations

import textwrap
from contextlib import suppress

import anyio
import pytest

from capsule import Policy, Runtime, TaskFailed
from capsule._guest.cache import CompiledGuest
from escape.actor_programs import SAY
from escape.hosts import watched
from escape.test_memory import FORGES
from loops import in_turn

pytestmark = pytest.mark.slow

GAP = 2.0
"""Seconds that the loop may be held, in tests on a machine that does other things too."""

PARAMETERS = ", ".join(f"a{n}" for n in range(20_000))
OPTIONAL = ", ".join(f"a{n}=0" for n in range(20_000))

MANY_PARTS = """
@task
def main():
    text = {text!r} % ",".join(['["a","b"]'] * 1_400_000)
    for _ in range(9): calls.submit({operation!r}, text)
    for _ in range(9): calls.next(-1.0)
"""

HOLDS = {
    "required parameters, all given": f"""
@task
def wide({PARAMETERS}): pass
@task
def main(): say("task", '{{"task":"wide","args":[' + ",".join(["1"] * 20_000) + '],"kwargs":{{}}}}')
""",
    "required parameters, none given": f"""
@task
def wide({PARAMETERS}): pass
@task
def main(): say("task", '{{"task":"wide","args":[],"kwargs":{{}}}}')
""",
    "keywords of many parameters": f"""
@task
def wide({OPTIONAL}): pass
@task
def main(): say("task", '{{"task":"wide","args":[],"kwargs":{{' + ",".join('"a%d":1' % n for n in range(20_000)) + '}}}}')
""",
    "keywords that are no parameters": f"""
@task
def wide({OPTIONAL}, **rest): pass
@task
def main(): say("task", '{{"task":"wide","args":[],"kwargs":{{' + ",".join('"%x":1' % n for n in range(15_000)) + '}}}}')
""",
    "methods, again and again": """
@actor
class Wide:
"""
    + "\n".join(f"    def m{n}(self): 0" for n in range(8_000))
    + """
@task
def main():
    Wide()
    for _ in range(2_000): say("ask", '{"ref":{"capsule:actor":1},"method":"x","args":[],"kwargs":{}}')
""",
    "a large result with an escape": """
@task
def main(): answer('{"ok":["\\\\u0041",' + ",".join(["[]"] * 5_000_000) + "]}")
""",
    "a large result with what looks like a ref": """
@task
def main(): answer('{"ok":["capsule:actor",' + ",".join(["[]"] * 5_000_000) + "]}")
""",
    "large messages with an escape": """
@actor
class Calm:
    def take(self, x): pass
@task
def main():
    Calm()
    rest = ",".join(["[]"] * 4_000_000)
    for _ in range(3): say("tell", '{"ref":{"capsule:actor":1},"method":"take","args":[["\\\\u0041",' + rest + ']],"kwargs":{}}')
""",
    "requests that are none": MANY_PARTS.format(
        operation="http", text='{"method":"GET","url":"http://a/","headers":[%s]}'
    ),
    "packages that are none": MANY_PARTS.format(operation="package", text='{"module":[%s]}'),
    "many large calls at once": MANY_PARTS.format(operation="tool", text='{"tool":"x","args":[%s],"kwargs":{}}'),
}
"""Payloads that take the host long to look through, in whichever thread it does so."""

FLOODS = {
    "tells without end": """
@actor
class Calm:
    def take(self): pass
@task
def main():
    Calm()
    while True:
        calls.submit("tell", '{"ref":{"capsule:actor":1},"method":"take","args":[],"kwargs":{}}')
        if calls.next(0.0)[0] == 0: calls.next(-1.0)
""",
    "asks given up without end": """
@actor
class Calm:
    def take(self): time.sleep(0.01)
@task
def main():
    Calm()
    while True:
        ticket = calls.submit("ask", '{"ref":{"capsule:actor":1},"method":"take","args":[],"kwargs":{}}')
        calls.next(0.003)
        calls.cancel(ticket)
""",
    "actors that tell themselves": """
@actor
class Self:
    def go(self, me):
        while True:
            try: me.tell.go(me)
            except MailboxFull: break
@task
def main():
    for _ in range(6):
        me = Self()
        me.tell.go(me)
    time.sleep(9)
""",
    "actors started and stopped": """
@actor
class Calm: pass
@task
async def main():
    import asyncio
    async def one():
        while True: await Calm().stop()
    await asyncio.gather(*(one() for _ in range(20)))
""",
    "refusals": """
@task
def main():
    while True:
        for _ in range(500): calls.submit("spawn", '{"actor":"x","args":[],"kwargs":{}}')
        for _ in range(500): calls.next(-1.0)
""",
    "a thousand tell one": """
@actor
class One:
    def take(self, n): pass
@task
async def sub(one, n):
    import asyncio
    await asyncio.gather(*(one.tell.take(n) for n in range(20)))
@task
async def main():
    import asyncio
    one = One()
    while True: await asyncio.gather(*(sub(one, n) for n in range(60)))
""",
}


async def check_the_loop_goes_on(write, hostile: str, timeout: str) -> None:
    hostile = write("a.py", SAY + "import time\n" + FORGES + hostile)
    trivial = write("t.py", "def main(): return 42")
    with anyio.fail_after(60):
        async with Runtime(policy=Policy(compute="HIGH", timeout=timeout)) as runtime:
            async with watched() as measures:
                ref = await runtime.spawn(hostile)
                await anyio.sleep(1)
                with anyio.fail_after(10):
                    assert await runtime.run(trivial) == 42
                await ref.outcome()
            ref.kill()
            await ref.wait_stopped()
            assert await runtime.run(trivial) == 42
            assert runtime.actors() == []
    assert measures.gap < GAP


@in_turn("holds", HOLDS)
async def test_the_loop_goes_on(guest: CompiledGuest, write, holds: str) -> None:
    """The loop comes round, a neighbour is answered, and all of it is over soon after its time."""
    await check_the_loop_goes_on(write, holds, "5s")


@pytest.mark.parametrize("floods", FLOODS.values(), ids=FLOODS.keys())
async def test_the_loop_goes_on_under_a_flood(guest: CompiledGuest, write, floods: str) -> None:
    """Nor does it matter how many calls there are, on a loop that is fair or on one that is not."""
    await check_the_loop_goes_on(write, floods, "2500ms")


ASKED = {
    "computes without end": "while True: pass",
    "fills its memory": "kept = b'x' * 60_000_000",
    "moves its memory about": """
        kept = bytearray(30_000_000)
        for _ in range(30): kept[1:] = kept[:-1]
""",
    "compares its memory": """
        one, other = b'x' * 30_000_000, b'x' * 29_999_999 + b'y'
        for _ in range(30): one == other
""",
    "sorts": "sorted(range(3_000_000), key=lambda n: -n)",
    "looks for a pattern": "re.match(r'(a+)+$', 'a' * 30 + 'b')",
    "multiplies": "str(7 ** 200_000)",
    "prints much at once": "calls.write(1, 'x' * 30_000_000)",
    "asks the host with much text": """
        try: calls.submit('tool', 'x' * 15_000_000)
        finally: pass
""",
    "answers much text": "return 'x' * 15_000_000",
    "asks for random bytes": "os.urandom(10_000_000)",
    "looks at the clock": "while True: time.monotonic()",
    "asks the host without end": "while True: calls.cancel(calls.submit('nothing', '1'))",
    "waits for nothing without end": "while True: calls.next(0.0)",
    "prints without end": "while True: calls.write(1, 'x')",
}
"""What a method does that is asked over and over, each time the only message: such a one begins on the event loop."""


@pytest.mark.parametrize("body", ASKED.values(), ids=ASKED.keys())
async def test_the_loop_goes_on_while_it_works_itself(guest: CompiledGuest, write, body: str) -> None:
    """A message that begins on the event loop leaves it soon, whatever it does there."""
    source = f"""
import os, re, time
import capsule_sdk._streams as streams
calls = streams.calls
@actor(ram="128MB", timeout="300ms", max_restarts=100)
class Hostile:
    def short(self): return 1
    def long(self):
{textwrap.indent(textwrap.dedent(body).strip(), " " * 8)}
"""
    file = write("a.py", SAY + source)
    async with Runtime(policy=Policy(compute="HIGH")) as runtime, watched() as measures:
        ref = await runtime.spawn(f"{file}:Hostile")
        for _ in range(2):
            for _ in range(3):
                assert await ref.short() == 1  # or it would not begin there
            with suppress(TaskFailed):
                await ref.long()
    assert measures.gap < GAP
