"""Variables for tasks: each sees those that it declares. Run it with `python examples/environment.py`."""

import os
import tempfile

import anyio

from capsule import InvalidPolicy, Runtime, task


@task(env_variables=["SHOP_NAME", "SHOP_CURRENCY=EUR"])
def greeting() -> str:
    import os

    return f"{os.environ['SHOP_NAME']} sells in {os.environ['SHOP_CURRENCY']}"


@task(env_variables=["SHOP_NAME"])
def all_that_it_sees() -> list[str]:
    import os

    return sorted(os.environ)


@task
def declares_nothing() -> str:
    import os

    return os.environ["SHOP_NAME"]


async def main() -> None:
    async with Runtime() as runtime:
        try:
            await runtime.run(greeting)
        except InvalidPolicy as error:
            print("nothing ran:", str(error).partition(";")[0])

        os.environ["SHOP_NAME"] = "The corner shop"
        print(await runtime.run(greeting))
        print(await runtime.run(all_that_it_sees))
        outcome = await (await runtime.spawn(declares_nothing)).outcome()
        print(outcome.error.exception if outcome.error else "?")

    with tempfile.TemporaryDirectory() as folder:
        file = anyio.Path(folder, ".env")
        await file.write_text("SHOP_NAME=hidden by the process\nSHOP_CURRENCY=CHF\n")
        async with Runtime(env_file=file) as runtime:
            print(await runtime.run(greeting))
        async with Runtime(env_file=file, env={"SHOP_NAME": "The shop of the application"}) as runtime:
            print(await runtime.run(greeting))


if __name__ == "__main__":
    anyio.run(main)
