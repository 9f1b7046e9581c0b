"""The states of an actor and the steps between them, as a table; nothing else ever changes a state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

__all__ = ["TRANSITIONS", "ActorState", "Lifecycle"]

ActorState = Literal["starting", "idle", "busy", "restarting", "stopping", "stopped"]

TRANSITIONS: Mapping[ActorState, frozenset[ActorState]] = {
    # Waits for a place.
    "starting": frozenset({"idle", "busy", "stopping", "stopped"}),
    # Waits for a message.
    "idle": frozenset({"busy", "restarting", "stopping", "stopped"}),
    # Handles a message, or waits for a place to do so in; its constructor is the first.
    "busy": frozenset({"idle", "restarting", "stopping", "stopped"}),
    # Its sandbox is gone, and it is about to have another.
    "restarting": frozenset({"idle", "busy", "stopping", "stopped"}),
    # Takes no more messages, and handles those that it has.
    "stopping": frozenset({"stopped"}),
    "stopped": frozenset(),
}


class Lifecycle(msgspec.Struct, eq=False, gc=False):
    """Where an actor stands."""

    state: ActorState = "starting"

    def move(self, state: ActorState) -> None:
        """Go to `state`; staying is no step. While it is "stopping", what happens inside changes nothing.

        Raises RuntimeError for a step that is not in the table, which would be a bug of ours.
        """
        if state == self.state or (self.state == "stopping" and state != "stopped"):
            return
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"an actor cannot go from {self.state!r} to {state!r}")
        self.state = state
