"""What every driver of a peer shares. Runs on the peer's own Python, so it needs nothing but the standard library.

A driver is started with one JSON argument, `{"programs": {name: source}, "rows": {key: {"way": ..., ...}}}`, answers
`{"ready": [keys]}`, and then one round for each line with a key: `{"samples": [...]}` or `{"failed": "..."}`.
"""

import asyncio
import json
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

Call = Callable[..., Awaitable[object]]
"""`await call(program, *args)` is one call of a fresh sandbox."""


class Ways:
    """How a row is done with a call: each answers samples, in seconds or bytes."""

    def __init__(self, call: Call, processes: Callable[[], Iterable[int]] = lambda: [os.getpid()]) -> None:
        self.call, self.processes = call, processes

    async def each(self, program: str, count: int, args: list[str]) -> list[float]:
        """Seconds of each of `count` calls, one after another."""
        samples = []
        for _ in range(count):
            began = time.perf_counter()
            await self.call(program, *args)
            samples.append(time.perf_counter() - began)
        return samples

    async def wall(self, program: str, count: int, args: list[str]) -> list[float]:
        """Seconds from the first start to the last end of `count` calls at once."""
        began = time.perf_counter()
        await asyncio.gather(*(self.call(program, *args) for _ in range(count)))
        return [time.perf_counter() - began]

    async def at_once(self, program: str, count: int, args: list[str]) -> list[float]:
        """The same, for each of them."""
        (seconds,) = await self.wall(program, count, args)
        return [seconds / count]

    async def memory(self, program: str, count: int, args: list[str]) -> list[float]:
        """Private bytes of each of `count` calls that wait."""
        before = sum(map(private_bytes, self.processes()))
        calls = [asyncio.ensure_future(self.call(program, *args)) for _ in range(count)]
        await settled(lambda: sum(map(resident_bytes, self.processes())))
        assert not any(call.done() for call in calls), "some have ended"
        after = sum(map(private_bytes, self.processes()))
        for call in calls:
            call.cancel()
        return [(after - before) / count]


async def settled(look: Callable[[], int]) -> None:
    """Wait until what `look` tells has stopped to grow for a second and a half."""
    most, since = look(), time.monotonic()
    while time.monotonic() - since < 1.5:
        await asyncio.sleep(0.1)
        now = look()
        if now > most * 1.002:
            most, since = now, time.monotonic()


def resident_bytes(process: int) -> int:
    """Cheap to ask, unlike the next."""
    return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def private_bytes(process: int) -> int:
    """What nobody else has, from the kernel's own sums. Stops the process for a while."""
    rows = Path(f"/proc/{process}/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(row.split()[1]) * 1024 for row in rows if row.startswith(("Private_Clean", "Private_Dirty")))


async def drive(ways: object, rows: dict[str, dict]) -> None:
    """Serve the rows until stdin ends."""
    answers = os.dup(1)
    os.dup2(2, 1)

    def say(**message: object) -> None:
        os.write(answers, json.dumps(message).encode() + b"\n")

    say(ready=list(rows))
    while key := (await asyncio.to_thread(sys.stdin.readline)).strip():
        do = rows[key]
        try:
            samples = await getattr(ways, do["way"])(do["program"], do["count"], do["args"])
            say(samples=[sample * do["unit"] for sample in samples])
        except Exception as error:  # noqa: BLE001 - it belongs to the table, and the others go on
            traceback.print_exc()
            say(failed=f"{type(error).__name__}: {error}")


def arguments() -> dict:
    """What the driver was started with."""
    return json.loads(sys.argv[1])
