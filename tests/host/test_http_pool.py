"""The pool on its own: what is taken, kept and closed, against a real server."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator

import anyio
import httpcore2
import pytest

from capsule._host import http_pool
from capsule._host.http_pool import Pool
from host.servers import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        yield opened


async def use(
    pool: Pool, server: Server, name: str = "a", path: str = "/", *, owner: object = "me", has_body: bool = False
) -> httpcore2.AsyncHTTPConnection:
    """One request over a connection of the pool, which is given back."""
    url = httpcore2.URL(scheme=b"http", host=f"{name} 127.0.0.1".encode(), port=server.port, target=path.encode())
    connection = await pool.take(url.origin, owner, has_body=has_body)
    response = await connection.handle_async_request(httpcore2.Request("GET", url, headers={"Host": "a"}))
    await response.aread()
    await response.aclose()
    await pool.give_back(url.origin, owner, connection)
    return connection


async def test_one_is_used_again(server: Server) -> None:
    """For the same place alone."""
    pool = Pool()
    assert await use(pool, server) is await use(pool, server)
    assert await use(pool, server, "b") is not await use(pool, server)
    assert server.connections == 2
    await pool.aclose()


async def test_nobody_shares_one(server: Server) -> None:
    """What is in use is not given to anybody else; the one that was used last is the first to be used again."""
    pool, found = Pool(), []

    async def slow() -> None:
        found.append(await use(pool, server, path="/slow"))

    for _ in range(2):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(slow)
    assert len(set(found[:5])) == len(set(found[5:])) == 5
    assert server.connections == 5
    await pool.aclose()


async def test_old_and_too_many(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ones are closed when there are too many, and each when its time is over."""
    monkeypatch.setattr(http_pool, "_MOST_IDLE", 3)
    pool = Pool()
    used = [await use(pool, server, name) for name in "abcde"]
    assert [each.is_closed() for each in used] == [True, True, False, False, False]
    monkeypatch.setattr(http_pool, "_IDLE_SECONDS", 0.0)
    last = await use(pool, server, "c")
    assert all(each.is_closed() for each in used)
    assert last not in used
    await pool.aclose()
    assert last.is_closed()


async def test_a_server_that_hung_up(server: Server) -> None:
    """A connection that the other side has closed is not used again."""
    pool = Pool()
    used = await use(pool, server)
    server.hang_up()
    with used._connection._network_stream._raw.dup() as same:  # asyncio watches the original itself
        await anyio.wait_readable(same)
    assert used.has_expired()
    assert await use(pool, server) is not used
    assert used.is_closed()
    await pool.aclose()


async def test_what_broke_is_closed(server: Server) -> None:
    """So is what is given back when the pool is closed."""
    pool = Pool()
    with pytest.raises(httpcore2.RemoteProtocolError):
        await use(pool, server, path="/no-http")
    url = httpcore2.URL(f"http://a:{server.port}/")
    connection = await pool.take(url.origin, "me", has_body=False)
    await pool.aclose()
    await pool.give_back(url.origin, "me", connection)
    assert not pool._oldest_first


async def test_what_carried_a_body_is_its_owners(server: Server) -> None:
    """From then on nobody else has it, whatever they send; what never did is everybody's."""
    pool = Pool()
    shared = await use(pool, server, owner="one")
    assert await use(pool, server, owner="two") is shared
    assert await use(pool, server, owner="one", has_body=True) is shared
    other = await use(pool, server, owner="two")
    assert other is not shared
    assert await use(pool, server, owner="one") is shared
    assert await use(pool, server, owner="two", has_body=True) is other
    assert await use(pool, server, owner="three") not in (shared, other)
    await pool.aclose()


async def test_certificates_are_read_once_beside_the_loop(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the first who speaks TLS, however many come at once; who does not never waits for it."""
    threads, made = [], ssl.create_default_context()

    def make(*, trust_env: bool) -> ssl.SSLContext:
        assert not trust_env
        threads.append(threading.current_thread())
        return made

    monkeypatch.setattr(http_pool.httpx2, "create_ssl_context", make)
    pool = Pool()
    await use(pool, server)
    assert not threads

    async def take() -> None:
        url = httpcore2.URL("https://a/")
        connection = await pool.take(url.origin, "me", has_body=False)
        assert connection._ssl_context is made

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(take)
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    await pool.aclose()
