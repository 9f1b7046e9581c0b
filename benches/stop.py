"""How late a guest is stopped after its timeout: a busy one, a sleeping one, and a busy one among a hundred."""

import anyio

from benches._common import report, spread
from capsule import Policy, Runtime, task

TIMEOUT = 0.2
COUNT = 30


@task(timeout="200ms", compute="HIGH")
def spin() -> None:
    while True:
        pass


@task(timeout="200ms")
def doze() -> None:
    import time

    time.sleep(60)


@task(timeout="60s", compute="HIGH")
def spin_long() -> None:
    while True:
        pass


async def lateness(kind: object, crowd: int) -> list[float]:
    """Seconds beyond the timeout, from call to outcome, with `crowd` other busy guests."""
    samples = []
    async with Runtime(policy=Policy(compute="HIGH")) as runtime:
        others = [await runtime.spawn(spin_long) for _ in range(crowd)]
        await anyio.sleep(0.01 * crowd)  # until all of them have started
        for _ in range(COUNT):
            outcome = await (await runtime.spawn(kind)).outcome()
            assert outcome.error.error_type == "timeout", outcome
            samples.append(outcome.execution.duration_ms / 1000 - TIMEOUT)
        for ref in others:
            ref.kill()
    return samples


def main() -> None:
    """Print the figures. Starting the sandbox (a few milliseconds) is part of them."""
    report(
        busy=spread(anyio.run(lateness, spin, 0)),
        sleeping=spread(anyio.run(lateness, doze, 0)),
        busy_among_100=spread(anyio.run(lateness, spin, 100)),
        goal="busy and sleeping: at most 20 ms late",
    )


if __name__ == "__main__":
    main()
