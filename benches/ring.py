"""A thousand actors in a ring pass a token around: time for each hop; each asked once from outside as the peer."""

import time

import anyio

from benches._common import report, spread
from capsule import ActorRef, Runtime, actor

COUNT = 1000
ROUNDS = 5


@actor(compute="LOW", ram="64MB")
class Node:
    def __init__(self, following: object = None) -> None:
        self.following = following  # a ref

    def close(self, first: object) -> None:
        self.following = first

    def look(self) -> int:
        return 1

    def pass_on(self, hops: int) -> None:
        if hops:
            self.following.tell.pass_on(hops - 1)
        else:
            from capsule import tools

            tools.arrived()


class Ring:
    """The actors, and the tool by which the last one says that the token has come round."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.nodes: list[ActorRef] = []
        self.round = anyio.Event()

    async def arrived(self) -> None:
        self.round.set()

    async def make(self) -> None:
        """Each is given the ref of the next; the first closes the ring."""
        following: tuple[ActorRef, ...] = ()
        for _ in range(COUNT):
            node = await self.runtime.spawn(Node, *following, tools=[self.arrived])
            self.nodes.append(node)
            following = (node,)
        await self.nodes[0].close(self.nodes[-1])
        for node in self.nodes:
            await node.result()

    async def go_round(self) -> float:
        """Seconds for each hop."""
        self.round = anyio.Event()
        began = time.perf_counter()
        self.nodes[-1].tell.pass_on(COUNT)
        await self.round.wait()
        return (time.perf_counter() - began) / COUNT

    async def ask_all(self) -> float:
        """Seconds for each ask from outside, one actor after the other."""
        began = time.perf_counter()
        for node in self.nodes:
            await node.look()
        return (time.perf_counter() - began) / COUNT


async def measure() -> dict[str, object]:
    """All of it, in one runtime."""
    began = time.perf_counter()
    async with Runtime(max_sandboxes=COUNT) as runtime:
        ring = Ring(runtime)
        opened = time.perf_counter()
        await ring.make()
        made = time.perf_counter()
        first = await ring.go_round()
        hops = [await ring.go_round() for _ in range(ROUNDS)]
        asks = [await ring.ask_all() for _ in range(ROUNDS)]
        statistics = [node.statistics() for node in ring.nodes]
        assert not any(each.failed or each.restarts for each in statistics), statistics
        leaving = time.perf_counter()
    left = time.perf_counter()
    return {
        "hop": spread(hops),
        "first_round_ms_each": round(first * 1000, 3),
        "ask_from_outside": spread(asks),
        "ratio": round(spread(hops)["median_ms"] / spread(asks)["median_ms"], 2),
        "make_s": round(made - opened, 2),
        "open_s": round(opened - began, 2),
        "leave_s": round(left - leaving, 2),
    }


def main() -> None:
    """Print the figures."""
    report(ring={backend: anyio.run(measure, backend=backend) for backend in ("asyncio", "trio")}, count=COUNT)


if __name__ == "__main__":
    main()
