"""Drives pydantic-monty: a session of its pool for each call, or one that is asked again and again."""

import asyncio

from driving import Ways, arguments, drive
from pydantic_monty import AsyncMonty


class Monty(Ways):
    """A session is a fresh interpreter in a process of the pool."""

    def __init__(self, pool: AsyncMonty, programs: dict[str, str]) -> None:
        super().__init__(self.fresh)
        self.pool, self.programs = pool, programs

    async def fresh(self, program: str, *args: str) -> object:
        """The value of the program's main, in a fresh session."""
        async with self.pool.checkout() as session:
            return await session.feed_run(f"{self.programs[program]}\nmain({', '.join(map(repr, args))})")

    async def ask(self, program: str, count: int, args: list[str]) -> list[float]:
        """Seconds of each call in a session that lives."""
        async with self.pool.checkout() as session:
            await session.feed_run(self.programs[program])

            async def again(_: str) -> object:
                return await session.feed_run("main(number)", inputs={"number": args[0]})

            return await Ways(again).each(program, count, [])

    async def late(self, program: str, count: int, args: list[str]) -> list[float]:
        """How late a session is stopped that may run for so long."""

        async def limited(_: str, *__: str) -> object:
            limits = {"max_feed_duration_secs": float(args[0])}
            async with self.pool.checkout(limits=limits) as session:
                return await session.feed_run(f"{self.programs[program]}\nmain('')")

        return await Ways(limited).late(program, count, args)


async def main() -> None:
    """Serve with two processes, as many as most pools of this size of machine would have."""
    spec = arguments()
    async with AsyncMonty(min_processes=2, max_processes=2) as pool:
        ways = Monty(pool, spec["programs"])
        for do in spec["rows"].values():
            if do["way"] in ("each", "at_once", "wall", "scaling"):
                await ways.fresh(do["program"], *do["first"])
        await drive(ways, spec["rows"])


asyncio.run(main())
