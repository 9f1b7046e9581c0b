"""A thousand sandboxes that each wait for a local server which answers after 100 ms; the client alone as the peer."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import httpx2

from benches._common import report, spread
from capsule import Runtime, task

COUNT = 1000
SAMPLES = 90
SERVER = """
import asyncio
async def answer(reader, writer):
    while await reader.readuntil(b"\\r\\n\\r\\n"):
        await asyncio.sleep(0.1)
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
        samples.append(time.perf_counter() - began)
    return samples


@contextmanager
def serving() -> Iterator[str]:
    """A server in a process of its own, and its URL."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
    finally:
        process.kill()
        process.communicate()


async def wall(url: str) -> float:
    """Seconds from the first start to the last answer."""
    async with Runtime(max_sandboxes=COUNT) as runtime:
        await runtime.run(fetch, url)
        began = time.perf_counter()
        refs = [await runtime.spawn(fetch, url) for _ in range(COUNT)]
        assert all([(await ref.outcome()).result == "ok" for ref in refs])
        return time.perf_counter() - began


async def from_inside(url: str) -> list[float]:
    """Seconds of each of some requests, one after another, as a guest sees them."""
    async with Runtime() as runtime:
        return (await runtime.run(time_each, url, SAMPLES))[1:]


async def alone(url: str) -> list[float]:
    """The same with httpx2 and no sandbox."""
    samples = []
    async with httpx2.AsyncClient(trust_env=False) as client:
        for _ in range(SAMPLES):
            began = time.perf_counter()
            await client.get(url)
            samples.append(time.perf_counter() - began)
    return samples[1:]


def main() -> None:
    """Print the figures."""
    figures = {}
    with serving() as url:
        for backend in ("asyncio", "trio"):
            guest, peer = (
                spread(anyio.run(from_inside, url, backend=backend)),
                spread(anyio.run(alone, url, backend=backend)),
            )
            figures[backend] = {
                "wall_s": round(anyio.run(wall, url, backend=backend), 2),
                "one_request": guest,
                "httpx2_alone": peer,
                "overhead_ms": round(guest["median_ms"] - peer["median_ms"], 3),
            }
    report(http=figures, count=COUNT, goal="1,000 waiting for 100 ms: at most 3 s in all")


if __name__ == "__main__":
    main()
