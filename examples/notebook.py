"""A notebook whose cells run in a sandbox: names last from cell to cell, and errors have a line.

Run it with `python examples/notebook.py`. The cells are what a user or a model might write: one has a bug, one calls a
function of the application, one loops for ever, which costs the sandbox and its names, and the notebook goes on.
"""

import anyio

from capsule import Evaluation, Policy, Runtime, ToolError

SALES = {"apples": [3, 5, 4], "bread": [7, 1, 9]}


async def load_sales(product: str) -> list[int]:
    if product not in SALES:
        raise ToolError(f"nobody sells {product}")
    return SALES[product]


CELLS = [
    "import statistics\nfrom capsule import tools\nbread = await tools.load_sales('bread')",
    "print('mean and deviation')\nstatistics.mean(bread), round(statistics.stdev(bread), 1)",
    "def share(part, whole):\n    return part / whole\n\nshare(bread[0], 0)",
    "share(bread[0], sum(bread))",
    "await tools.load_sales('caviar')",
    "{number % 3 for number in bread}",
    "while True:\n    pass",
    "bread",
]


def show(number: int, cell: Evaluation) -> None:
    if cell.stdout:
        print(f"    {cell.stdout}", end="")
    if cell.error:
        line = f" in line {cell.error.line}" if cell.error.line else ""
        print(f"[{number}] {cell.error.exception or cell.error.error_type}{line}: {cell.error.message}")
    elif cell.repr:
        print(f"[{number}] {cell.repr}")
    if cell.names_lost:
        print("    the names are gone")


async def main() -> None:
    async with Runtime() as runtime:
        policy = Policy(compute="HIGH", ram="64MB", timeout="1s")
        async with runtime.session(tools=[load_sales], policy=policy) as notebook:
            for number, code in enumerate(CELLS, start=1):
                show(number, await notebook.run(code))
            await notebook.run("word = 'still here'; length = len(word)")
            print({name: variable.repr for name, variable in (await notebook.variables()).items()})
            await notebook.reset()
            print("after the reset:", await notebook.variables())
        once = await runtime.eval("import math; math.comb(49, 6)", policy=policy)
        print("once:", once.value)


if __name__ == "__main__":
    anyio.run(main)
