"""What hostile actors must not do to their neighbours, to the application, or to the rules."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace

import anyio
import pytest

from capsule import ActorStopped, Denied, InvalidArguments, Policy, Runtime, TaskFailed
from capsule._actor.grants import MOST_REFS, Grants
from capsule._guest.cache import CompiledGuest
from escape.actor_programs import ACTOR, SAY
from escape.hosts import watched

GAP = 2.0
"""Seconds that the loop may be held, in tests on a machine that does other things too."""

NOTES = """
import asyncio
@actor
class Notes:
    def __init__(self): self.kept = []
    def keep(self, item):
        self.kept.append(item)
        return self.kept
    async def count(self):
        await asyncio.sleep(0.2)
        return len(self.kept)
"""
GIVES_UP = """
@task
async def main(notes):
    try: await asyncio.wait_for(notes.count(), 0.05)
    except TimeoutError: return "gave up"
"""
ENDS = "@task\ndef main(notes):\n    calls.submit('ask', ASK)\n    calls.next(0.05)\n    return 'ended'\n"
DIES = "@task\ndef main(notes):\n    calls.submit('ask', ASK)\n    calls.next(0.05)\n    os.abort()\n"
CANCELS = """
@task
def main(notes):
    for _ in range(50):
        ticket = calls.submit('ask', ASK)
        calls.next(0.005)
        calls.cancel(ticket)
"""
ASK = 'import os\nASK = \'{"ref":{"capsule:actor":1},"method":"count","args":[],"kwargs":{}}\'\n'


@pytest.mark.parametrize("how", [GIVES_UP, ENDS, DIES, CANCELS], ids=["gives up", "ends", "dies", "cancels"])
async def test_a_stranger_cannot_cost_an_actor_its_state(guest: CompiledGuest, write, how: str) -> None:
    """Whoever was merely given a ref asks, and goes away in the middle of it: what others told the actor is there."""
    file = write("a.py", SAY + NOTES + ASK + how)
    with anyio.fail_after(30):
        async with Runtime() as runtime:
            notes = await runtime.spawn(f"{file}:Notes")
            await notes.keep("precious")
            outcome = await (await runtime.spawn(f"{file}:main", notes)).outcome()
            assert outcome.success or outcome.error.error_type == "trap"
            assert await notes.keep("more") == ["precious", "more"]
            assert notes.statistics().restarts == 0


async def test_what_a_guest_started_ends_with_it(guest: CompiledGuest, write) -> None:
    """An actor that would work for ever, and those below it, are gone when the message that started it is over."""
    source = ACTOR + (
        "@actor\nclass Stays:\n    def go(self, me, n):\n        import time\n        if n: Stays().tell.go(None, n - 1)\n"
        "        while True: time.sleep(0.05)\n@task\ndef main():\n    Stays().tell.go(None, 3)\n    import time\n"
        "    time.sleep(0.5)\n    return 1\n"
    )
    file = write("a.py", source)
    with anyio.fail_after(20):
        async with Runtime() as runtime:
            assert await runtime.run(file) == 1
            assert runtime.actors() == []
            assert runtime._admission.waiting == 0
            assert runtime._admission.live <= 1  # its own sandbox may be on its way out
            while runtime._admission.live:
                await anyio.sleep(0.01)
            assert runtime._admission.memory == 0


async def test_a_failure_stays_in_its_tree(guest: CompiledGuest, write) -> None:
    """What escalates ends at the actor that the application started; its links and its neighbours go on."""
    source = ACTOR + (
        "import os\n@actor(on_failure='escalate')\nclass Bomb:\n    def go(self): os.abort()\n"
        "@actor(on_failure='escalate')\nclass Owner:\n    def go(self, other=None):\n        if other: other.tell.go()\n"
        "        Bomb().go()\n@actor\nclass Calm:\n    def go(self): return 1\n"
    )
    file = write("a.py", source)
    with anyio.fail_after(20):
        async with Runtime() as runtime:
            calm, owner = await runtime.spawn(f"{file}:Calm"), await runtime.spawn(f"{file}:Owner")
            with pytest.raises((TaskFailed, ActorStopped)):
                await owner.go(calm)
            assert (await owner.wait_stopped()).failed
            assert await calm.go() == 1
            assert [ref.number for ref in runtime.actors()] == [calm.number]


@pytest.mark.parametrize("window", ["1ms", "5s"])
async def test_a_ceiling_holds_for_restarts(guest: CompiledGuest, write, window: str) -> None:
    """A program cannot make its own window of restarts so short that no number of them is too many."""
    source = ACTOR + (
        "import os\n@actor(on_failure='escalate')\nclass Bomb:\n    def __init__(self): os.abort()\n"
        f"@actor(restart_window='{window}', max_restarts=1000)\nclass Storm:\n    def __init__(self): Bomb()\n"
    )
    file = write("a.py", source)
    with anyio.fail_after(20):
        async with Runtime(ceiling=Policy()) as runtime:
            storm = await runtime.spawn(f"{file}:Storm")
            with anyio.move_on_after(4):
                await storm.wait_stopped()
            assert storm.state == "stopped"
            assert storm.statistics().restarts <= 10


def test_refs_are_bounded() -> None:
    """A sandbox holds so many refs and no more; those to actors that have stopped make room."""

    class Someone(SimpleNamespace):
        __hash__ = object.__hash__

    world = SimpleNamespace(to_json=None)
    actors = [Someone(world=world, state="idle", label="a", ref=object) for _ in range(MOST_REFS + 1)]
    grants = Grants(world)
    assert [grants.give(actor) for actor in actors[:-1]] == list(range(1, MOST_REFS + 1))
    with pytest.raises(Denied, match="holding more than 10,000 actors at once is not allowed; stopping some"):
        grants.give(actors[-1])
    actors[0].state = "stopped"
    assert grants.give(actors[-1]) == MOST_REFS + 1
    with pytest.raises(Denied, match="not given"):
        grants.read('{"capsule:actor": 1}')
    assert grants.read('[{"capsule:actor": 2}]')


def test_an_answer_that_fails_in_the_middle_gives_nothing() -> None:
    """What was written of it until then cannot be named; what was given before still can, and no number is used twice."""

    class Someone(SimpleNamespace):
        __hash__ = object.__hash__

    world = SimpleNamespace(to_json=None)
    first, second = (Someone(world=world, state="idle", label="a", ref=object) for _ in range(2))
    grants = Grants(world)
    grants.give(first)
    with pytest.raises(ZeroDivisionError):
        grants.sent(lambda: [grants.give(first), grants.give(second), 1 / 0])
    assert grants.read('{"capsule:actor": 1}')
    with pytest.raises(Denied, match="not given"):
        grants.read('{"capsule:actor": 2}')
    assert grants.sent(lambda: grants.give(second)) == 3


# Sessions.

ODD_CALLS = (
    "(lambda: s(), lambda: s('1', '2'), lambda: s(s), lambda: s.run(s), lambda: s.run(), lambda: s.run(a=1), lambda: "
    "s.run(['x']), lambda: s.foo('x = 1'), lambda: s.reset(), lambda: s.variables(1), lambda: s._x('y = 1'))"
)


async def test_a_session_is_no_actor_of_a_stranger(
    guest: CompiledGuest, write, caplog: pytest.LogCaptureFixture
) -> None:
    """A guest that was given a session's ref and calls it oddly hears so, and the host's log stays empty."""
    source = (
        ACTOR + f"@task\ndef main(s):\n    answers = []\n    for call in {ODD_CALLS}:\n        try: call()\n"
        "        except TaskFailed as failed: answers.append(failed.error_type)\n        except AttributeError: pass\n"
        "    return answers\n"
    )
    file = write("a.py", source)
    async with Runtime() as runtime, runtime.session() as session:
        answers = await runtime.run(file, session.ref)
        assert set(answers) <= {"invalid", "denied"}
        assert list(await session.variables()) == []
    assert [record.getMessage() for record in caplog.records if record.name == "capsule"] == []


@pytest.mark.parametrize(
    "sent",
    [
        lambda ref: ([ref, object()], {}),
        lambda ref: ([ref, float("nan")], {}),
        lambda ref: ([{"capsule:actor": 1}, ref], {}),
        lambda ref: ([ref], {"other": object()}),
        lambda ref: ([object()], {"ref": ref}),
        lambda ref: ([ref, "x" * 100_000], {}),
    ],
    ids=["no JSON", "no number", "a dict like a ref", "a bad name", "a bad argument", "too large"],
)
async def test_a_ref_in_a_message_that_was_never_sent(guest: CompiledGuest, write, sent) -> None:
    """The guest that it was for cannot name it, whichever number it guesses."""
    file = write("guesses.py", GUESSES)
    async with Runtime(policy=Policy(max_message="50KB")) as runtime:
        secret, honest = await runtime.spawn(f"{file}:Secret"), await runtime.spawn(f"{file}:Secret")
        guesses = await runtime.spawn(f"{file}:Guesses")
        args, kwargs = sent(secret)
        with pytest.raises(InvalidArguments):
            await guesses.take(*args, **kwargs)
        assert await guesses.guess() == []
        await guesses.take(honest)
        assert await guesses.guess() == ["told"]


GUESSES = """
from capsule import actor
from capsule_sdk import _wire
@actor
class Secret:
    def secret(self): return "told"
@actor
class Guesses:
    def take(self, *args, **kwargs): return 1
    def guess(self):
        found = []
        for number in range(-1, 12):
            try: found.append(_wire.Reference.kind(number).secret())
            except Exception: pass
        return found
"""


@pytest.mark.parametrize("code", ["'\ud800'", "x = '\udcff'"])
async def test_code_with_half_a_character(guest: CompiledGuest, code: str) -> None:
    """Text that UTF-8 cannot say is refused as such, or fails inside; it is no error of the host's."""
    async with Runtime() as runtime, runtime.session() as session:
        try:
            assert not (await session.run(code)).success
        except InvalidArguments:
            pass
        assert (await session.run("1 + 1")).value == 2


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("\0", "task_error"),
        ("x = " + "(" * 100_000, "task_error"),
        ("x = " + "-" * 100_000 + "1", "task_error"),
        ("#" * 3_000_000, None),
        ("import capsule_sdk._session as s\ns.variables = lambda n: {'a': 5}\ns.evaluate = lambda *a: {'ok': [1], 'error': 3}", None),
        ("__builtins__.clear()", None),
    ],
    ids=["NUL", "brackets", "deep", "long", "patched", "no builtins"],
)  # fmt: skip
async def test_hostile_code(guest: CompiledGuest, code: str, error: str | None) -> None:
    """Odd code costs at most the session's own sandbox, and `reset` brings a clean one."""
    policy = Policy(compute="HIGH", timeout="10s")
    with anyio.fail_after(30):
        async with Runtime(policy=policy) as runtime, runtime.session() as session, runtime.session() as beside:
            await beside.run("kept = 1")
            evaluation = await session.run(code)
            assert (evaluation.error and evaluation.error.error_type) == error
            try:
                await session.variables()
                await session.run("1")
            except TaskFailed:
                pass
            await session.reset()
            assert (await session.run("a = 1\na + 1")).value == 2
            assert list(await session.variables()) == ["a"]
            assert (await beside.run("kept")).value == 1


# The worst moment.

CHURN = """
import os, random
@actor(timeout="1s")
class Worker:
    def __init__(self, down): self.below = Worker(down - 1) if down else None
    def work(self, n):
        if self.below: self.below.tell.work(n)
        if n % 7 == 3: os.abort()
        if n % 7 == 4: raise ValueError(n)
        if n % 7 == 5:
            while True: pass
        return n
@task
async def main():
    workers = [Worker(2) for _ in range(3)]
    for n in range(1000):
        try:
            ticket = calls.submit("ask", '{"ref":{"capsule:actor":%d},"method":"work","args":[%d],"kwargs":{}}' % (n % 4, n))
            calls.next(0.01)
            if n % 3: calls.cancel(ticket)
            if n % 11 == 0: workers[n % 3].stop()
            if n % 13 == 0: workers[n % 3] = Worker(1)
        except (TaskFailed, ActorStopped): pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_any_moment_is_a_good_one_to_end(guest: CompiledGuest, write, seed: int) -> None:
    """Guests that start, ask, give up and abort are killed and cancelled at random: nothing is left of them."""
    chance = random.Random(seed)
    hostile, trivial = write("a.py", SAY + CHURN), write("t.py", "def main(): return 42")
    with anyio.fail_after(60):
        async with Runtime(policy=Policy(compute="HIGH", timeout="4s")) as runtime:
            async with watched() as measures:
                refs = [await runtime.spawn(hostile) for _ in range(4)]
                for _ in range(12):
                    await anyio.sleep(chance.random() * 0.2)
                    alive = [ref for ref in runtime.actors() if ref.state != "stopped"]
                    if alive:
                        victim = chance.choice(alive)
                        if chance.random() < 0.5:
                            victim.kill()
                        else:
                            with anyio.move_on_after(chance.random() * 0.1):
                                await victim.stop(grace=0.05)
                    assert await runtime.run(trivial) == 42
                for ref in refs:
                    ref.kill()
                    await ref.wait_stopped()
            assert runtime.actors() == []
            with anyio.move_on_after(10):  # an answer does not wait until its sandbox is gone
                while runtime._admission.live:
                    await anyio.sleep(0.01)
            assert (runtime._admission.live, runtime._admission.memory, runtime._admission.waiting) == (0, 0, 0)
            assert {ref._capsule_actor.family.live for ref in refs} == {0}
            assert {ref._capsule_actor.family._open_calls for ref in refs} == {0}
            assert measures.gap < GAP


async def test_leaving_in_the_middle(guest: CompiledGuest, write) -> None:
    """The runtime is left while all of that goes on, and is soon gone."""
    hostile = write("a.py", SAY + CHURN)
    for delay in (0.0, 0.05, 0.3):
        async with Runtime(policy=Policy(compute="HIGH")) as runtime:
            refs = [await runtime.spawn(hostile) for _ in range(3)]
            await anyio.sleep(delay)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert {ref.state for ref in refs} == {"stopped"}


@pytest.mark.parametrize(
    "code",
    [
        '{"capsule:actor": 1}',
        '[{"a": {"capsule:actor": 1}}]',
        "import json; json.loads('{\"\\\\u0063apsule:actor\": 1}')",
        'type("D", (dict,), {})({"capsule:actor": 1})',
    ],
)
async def test_a_session_makes_no_ref_of_data(guest: CompiledGuest, code: str) -> None:
    """What looks like a ref is no value that the application gets; the session goes on."""
    with anyio.fail_after(20):
        async with Runtime() as runtime, runtime.session() as session:
            evaluation = await session.run(code)
            assert (evaluation.value, "capsule:actor" in evaluation.repr) == (None, True)
            assert (await session.run("1 + 1")).value == 2
