"""What becomes of an actor after a failure: decided here, without waiting, from the policy and its past alone."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..policy import OnFailure

Decision = Literal["restart", "stop", "escalate"]


class Supervisor(msgspec.Struct, eq=False, gc=False):
    """Counts the restarts of one actor: at most `max_restarts` within `window` seconds, then the failure escalates."""

    _on_failure: OnFailure
    _max_restarts: int
    _window: float
    _restarts: tuple[float, ...] = ()

    def decide(self, now: float) -> Decision:
        """What to do about a sandbox that is gone; a restart counts from `now` (seconds of any steady clock)."""
        if self._on_failure != "restart":
            return self._on_failure
        self._restarts = tuple(each for each in self._restarts if each > now - self._window)
        if len(self._restarts) >= self._max_restarts:
            return "escalate"
        self._restarts += (now,)
        return "restart"
