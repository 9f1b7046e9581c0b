"""Every limit, hit on purpose. Run it with `python examples/limits.py`.

The application stays well: each failure is an outcome with an error_type, and what the next task does is its own.
"""

import anyio

from capsule import Runtime, task


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


@task(compute="LOW")
def behaves() -> str:
    return "still here"


TASKS = (takes_too_long, burns_its_fuel, hoards_memory, nests_too_deeply, prints_too_much, behaves)


async def main() -> None:
    async with Runtime() as runtime:
        for wanted in TASKS:
            ref = await runtime.spawn(wanted)
            outcome = await ref.outcome()
            ending = outcome.error.error_type if outcome.error else f"answered {outcome.result!r}"
            cut = f", after {len(outcome.stdout)} bytes of output" if outcome.output_truncated else ""
            print(f"{wanted.name:17} {ending}{cut}")


if __name__ == "__main__":
    anyio.run(main)
