"""Messages whose first slice runs on the event loop: they answer, wait, are ended and cancelled as on a carrier."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from capsule._engine import meter
from capsule._engine.engine import WasmEngine
from capsule._engine.fiber import Fiber
from capsule._engine.sandbox import WasmSandbox
from capsule._guest.cache import CompiledGuest
from capsule.abc import Ending, Limits
from capsule.testing import RecordingListener

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="there the event loop runs no guests")

LIMITS = Limits(fuel=10**10, ram=128 << 20, max_output=1 << 16, max_message=1 << 20)
PROGRAM = """
import time
import capsule_sdk._wire as wire
def main(): return 1
def ask(): return wire.call("something", 1)
def say(text):
    print(text)
    return text
def spin():
    while True: pass
def doze(seconds):
    time.sleep(seconds)
    return seconds
def work(rounds):
    for number in range(rounds): pass
    return rounds
"""


class Answering(RecordingListener):
    """Answers a host call in the moment in which it hears of it."""

    sandbox: WasmSandbox

    def on_submit(self, ticket: int, operation: str, payload: str) -> None:
        super().on_submit(ticket, operation, payload)
        self.sandbox.complete(ticket, '{"ok":"answered"}')


def request(function: str, *args: Any, program: bool = False) -> str:
    asked: dict[str, Any] = {"function": function, "call": [args, {}]}
    return json.dumps({"program": {"path": "a.py", "source": PROGRAM}, **asked} if program else asked)


@pytest.fixture
async def engine(guest: CompiledGuest) -> AsyncIterator[WasmEngine]:
    async with WasmEngine(Path(guest.file), min_ram=guest.min_ram) as opened:
        yield opened


@pytest.fixture
async def sandbox(engine: WasmEngine) -> WasmSandbox:
    """One that lives, whose next message begins on the event loop."""
    listener = Answering()
    listener.sandbox = engine.open(LIMITS, listener)
    assert value_of(await listener.sandbox.call(request("main", program=True), timeout=30)) == 1
    return listener.sandbox


@pytest.fixture
def polled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that ran a slice, one after another."""
    threads: list[str] = []
    poll = Fiber.poll

    def watched(self: Fiber) -> bool:
        threads.append(threading.current_thread().name)
        return poll(self)

    monkeypatch.setattr(Fiber, "poll", watched)
    return threads


def value_of(ending: Ending) -> Any:
    assert ending.reply is not None, ending
    return json.loads(ending.reply)["ok"]


def is_carrier(name: str) -> bool:
    return name.startswith("capsule-carrier")


async def test_a_short_message(sandbox: WasmSandbox, polled: list[str]) -> None:
    """It begins on the event loop, and on a machine with time for it ends there."""
    assert value_of(await sandbox.call(request("say", "x"), timeout=30)) == "x"
    assert not is_carrier(polled[0])


async def test_what_is_printed_comes_before_the_reply(sandbox: WasmSandbox) -> None:
    """As from a carrier."""
    listener = sandbox._listener
    for number in range(3):
        assert value_of(await sandbox.call(request("say", str(number)), timeout=30)) == str(number)
        assert listener.history[-1] == ("output", "stdout", f"{number}\n")


@pytest.mark.parametrize("_round", range(3))
async def test_a_host_call_that_is_answered_at_once(sandbox: WasmSandbox, _round: int) -> None:
    """The guest hears of it, although nobody had begun to wait yet."""
    with anyio.fail_after(10):
        assert value_of(await sandbox.call(request("ask"), timeout=30)) == "answered"


async def test_a_long_message_goes_on_elsewhere(sandbox: WasmSandbox, polled: list[str]) -> None:
    """The event loop runs its first slice alone, and of the next message none, until one was short again."""
    assert value_of(await sandbox.call(request("work", 300_000), timeout=30)) == 300_000
    assert not is_carrier(polled[0])
    assert len(polled) > 1
    assert all(map(is_carrier, polled[1:]))
    for thread_is_carrier in (True, False):
        polled.clear()
        assert value_of(await sandbox.call(request("say", "x"), timeout=30)) == "x"
        assert is_carrier(polled[0]) is thread_is_carrier


async def test_a_sleep(sandbox: WasmSandbox, polled: list[str]) -> None:
    """What waits is woken by a carrier."""
    assert value_of(await sandbox.call(request("doze", 0.05), timeout=30)) == 0.05
    assert [is_carrier(name) for name in polled[:2]] == [False, True]


async def test_a_timeout(sandbox: WasmSandbox) -> None:
    """It is kept as elsewhere."""
    ending = await sandbox.call(request("spin"), timeout=0.05)
    assert (ending.reply, ending.error_type) == (None, "timeout")


async def test_it_is_cancelled(sandbox: WasmSandbox) -> None:
    """After its first slice, as elsewhere: the guest is gone when the caller goes on."""
    with anyio.move_on_after(0.05) as scope:
        await sandbox.call(request("spin"), timeout=30)
    assert scope.cancelled_caught
    assert (await sandbox.call(request("main"), timeout=30)).error_type == "cancelled"


async def test_it_is_cancelled_before(sandbox: WasmSandbox, polled: list[str]) -> None:
    """Nothing of it runs; the sandbox is closed, as the seam promises of whatever is cancelled."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await sandbox.call(request("main"), timeout=30)
    assert scope.cancelled_caught
    assert polled == []
    assert (await sandbox.call(request("main"), timeout=30)).error_type == "cancelled"


async def test_what_it_printed_comes_first(engine: WasmEngine, sandbox: WasmSandbox) -> None:
    """Its output is heard before its end, however much other sandboxes have posted before."""
    for _ in range(3):
        for _ in range(2000):
            engine._port.post(lambda: None)
        assert value_of(await sandbox.call(request("say", "hello"), timeout=30)) == "hello"
        heard = sandbox._listener
        assert isinstance(heard, RecordingListener)
        assert heard.history.pop()[-1] == "hello\n"


async def test_others_have_their_turn(sandbox: WasmSandbox) -> None:
    """Whoever asks over and over does not keep the event loop from the others."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        for _ in range(50):
            await sandbox.call(request("main"), timeout=30)
        tasks.cancel_scope.cancel()
    assert turns >= 20


async def test_several_at_once_go_to_carriers(engine: WasmEngine, polled: list[str]) -> None:
    """One of them has the next turn of the event loop; the others are run side by side."""
    opened = [engine.open(LIMITS, RecordingListener()) for _ in range(6)]
    for one in opened:
        await one.call(request("main", program=True), timeout=30)
    polled.clear()
    async with anyio.create_task_group() as tasks:
        for one in opened:
            tasks.start_soon(lambda one=one: one.call(request("main"), timeout=30))
    assert sum(not is_carrier(name) for name in polled) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr("capsule._engine.sandbox.CAN_RUN_HERE", False),
        lambda patch: patch.setattr("capsule._engine.sandbox.MOST_REQUEST_HERE", 10),
    ],
    ids=["CPython 3.14", "a long request"],
)
async def test_where_it_does_not(
    sandbox: WasmSandbox, polled: list[str], monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]
) -> None:
    """Then a carrier runs all of it."""
    change(monkeypatch)
    assert value_of(await sandbox.call(request("main"), timeout=30)) == 1
    assert all(map(is_carrier, polled))


async def test_the_fuel_is_counted(sandbox: WasmSandbox) -> None:
    """The same function burns the same fuel wherever it runs."""
    for _ in range(3):  # the interpreter's own caches settle
        here = (await sandbox.call(request("main"), timeout=30)).fuel_consumed
    sandbox._is_short = False
    there = (await sandbox.call(request("main"), timeout=30)).fuel_consumed
    assert abs(here - there) < here // 100
    assert 0 < here < meter.FUEL_HERE


@pytest.mark.parametrize("is_tick", [False, True], ids=["ended by fuel", "ended by an epoch"])
async def test_no_fuel_is_lost_on_the_way_to_a_carrier(
    engine: WasmEngine, sandbox: WasmSandbox, monkeypatch: pytest.MonkeyPatch, is_tick: bool
) -> None:
    """However its first slice ended, a long message burns what it burns on carriers alone."""
    sandbox._is_short = False
    alone = await sandbox.call(request("work", 2_000_000), timeout=60)
    assert value_of(await sandbox.call(request("main"), timeout=30)) == 1
    if is_tick:
        monkeypatch.setattr(meter, "FUEL_HERE", 10**9)  # then it is an epoch that ends it
    split = await sandbox.call(request("work", 2_000_000), timeout=60)
    assert value_of(split) == 2_000_000
    assert abs(split.fuel_consumed - alone.fuel_consumed) < alone.fuel_consumed // 100


async def test_no_fuel_is_lost_if_its_first_slice_begins_late(
    engine: WasmEngine, sandbox: WasmSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice that is over as it begins, since so many epochs went by on a busy machine, costs nothing."""
    for _ in range(3):  # the interpreter's own caches settle
        burnt = (await sandbox.call(request("main"), timeout=30)).fuel_consumed
    renew = meter.CellMeter.renew

    def late(self: meter.CellMeter, fuel: int, *, is_here: bool = False) -> None:
        renew(self, fuel, is_here=is_here)
        for _ in range(meter.EPOCHS_HERE):
            engine._guest.tick()

    monkeypatch.setattr(meter.CellMeter, "renew", late)
    ending = await sandbox.call(request("main"), timeout=30)
    assert value_of(ending) == 1
    assert abs(ending.fuel_consumed - burnt) < burnt // 100
