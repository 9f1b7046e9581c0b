"""Tasks that call tasks, each in a sandbox of its own. Run it with `capsule run examples/subtasks.py --verbose`."""

import asyncio

from capsule import TaskFailed, task


@task(compute="LOW", timeout="2s")
def half(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


@task(timeout="2s")
async def nap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task(name="main")
async def main() -> None:
    """Calls are awaited here, whatever the task is; what is gathered runs side by side."""
    for number in (10, 7):
        try:
            print(f"half of {number} is {await half(number)}")
        except TaskFailed as failed:
            print(f"half of {number}: {failed.error_type}, {failed.message}")
    naps = await asyncio.gather(nap(0.2), nap(0.2), nap(0.2))
    print(f"three naps side by side: {naps}")
