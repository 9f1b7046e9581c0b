"""A swarm of agents: a coordinator and fifty workers in sandboxes, and tools on the host.

Run it with `python examples/swarm.py`. It shows an actor that starts others and asks all of them at once, state that
lasts between two questions, tools with type hints (async, plain, and one with a budget for the whole swarm), and a
worker whose failure stays its own.
"""

import asyncio
import time
from dataclasses import dataclass

import anyio

from capsule import Runtime, TaskFailed, Tool, ToolError, actor

TOWNS = [f"town-{number:02}" for number in range(1, 51)]


# Tools: they run in the application, and see what no sandbox sees.


@dataclass
class Day:
    sun_hours: float
    rain_mm: float | None


async def list_towns() -> list[str]:
    return TOWNS


def read_weather(town: str) -> list[Day]:
    """A plain function may block: it runs in a thread."""
    time.sleep(0.02)
    if town not in TOWNS:
        raise ToolError(f"there is no {town!r}")
    number = TOWNS.index(town)
    days = [Day(sun_hours=day % 12, rain_mm=number * day % 31) for day in range(30)]
    if town == "town-13":
        days[4].rain_mm = None  # what a real source has in it
    return days


async def ask_model(prompt: str) -> str:
    """Stands for a model that costs money."""
    await anyio.sleep(0.01)
    return f"{prompt}: take an umbrella."


# Agents: each of these lives in a sandbox of its own.


@actor(compute="LOW", ram="64MB", timeout="10s")
class Worker:
    def __init__(self, town: str) -> None:
        self.town, self.rain = town, 0.0

    async def study(self) -> float:
        from capsule import tools  # only there inside the sandbox

        self.rain = sum(day["rain_mm"] for day in await tools.read_weather(self.town))
        return self.rain

    async def advise(self) -> str:
        from capsule import tools

        try:
            return await tools.ask_model(f"{self.rain:.0f} mm of rain in {self.town}")
        except ToolError as error:
            return f"{self.town}: no advice, {error.error_type}"


@actor(compute="LOW", ram="64MB", timeout="30s")
class Coordinator:
    async def answer(self, most: int) -> dict[str, list[str]]:
        """Where does it rain most, and what to do about it?"""
        from capsule import tools

        team = {town: Worker(town) for town in await tools.list_towns()}  # refs; all of them end with this actor
        rains = await asyncio.gather(*(worker.study() for worker in team.values()), return_exceptions=True)
        found = dict(zip(team, rains, strict=True))
        failed = {town: rain for town, rain in found.items() if isinstance(rain, TaskFailed)}
        wettest = sorted(found.keys() - failed.keys(), key=found.get, reverse=True)[:most]
        return {
            "studied": sorted(found.keys() - failed.keys()),
            "failed": [f"{town}: {error.message}" for town, error in failed.items()],
            "advice": [await team[town].advise() for town in wettest],
        }


async def main() -> None:
    tools = [list_towns, read_weather, Tool(ask_model, max_calls=3, timeout="5s")]
    async with Runtime() as runtime:
        coordinator = await runtime.spawn(Coordinator, tools=tools)
        answer = await coordinator.answer(5)
        print(len(answer["studied"]), "towns studied by", len(runtime.actors()) - 1, "workers")
        print("\n".join(["failed:", *answer["failed"], "advice:", *answer["advice"]]))
        await coordinator.stop()
        print("left when the coordinator has stopped:", runtime.actors())


if __name__ == "__main__":
    anyio.run(main)
