"""What hostile guests must not do to the host: hold its loop, its threads or its memory, or cost it an outcome."""

from __future__ import annotations

import json
import threading
import time

import anyio
import pytest

from capsule import Policy, Runtime
from capsule._engine.calls import CallQueue, Refused
from capsule._engine.carrier import NEVER, Carriers, Job, Step
from capsule._engine.ticker import Ticker
from capsule._guest.cache import CompiledGuest
from capsule.abc import Limits
from escape.hosts import watched

SUBMITS = """
from capsule import task
from wit_world.imports import calls
@task
def main():
    while True:
        ticket = calls.submit("task", '{"task":"slow","args":[],"kwargs":{}}')
        calls.next(0.0)
        calls.cancel(ticket)
@task
def slow():
    import time
    time.sleep(3600)
"""
FORKS = """
from capsule import task
from wit_world.imports import calls
@task
def main():
    for _ in range(999): calls.submit("task", '{"task":"main","args":[],"kwargs":{}}')
    while True: calls.next(-1.0)
"""
PRINTS = "from wit_world.imports import calls\ndef main():\n    while True: calls.write(1, 'x\\n')"
FILLS = "def main():\n    while True: b'x' * 10**8"
LOOPS = "def main():\n    while True: pass"
TRIVIAL = "def main(): return 42"
HOG = Policy(compute="HIGH", timeout="700ms", ram="512MB")
GAP = 2.0
"""Seconds that the loop may be held, in tests on a machine that does other things too."""


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1])
async def test_leaving_under_a_flood_of_calls(guest: CompiledGuest, write, delay: float) -> None:
    """A runtime that is left while guests submit calls ends them all and waits for none that never began."""
    file = write("submits.py", SUBMITS)
    with anyio.fail_after(10):
        async with Runtime() as runtime:
            refs = [await runtime.spawn(file) for _ in range(4)]
            await anyio.sleep(delay)
            time.sleep(delay)  # noqa: ASYNC251 - the application holds the loop: calls pile up
        assert [(await ref.outcome()).error.error_type for ref in refs] == ["cancelled"] * 4


@pytest.mark.slow
@pytest.mark.parametrize("source", [FORKS, SUBMITS, PRINTS], ids=["forks", "submits", "prints"])
async def test_the_loop_goes_on(guest: CompiledGuest, write, source: str) -> None:
    """No flood holds the event loop, and the runtime answers afterwards."""
    hostile, trivial = write("hostile.py", source), write("trivial.py", TRIVIAL)
    with anyio.fail_after(20):
        async with Runtime(policy=HOG) as runtime:
            async with watched() as measures:
                refs = [await runtime.spawn(hostile) for _ in range(2)]
                outcomes = [await ref.outcome() for ref in refs]
            assert await runtime.run(trivial) == 42
    assert not any(outcome.success for outcome in outcomes)
    assert measures.gap < GAP


@pytest.mark.slow
async def test_fills_that_cannot_be_interrupted(guest: CompiledGuest, write) -> None:
    """Filling memory is one instruction to the engine; others still answer, and the filler's timeout holds."""
    fills, trivial = write("fills.py", FILLS), write("trivial.py", TRIVIAL)
    with anyio.fail_after(20):
        async with Runtime(policy=HOG) as runtime:
            await runtime.run(trivial)
            began = time.monotonic()
            async with watched() as measures:
                refs = [await runtime.spawn(fills) for _ in range(3)]
                answered = time.monotonic()
                assert await runtime.run(trivial) == 42
                assert time.monotonic() - answered < 2
                outcomes = [await ref.outcome() for ref in refs]
            assert time.monotonic() - began < 3
    assert {outcome.error.error_type for outcome in outcomes} == {"timeout"}
    assert measures.gap < GAP


async def test_kills_lose_no_outcome(guest: CompiledGuest, write) -> None:
    """A guest that is killed at any moment of its life has exactly one outcome, soon."""
    loops = write("loops.py", LOOPS)
    with anyio.fail_after(20):
        async with Runtime(policy=Policy(compute="HIGH", timeout="15s")) as runtime:
            refs = []
            for number in range(24):
                refs.append(await runtime.spawn(loops))
                if number % 3:
                    await anyio.sleep(0.001 * (number % 7))
                refs[number // 2].kill()
            for ref in refs:
                ref.kill()
            began = time.monotonic()
            outcomes = [await ref.outcome() for ref in refs]
            assert time.monotonic() - began < 5
    assert {outcome.error.error_type for outcome in outcomes} == {"cancelled"}


class _Held(Job):
    """Yields until it is on the carrier called `place`, and stays there until it is let go."""

    def __init__(self, place: str, last: Step) -> None:
        super().__init__()
        self.place, self.last = place, last
        self.entered, self.go, self.ended = threading.Event(), threading.Event(), threading.Event()

    def step(self) -> Step:
        if threading.current_thread().name != self.place:
            return Step.YIELDED
        self.entered.set()
        self.go.wait(10)
        return self.last

    def stop(self, reason: str) -> None:
        self.ended.set()

    def crash(self, error: BaseException) -> None:
        self.ended.set()


def test_a_stop_reaches_a_job_on_a_spare_carrier() -> None:
    """A guest that is stopped while a spare carrier runs it ends, although the first carrier sleeps."""
    ticker = Ticker(lambda: None)
    carriers = Carriers(2, ticker)
    first, spare = _Held("capsule-carrier-0", Step.DONE), _Held("capsule-carrier-1", Step.YIELDED)
    try:
        carriers.submit(spare)  # its first slice is on the first carrier, which then gets stuck with the other job
        carriers.submit(first)
        assert first.entered.wait(5)
        assert spare.entered.wait(5)
        first.go.set()
        while carriers._first_since != NEVER:  # until the first one has nothing to do
            time.sleep(0.001)
        carriers.stop(spare, "cancelled")
        spare.go.set()
        assert spare.ended.wait(5)
    finally:
        first.go.set()
        spare.go.set()
        carriers.close()
        ticker.close()


def test_payloads_of_open_calls_are_bounded() -> None:
    """What the host holds for a guest's open calls is held to the guest's own memory, and is given free again."""
    calls = CallQueue(Limits(fuel=1, ram=100, max_output=1, max_message=90), lambda *_: None, lambda *_: None)
    ticket = calls.submit("x", "a" * 90)
    with pytest.raises(Refused):
        calls.submit("x", "a" * 20)
    calls.complete(ticket, "{}")
    assert calls.take() == (ticket, "{}")
    assert calls.submit("x", "a" * 90) == ticket + 1


def test_answers_that_are_not_taken_are_bounded() -> None:
    """Answers wait outside the guest's memory too; one too many becomes an error."""
    calls = CallQueue(Limits(fuel=1, ram=100, max_output=1, max_message=90), lambda *_: None, lambda *_: None)
    tickets = [calls.submit("x", "") for _ in range(3)]
    for ticket in tickets:
        calls.complete(ticket, "b" * 60)
    replies = [calls.take() for _ in tickets]
    assert replies[0] == (tickets[0], "b" * 60)
    assert [json.loads(reply)["error"]["error_type"] for _, reply in replies[1:]] == ["invalid", "invalid"]
    calls.complete(calls.submit("x", ""), "b" * 60)
    assert calls.take() == (4, "b" * 60)
