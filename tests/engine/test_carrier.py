"""Carriers with jobs that a test steps by hand: who runs when, and what is never lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from capsule._engine import carrier
from capsule._engine.carrier import FEW_TIMERS, Carriers, Phase, Step
from engine.jobs import PATIENCE, FakeJob, Gate

YIELDED, WAITING, DONE = Step.YIELDED, Step.WAITING, Step.DONE


class StillTicker:
    """Counts guests and never ticks: a test calls `watch` itself."""

    def __init__(self) -> None:
        self.running = 0

    def guest_enters(self) -> None:
        self.running += 1

    def guest_leaves(self) -> None:
        self.running -= 1


@pytest.fixture
def open_carriers() -> Iterator[Callable[[int], Carriers]]:
    """Opens carriers, and closes them at the end."""
    opened: list[Carriers] = []

    def open_(count: int = 1) -> Carriers:
        opened.append(Carriers(count, StillTicker()))  # type: ignore[arg-type]
        return opened[-1]

    yield open_
    for carriers in opened:
        carriers.close()
        assert carriers._ticker.running == 0


class Script:
    """One carrier held at a gate, so that a test can queue jobs in an order of its own."""

    def __init__(self, carriers: Carriers) -> None:
        self.carriers, self.history = carriers, []
        self.gate = Gate()
        self.hold(self.gate)

    def hold(self, gate: Gate) -> None:
        self.carriers.submit(FakeJob("gate", [], gate))
        gate.reached()

    def job(self, name: str, *steps, **options) -> FakeJob:
        job = FakeJob(name, self.history, *steps, **options)
        self.carriers.submit(job)
        return job

    def settle(self) -> None:
        """Let the carrier run all that is ready, until it comes to one that stands behind all the others."""
        self.gate.opened.set()
        last = Gate(DONE)
        self.carriers.submit(FakeJob("last", [], YIELDED, last))
        last.pass_through()


@pytest.fixture
def script(open_carriers) -> Script:
    """One carrier, held."""
    return Script(open_carriers(1))


def test_in_order(script: Script) -> None:
    """New jobs run in the order in which they came."""
    jobs = [script.job(name, DONE) for name in "abc"]
    script.settle()
    assert script.history == [("step", "a"), ("step", "b"), ("step", "c")]
    assert {job.phase for job in jobs[:2]} == {Phase.DONE}


def test_a_spent_slice_waits_behind_what_is_new(script: Script) -> None:
    """Who used up a slice stands behind the new ones; those take turns."""
    a, b = script.job("a", YIELDED, YIELDED, DONE), script.job("b", YIELDED, DONE)
    script.job("new", DONE)
    script.settle()
    a.wait()
    b.wait()
    assert [name for _, name in script.history] == ["a", "b", "new", "a", "b", "a"]


def test_phases(script: Script) -> None:
    """READY until it runs, RUNNING in its slice, PARKED while it waits, DONE at the end."""
    seen = []
    job = FakeJob("a", script.history, lambda: seen.append(job.phase) or WAITING, DONE)
    assert job.phase is Phase.READY
    script.carriers.submit(job)
    script.settle()
    assert (seen, job.phase) == ([Phase.RUNNING], Phase.PARKED)
    script.carriers.wake(job)
    script.settle()
    assert job.phase is Phase.DONE


def test_a_parked_job_stays_parked(script: Script) -> None:
    """Nobody steps a job that waits and was not woken."""
    script.job("a", WAITING, DONE)
    for _ in range(3):
        script.settle()
    assert script.history == [("step", "a")]


def test_a_wake_before_it_parks_is_not_lost(script: Script) -> None:
    """What arrives while a job runs makes it look again instead of parking."""
    job = FakeJob("a", script.history, lambda: script.carriers.wake(job) or WAITING, DONE)
    script.carriers.submit(job)
    script.gate.opened.set()
    job.wait()
    assert script.history == [("step", "a")] * 2


def test_a_wake_counts_for_one_slice(script: Script) -> None:
    """A wake in an earlier slice does not keep a job from parking in a later one."""
    job = FakeJob("a", script.history, lambda: script.carriers.wake(job) or YIELDED, WAITING)
    script.carriers.submit(job)
    script.settle()
    script.settle()
    assert (job.phase, script.history) == (Phase.PARKED, [("step", "a")] * 2)


def test_a_wake_at_any_time_is_harmless(script: Script) -> None:
    """Before it began and after it is done, a wake changes nothing."""
    job = script.job("a", DONE)
    script.carriers.wake(job)
    script.settle()
    script.carriers.wake(job)
    script.settle()
    assert script.history == [("step", "a")]


def test_stop_before_it_began(script: Script) -> None:
    """A job that is stopped before its first slice never runs, but is told."""
    job = script.job("a", DONE)
    script.carriers.stop(job, "cancelled")
    script.settle()
    assert script.history == [("stop", "a", "cancelled")]


def test_stop_while_it_runs(script: Script) -> None:
    """A job that is stopped in its slice is ended before the next, ahead of all others."""
    gate = Gate(YIELDED)
    job = script.job("a", gate)
    script.gate.opened.set()
    gate.reached()
    script.job("b", DONE)
    script.carriers.stop(job, "cancelled")
    gate.opened.set()
    job.wait()
    script.settle()
    assert script.history == [("step", "a"), ("stop", "a", "cancelled"), ("step", "b")]


def test_stop_in_the_slice_that_ends_it(script: Script) -> None:
    """A job that is done in the slice in which it was stopped is done: `stop` never comes after DONE."""
    gate = Gate(DONE)
    job = script.job("a", gate)
    script.gate.opened.set()
    gate.reached()
    script.carriers.stop(job, "cancelled")
    gate.opened.set()
    script.settle()
    assert script.history == [("step", "a")]


def test_stop_while_it_is_parked(script: Script) -> None:
    """A job that is stopped while it waits is ended at once."""
    job = script.job("a", WAITING)
    script.settle()
    script.carriers.stop(job, "cancelled")
    job.wait()
    assert script.history == [("step", "a"), ("stop", "a", "cancelled")]


def test_stop_ahead_of_its_turn(script: Script) -> None:
    """A job that is stopped while it stands in the queue is ended ahead of the others, once."""
    gate = Gate(DONE)

    def begin() -> Step:
        script.carriers.submit(FakeJob("gate", [], gate))
        script.job("b", DONE)
        return YIELDED

    job = script.job("a", begin)
    script.gate.opened.set()
    gate.reached()
    script.carriers.stop(job, "cancelled")
    gate.opened.set()
    script.settle()
    assert script.history == [("step", "a"), ("stop", "a", "cancelled"), ("step", "b")]


def test_the_first_reason_holds(script: Script) -> None:
    """A job is stopped once, for the reason that came first."""
    job = script.job("a", WAITING)
    script.settle()
    gate = Gate(DONE)
    script.hold(gate)
    script.carriers.stop(job, "timeout")
    script.carriers.stop(job, "cancelled")
    gate.opened.set()
    script.settle()
    script.carriers.stop(job, "cancelled")
    script.settle()
    assert script.history == [("step", "a"), ("stop", "a", "timeout")]


def test_deadline(script: Script) -> None:
    """A job that waits, whatever it waits for, is stopped when its time is up."""
    for name, wake_at in (("a", carrier.NEVER), ("b", time.monotonic() + 3600)):
        job = script.job(name, WAITING, timeout=0.01, wake_at=wake_at)
        script.gate.opened.set()
        job.wait()
        assert script.history[-2:] == [("step", name), ("stop", name, "timeout")]


def test_deadline_of_a_busy_job(script: Script) -> None:
    """A job that never waits is stopped between two slices."""
    job = FakeJob("a", script.history, timeout=0.01)
    job.step = lambda: YIELDED
    script.carriers.submit(job)
    script.gate.opened.set()
    job.wait()
    assert script.history == [("stop", "a", "timeout")]


def test_the_clock_starts_with_the_first_slice(script: Script) -> None:
    """Time in the queue is not the job's: its deadline is set when it begins."""
    job = script.job("a", WAITING, timeout=3600)
    assert job.deadline == carrier.NEVER
    before = time.monotonic()
    script.settle()
    assert before + 3600 <= job.deadline <= time.monotonic() + 3600


def test_wake_timer(script: Script) -> None:
    """A job that waits until a time is stepped again when it has come."""
    job = script.job("a", WAITING, DONE, timeout=3600, wake_at=time.monotonic() + 0.01)
    script.gate.opened.set()
    job.wait()
    assert script.history == [("step", "a")] * 2


def test_a_stale_wake_timer_wakes_nobody(script: Script) -> None:
    """A timer of a wait that ended early does not end the next wait."""
    soon = time.monotonic() + 0.02
    job = script.job("a", WAITING, WAITING, timeout=0.1, wake_at=soon)
    script.settle()
    job.sleeps_until = carrier.NEVER
    script.carriers.wake(job)
    job.wait()
    assert script.history == [("step", "a"), ("step", "a"), ("stop", "a", "timeout")]


def test_timers_of_short_jobs_are_forgotten(script: Script) -> None:
    """A long timeout does not keep a short job alive."""
    script.gate.opened.set()
    for number in range(5 * FEW_TIMERS):
        script.job(str(number), DONE, timeout=3600)
    script.settle()
    assert len(script.carriers._queues.timers) <= FEW_TIMERS + 2


def test_timers_of_early_wake_ups_are_forgotten(script: Script) -> None:
    """A guest that waits for long and is woken early, again and again, piles up nothing."""
    count = 5 * FEW_TIMERS
    job = script.job("a", *[WAITING] * count, DONE, timeout=7200, wake_at=time.monotonic() + 3600)
    script.gate.opened.set()
    for number in range(count):
        script.settle()
        job.sleeps_until = time.monotonic() + 3600 + number
        script.carriers.wake(job)
    job.wait()
    assert len(script.carriers._queues.timers) <= FEW_TIMERS + 4


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit(), MemoryError()], ids=repr)
def test_crash(script: Script, error: BaseException) -> None:
    """Whatever a slice raises ends that job, which is told; its carrier goes on."""
    script.job("a", error)
    script.job("b", DONE)
    script.settle()
    assert script.history == [("step", "a"), ("crash", "a", type(error).__name__), ("step", "b")]


def test_crash_in_stop(script: Script) -> None:
    """The same for what `stop` raises."""
    job = script.job("a", WAITING)
    job.stop = lambda reason: 1 / 0
    script.settle()
    script.carriers.stop(job, "cancelled")
    job.wait()
    script.job("b", DONE)
    script.settle()
    assert script.history == [("step", "a"), ("crash", "a", "ZeroDivisionError"), ("step", "b")]


def test_crash_in_crash(script: Script) -> None:
    """Even a job that cannot be told does not take its carrier along."""
    job = script.job("a", ValueError())
    job.crash = lambda error: 1 / 0
    script.job("b", DONE)
    script.settle()
    assert script.history == [("step", "a"), ("step", "b")]
    assert job.phase is Phase.DONE


def test_jobs_spread_over_the_carriers(open_carriers) -> None:
    """While the first is at work, another takes what comes: new jobs, and those that used up a slice."""
    carriers, first, spent, new = open_carriers(3), Gate(), Gate(), Gate()

    def begin() -> Step:
        carriers.submit(FakeJob("first", [], first))
        return YIELDED

    carriers.submit(FakeJob("spent", [], begin, spent))
    first.reached()
    spent.reached()
    carriers.submit(FakeJob("new", [], new))
    new.reached()
    assert len({first.thread, spent.thread, new.thread}) == 3
    for gate in (first, spent, new):
        gate.opened.set()


def test_warm_jobs_that_queue_up_wake_another(open_carriers) -> None:
    """Calls of live sandboxes spread over the carriers, but one alone waits for the first."""
    carriers, first, one, two = open_carriers(2), Gate(), Gate(), Gate()
    carriers.submit(FakeJob("first", [], first))
    first.reached()
    carriers.submit(FakeJob("one", [], one, is_warm=True))
    assert not one.entered.wait(0.05), "one alone is not worth waking another thread"
    carriers.submit(FakeJob("two", [], two, is_warm=True))
    one.pass_through()
    two.pass_through()
    assert (first.thread, one.thread, two.thread) == ("capsule-carrier-0", "capsule-carrier-1", "capsule-carrier-1")
    first.opened.set()


def test_a_lone_warm_job_wakes_one_carrier(open_carriers) -> None:
    """The first carrier takes it if it rests: to wake another as well would cost more than the call."""
    carriers, history = open_carriers(3), []
    for _ in range(20):
        while not carriers._first_rests:
            time.sleep(0.001)
        gate = Gate()
        carriers.submit(FakeJob("warm", history, gate, is_warm=True))
        gate.pass_through()
        assert gate.thread == "capsule-carrier-0"


def test_new_and_warm_jobs_take_turns(script: Script) -> None:
    """With one carrier neither kind starves while the other keeps coming."""
    for number in range(3):
        script.job(f"new{number}", DONE)
        script.job(f"warm{number}", DONE, is_warm=True)
    script.settle()
    assert sorted(name for _, name in script.history[:2]) == ["new0", "warm0"]
    assert sorted(name for _, name in script.history[2:4]) == ["new1", "warm1"]
    assert len(script.history) == 6


def test_what_was_woken_and_what_is_new_take_turns(script: Script) -> None:
    """What waited does not go behind all that is new: it may be about to end, and give its memory to the next."""
    old = script.job("old", WAITING, DONE)
    script.settle()
    for number in range(3):
        script.job(f"new{number}", DONE)
    script.carriers.wake(old)
    script.settle()
    assert ("step", "old") in script.history[1:3]
    assert len(script.history) == 5


def test_the_spare_looks_at_timers(open_carriers, monkeypatch: pytest.MonkeyPatch) -> None:
    """When one slice holds up the first carrier, which waits for the next timer, another looks at what is due."""
    carriers, held, late = open_carriers(2), Gate(), FakeJob("late", [], WAITING, timeout=0.01)
    carriers.submit(late)
    carriers.submit(FakeJob("held", [], held))
    held.reached()
    carriers.watch()  # not held up yet: nothing happens
    monkeypatch.setattr(carrier, "HELD_UP", 0.0)
    deadline = time.monotonic() + PATIENCE
    while not late.ended.is_set() and time.monotonic() < deadline:
        carriers.watch()  # as the ticker does
        late.ended.wait(0.004)
    assert late.history == [("step", "late"), ("stop", "late", "timeout")]
    held.opened.set()


def test_stop_reaches_a_job_on_a_spare(open_carriers) -> None:
    """A job that is stopped while a spare runs it is ended."""
    carriers, first, spent, history = open_carriers(2), Gate(), Gate(YIELDED), []

    def begin() -> Step:
        carriers.submit(FakeJob("first", [], first))
        return YIELDED

    job = FakeJob("spent", history, begin, spent)
    carriers.submit(job)
    first.reached()
    spent.reached()
    first.opened.set()
    carriers.stop(job, "cancelled")
    spent.opened.set()
    job.wait()
    assert history[-1] == ("stop", "spent", "cancelled")


def test_close_stops_everything(open_carriers) -> None:
    """Parked, running, queued: closing ends each of them, and the threads."""
    carriers, history, gate = open_carriers(2), [], Gate(YIELDED)
    parked = FakeJob("parked", history, WAITING)
    carriers.submit(parked)
    running, queued = FakeJob("running", history, gate), FakeJob("queued", history, DONE)
    carriers.submit(running)
    gate.reached()
    carriers.submit(queued)
    ended = threading.Event()
    carriers.begin_close(ended.set)
    assert not ended.is_set()
    gate.opened.set()
    assert ended.wait(PATIENCE)
    carriers.close()
    stopped = {entry for entry in history if entry[0] == "stop"}
    assert stopped == {("stop", name, "cancelled") for name in ("parked", "running", "queued")}
    assert not any(thread.is_alive() for thread in carriers._threads)
    with pytest.raises(RuntimeError, match="closed"):
        carriers.submit(FakeJob("late", history, DONE))


def test_close_twice_and_unused(open_carriers) -> None:
    """Closing carriers that never ran anything, and closing them again, is fine."""
    carriers = open_carriers(3)
    carriers.close()
    carriers.close()
    assert not any(thread.is_alive() for thread in carriers._threads)


def test_how_many() -> None:
    """Two to four carriers, whatever the machine."""
    assert 2 <= carrier.default_carriers() <= 4


def test_a_job_that_is_stopped_while_it_runs_here_ends_on_a_carrier(open_carriers) -> None:
    """The carriers sleep meanwhile, and one of them is woken for it."""
    history: list[tuple] = []
    carriers = open_carriers(2)

    def stopped() -> Step:
        carriers.stop(job, "cancelled")
        return Step.WAITING

    job = FakeJob("a", history, stopped)
    carriers.run_here(job)
    job.wait()
    assert history == [("step", "a"), ("stop", "a", "cancelled")]
