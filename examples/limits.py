"""Every limit, hit on purpose. Run it with `python examples/limits.py`.

The application stays well: each failure is an outcome with an error_type, and what the next task does is its own.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio

from capsule import ActorRef, CapsuleError, Policy, Runtime, Task, TaskFailed, actor, task


@task(compute="HIGH", timeout="200ms")
def takes_too_long() -> None:
    while True:
        pass


@task(compute="LOW")
def burns_its_fuel() -> None:
    while True:
        pass


@task(ram="64MB")
def hoards_memory() -> None:
    hoard = []
    while True:
        hoard.append("x" * 1_000_000)


@task
def nests_too_deeply() -> object:
    import json  # its parser is written in C, so what runs out is not Python's own stack

    return json.loads("[" * 100_000 + "]" * 100_000)


@task(max_output="1KB")
def prints_too_much() -> str:
    for number in range(1000):
        print("line", number)
    return "done"


@task(max_retries=2)
def fails_each_time() -> None:
    raise ValueError("no luck")


@task(workspace="64KB")
def fills_its_workspace() -> None:
    with open("/tmp/hoard.txt", "w") as hoard:  # noqa: S108 - it is its own
        hoard.write("x" * 1_000_000)


@task
def answers_too_much() -> str:
    return "x" * 100_000


@task
def calls_too_deeply(level: int = 1) -> int:
    return calls_too_deeply(level + 1)


@task
async def calls_too_many() -> int:
    import asyncio

    return sum(await asyncio.gather(*(waits() for _ in range(20))))


@task
async def waits() -> int:
    import asyncio

    await asyncio.sleep(0.2)
    return 1


@task(allowed_hosts=["localhost"])
def asks_too_often() -> None:
    from capsule.http import Denied, get

    for _ in range(10):
        try:
            get("http://localhost:9/")
        except Denied:
            raise
        except OSError:
            pass  # nobody answers at this port, and it counts all the same


@task(compute="LOW")
def spends_with_its_family() -> int:
    return sum(burns() for _ in range(100))


@task(compute="LOW")
def burns() -> int:
    return len([number for number in range(10_000) if number % 2]) // 5_000


@task
async def outgrows_its_family() -> int:
    import asyncio

    return sum(await asyncio.gather(*(waits() for _ in range(3))))


@task(allowed_hosts=["localhost"])
def is_told_too_much(site: str) -> int:
    from capsule import http

    return len(http.get(f"{site}/long").content)


@task(allowed_hosts=["localhost"])
def is_sent_around(site: str) -> int:
    from capsule import http

    return http.get(f"{site}/again").status


@task
def stays(_: int) -> None:
    from capsule import tools

    tools.stay()


@task(compute="LOW")
def behaves() -> str:
    return "still here"


@actor(max_mailbox=2, max_restarts=1, ram="64MB")
class Worker:
    async def work(self) -> None:
        import asyncio

        await asyncio.sleep(0.2)

    def breaks(self) -> None:
        import os

        os._exit(1)


@actor(idle_timeout="100ms")
class Idler:
    pass


class Site(BaseHTTPRequestHandler):
    """Answers at length, or sends the caller to where it is already."""

    def do_GET(self) -> None:
        body = b"x" * 10_000 if self.path == "/long" else b""
        self.send_response(200 if body else 302)
        self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


DECLARED = (
    *(takes_too_long, burns_its_fuel, hoards_memory, nests_too_deeply, prints_too_much, fails_each_time),
    fills_its_workspace,
)
BY_POLICY = (answers_too_much, calls_too_deeply, calls_too_many, asks_too_often, spends_with_its_family, behaves)
BY_SITE = (is_told_too_much, is_sent_around)

POLICY = Policy(max_message="64KB", max_depth=3, max_subtasks=10, max_requests=5, family_compute=150_000_000)
"""For those limits that no task sets for itself."""

ANOTHER = Policy(family_ram="400MB", max_response="1KB", max_redirects=3)


async def main() -> None:
    async with Runtime() as runtime:
        for wanted in DECLARED:
            await show(runtime, wanted)
        await an_actor(await runtime.spawn(Worker))
        await (await runtime.spawn(Idler, name="idler")).wait_stopped()
        print("idler, when it had no message:", runtime.find("idler"))
    async with Runtime(policy=POLICY) as runtime:
        for wanted in BY_POLICY:
            await show(runtime, wanted)
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        async with Runtime(policy=ANOTHER) as runtime:
            await show(runtime, outgrows_its_family)
            for wanted in BY_SITE:
                await show(runtime, wanted, f"http://localhost:{server.server_port}")
        server.shutdown()
    print("max_sandboxes=2:", await most_at_once(max_sandboxes=2), "of 5 at once")
    print('max_memory="400MB":', await most_at_once(max_memory="400MB"), "of 5 at once")
    await a_ceiling()


async def show(runtime: Runtime, wanted: Task[..., Any], *args: Any) -> None:
    """How it ended, and if it said so, why."""
    outcome = await (await runtime.spawn(wanted, *args)).outcome()
    ending = outcome.error.error_type if outcome.error else f"answered {outcome.result!r}"
    cut = f", after {len(outcome.stdout)} bytes of output" if outcome.output_truncated else ""
    again = f", {outcome.execution.retries} retries" if outcome.execution.retries else ""
    print(f"{wanted.name:22} {ending}{cut}{again}")
    if outcome.error and wanted not in DECLARED:
        print(f"  {outcome.error.message.rpartition('TaskFailed: ')[2]}")


async def an_actor(worker: ActorRef) -> None:
    """A mailbox is full when its messages wait; an actor that broke too often stays stopped."""
    try:
        for _ in range(10):
            worker.tell_nowait.work()
    except CapsuleError as error:
        print(f"{type(error).__name__}: {error}")
    for _ in range(3):
        try:
            await worker.breaks()
        except TaskFailed as failed:
            print("Worker.breaks:", failed.error_type)
        except CapsuleError as error:
            print(f"{type(error).__name__}: {error}")


async def most_at_once(**caps: Any) -> int:
    """How many sandboxes live at a time. The others wait, and none of them fails."""
    live = most = 0

    async def stay() -> None:
        nonlocal live, most
        live += 1
        most = max(live, most)
        await anyio.sleep(0.2)
        live -= 1

    async with Runtime(tools=[stay], **caps) as runtime:
        async for outcome in runtime.map(stays, range(5)):
            outcome.unwrap()
    return most


async def a_ceiling() -> None:
    """Limits are cut to it. A right beyond it is a reason not to start."""
    async with Runtime(ceiling=Policy(timeout="100ms", compute="HIGH")) as runtime:
        outcome = await (await runtime.spawn(takes_too_long)).outcome()
        print("below a ceiling:", outcome.error and outcome.error.error_type)
        try:
            await runtime.run(asks_too_often)
        except CapsuleError as error:
            print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    anyio.run(main)
