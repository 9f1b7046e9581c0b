"""An application with tasks of its own. Run it with `python examples/application.py`.

Only what a task reaches goes along into its sandbox: here `total`, `price_of` and `PRICES`, not rich or the runtime.
"""

import anyio
from rich.console import Console
from rich.table import Table

from capsule import Runtime, TaskFailed, task

PRICES = {"apple": 30, "bread": 250, "cheese": 480}

console = Console()


def price_of(thing: str) -> int:
    return PRICES[thing]


@task(compute="LOW", ram="64MB", timeout="5s")
def total(basket: list[str]) -> int:
    return sum(price_of(thing) for thing in basket)


BASKETS = [["apple", "apple"], ["bread", "cheese"], ["caviar"], []]


async def main() -> None:
    async with Runtime() as runtime:
        console.print("run: ", await runtime.run(total, ["apple", "bread"]))
        try:
            await runtime.run(total, ["caviar"])
        except TaskFailed as failed:
            console.print("run: ", failed)

        ref = await runtime.spawn(total, ["cheese"])
        console.print("spawn:", ref.name, "is at work")
        console.print("spawn:", (await ref.outcome()).result)

        table = Table("basket", "total", "why not")
        baskets = iter(BASKETS)
        async for outcome in runtime.map(total, BASKETS, limit=10):
            answer = str(outcome.result) if outcome.success else ""
            why_not = outcome.error.error_type if outcome.error else ""
            table.add_row(", ".join(next(baskets)), answer, why_not)
        console.print(table)


if __name__ == "__main__":
    anyio.run(main)
