"""The same project's application. Run it with `python examples/project/app.py`.

Its task uses a module that was there before, and its runtime has the limits of the project file.
"""

from pathlib import Path

import anyio
import rules

from capsule import CapsuleError, Runtime, task
from capsule.project import Project

HERE = Path(__file__).parent


@task
def price(amount: float) -> float:
    return amount * (1 - rules.discount(amount))


@task(allowed_hosts=["rates.example.com", "elsewhere.example.com"])
def wants_more() -> None: ...


async def main() -> None:
    project = Project.find(HERE)
    assert project is not None
    async with Runtime(policy=project.policy, ceiling=project.ceiling) as runtime:
        print([outcome.result async for outcome in runtime.map(price, [5, 50, 500])])
        print(await runtime.run(HERE / "report.py"))
        try:
            await runtime.run(wants_more)
        except CapsuleError as error:
            print(error)


if __name__ == "__main__":
    anyio.run(main)
