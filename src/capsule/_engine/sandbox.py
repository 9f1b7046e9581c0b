"""A sandbox on the real engine: calls go to the carriers as jobs, endings come back through the port."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Generator

import anyio
import anyio.lowlevel

from .. import abc
from .._backend import Flag, checkpoint_function, event_type
from .._values import ErrorType
from ..abc import FAMILY_SPENT, Ending, Limits, Listener
from .calls import CallQueue
from .carrier import NEVER, Carriers, Job, Step
from .core import SandboxCore
from .fiber import Fiber
from .folders import CannotOpen
from .guest_state import GuestState
from .interrupts import without_handlers
from .loaded import LoadedGuest
from .mappings import NoRoom
from .meter import FUEL_HERE
from .output import Output
from .port import LoopPort
from .remover import Remover
from .stack import is_deep
from .store import GuestStore

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


class _CallJob(Job):
    """One call into a guest, as slices: make the store and instance if there is none, then the handler's call."""

    def __init__(
        self, core: SandboxCore, request: str, timeout: float, is_last: bool, port: LoopPort, answered: Flag
    ) -> None:
        super().__init__(timeout, is_warm=core.store is not None)
        self._core, self._request, self._is_last, self._port = core, request, is_last, port
        self.answered = answered
        self.ending: Ending | None = None
        """Once it is there. Written on the event loop, as the flag."""
        self.is_here = False
        """Whether it is in its first slice, or ended in it, and that is on the event loop."""
        self._slices = self._run()

    def answer(self, ending: Ending) -> None:
        """For the event loop: this is how it ended."""
        self.ending = ending
        self.answered.set()

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
        core.begin_message(is_here=self.is_here)
        ending = yield from self._drive(core.store.call(self._request))
        assert ending is not None  # only an instance that is ready ends without one
        self._end(ending)

    def _drive(self, fiber: Fiber) -> Generator[Step, None, Ending | None]:
        core = self._core
        try:
            while not core.is_family_spent():
                is_over = core.poll(fiber)
                if core.limits.account is not None:
                    core.charge(core.limits.account)
                excess = core.excess(is_over=is_over) if core.has_folders else None
                if excess is not None:
                    return core.ending(error_type="denied", message=excess)
                if is_over:
                    return core.ended(fiber)
                if self.is_here and core.store is not None:
                    core.store.meter.leave_here()
                pending = self._pending()
                yield pending
                self.is_here = False
                if pending is Step.WAITING and core.store is not None:
                    core.store.meter.begin_slice()
            return core.ending(error_type="fuel_exhausted", message=FAMILY_SPENT)
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
        self._port.post(self.answer, ending)
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


async def _answered(job: _CallJob) -> None:
    """Wait for the end of a job that was stopped, at most a slice: the guest must be gone when its caller goes on.

    Whoever cancels a task of asyncio's itself, as its timeouts do, does so through a shield, and may do it again.
    """
    while job.ending is None:
        with contextlib.suppress(anyio.get_cancelled_exc_class()), anyio.CancelScope(shield=True):
            await job.answered.wait()


class Turn:
    """The event loop's next turn, which one message of an engine may use for its first slice. Made on that loop."""

    __slots__ = ("_wait", "is_taken", "new_event")

    def __init__(self) -> None:
        self.is_taken = False
        self.new_event, self._wait = event_type(), checkpoint_function()

    async def wait(self) -> None:
        """Give others a turn."""
        self.is_taken = True
        try:
            await self._wait()
        finally:
            self.is_taken = False


class WasmSandbox(abc.Sandbox):
    """The event loop's side of a sandbox. It stays in `live` until it is closed."""

    def __init__(
        self,
        guest: LoadedGuest,
        carriers: Carriers,
        remover: Remover,
        port: LoopPort,
        limits: Limits,
        listener: Listener,
        live: set[WasmSandbox],
        turn: Turn,
    ) -> None:
        self._turn = turn
        self._carriers, self._port, self._listener, self._live = carriers, port, listener, live
        calls = CallQueue(limits, self._on_submit, self._on_cancel)
        state = GuestState(limits, calls, Output(limits.max_output, self._on_output))
        self._core = SandboxCore(guest, limits, state, remover, self._on_closed)
        self._job: Job | None = None
        self._is_closing = False
        self._is_short = True  # as far as we know
        live.add(self)

    async def call(self, request: str, *, timeout: float, is_last: bool = False) -> Ending:
        if self._job is not None:
            raise RuntimeError("this sandbox is at work: one call at a time")
        if self._is_closing:
            await anyio.lowlevel.checkpoint()
            return _CLOSED
        may_run_here = not is_deep() and self._may_run_here(request, is_last=is_last)
        job = _CallJob(self._core, request, timeout, is_last, self._port, Flag(self._turn.new_event))
        try:
            self._job = job  # from here on, whatever ends the sandbox ends this
            if may_run_here:
                await self._turn.wait()  # there may be nothing to wait for afterwards
                job.is_here = not self._is_closing
            if job.is_here:
                without_handlers(self._run_here, job)
            else:
                self._submit(job)
            if job.ending is None:
                await job.answered.wait()
        except BaseException:
            self._is_closing = True
            self._carriers.stop(job, "cancelled")
            if not job.has_started:  # perhaps it was in the middle of being submitted, by what a signal raised
                job.is_here = False
                self._submit(job)
            await _answered(job)
            raise
        finally:
            self._job = None
            assert job.ending is not None
            self._settle(job, job.ending, is_last=is_last)
        return job.ending

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
        return self._is_short and not is_last and len(request) <= MOST_REQUEST_HERE

    def _submit(self, job: Job) -> None:
        try:
            self._carriers.submit(job)
        except RuntimeError:
            self._end_here(job)

    def _run_here(self, job: _CallJob) -> None:
        try:
            self._port.gather(self._carriers.run_here, job)
        except RuntimeError:
            self._end_here(job)

    def _end_here(self, job: Job) -> None:
        """The engine was left: no carrier knows of this sandbox any more."""
        self._is_closing = True
        self._core.close()
        if isinstance(job, _CallJob):
            job.answer(_CLOSED)

    # For carriers.

    def _on_submit(self, ticket: int, operation: str, payload: str) -> None:
        self._port.post(self._listener.on_submit, ticket, operation, payload)

    def _on_cancel(self, ticket: int) -> None:
        self._port.post(self._listener.on_cancel, ticket)

    def _on_output(self, stream: str, text: str) -> None:
        self._port.post(self._listener.on_output, stream, text)

    def _on_closed(self) -> None:
        self._port.post(self._tell_closed)

    def _tell_closed(self) -> None:
        self._live.discard(self)
        self._listener.on_closed()
        del self._listener  # which holds this, and both would wait for the collector
