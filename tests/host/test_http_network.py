"""What a connection reads from a real socket: in order, whenever it comes, and with no work while nobody waits."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator

import anyio
import pytest

from capsule._host.http_network import _Socket


@pytest.fixture
async def ends() -> AsyncIterator[tuple[_Socket, socket.socket]]:
    """A connection, and the other side of it."""
    raw, other = socket.socketpair()
    raw.setblocking(False)
    stream = _Socket(raw)
    yield stream, other
    await stream.aclose()
    other.close()


async def test_pieces_in_order(ends: tuple[_Socket, socket.socket]) -> None:
    """What was there before somebody waits, what comes while they do, and the end."""
    stream, other = ends
    other.send(b"one two")
    assert [await stream.receive(3), await stream.receive(100)] == [b"one", b" two"]

    async def say() -> None:
        other.send(b"late")

    for _ in range(20):
        async with anyio.create_task_group() as group:
            group.start_soon(say)
            assert await stream.receive() == b"late"
    other.shutdown(socket.SHUT_WR)
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()


async def test_a_wait_that_was_cancelled_takes_nothing(ends: tuple[_Socket, socket.socket]) -> None:
    stream, other = ends
    for _ in range(3):
        with anyio.move_on_after(0.02):
            await stream.receive()
    other.send(b"here")
    assert await stream.receive() == b"here"


async def test_closing_wakes_whoever_waits(ends: tuple[_Socket, socket.socket]) -> None:
    stream, _ = ends

    async def wait() -> None:
        with pytest.raises((anyio.ClosedResourceError, anyio.BrokenResourceError)):
            await stream.receive()

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await stream.aclose()


async def test_a_connection_that_broke(ends: tuple[_Socket, socket.socket]) -> None:
    """As an error of a stream, and not of a socket."""
    stream, other = ends
    other.close()
    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
        await stream.receive()


async def test_what_nobody_waits_for_costs_nothing(ends: tuple[_Socket, socket.socket]) -> None:
    """A server that says more than it was asked does not keep the event loop busy."""
    stream, other = ends
    other.send(b"answer")
    assert await stream.receive() == b"answer"
    other.send(b"more")
    await anyio.sleep(0.05)
    began = time.process_time()
    await anyio.sleep(0.5)
    assert time.process_time() - began < 0.25
    assert await stream.receive() == b"more"
