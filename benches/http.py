"""Sandboxes that each ask a local server, which answers after 100 ms or at once; the client alone as the peer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import httpx2

from benches._rounds import each, wall
from benches._values import Bench, Goal, Here, Rounds, Row, ours, size
from capsule import Runtime, task

COUNT = size(1000, quick=20)
SAMPLES = size(90, quick=3)
SLOW, AT_ONCE = 0.1, 0.0
SERVER = """
import asyncio, sys
async def answer(reader, writer):
    while await reader.readuntil(b"\\r\\n\\r\\n"):
        await asyncio.sleep(float(sys.argv[1]))
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
async def main():
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@task(compute="LOW", ram="64MB", timeout="60s", allowed_hosts=["127.0.0.1"])
def fetch(url: str) -> str:
    from capsule import http

    return http.get(url).text()


@task(compute="HIGH", ram="64MB", timeout="60s", allowed_hosts=["127.0.0.1"])
def time_each(url: str, count: int) -> list[float]:
    import time

    from capsule import http

    samples = []
    for _ in range(count):
        began = time.perf_counter()
        http.get(url)
        samples.append((time.perf_counter() - began) * 1000)
    return samples


@contextmanager
def serving(seconds: float) -> Iterator[str]:
    """A server in a process of its own, which answers after `seconds`, and its URL."""
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(seconds)], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
    finally:
        process.kill()
        process.communicate()


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """Each request from a sandbox of its own; and one sandbox that asks again and again."""
    with serving(SLOW) as url, serving(AT_ONCE) as quick_url:
        async with Runtime(max_sandboxes=COUNT) as runtime:

            async def one() -> None:
                assert await runtime.run(fetch, url) == "ok"

            async def all_at_once() -> None:
                async with anyio.create_task_group() as group:
                    for _ in range(COUNT):
                        group.start_soon(one)

            async def from_inside() -> list[float]:
                return (await runtime.run(time_each, quick_url, SAMPLES + 1))[1:]

            await runtime.run(fetch, url)
            yield {"http": wall(all_at_once), "http-one": from_inside}


@asynccontextmanager
async def client() -> AsyncIterator[Rounds]:
    """The same with httpx2 and no sandbox."""
    unlimited = httpx2.Limits(max_connections=None)
    with serving(SLOW) as url, serving(AT_ONCE) as quick_url:
        async with (
            httpx2.AsyncClient(trust_env=False, limits=unlimited, timeout=60) as alone,
            httpx2.AsyncClient(trust_env=False) as single,  # of its own: a pool looks at all of its connections
        ):

            async def all_at_once() -> None:
                async with anyio.create_task_group() as group:
                    for _ in range(COUNT):
                        group.start_soon(alone.get, url)

            await alone.get(url)
            await single.get(quick_url)
            yield {"http": wall(all_at_once), "http-one": each(lambda _: single.get(quick_url), SAMPLES)}


BENCH = Bench(
    rows=(
        Row(
            key="http",
            what=f"{COUNT:,} sandboxes that wait for a local server of 100 ms",
            unit="s",
            against="httpx2 alone",
            goal=Goal(bound=3, of="value"),
        ),
        Row(
            key="http-one",
            what="one request to a server that answers at once, as a guest sees it",
            unit="ms",
            against="httpx2 alone",
        ),
    ),
    contenders=(*ours(capsule), Here(name="httpx2 alone", open=client)),
)
