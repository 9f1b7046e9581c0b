"""Carriers: the threads that run guests, and the one queue they share.

Guests never run on the event loop: some of what a guest does cannot be interrupted (filling a gigabyte of memory
is one instruction to the engine), and the loop must not wait for it. The loop only starts jobs and hears of
their ends, so timeouts and sleeping guests work even while the application blocks it.

Each carrier takes whatever is due: new jobs and wake-ups first, then jobs that used up a slice. The first is woken
first, and the others when it is not resting: a lone job finds it warm, and while it clears up after a sandbox, another
begins the next one. A lone warm call, of a sandbox that lives, is left to the first even then: most often it has only
the last lines of the call before to do.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

import msgspec

from .bell import Bell
from .stack import accept_any_stack
from .ticker import Ticker

NEVER = float("inf")

HELD_UP = 0.02
"""Seconds in one slice after which the first carrier counts as held up: five epochs, so the engine could not
interrupt what the guest does."""

FEW_TIMERS = 32
"""Fewer stale timers than this are not worth forgetting."""


class Step(Enum):
    """How a job came back from one slice."""

    YIELDED = auto()
    WAITING = auto()
    DONE = auto()


class Phase(Enum):
    """Where a job stands. Only changes under the carriers' lock."""

    READY = auto()
    RUNNING = auto()
    PARKED = auto()
    DONE = auto()


class Job(ABC):
    """Work that a carrier runs in slices. All methods but `__init__` run on carriers, one at a time per job.

    A warm job is a further call of a sandbox that lives.
    """

    def __init__(self, timeout: float = NEVER, *, is_warm: bool = False) -> None:
        self.timeout = timeout
        self.is_warm = is_warm
        self.phase = Phase.READY
        self.deadline = NEVER
        self.wake_at = NEVER
        self.woken = False
        self.has_started = False
        self.stop_reason: str | None = None

    @abstractmethod
    def step(self) -> Step:
        """Run one slice. For WAITING, `wake_at` says until when (NEVER: until woken)."""

    @abstractmethod
    def stop(self, reason: str) -> None:
        """End in the middle: unwind and free everything. Called once, between two slices, never after DONE."""

    @abstractmethod
    def crash(self, error: BaseException) -> None:
        """`step` or `stop` raised, which is a bug of ours: the job counts as done and must still answer."""


class _Queues(msgspec.Struct):
    fresh: deque[Job] = msgspec.field(default_factory=deque)
    warm: deque[Job] = msgspec.field(default_factory=deque)
    spent: deque[Job] = msgspec.field(default_factory=deque)
    timers: list[tuple[float, int, Job]] = msgspec.field(default_factory=list)
    _warm_first: bool = False

    def in_turn(self) -> tuple[deque[Job], ...]:
        """In the order in which a carrier looks: new jobs and warm ones take turns, so neither starves."""
        self._warm_first = not self._warm_first
        return (self.warm, self.fresh, self.spent) if self._warm_first else (self.fresh, self.warm, self.spent)

    def trim_timers(self, jobs: int) -> None:
        """Forget stale timers once they are many: those of jobs that are done, so that a long timeout does not keep a
        short job alive, and those of waits that ended early, which a guest could pile up without end.
        """
        if len(self.timers) > 2 * jobs + FEW_TIMERS:
            self.timers = [timer for timer in self.timers if _is_live(timer)]
            heapq.heapify(self.timers)


def _is_live(timer: tuple[float, int, Job]) -> bool:
    when, _, job = timer
    return job.phase is not Phase.DONE and when in (job.deadline, job.wake_at)


def default_carriers() -> int:
    """One for each core the process may use, from two to four.

    Two, so that one stands in when the other is held up by a guest; four, because beyond that the interpreter lock
    is the limit.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    return max(2, min(4, cores))


class Carriers:
    """A group of carrier threads. Close it to stop what still runs and end the threads."""

    def __init__(self, count: int, ticker: Ticker) -> None:
        self._ticker = ticker
        self._lock = threading.Lock()
        self._work = Bell()
        self._first_rests = False
        self._spare = threading.Condition(self._lock)
        self._spares_at_rest = 0
        self._queues = _Queues()
        self._jobs: set[Job] = set()
        self._order = itertools.count()
        self._closed = False
        self._still_running = count
        self._on_end: Callable[[], None] = lambda: None
        self._first_since = NEVER  # when the first carrier began the slice it is in
        self._threads = [
            threading.Thread(target=self._run, args=(number == 0,), name=f"capsule-carrier-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Queue a new job. Raises RuntimeError once closed.

        Whoever was interrupted in it, by what the handler of a signal raised, may do it again: a job counts as known
        last of all, and a queue may hold it twice.
        """
        with self._lock:
            if job in self._jobs or job.phase is Phase.DONE:
                return
            if self._closed:
                raise RuntimeError("the carriers are closed")
            if job.phase is Phase.READY:
                self._make_ready(job, self._queues.warm if job.is_warm else self._queues.fresh)
            self._jobs.add(job)

    def run_here(self, job: Job) -> None:
        """Run the first slice of a new job on the calling thread, which must be the one that wakes and stops it; if
        that is not all, carriers go on with it. Raises RuntimeError once closed.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the carriers are closed")
            self._jobs.add(job)
            job.phase, job.has_started = Phase.RUNNING, True
            self._ticker.guest_enters()
        deadline = time.monotonic() + job.timeout
        step = self._step(job)
        with self._lock:
            self._ticker.guest_leaves()
            if step is not Step.DONE:
                self._set_timer(job, "deadline", deadline)
            self._settle(job, step)

    def wake(self, job: Job) -> None:
        """Something that a parked job may wait for is there. Harmless at any time, from any thread."""
        with self._lock:
            self._wake(job)

    def stop(self, job: Job, reason: str) -> None:
        """End `job` with `reason` before its next slice; the first reason given holds. Harmless once it is done."""
        with self._lock:
            self._stop(job, reason)

    def watch(self) -> None:
        """Called by the ticker: if one guest holds up the first carrier, another looks at what is due."""
        if time.monotonic() - self._first_since > HELD_UP:
            with self._lock:
                self._spare.notify()

    def begin_close(self, on_end: Callable[[], None] = lambda: None) -> None:
        """Stop every job with the reason "cancelled" and let each unwind; the last carrier calls `on_end` and ends."""
        with self._lock:
            self._closed = True
            self._on_end = on_end
            for job in self._jobs:
                self._stop(job, "cancelled")
            self._ring()
            self._spare.notify_all()

    def close(self) -> None:
        """Close and wait until every thread has ended: for a slice, or not at all after `on_end` was called."""
        if not self._closed:
            self.begin_close()
        for thread in self._threads:
            thread.join()

    # Everything below runs under the lock, but for the slice itself.

    def _wake(self, job: Job) -> None:
        if job.phase is Phase.PARKED:
            self._make_ready(job, self._queues.warm)
        elif job.phase is Phase.RUNNING:
            job.woken = True  # it may have looked just before; it will look again instead of parking

    def _stop(self, job: Job, reason: str) -> None:
        if job.phase is Phase.DONE or job.stop_reason is not None:
            return
        job.stop_reason = reason
        if job.phase is Phase.PARKED:
            self._make_ready(job, self._queues.fresh)
        elif job.phase is Phase.READY and job.has_started:
            self._queues.fresh.appendleft(job)  # ahead of its turn; the second entry is skipped when it comes up
            self._ring()

    def _make_ready(self, job: Job, queue: deque[Job]) -> None:
        job.phase = Phase.READY
        queue.append(job)
        is_for_all = job.has_started or queue is not self._queues.warm or len(queue) > 1
        if is_for_all and self._spares_at_rest and not self._first_rests:
            self._spare.notify()
        self._ring()

    def _run(self, is_first: bool) -> None:
        accept_any_stack()
        with self._lock:
            while True:
                job = self._next()
                if job is not None:
                    self._run_slice(job, is_first)
                elif self._closed and not self._jobs:
                    return self._end_thread()
                elif is_first:
                    self._rest()
                else:
                    self._spares_at_rest += 1
                    self._spare.wait(0.1 if self._closed else None)
                    self._spares_at_rest -= 1

    def _end_thread(self) -> None:
        self._ring()
        self._spare.notify_all()
        self._still_running -= 1
        if not self._still_running:
            self._on_end()

    def _rest(self) -> None:
        timers = self._queues.timers
        seconds = timers[0][0] - time.monotonic() if timers else NEVER
        self._first_rests = True
        self._lock.release()
        try:
            self._work.wait(seconds)
        finally:
            self._lock.acquire()
            self._first_rests = False

    def _ring(self) -> None:
        """The first carrier has something to do. Silent while it is awake: it looks again before it rests.

        What the handler of a signal raises in between must not leave it silent for ever: rung twice is rung once.
        """
        if self._first_rests:
            self._work.ring()
            self._first_rests = False

    def _next(self) -> Job | None:
        self._fire_timers()
        for queue in self._queues.in_turn():
            while queue:
                job = queue.popleft()
                if job.phase is Phase.READY:
                    return job
        return None

    def _fire_timers(self) -> None:
        timers = self._queues.timers
        now = time.monotonic() if timers else 0.0
        while timers and timers[0][0] <= now:
            _, _, job = heapq.heappop(timers)
            if job.phase is Phase.DONE:
                continue
            if job.deadline <= now:
                self._stop(job, "timeout")
            elif job.wake_at <= now:
                self._wake(job)

    def _run_slice(self, job: Job, is_first: bool) -> None:
        job.phase = Phase.RUNNING
        job.woken = False
        if not job.has_started:
            job.has_started = True
            self._set_timer(job, "deadline", time.monotonic() + job.timeout)
        if is_first:
            self._first_since = time.monotonic()
        self._ticker.guest_enters()
        self._lock.release()
        try:
            step = self._step(job)
        finally:
            self._lock.acquire()
            self._ticker.guest_leaves()
            if is_first:
                self._first_since = NEVER
        self._settle(job, step)

    def _step(self, job: Job) -> Step:
        try:
            if job.stop_reason is None:
                return job.step()
            job.stop(job.stop_reason)
        except BaseException as error:  # noqa: BLE001 - a carrier must survive whatever one job does
            with contextlib.suppress(BaseException):
                job.crash(error)
        return Step.DONE

    def _settle(self, job: Job, step: Step) -> None:
        if step is Step.DONE:
            job.phase = Phase.DONE
            self._jobs.discard(job)
            self._queues.trim_timers(len(self._jobs))
        elif job.stop_reason is not None:
            job.phase = Phase.READY
            self._queues.fresh.appendleft(job)  # a carrier that ran it takes it next
            self._ring()
        elif step is Step.YIELDED:
            self._make_ready(job, self._queues.spent)
        elif job.woken:
            self._make_ready(job, self._queues.warm)
        else:
            job.phase = Phase.PARKED
            if job.wake_at < job.deadline:
                self._set_timer(job, "wake_at", job.wake_at)

    def _set_timer(self, job: Job, name: str, when: float) -> None:
        setattr(job, name, when)
        if when != NEVER:
            heapq.heappush(self._queues.timers, (when, next(self._order), job))
            self._queues.trim_timers(len(self._jobs))
            self._ring()
