"""Actors in a ring pass a token around: time for each hop; each asked once from outside beside it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from benches._values import Bench, Rounds, Row, ours, size
from capsule import ActorRef, Runtime, actor

COUNT = size(1000, quick=10)


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

    async def go_round(self) -> list[float]:
        """Milliseconds for each hop."""
        self.round = anyio.Event()
        began = time.perf_counter()
        self.nodes[-1].tell.pass_on(COUNT)
        await self.round.wait()
        return [(time.perf_counter() - began) / COUNT * 1000]

    async def ask_all(self) -> list[float]:
        """Milliseconds for each ask from outside, one actor after the other."""
        began = time.perf_counter()
        for node in self.nodes:
            await node.look()
        return [(time.perf_counter() - began) / COUNT * 1000]


@asynccontextmanager
async def capsule() -> AsyncIterator[Rounds]:
    """One ring for all rounds."""
    async with Runtime(max_sandboxes=COUNT) as runtime:
        ring = Ring(runtime)
        await ring.make()
        await ring.go_round()
        yield {"ring": ring.go_round, "ring-asked": ring.ask_all}
        statistics = [node.statistics() for node in ring.nodes]
        assert not any(each.failed or each.restarts for each in statistics), statistics


BENCH = Bench(
    rows=(
        Row(key="ring", what=f"a token goes round {COUNT:,} actors, each hop", unit="ms"),
        Row(key="ring-asked", what="the same actors asked from outside, each", unit="ms"),
    ),
    contenders=ours(capsule),
)
