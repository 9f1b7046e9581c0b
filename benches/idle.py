"""Live idle actors, up to five thousand in one process: private memory of each, time to spawn one more, to end all."""

import gc
import json
import subprocess
import sys
import time

import anyio

from benches._common import report, spread
from benches.sleepers import private_bytes
from capsule import Runtime, actor

STEPS = (1, 1000, 2000, 3000, 4000, 5000)
SAMPLES = 100
"""At each step the last so many spawns are what is told."""

TOUCHED = 8 << 30
"""Bytes that another process writes to and gives back before the second run, see NOTES.md."""

TOUCH = """
import mmap, sys
size = int(sys.argv[1])
for _ in range(2):
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for place in range(0, size, mmap.PAGESIZE):
            memory[place] = 1
"""


@actor(compute="LOW", ram="64MB")
class Idle:
    def __init__(self) -> None:
        self.seen = []

    def see(self, thing: str) -> int:
        self.seen.append(thing)
        return len(self.seen)


class Collections:
    """How long Python's collector stops everything while it goes through all objects, in seconds."""

    def __init__(self) -> None:
        self.began, self.longest = 0.0, 0.0
        gc.callbacks.append(self.hear)

    def hear(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self.began = time.perf_counter()
        elif info["generation"] == 2:
            self.longest = max(self.longest, time.perf_counter() - self.began)


async def measure() -> dict[str, object]:
    """Spawn until the constructor has answered, one after another; ask the first and the last; stop all."""
    at: dict[str, object] = {}
    async with Runtime(max_sandboxes=6000, max_memory="400GB") as runtime:
        await (await runtime.spawn(Idle)).result()
        before, samples, actors = private_bytes(), [], []
        collections = Collections()
        for number in range(1, STEPS[-1] + 1):
            began = time.perf_counter()
            ref = await runtime.spawn(Idle)
            await ref.result()
            samples.append(time.perf_counter() - began)
            actors.append(ref)
            if number in STEPS:
                each = (private_bytes() - before) / number / 2**20
                told = {"private_mb_each": round(each, 3)} if number > 1 else {}
                at[str(number)] = {"spawn": spread(samples[-SAMPLES:]), **told}
        asked = [await seconds_of_an_ask(ref) for ref in (*actors[:SAMPLES], *actors[-SAMPLES:])]
        assert all(ref.state == "idle" for ref in actors), "an actor is not idle"
        began = time.perf_counter()
        async with anyio.create_task_group() as group:
            for ref in actors:
                group.start_soon(ref.stop)
        stopped = time.perf_counter() - began
    return {
        "at": at,
        "first_ask": spread(asked),
        "stop_all_s": round(stopped, 2),
        "longest_collection_ms": round(collections.longest * 1000),
    }


async def seconds_of_an_ask(ref: object) -> float:
    """The first that the actor hears."""
    began = time.perf_counter()
    assert await ref.see("x") == 1
    return time.perf_counter() - began


def run_apart() -> dict[str, object]:
    """The figures of a process of its own."""
    done = subprocess.run([sys.executable, "-m", "benches.idle", "--here"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Print the figures, with memory as the machine gives it and with memory that it has given before."""
    if "--here" in sys.argv:
        print(json.dumps(anyio.run(measure)))
        return
    as_it_comes = run_apart()
    subprocess.run([sys.executable, "-c", TOUCH, str(TOUCHED)], check=True)
    report(
        memory_as_it_comes=as_it_comes,
        memory_touched_before=run_apart(),
        goal="at 5,000: at most 2 MB of private memory each, spawned in at most 5 ms (median)",
    )


if __name__ == "__main__":
    main()
