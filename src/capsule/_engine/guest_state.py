"""What the host keeps for one sandbox while it lives: the only things a callback may touch."""

from __future__ import annotations

import itertools
from typing import Any

from ..abc import Limits
from .callbacks import LIVE
from .calls import CallQueue
from .output import Output

_numbers = itertools.count(1)  # never 0: a null pointer comes back as None


class GuestState:
    """Host-side state of one sandbox. Registered under its number from `__init__` to `forget`."""

    __slots__ = ("calls", "host_error", "limits", "number", "output", "waiting_place")

    def __init__(self, limits: Limits, calls: CallQueue, output: Output) -> None:
        self.limits, self.calls, self.output = limits, calls, output
        self.number = next(_numbers)
        self.host_error: BaseException | None = None
        """The first exception of a host function called by this guest."""

        self.waiting_place: Any = None
        """Where `next` wants its answer, while the guest waits."""

        LIVE[self.number] = self

    def forget(self) -> None:
        """The store is gone: nothing can call back any more."""
        LIVE.pop(self.number, None)

    def close(self) -> None:
        """The sandbox is gone, and nothing is said to its owner any more."""
        self.forget()
        self.calls.close()
        self.output.close()
