"""The ticker: ticks while guests run, rests when none does, and never sleeps through one."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from capsule._engine import ticker as module
from capsule._engine.ticker import PERIOD, REST_AFTER, Ticker


class NoThread:
    """A thread that never runs: the test calls what it would have called."""

    def __init__(self, **_: object) -> None:
        self.start = self.join = lambda: None


class NoSleep:
    """A lock that nobody releases in time."""

    def __init__(self, told: SimpleNamespace) -> None:
        self.told = told
        self.release = lambda: None

    def acquire(self, timeout: float = -1) -> bool:
        if timeout > 0:
            self.told.history.append(timeout)
            self.told.on_sleep()
        return timeout < 0


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A ticker without a thread whose sleeps only call `on_sleep`, with the history of what it did."""
    told = SimpleNamespace(history=[], on_sleep=lambda: None)
    known = SimpleNamespace(Event=threading.Event, Thread=NoThread, Lock=lambda: NoSleep(told))
    monkeypatch.setattr(module, "threading", known)
    told.ticker = Ticker(lambda: told.history.append("tick"))
    return told


def test_it_rests_after_a_while(still: SimpleNamespace) -> None:
    """Without a running guest it ticks a few times more, and rests."""
    still.ticker.guest_enters()
    assert not still.ticker.is_resting
    still.ticker.guest_leaves()
    still.ticker._tick_until_idle()
    assert still.history == [PERIOD, "tick"] * REST_AFTER
    assert still.ticker.is_resting


def test_it_ticks_while_a_guest_runs(still: SimpleNamespace) -> None:
    """The count to rest begins when the last guest has left."""
    still.ticker.guest_enters()
    still.on_sleep = lambda: len(still.history) == 2 * 100 + 1 and still.ticker.guest_leaves()
    still.ticker._tick_until_idle()
    assert still.history.count("tick") == 100 + REST_AFTER


def test_a_guest_that_enters_while_it_goes_to_rest(still: SimpleNamespace) -> None:
    """A guest that enters between the last look and the rest finds it awake and wakes nobody: it looks once more."""

    class Late(Ticker):
        enters_now = False

        def __setattr__(self, name: str, value: object) -> None:
            if name == "_resting" and value and self.enters_now:
                self.enters_now = False
                self.guest_enters()
            super().__setattr__(name, value)

    ticker = Late(lambda: None)
    ticker._resting, ticker.enters_now = False, True
    ticker._tick_until_idle()
    assert (ticker._wake.is_set(), ticker.is_resting) == (True, False)


def test_a_closed_ticker_does_not_tick(still: SimpleNamespace) -> None:
    """Closing ends it even while guests run."""
    still.ticker.guest_enters()
    still.ticker.close()
    still.ticker._tick_until_idle()
    assert still.history == []


def test_with_its_thread() -> None:
    """The thread sleeps until a guest runs, ticks, and ends when closed."""
    ticks = threading.Semaphore(0)
    ticker = Ticker(ticks.release)
    assert ticker.is_resting
    ticker.guest_enters()
    for _ in range(3):
        assert ticks.acquire(timeout=10)
    ticker.guest_leaves()
    ticker.close()
    assert not ticker._thread.is_alive()


def test_closing_does_not_wait_for_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """However far away it is; and to close it again does nothing."""
    monkeypatch.setattr(module, "PERIOD", 3600)
    ticker = Ticker(lambda: None)
    ticker.guest_enters()
    ticker.close()
    ticker.close()
    assert not ticker._thread.is_alive()


def test_closing_one_that_never_ticked() -> None:
    """A ticker that rests can be closed."""
    ticker = Ticker(lambda: None)
    ticker.close()
    assert not ticker._thread.is_alive()


def test_a_tick_that_fails(still: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    """The next ones come all the same, or nothing would ever end a guest; the log has the first."""
    ticks = []

    def fail() -> None:
        ticks.append(1)
        raise OSError("no descriptors")

    still.ticker._tick = fail
    still.ticker._tick_until_idle()
    assert len(ticks) == REST_AFTER
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == ["a tick failed"]
