"""What hostile guests can make the host hold: messages, answers, results and actors that have ended, by the megabyte.

Each guest here has 128 MB of its own, and what it makes the host keep beside its sandboxes should not be more than that
again. What it tries is many times as much.
"""

from __future__ import annotations

from contextlib import suppress

import anyio
import pytest

from capsule import InvalidProgram, Policy, Runtime
from capsule._guest.cache import CompiledGuest
from escape.actor_programs import ACTOR, SAY
from escape.hosts import needs_proc, watched
from loops import in_turn

pytestmark = [needs_proc, pytest.mark.slow]

MOST = 500
"""Megabytes that the process may grow by: 128 for the sandbox that tries it, some for the others, and what it makes the
host hold."""

FORGES = """
import capsule_sdk._program as program
class Reply:
    def __init__(self, reply): self.reply = reply
    def __radd__(self, other): return self
    def __add__(self, other): return self.reply if other == "}" else self
def answer(reply): program.to_json = lambda *args, **kwargs: Reply(reply)
MANY = "[" + ",".join(["{}"] * 1_000_000) + "]"
"""

HOARDS = {
    "arguments of actors that have stopped": """
@actor
class Child:
    def __init__(self, text): pass
@task
def main():
    text = "x" * 8_000_000
    for _ in range(60): Child(text).stop()
""",
    "arguments of tasks that are done": """
@task
def sub(text): pass
@task
def main():
    payload = '{"task":"sub","args":["' + "x" * 8_000_000 + '"],"kwargs":{}}'
    for _ in range(100): say("task", payload)
""",
    "arguments of tasks at work or waiting for a place": """
@task
def sub(x): time.sleep(60)
@task
def main():
    payload = '{"task":"sub","args":[' + MANY + '],"kwargs":{}}'
    for _ in range(20): calls.submit("task", payload)
    time.sleep(3)
""",
    "arguments of asks that wait": """
@actor(max_mailbox=1)
class Slow:
    def rest(self, x=None): time.sleep(60)
@task
def main():
    Slow()
    payload = '{"ref":{"capsule:actor":1},"method":"rest","args":[%s],"kwargs":{}}'
    for _ in range(3): calls.submit("tell", payload % "")
    for _ in range(20): calls.submit("ask", payload % MANY)
    time.sleep(3)
""",
    "results of senders whose tells wait": """
@actor
class Slow:
    def rest(self): time.sleep(60)
@task
def sub(slow):
    slow.tell.rest()
    answer('{"ok":' + MANY + '}')
@task
def main():
    slow = Slow()
    slow.tell.rest()
    for _ in range(12): calls.next(-1.0) if calls.submit("task", '{"task":"sub","args":[{"capsule:actor":1}],"kwargs":{}}') else 0
""",
    "answers of constructors": """
@actor
class Fat:
    def __init__(self): answer('{"ok":' + MANY + '}')
@task
def main():
    for _ in range(12): Fat()
    time.sleep(3)
""",
    "results of messages that started actors": """
@actor
class Small: pass
@actor
class Fat:
    def go(self):
        Small()
        answer('{"ok":' + MANY + '}')
@task
def main():
    Fat()
    for _ in range(12): calls.submit("ask", '{"ref":{"capsule:actor":1},"method":"go","args":[],"kwargs":{}}')
    time.sleep(3)
""",
    "messages in mailboxes": """
@actor
class Slow:
    def rest(self, x=None): time.sleep(60)
@task
def main():
    Slow()
    payload = '{"ref":{"capsule:actor":1},"method":"rest","args":["' + "x" * 4_000_000 + '"],"kwargs":{}}'
    for _ in range(200): calls.submit("tell", payload); calls.next(0.02)
""",
    "names of what waits": f"""
@actor(name="{"n" * 200_000}")
class Slow:
    def rest(self): time.sleep(60)
@task
def main():
    slow = Slow()
    for _ in range(999): slow.tell.rest()
    for _ in range(900): calls.submit("ask", '{{"ref":{{"capsule:actor":1}},"method":"rest","args":[],"kwargs":{{}}}}')
    time.sleep(2)
""",
    "refusals that nobody takes": """
@task
def main():
    payload = '{"task":"' + "\\x7f" * 5_000_000 + '","args":[],"kwargs":{}}'
    for _ in range(20): calls.submit("task", payload)
    time.sleep(2)
""",
}  # fmt: skip


@in_turn("name", {name: name for name in HOARDS})
async def test_memory_is_bounded(guest: CompiledGuest, write, name: str) -> None:
    """The process grows by no more than the sandboxes may have, and the runtime answers."""
    hostile = write("a.py", SAY + "import time\n" + FORGES + HOARDS[name])
    trivial = write("t.py", "def main(): return 42")
    with anyio.fail_after(60):
        # Few at once: what a sandbox has of its own is not what is measured.
        few = 2 if "for a place" in name else 1000
        async with Runtime(policy=Policy(compute="HIGH", timeout="15s"), max_sandboxes=few) as runtime:
            async with watched() as measures:
                with suppress(InvalidProgram):  # refused before anything ran: as good
                    ref = await runtime.spawn(hostile)
                    await ref.outcome()
                    ref.kill()
                    await ref.wait_stopped()
            assert await runtime.run(trivial) == 42
    assert measures.growth < MOST, f"{measures.growth} MB"


async def test_a_stream_that_nobody_reads(guest: CompiledGuest, write) -> None:
    """Events of results as large as they may be wait for a reader in a bounded room."""
    sub = "@task\ndef sub(): answer('{\"ok\":' + MANY + '}')\n"
    main = '@task\ndef main():\n    for _ in range(10): say(\'task\', \'{"task":"sub","args":[],"kwargs":{}}\')\n'
    file = write("a.py", SAY + FORGES + sub + main)
    policy = Policy(compute="HIGH", timeout="20s")
    async with Runtime(policy=policy) as runtime, runtime.events(), watched() as measures:
        await (await runtime.spawn(file)).outcome()
    assert measures.growth < MOST, f"{measures.growth} MB"


async def test_an_answer_is_no_larger_than_a_message_may_be(guest: CompiledGuest, write) -> None:
    """What a guest hears of a call that was refused is cut: its own words do not come back many times as long."""
    many = ",".join(f"def m{n}(self): 0" for n in ()) or "def rest(self): pass"
    lines = [
        """'{"task":"%s","args":[],"kwargs":{}}' % x, 'task'""",
        """'{"actor":"%s","args":[],"kwargs":{}}' % x, 'spawn'""",
        """'{"tool":"%s","args":[],"kwargs":{}}' % x, 'tool'""",
        """'{"task":"main","args":[],"kwargs":{"%s":1}}' % x, 'task'""",
        """'{"ref":{"capsule:actor":1},"method":"%s","args":[],"kwargs":{}}' % x, 'ask'""",
        """'{"%s":1}' % x, 'task'""",
    ]
    source = (
        ACTOR
        + SAY
        + f"@actor\nclass A:\n    {many}\n@task\ndef main():\n    x, found = '\\x7f' * 900_000, []\n    A()\n"
        f"    for payload, operation in ({', '.join(f'({line})' for line in lines)}):\n"
        "        calls.submit(operation, payload)\n        found.append(len(calls.next(-1.0)[1]))\n    return found\n"
    )
    file = write("a.py", source)
    async with Runtime(policy=Policy(max_message="1MB")) as runtime:
        found = await runtime.run(file)
    assert max(found) <= 1 << 20, found
