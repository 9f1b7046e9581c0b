"""Where an actor lives: one sandbox for all its messages, and a fresh one whenever that is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._values import Failure
from .call import Call
from .delivery import Delivery, NotCreated
from .sandbox import OpenSandbox

if TYPE_CHECKING:
    from .actor import Actor


class Dwelling:
    """The home of an actor's deliveries. `creation` is the constructor's call, if it has one: it runs in every fresh
    sandbox before anything else does.
    """

    is_last = False

    def __init__(self, actor: Actor, creation: Call | None) -> None:
        self._actor, self._creation = actor, creation
        self._sandbox: OpenSandbox | None = None
        self._opened = 0
        self.tool_calls: dict[str, int] = {}
        """Calls of tools that the constructor has made, counted on when it runs again."""

    @property
    def losses(self) -> int:
        """How many sandboxes are gone."""
        return self._opened - self.is_open

    @property
    def is_open(self) -> bool:
        """Whether there is a live sandbox."""
        return self._sandbox is not None and self._sandbox.is_alive

    @property
    def is_lost(self) -> bool:
        """Whether there was a sandbox, and it is gone."""
        return self._sandbox is not None and not self._sandbox.is_alive

    async def enter(self, delivery: Delivery) -> OpenSandbox:
        """The live sandbox, or a fresh one that is ready for `delivery`. Raises NotCreated."""
        sandbox = self._sandbox
        if sandbox is None or not sandbox.is_alive:
            sandbox = await self._open()
            self._actor.be_busy()
        if self._creation is None or sandbox.is_created or delivery.call is self._creation:
            return sandbox
        return await self._create(self._creation)

    def may_retry(self, failure: Failure) -> bool:
        """An instance that raised lives on with its state; all else may be tried again in a fresh sandbox."""
        if self._creation is not None and self._sandbox is not None and self._sandbox.is_created:
            if failure.error_type == "task_error":
                return False
            self._actor.begin_again(failure)
        self.drop()
        return True

    async def make_ready(self) -> None:
        """Have a sandbox that the constructor has run in. Raises NotCreated."""
        if self._creation is not None:
            await self._open()
            self._actor.be_busy()
            await self._create(self._creation)

    def created(self) -> None:
        """The constructor has run."""
        if self._sandbox is not None:
            self._sandbox.is_created = True

    def forget_creation(self) -> None:
        """The actor has ended: nothing is constructed any more."""
        self._creation = None

    def drop(self) -> None:
        """End the sandbox, if there is one. Does not wait."""
        if self._sandbox is not None:
            self._sandbox.close()

    async def close(self) -> None:
        """End it, and wait until it is gone."""
        if self._sandbox is not None:
            self._sandbox.close()
            await self._sandbox.closed.wait()

    async def _open(self) -> OpenSandbox:
        actor = self._actor
        await actor.children.end_all("the actor that started it began anew")
        lane_of = actor.owner.place if actor.owner else None
        sandbox = await OpenSandbox.open(actor.world, actor.subject.policy, actor.family, lane_of)
        self._sandbox, actor.children.place = sandbox, sandbox.place
        self._opened += 1
        return sandbox

    async def _create(self, creation: Call) -> OpenSandbox:
        """Run the constructor again. The sandbox is the last one, if it took several. Raises NotCreated."""
        delivery = self._actor.delivery(creation, None)
        delivery.tool_calls = self.tool_calls
        outcome = await delivery.run()
        self._actor.tally.cost(outcome)
        if outcome.error is not None:
            self.drop()
            raise NotCreated(outcome.error)
        assert self._sandbox is not None
        self._sandbox.is_created = True
        return self._sandbox
