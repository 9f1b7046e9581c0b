"""What belongs to one sandbox on the carriers' side: its store, what it burnt, and how a call into it ended."""

from __future__ import annotations

from collections.abc import Callable

from ..abc import FUEL_SPENT, Ending, FuelAccount, Limits, too_large
from . import values
from .callbacks import Aborted
from .calls import Refused
from .fiber import Fiber
from .guest_state import GuestState
from .loaded import LoadedGuest
from .meter import FuelSpent
from .remover import Remover
from .store import GuestCall, GuestStore
from .traps import classify


class SandboxCore:
    """One at a time touches it, mostly a carrier."""

    def __init__(
        self,
        guest: LoadedGuest,
        limits: Limits,
        state: GuestState,
        remover: Remover,
        on_closed: Callable[[], None],
    ) -> None:
        self.guest, self.limits, self.state = guest, limits, state
        self.store: GuestStore | None = None
        self.has_folders = bool(limits.mounts) or limits.workspace is not None
        self._charged: int | None = None
        self._remover = remover
        self._on_closed: Callable[[], None] | None = on_closed

    def begin_message(self, *, is_here: bool) -> None:
        """Each message has its own fuel and output, and hears nothing of host calls that are not its own."""
        assert self.store is not None
        self.state.host_error = self.state.waiting_place = None
        self.state.calls.begin_message()
        self.state.output.renew(self.limits.max_output)
        self.store.meter.renew(self.limits.fuel, is_here=is_here)
        if self.store.folders is not None:
            self.store.folders.begin_message()
        self._charged = 0

    def poll(self, fiber: Fiber) -> bool:
        """Run one slice, if the guest need not wait; whether the call is over."""
        if self.state.waiting_place is not None and not self.state.answer_wait():
            return False
        folders = self.store.folders if self.has_folders and self.store is not None else None
        if folders is None:
            return fiber.poll()
        folders.begin_slice()
        try:
            return fiber.poll()
        finally:
            folders.end_slice()

    def excess(self, *, is_over: bool) -> str | None:
        """What the guest has too much of outside of its memory, in the words of a refusal."""
        folders = self.store.folders if self.has_folders and self.store is not None else None
        return None if folders is None else folders.excess(is_over=is_over)

    def is_family_spent(self) -> bool:
        """Whether the fuel that this sandbox shares with others is gone. Asked before each slice, so that of many
        guests that wait none burns another slice of it.
        """
        account = self.limits.account
        return account is not None and account.is_empty

    def charge(self, account: FuelAccount) -> None:
        """Take what this message burnt since the last time from the shared fuel; all that it will report as its own."""
        if self._charged is None or self.store is None:
            return
        burnt = self.limits.fuel - self.store.fuel_left()
        account.spend(burnt - self._charged)
        self._charged = burnt

    def ended(self, fiber: Fiber) -> Ending | None:
        """How a fiber ended that is not pending any more; None for an instance that is ready."""
        error = fiber.take_error()
        if error is not None:
            return self._failed(error)
        if self.state.host_error is not None:
            return self._failed("")
        if not isinstance(fiber, GuestCall):
            return None
        try:
            return self.ending(reply=fiber.take_reply(self.limits.max_message))
        except values.TooLong as long:
            return self.ending(reply=too_large(str(long)))

    def _failed(self, error: str) -> Ending:
        refused = self.state.host_error
        if isinstance(refused, (Refused, values.TooLong)):
            return self.ending(error_type="denied", message=str(refused))
        if isinstance(refused, FuelSpent):
            return self.ending(error_type="fuel_exhausted", message=FUEL_SPENT)
        if isinstance(refused, Aborted):
            return self.ending(error_type="trap", message="the interpreter inside the sandbox aborted")
        if refused is not None:
            return self.ending(error_type="internal_error", message=f"a host call failed: {type(refused).__name__}")
        kind, message = classify(error)
        return self.ending(error_type=kind, message=message)

    def ending(self, **how: object) -> Ending:
        """An ending with what the call cost."""
        left = 0 if self.store is None else self.store.fuel_left()
        consumed = 0 if self.store is None else self.limits.fuel - left
        return Ending(fuel_consumed=consumed, output_truncated=self.state.output.is_truncated, **how)  # type: ignore[arg-type]

    def close(self) -> None:
        """Free the store, once, and say so when its workspace is gone too."""
        store, self.store = self.store, None  # nobody may ask a store for its fuel that is no more
        workspace = None if store is None else store.close()
        self.state.close()
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None and workspace is not None:
            self._remover.remove(workspace, on_closed)
        elif on_closed is not None:
            on_closed()
