"""A thousand sandboxes that sleep a second each: wall time, and private memory for each live one."""

import time
from pathlib import Path

import anyio

from benches._common import report
from capsule import Runtime, task

COUNT = 1000


@task(compute="LOW", ram="64MB", timeout="60s")
def doze(seconds: float) -> None:
    import time

    time.sleep(seconds)


def private_bytes() -> int:
    """Private memory of this process, from the kernel's own sums."""
    rows = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(row.split()[1]) * 1024 for row in rows if row.startswith(("Private_Clean", "Private_Dirty")))


async def wall() -> float:
    """Seconds from the first start to the last outcome."""
    async with Runtime(max_sandboxes=COUNT) as runtime:
        await runtime.run(doze, 1)
        began = time.perf_counter()
        refs = [await runtime.spawn(doze, 1) for _ in range(COUNT)]
        assert all([(await ref.outcome()).success for ref in refs])
        return time.perf_counter() - began


async def memory() -> float:
    """Private bytes of each live sandbox. Looking stops the process for a while, so this is a run of its own."""
    async with Runtime(max_sandboxes=COUNT) as runtime:
        await runtime.run(doze, 0)
        before = private_bytes()
        refs = [await runtime.spawn(doze, 30) for _ in range(COUNT)]
        await anyio.sleep(COUNT * 0.01)
        assert not any(ref.is_done for ref in refs)
        return (private_bytes() - before) / COUNT


async def sleepers() -> dict[str, float]:
    """Both."""
    each = await memory()  # first: what the wall run freed would be used again and not be counted
    return {"private_mb_each": round(each / 2**20, 3), "wall_s": round(await wall(), 2)}


def main() -> None:
    """Print the figures."""
    report(sleepers=anyio.run(sleepers), count=COUNT)


if __name__ == "__main__":
    main()
