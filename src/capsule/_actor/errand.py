"""One message that a task of the runtime's delivers, for somebody who asks for its outcome later."""

from __future__ import annotations

from .._values import Outcome
from .delivery import CANCELLED, Delivery
from .world import World


class Errand:
    """Begins as soon as it is made. Whoever made it waits for the outcome, or ends it."""

    __slots__ = ("_delivery", "_is_over", "_outcome")

    def __init__(self, world: World, delivery: Delivery) -> None:
        self._delivery, self._is_over = delivery, world.new_event()
        self._outcome: Outcome | None = None
        world.tasks.start_soon(self._run)

    async def _run(self) -> None:
        try:
            self._outcome = await self._delivery.run()
        finally:
            self._outcome = self._outcome or self._delivery.cancelled()
            self._is_over.set()

    async def outcome(self) -> Outcome:
        """Wait for it. Never raises for a guest's fault; cancelling the wait leaves the message alone."""
        await self._is_over.wait()
        assert self._outcome is not None
        return self._outcome

    def end(self) -> None:
        """End it within a slice: its outcome is then "cancelled". Harmless once it is over."""
        self._delivery.end(CANCELLED)
