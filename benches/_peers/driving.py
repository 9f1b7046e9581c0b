"""What every driver of a peer shares. Runs on the peer's own Python, so it needs nothing but the standard library.

A driver is started with one JSON argument, `{"programs": {name: source}, "rows": {key: {"way": ..., ...}}}`, answers
`{"ready": [keys]}`, and then one round for each line with a key: `{"samples": [...]}` or `{"failed": "..."}`.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

PATIENCE = 3.0
"""Seconds after which a call counts as one that is not stopped."""

STEP = 250
"""So many more calls are started at once, to see how far it goes."""

Call = Callable[..., Awaitable[object]]
"""`await call(program, *args)` is one call of a fresh sandbox."""


class Ways:
    """How a row is done with a call: each answers samples, in seconds or bytes."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def processes(self) -> Iterable[int]:
        """Those whose memory counts."""
        return [os.getpid()]

    async def renew(self) -> None:
        """End whatever is at work."""

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
        await self.renew()
        await self.call(program, "0")
        before = sum(map(private_bytes, self.processes()))
        calls = [asyncio.ensure_future(self.call(program, *args)) for _ in range(count)]
        await settled(lambda: sum(map(resident_bytes, self.processes())), asyncio.sleep)
        assert not any(call.done() for call in calls), "some have ended"
        after = sum(map(private_bytes, self.processes()))
        await self.give_up(calls)
        return [(after - before) / count]

    async def late(self, program: str, count: int, args: list[str]) -> list[float]:
        """How many seconds after its timeout, which is the first argument, each call ended with an error."""
        samples = []
        for _ in range(count):
            began = time.perf_counter()
            call = asyncio.ensure_future(self.call(program, *args))
            await asyncio.wait([call], timeout=float(args[0]) + PATIENCE)
            if not call.done():
                await self.give_up([call])
                raise RuntimeError(f"it still ran {PATIENCE:g} s after its timeout")
            assert call.exception() is not None, "it was not stopped"
            samples.append(time.perf_counter() - began - float(args[0]))
        return samples

    async def reach(self, program: str, count: int, args: list[str]) -> list[float]:
        """How many calls can wait at once, up to `count`, started step by step."""
        await self.renew()
        calls: list[asyncio.Future[object]] = []
        while len(calls) < count and not any(call.done() for call in calls):
            calls += [asyncio.ensure_future(self.call(program, *args)) for _ in range(min(STEP, count - len(calls)))]
            await settled(lambda: sum(map(resident_bytes, self.processes())), asyncio.sleep, for_seconds=0.5)
        reached = len(calls) if not any(call.done() for call in calls) else len(calls) - STEP
        await self.give_up(calls)
        return [float(reached)]

    async def scaling(self, program: str, count: int, args: list[str]) -> list[float]:
        """How many times the throughput of one call `count` at once have, between two calls alone: machines drift."""
        (before,), (together,), (after,) = [await self.wall(program, each, args) for each in (1, count, 1)]
        return [count * (before + after) / 2 / together]

    async def rate(self, program: str, count: int, args: list[str]) -> list[float]:
        """Calls a second, of `count`; the first argument is how many are on their way at any time."""
        numbers = iter(range(count))

        async def work() -> None:
            for _ in numbers:
                await self.call(program, "1")

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(int(args[0]))))
        return [count / (time.perf_counter() - began)]

    async def give_up(self, calls: list[asyncio.Future[object]]) -> None:
        """End calls that nobody waits for any more."""
        await self.renew()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def settled(look: Callable[[], int], sleep: Callable[[float], Awaitable[None]], for_seconds: float = 1.5) -> None:
    """Wait until what `look` tells has stopped to grow for a while."""
    most, since = look(), time.monotonic()
    while time.monotonic() - since < for_seconds:
        await sleep(0.1)
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


async def drive(ways: Ways, rows: dict[str, dict]) -> None:
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
            say(failed=f"{type(error).__name__}: {error}")


def arguments() -> dict:
    """What the driver was started with."""
    return json.loads(sys.argv[1])
