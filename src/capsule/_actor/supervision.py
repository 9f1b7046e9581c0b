"""What becomes of an actor after a failure: decided here, without waiting, from the policy and its past alone."""

from __future__ import annotations

from collections import deque
from typing import Literal

from ..policy import OnFailure

Decision = Literal["restart", "stop", "escalate"]


class Supervisor:
    """Counts the restarts of one actor: at most `max_restarts` within `window` seconds, then the failure escalates."""

    def __init__(self, on_failure: OnFailure, max_restarts: int, window: float) -> None:
        self._on_failure, self._max_restarts, self._window = on_failure, max_restarts, window
        self._restarts: deque[float] = deque()

    def decide(self, now: float) -> Decision:
        """What to do about a sandbox that is gone; a restart counts from `now` (seconds of any steady clock)."""
        if self._on_failure != "restart":
            return self._on_failure
        while self._restarts and self._restarts[0] <= now - self._window:
            self._restarts.popleft()
        if len(self._restarts) >= self._max_restarts:
            return "escalate"
        self._restarts.append(now)
        return "restart"
