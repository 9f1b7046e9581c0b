"""What a guest needs to start, measured by starting it: also the proof that a fresh build works."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ..abc import Limits
from ..errors import SetupError
from .calls import CallQueue
from .fiber import Fiber
from .guest_state import GuestState
from .loaded import LoadedGuest
from .output import Output
from .stack import accept_any_stack
from .store import GuestStore

_TRIAL = '{"program": {"path": "trial.py", "source": "def main(): return 6 * 7"}, "function": "main", "call": [[], {}]}'
PAGE = 65536


def measure_min_ram(file: Path) -> int:
    """Bytes of linear memory after the smallest program has run. Blocks for some milliseconds.

    Raises SetupError if the guest does not load or gives a wrong answer.
    """
    accept_any_stack()
    guest = LoadedGuest(file)
    limits = Limits(fuel=10**10, ram=1 << 30, max_output=0, max_message=1 << 16)
    state = GuestState(limits, CallQueue(limits, _ignore, _ignore), Output(0, _ignore))
    store = GuestStore(guest, state)
    try:
        _finish(store.instantiate())
        call = store.call(_TRIAL)
        reply = _finish(call, lambda: call.take_reply(limits.max_message))
    finally:
        store.close()
        guest.close()
    found = re.fullmatch(r'\{"ok":42,"pages":(\d+)\}', reply)
    if found is None:
        raise SetupError(f"the guest that was built gives a wrong answer: {reply[:500]}")
    return int(found[1]) * PAGE


def _finish(fiber: Fiber, take: Callable[[], str] = str) -> str:
    try:
        while not fiber.poll():
            continue
        error = fiber.take_error()
        if error is not None:
            raise SetupError(f"the guest that was built does not start: {error.strip().splitlines()[-1]}")
        return take()
    finally:
        fiber.close()


def _ignore(*_: object) -> None:
    return None
