"""Five hundred actors on the real engine that are asked, cancelled, killed and broken at random: nothing is lost or left."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from capsule import ActorRef, ActorStopped, Ended, Event, Restarted, Runtime, Spawned, Started, Stopped, TaskFailed
from capsule._engine.callbacks import LIVE
from capsule._guest.cache import CompiledGuest

ACTORS = 500
STEPS = 3000
SEED = int(os.environ.get("CAPSULE_CHAOS", "20240229"))
PATIENCE = 300
MOST_RSS = 300 << 20
"""Bytes that the process may be larger by afterwards: the allocator's own business, and the events of the test."""

SOURCE = """
import os
from capsule import actor, task

class Base:
    def __init__(self, number):
        self.number, self.last, self.count = number, -1, 0

    def add(self, message):
        assert message > self.last, "messages of one sender are handled in order"
        self.last, self.count = message, self.count + 1
        return [self.number, message, self.count]

    def fail(self, message):
        self.add(message)
        raise ValueError("no luck")

    def trap(self, message):
        os._exit(3)

    def eat(self, message):
        found = []
        while True:
            found.append(bytearray(1 << 20))

    def spin(self, message):
        while True:
            pass

@actor(ram="64MB", compute="HIGH", timeout="150ms", max_restarts=1000)
class Hasty(Base):
    pass

@actor(ram="64MB", compute=50_000_000, timeout="20s", max_restarts=1000, max_retries=1)
class Poor(Base):
    pass

@actor(ram="64MB", compute=50_000_000, timeout="20s", on_failure="stop")
class Brittle(Base):
    pass

last = -1

@task(ram="64MB", compute=50_000_000, timeout="20s")
def work(message, what="add"):
    global last
    if what == "trap":
        os._exit(3)
    if what == "eat":
        bytearray(1 << 30)
    while what == "spin":
        pass
    assert message > last, "messages of one sender are handled in order"
    last = message
    if what == "fail":
        raise ValueError("no luck")
    return [0, message, 0]
"""

KINDS = {"add": 60, "fail": 8, "trap": 4, "eat": 3, "spin": 4}
OPERATIONS = {"ask": 60, "tell": 20, "cancel": 8, "kill": 2, "rest": 10}
MAY_END_AS = {
    "add": {"value"},
    "fail": {"task_error"},
    "trap": {"trap"},
    "eat": {"memory_exhausted"},
    "spin": {"timeout", "fuel_exhausted"},
}
"""How a message of each kind ends; besides, any may be cancelled or refused, and a slow machine runs out of time."""


class Chaos:
    """The application: it sends by itself, in order, and writes down what it sent and what came back."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.events: list[Event] = []
        self.refs: list[ActorRef] = []
        self.kinds: dict[int, str] = {}
        self.got: dict[int, object] = {}
        self.waiting: dict[int, anyio.CancelScope] = {}
        self.told = self.spawned = 0

    def choose(self, weights: dict[str, int]) -> str:
        return self.random.choices(list(weights), list(weights.values()))[0]

    async def run(self) -> None:
        async with Runtime(on_event=self.events.append) as self.runtime:
            registry = self.runtime._launcher.world.registry
            async with anyio.create_task_group() as self.tasks:
                for number in range(ACTORS):
                    self.refs.append(await self.spawn(number))
                for _ in range(STEPS):
                    await getattr(self, self.choose(OPERATIONS))()
            assert self.waiting == {}
            await self.stop_all()
            assert (len(registry), self.runtime.actors()) == (0, [])
            assert self.runtime._admission.live == 0

    async def spawn(self, number: int) -> ActorRef:
        self.spawned += 1
        kind = ("Hasty", "Poor", "Brittle", "work")[number % 4]
        return await self.runtime.spawn(f"tasks.py:{kind}", -1 if kind == "work" else number)

    async def pick(self) -> tuple[int, ActorRef]:
        """An actor that lives: one that has died is replaced."""
        number = self.random.randrange(ACTORS)
        if self.refs[number].state in {"stopping", "stopped"}:
            self.refs[number] = await self.spawn(number)
        return number, self.refs[number]

    def note(self) -> tuple[int, str]:
        message, kind = len(self.kinds), self.choose(KINDS)
        self.kinds[message] = kind
        return message, kind

    # Operations.

    async def ask(self) -> None:
        number, ref = await self.pick()
        message, kind = self.note()
        scope = self.waiting[message] = anyio.CancelScope()
        try:
            answer = ref.ask_nowait(message, kind) if number % 4 == 3 else getattr(ref.ask_nowait, kind)(message)
        except ActorStopped:  # it was killed in this step
            del self.kinds[message], self.waiting[message]
            return
        self.tasks.start_soon(self.wait, message, answer, scope)

    async def wait(self, message: int, answer: Any, scope: anyio.CancelScope) -> None:
        got: object = "given up"
        with scope:
            try:
                found = await answer
                got = "value" if found[1] == message else found
            except TaskFailed as failed:
                got = failed.error_type
            except ActorStopped:
                got = "refused"
        assert message not in self.got
        self.got[message] = got
        del self.waiting[message]

    async def tell(self) -> None:
        number, ref = await self.pick()
        message, kind = self.note()
        self.kinds[message] = "told"
        with contextlib.suppress(ActorStopped):
            ref.tell_nowait(message, kind) if number % 4 == 3 else getattr(ref.tell_nowait, kind)(message)
            self.told += 1

    async def cancel(self) -> None:
        if self.waiting:
            self.waiting[self.random.choice(list(self.waiting))].cancel()

    async def kill(self) -> None:
        _, ref = await self.pick()
        ref.kill()

    async def rest(self) -> None:
        await anyio.sleep(self.random.choice([0, 0, 0.001, 0.01]))

    async def stop_all(self) -> None:
        async with anyio.create_task_group() as tasks:
            for ref in self.runtime.actors():
                tasks.start_soon(lambda ref=ref: ref.stop(grace=self.random.choice([0, 20])))

    # What must hold.

    def check(self) -> None:
        self.check_answers()
        self.check_events()
        self.check_numbers()

    def check_answers(self) -> None:
        """Every ask came back once, with what it was asked or with why not."""
        asked = [message for message, kind in self.kinds.items() if kind != "told"]
        assert sorted(self.got) == asked
        odd = {}
        for message, got in self.got.items():
            may = MAY_END_AS[self.kinds[message]] | {"given up", "refused", "cancelled", "timeout"}
            if got not in may:
                odd[message] = (self.kinds[message], got)
        assert odd == {}
        counts = Counter(self.got.values())
        assert min(counts[each] for each in ("value", "task_error", "trap", "memory_exhausted", "given up")) > 10, (
            counts
        )
        # Which of the two ends a busy loop first is a matter of how fast the machine is.
        assert counts["timeout"] + counts["fuel_exhausted"] > 10, counts

    def check_events(self) -> None:
        """One end for each message that was sent, a start for each that was begun; lives begin and end once."""
        ended = Counter(event.number for event in self.events if isinstance(event, Ended))
        started = Counter(event.number for event in self.events if isinstance(event, Started))
        assert set(ended.values()) == set(started.values()) == {1}
        assert set(started) <= set(ended)
        spawned = [event.actor for event in self.events if isinstance(event, Spawned)]
        stopped = [event.actor for event in self.events if isinstance(event, Stopped)]
        assert sorted(spawned) == sorted(stopped)
        assert len(set(spawned)) == self.spawned

    def check_numbers(self) -> None:
        """The statistics of all actors together are what the events say."""
        statistics = [event.statistics for event in self.events if isinstance(event, Stopped)]
        ended = [event for event in self.events if isinstance(event, Ended)]
        assert sum(each.answered + each.failed for each in statistics) == len(ended) - self.count_again()
        assert len(ended) - self.count_again() == len(self.got) + self.told + self.spawned
        assert sum(each.restarts for each in statistics) == sum(isinstance(event, Restarted) for event in self.events)
        assert sum(each.fuel_consumed for each in statistics) == sum(
            event.outcome.execution.fuel_consumed for event in ended
        )
        assert all(each.waiting == 0 for each in statistics)

    def count_again(self) -> int:
        """Constructors that ran again in a fresh sandbox, which are no messages of anybody's."""
        names = {"Hasty", "Poor", "Brittle"}
        created = Counter(
            event.actor for event in self.events if isinstance(event, Started) and event.task_name in names
        )
        return sum(count - 1 for count in created.values())


def rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def warm_up() -> None:
    """What a process holds after its first actors it holds for good: caches, pools, code."""
    async with Runtime() as runtime:
        refs = [await runtime.spawn("tasks.py:Poor", number) for number in range(20)]
        for ref in refs:
            await ref.result()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts what the kernel says of this process")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_chaos(guest: CompiledGuest, write, tmp_path: Path, monkeypatch, caplog, backend: str) -> None:
    """Every message has one outcome, numbers add up, and no thread, sandbox, file or memory is left."""
    write("tasks.py", SOURCE)
    caplog.set_level("CRITICAL", "capsule")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    anyio.run(warm_up, backend=backend)
    gc.collect()
    files, size = open_files(), rss()

    async def main() -> Chaos:
        chaos = Chaos(SEED)
        with anyio.fail_after(PATIENCE):
            await chaos.run()
        return chaos

    anyio.run(main, backend=backend).check()
    gc.collect()
    assert LIVE == {}
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("capsule-")] == []
    assert open_files() <= files
    assert list((tmp_path / "temporary").iterdir()) == []
    assert rss() - size < MOST_RSS
