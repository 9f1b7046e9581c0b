"""What the host keeps for one sandbox while it lives: the only things a callback may touch."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

from ..abc import Limits
from . import values
from .callbacks import LIVE
from .calls import CallQueue
from .meter import Meter
from .output import Output

_numbers = itertools.count(1)  # never 0: a null pointer comes back as None


class GuestState:
    """Host-side state of one sandbox. Registered under its number from `__init__` to `forget`."""

    __slots__ = ("_answered", "calls", "host_error", "limits", "meter", "number", "output", "waiting_place")

    def __init__(self, limits: Limits, calls: CallQueue, output: Output) -> None:
        self.limits, self.calls, self.output = limits, calls, output
        self.number = next(_numbers)
        self.meter: Meter | None = None
        """Once there is a store."""
        self.host_error: BaseException | None = None
        """The first exception of a host function called by this guest."""

        self.waiting_place: Any = None
        """Where `next` wants its answer, while the guest waits."""

        self._answered: ctypes.Array[ctypes.c_char] | None = None
        LIVE[self.number] = self

    def begin_wait(self, seconds: float, place: Any) -> int:
        """The guest waits in `next`, and wants its answer in `place`. It may be there already.

        Answers the address of what says whether the wait is over, for `bindings.IS_TEXT`.
        """
        if self._answered is None:
            self._answered = ctypes.create_string_buffer(2)
        self._answered[0] = b"\0"
        self.calls.begin_wait(seconds)
        self.waiting_place = place
        self.answer_wait()
        return ctypes.addressof(self._answered)

    def begin_turn(self) -> int:
        """The guest's slice is over. Answers the same; raises FuelSpent."""
        assert self.meter is not None
        return self.meter.checkpoint()

    def answer_wait(self) -> bool:
        """Hand a guest that waits what is there for it, or the end of its time. False if there is nothing yet.

        True also when something broke: the guest goes on with no answer, which ends it, and its carrier says why.
        """
        try:
            answer = self.calls.take()
            if answer is None:
                return False
            place, self.waiting_place = self.waiting_place, None
            values.lower_completion(place, *answer)
        except BaseException as error:  # noqa: BLE001 - as in a callback: the sandbox ends, and nothing else
            self.host_error = self.host_error or error
        assert self._answered is not None
        self._answered[0] = b"\1"
        return True

    def forget(self) -> None:
        """The store is gone: nothing can call back any more."""
        LIVE.pop(self.number, None)

    def close(self) -> None:
        """The sandbox is gone, and nothing is said to its owner any more."""
        self.forget()
        self.calls.close()
        self.output.close()
