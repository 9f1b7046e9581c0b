"""The port: callbacks of carriers on the event loop, in order and without loss."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

from capsule._engine import port as module
from capsule._engine.port import LoopPort


async def drained(port: LoopPort) -> None:
    """Wait until what was posted so far has run."""
    done = anyio.Event()
    port.post(done.set)
    with anyio.fail_after(10):
        await done.wait()


async def test_in_order_from_a_thread() -> None:
    """Callbacks run on the loop's thread in the order in which they were posted, arguments and all."""
    port, heard = LoopPort(), []

    def post() -> None:
        for number in range(2000):
            port.post(lambda n: heard.append((n, threading.get_ident())), number)

    await anyio.to_thread.run_sync(post)
    await drained(port)
    assert heard == [(number, threading.get_ident()) for number in range(2000)]


async def test_many_threads() -> None:
    """Nothing is lost, and each thread's callbacks keep their order."""
    port, heard = LoopPort(), []
    threads = [
        threading.Thread(target=lambda name=name: [port.post(heard.append, (name, n)) for n in range(500)])
        for name in range(4)
    ]
    for thread in threads:
        thread.start()
    await anyio.to_thread.run_sync(lambda: [thread.join() for thread in threads])
    await drained(port)
    assert len(heard) == 2000
    for name in range(4):
        assert [n for which, n in heard if which == name] == list(range(500))


async def test_a_callback_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """What a callback raises is logged; those behind it run, and the loop lives."""
    port, heard = LoopPort(), []
    port.post(heard.append, 1)
    port.post(lambda: 1 / 0)
    port.post(heard.append, 2)
    await drained(port)
    port.post(heard.append, 3)
    await drained(port)
    assert heard == [1, 2, 3]
    assert caplog.text.count("ZeroDivisionError") == 1


async def test_a_callback_that_posts() -> None:
    """What is posted during a turn runs in a later one: callbacks that post cannot keep the loop for themselves."""
    port, heard = LoopPort(), []

    def again(left: int) -> None:
        heard.append(left)
        if left:
            port.post(again, left - 1)

    port.post(again, 3)
    for _ in range(4):
        await drained(port)
    assert heard == [3, 2, 1, 0]


async def test_a_turn_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of callbacks is spread over turns of the loop, so that others run in between."""
    monkeypatch.setattr(module, "_MOST_AT_ONCE", 10)
    port, history = LoopPort(), []
    for number in range(25):
        port.post(history.append, number)
    async with anyio.create_task_group() as tasks:

        async def other() -> None:
            while 24 not in history:
                history.append("loop")
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(other)
        await drained(port)
    assert [entry for entry in history if entry != "loop"] == list(range(25))
    assert "loop" in history[1 : history.index(24)]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_is_gone(backend: str) -> None:
    """Posting to a loop that has ended is harmless, from any thread."""

    async def make() -> LoopPort:
        return LoopPort()

    port = anyio.run(make, backend=backend)
    for _ in range(3):
        port.post(lambda: None)


def test_outside_a_loop() -> None:
    """A port is made on the loop that it serves."""
    with pytest.raises(RuntimeError):
        LoopPort()
    asyncio.set_event_loop(None)
