"""Asking an actor, and taking the question back.

Who works on a question is either the actor's own task, which takes letters from the mailbox one after another, or the
asker's, if it finds the actor idle with a sandbox ready: that saves the two turns of the event loop that handing over
and handing back take, a third of what a short ask costs. Everything else about the actor, such as what becomes of it
when its sandbox is gone, stays with its own task, which does nothing while an asker is at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from .._backend import Flag
from .._values import Failure, Outcome
from ..errors import ActorStopped
from .letter import Letter

if TYPE_CHECKING:
    from .actor import Actor


class Asks:
    """The questions of those who wait for an answer, for one actor."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._at_work: tuple[Letter, Flag] | None = None
        self.loss: tuple[Failure, bool] | None = None
        """How the sandbox was lost while an asker was at work, and whether that was a fault: for the actor's task."""

    async def ask(self, letter: Letter) -> Outcome:
        """Put a letter in and wait for its outcome.

        Raises ActorStopped if the actor ended before it came to it. Cancelling withdraws the letter, and if the actor
        is at work on it, ends its sandbox before it returns.
        """
        if self._actor.is_ready_for(letter) and self._at_work is None and self.loss is None:
            return await self._work_on(letter)
        try:
            await self._actor.mailbox.put(letter)
        except ActorStopped:
            raise
        except BaseException:
            await self._give_up(letter)
            raise
        return await self.wait_for(letter)

    async def wait_for(self, letter: Letter) -> Outcome:
        """Wait for the outcome of a letter that is in. Raises and is cancelled as `ask`."""
        try:
            outcome = await letter.wait()
        except BaseException:
            await self._give_up(letter)
            raise
        if not letter.is_taken and outcome.error is not None and outcome.error.error_type == "stopped":
            raise ActorStopped(self._actor.label, outcome.error.message)
        return outcome

    def withdraw(self, letter: Letter) -> None:
        """The sender does not want it any more. Those behind it stay."""
        letter.was_withdrawn = True
        if self._actor.mailbox.withdraw(letter):
            self._actor.refuse(letter, Failure(error_type="cancelled", message="the task was cancelled"))
        elif letter.scope is not None and not letter.is_strangers:
            letter.scope.cancel()

    async def wait_until_over(self) -> bool:
        """For the actor's task: wait until no asker is at work. Whether there was one."""
        if self._at_work is None:
            return False
        await self._at_work[1].wait()
        return True

    async def end_work(self) -> None:
        """End the work of an asker, if there is one, and wait for it."""
        if self._at_work is not None:
            letter, is_over = self._at_work
            if letter.scope is not None:
                letter.scope.cancel()
            await is_over.wait()

    async def _work_on(self, letter: Letter) -> Outcome:
        actor = self._actor
        letter.is_taken = True
        actor.world.registry.mark_spent(actor, is_spent=False)  # asked again, it keeps its place
        assert letter.call is not None
        self._at_work = letter, Flag(actor.world.new_event)
        try:
            return await actor.deliver(letter, letter.call)
        except BaseException:
            letter.was_withdrawn = True
            raise
        finally:
            (_, is_over), self._at_work = self._at_work, None
            is_over.set()
            error = letter.outcome.error if letter.outcome else None
            if error is not None and actor.home.is_lost:
                self.loss = error, not letter.was_withdrawn
            actor.rest()

    async def _give_up(self, letter: Letter) -> None:
        self.withdraw(letter)
        if letter.is_taken and not letter.is_strangers:
            with anyio.CancelScope(shield=True):
                await letter.wait()
