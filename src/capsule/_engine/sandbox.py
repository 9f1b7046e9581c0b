"""A sandbox on the real engine: calls go to the carriers as jobs, endings come back through the port."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Generator

import anyio
import anyio.lowlevel

from .. import abc
from .._backend import event_type
from .._values import ErrorType
from ..abc import Ending, Limits, Listener
from . import values
from .callbacks import Aborted
from .calls import CallQueue, Refused
from .carrier import NEVER, Carriers, Job, Step
from .fiber import Fiber
from .folders import CannotOpen
from .guest_state import GuestState
from .guests import Guests
from .interrupts import without_handlers
from .loaded import LoadedGuest
from .mappings import NoRoom
from .output import Output
from .port import LoopPort
from .stack import is_deep
from .store import FUEL_HERE, FUEL_SLICE, GuestCall, GuestStore
from .traps import classify

_STOPPED = {
    "timeout": "the task ran longer than its timeout",
    "cancelled": "the task was cancelled",
}


MOST_REQUEST_HERE = 64 * 1024
"""Characters of a request whose first slice may run on the event loop."""

CAN_RUN_HERE = sys.version_info < (3, 14)
"""Whether the event loop's thread may poll fibers: on CPython 3.14 that would take its own guard from the stack of a
thread that is the application's (see `stack`)."""

_CLOSED = Ending(error_type="cancelled", message="the sandbox is closed")

_FAMILY_SPENT = "the fuel of the family is used up"


class _CallJob(Job):
    """One call into a guest, as slices: make the store and instance if there is none, then the handler's call."""

    def __init__(
        self, core: SandboxCore, request: str, timeout: float, is_last: bool, answer: Callable[[Ending], None]
    ) -> None:
        super().__init__(timeout, is_warm=core.store is not None)
        self._core, self._request, self._is_last, self._answer = core, request, is_last, answer
        self.is_submitted = False
        self.is_here = False
        """Whether it is in its first slice, or ended in it, and that is on the event loop."""
        self._slices = self._run()

    def step(self) -> Step:
        return next(self._slices, Step.DONE)

    def stop(self, reason: str) -> None:
        self.is_here = False
        kind: ErrorType = "timeout" if reason == "timeout" else "cancelled"
        ending = self._core.ending(error_type=kind, message=_STOPPED[kind])  # first: unwinding loses the fuel count
        self._slices.close()
        self._end(ending)

    def crash(self, error: BaseException) -> None:
        self._end(self._core.ending(error_type="internal_error", message=f"the engine failed: {type(error).__name__}"))

    def _run(self) -> Generator[Step, None, None]:
        core = self._core
        if core.store is None:
            assert core.guest is not None
            try:
                core.store = GuestStore(core.guest, core.state)
            except NoRoom as full:
                self._end(core.ending(error_type="internal_error", message=str(full)))
                return
            except CannotOpen as gone:
                self._end(core.ending(error_type="invalid", message=str(gone)))
                return
            failed = yield from self._drive(core.store.instantiate())
            if failed is not None:
                self._end(failed)
                return
        core.begin_message()
        if self.is_here:
            core.store.begin_here()
        ending = yield from self._drive(core.store.call(self._request))
        assert ending is not None  # only an instance that is ready ends without one
        self._end(ending)

    def _drive(self, fiber: Fiber) -> Generator[Step, None, Ending | None]:
        core = self._core
        try:
            while not core.is_family_spent():
                is_over = core.poll(fiber)
                core.charge()
                excess = core.excess(is_over=is_over)
                if excess is not None:
                    return core.ending(error_type="denied", message=excess)
                if is_over:
                    return core.ended(fiber)
                if self.is_here and core.store is not None:
                    core.store.leave_here()
                pending = self._pending()
                yield pending
                self.is_here = False
                if pending is Step.WAITING and core.store is not None:
                    core.store.begin_slice()
            return core.ending(error_type="fuel_exhausted", message=_FAMILY_SPENT)
        finally:
            fiber.close()

    def _pending(self) -> Step:
        wait_until = self._core.state.calls.wait_until
        if self._core.state.waiting_place is None or wait_until is None:
            return Step.YIELDED
        self.wake_at = wait_until if wait_until < math.inf else NEVER
        return Step.WAITING

    def _end(self, ending: Ending) -> None:
        """Tell the loop first: nobody needs to wait until the memory is given back, least of all the loop itself."""
        self._request = ""  # a job and its slices hold each other until the next collection, and this may be large
        self._answer(ending)
        if (self._is_last or ending.reply is None) and not self.is_here:
            self._core.close()


class _CloseJob(Job):
    """Frees a sandbox between two calls."""

    def __init__(self, core: SandboxCore) -> None:
        super().__init__()
        self._core = core

    def step(self) -> Step:
        self._core.close()
        return Step.DONE

    def stop(self, reason: str) -> None:
        self._core.close()

    def crash(self, error: BaseException) -> None:
        self._core.close()


class SandboxCore:
    """What belongs to one sandbox on the carriers' side."""

    def __init__(
        self, guest: LoadedGuest | None, limits: Limits, state: GuestState, on_closed: Callable[[], None]
    ) -> None:
        """`guest` may be set later, before the first message."""
        self.guest, self.limits, self.state = guest, limits, state
        self.store: GuestStore | None = None
        self._charged: int | None = None
        self._on_closed: Callable[[], None] | None = on_closed

    def begin_message(self) -> None:
        """Each message has its own fuel and output, and hears nothing of host calls that are not its own."""
        assert self.store is not None
        self.state.host_error = None
        self.state.calls.begin_message()
        self.state.output.renew(self.limits.max_output)
        self.store.yield_after(FUEL_SLICE)
        self.store.renew(self.limits.fuel)
        if self.store.folders is not None:
            self.store.folders.begin_message()
        self._charged = 0

    def poll(self, fiber: Fiber) -> bool:
        """Run one slice; whether the call is over."""
        folders = self.store.folders if self.store is not None else None
        if folders is None:
            return fiber.poll()
        folders.begin_slice()
        try:
            return fiber.poll()
        finally:
            folders.end_slice()

    def excess(self, *, is_over: bool) -> str | None:
        """What the guest has too much of outside of its memory, in the words of a refusal."""
        folders = self.store.folders if self.store is not None else None
        return None if folders is None else folders.excess(is_over=is_over)

    def is_family_spent(self) -> bool:
        """Whether the fuel that this sandbox shares with others is gone. Asked before each slice, so that of many
        guests that wait none burns another slice of it.
        """
        account = self.limits.account
        return account is not None and account.is_empty

    def charge(self) -> None:
        """Take what this message burnt since the last time from the shared fuel; all that it will report as its own."""
        account = self.limits.account
        if account is None or self._charged is None or self.store is None:
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
            return self.ending(error_type="invalid", message=f"the result is too large: {long}")

    def _failed(self, error: str) -> Ending:
        refused = self.state.host_error
        if isinstance(refused, (Refused, values.TooLong)):
            return self.ending(error_type="denied", message=str(refused))
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
        """Free the store, once, and say so."""
        store, self.store = self.store, None  # nobody may ask a store for its fuel that is no more
        if store is not None:
            store.close()
        self.state.forget()
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()


class Turn:
    """The event loop's next turn, which one message of an engine may use for its first slice."""

    __slots__ = ("is_taken",)

    def __init__(self) -> None:
        self.is_taken = False


class WasmSandbox(abc.Sandbox):
    """The event loop's side of a sandbox. It stays in `live` until it is closed."""

    def __init__(
        self,
        guests: Guests,
        carriers: Carriers,
        port: LoopPort,
        limits: Limits,
        listener: Listener,
        live: set[WasmSandbox],
        turn: Turn,
    ) -> None:
        self._guests, self._turn = guests, turn
        self._carriers, self._port, self._listener, self._live = carriers, port, listener, live
        calls = CallQueue(
            limits,
            on_submit=lambda *call: port.post(listener.on_submit, *call),
            on_cancel=lambda ticket: port.post(listener.on_cancel, ticket),
        )
        output = Output(limits.max_output, lambda *text: port.post(listener.on_output, *text))
        state = GuestState(limits, calls, output)
        self._core = SandboxCore(guests.ready(limits), limits, state, lambda: port.post(self._tell_closed))
        self._job: Job | None = None
        self._is_closing = False
        self._is_short = True  # as far as we know
        self._new_event = event_type()
        live.add(self)

    async def call(self, request: str, *, timeout: float, is_last: bool = False) -> Ending:
        self._core.guest = self._core.guest or await self._guests.unmetered()
        if self._job is not None:
            raise RuntimeError("this sandbox is at work: one call at a time")
        if self._is_closing:
            await anyio.lowlevel.checkpoint()
            return _CLOSED
        may_run_here = not is_deep() and self._may_run_here(request, is_last=is_last)
        done, endings = self._new_event(), list[Ending]()

        def answer(ending: Ending) -> None:  # on the event loop
            endings.append(ending)
            done.set()

        job = _CallJob(self._core, request, timeout, is_last, lambda end: self._port.post(answer, end))
        try:
            self._job = job  # from here on, whatever ends the sandbox ends this
            if may_run_here:
                await self._wait_for_turn()
                job.is_here = not self._is_closing
            if not without_handlers(lambda: self._submit(job)):
                answer(_CLOSED)
                await anyio.lowlevel.checkpoint()
            if not endings:
                await done.wait()
        except BaseException:
            self._is_closing = True
            self._carriers.stop(job, "cancelled")
            if not job.is_submitted:
                job.is_here = False
                if not self._submit(job):
                    answer(_CLOSED)
            with anyio.CancelScope(shield=True):  # at most a slice: the guest must be gone when the caller goes on
                await done.wait()
            raise
        finally:
            self._job = None
            self._settle(job, endings[0], is_last=is_last)
        return endings[0]

    def _settle(self, job: _CallJob, ending: Ending, *, is_last: bool) -> None:
        """A message is over."""
        is_dead = is_last or ending.reply is None
        if job.is_here if is_dead else self._is_closing:  # or it answered in the moment in which it was to be ended
            self._is_closing = True
            self._submit(_CloseJob(self._core))
        elif is_dead:
            self._is_closing = True  # by its carrier
        if job.is_warm:
            self._is_short = ending.fuel_consumed <= FUEL_HERE // 2

    def complete(self, ticket: int, reply: str) -> None:
        self._core.state.calls.complete(ticket, reply)
        if self._job is not None:
            self._carriers.wake(self._job)

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        if self._job is not None:
            self._carriers.stop(self._job, "cancelled")
        else:
            self._submit(_CloseJob(self._core))

    def _may_run_here(self, request: str, *, is_last: bool) -> bool:
        """Whether the first slice of a message may run on the event loop: most often it is all, and to wake a carrier
        and be woken by it takes longer.

        Only for a sandbox that lives and whose last message was short, and for one at a time: several are better off
        on carriers, side by side. Not with folders: WASI's files wait.
        """
        store = self._core.store
        if not CAN_RUN_HERE or self._turn.is_taken or store is None or store.folders is not None:
            return False
        if not store.is_metered:  # such a slice is held to so much fuel
            return False
        return self._is_short and not is_last and len(request) <= MOST_REQUEST_HERE

    async def _wait_for_turn(self) -> None:
        """Give the event loop a turn before, because there may be nothing to wait for afterwards."""
        self._turn.is_taken = True
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            self._turn.is_taken = False

    def _submit(self, job: Job) -> bool:
        """False if the engine was left: no carrier knows of this sandbox any more, and it is closed here."""
        try:
            if isinstance(job, _CallJob):
                job.is_submitted = True
                if job.is_here:
                    with self._port.gathering():
                        self._carriers.run_here(job)
                    return True
            self._carriers.submit(job)
        except RuntimeError:
            self._is_closing = True
            self._core.close()
            return False
        return True

    def _tell_closed(self) -> None:
        self._live.discard(self)
        self._listener.on_closed()
