"""The host's end of the completion queue."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from capsule._engine import calls as module
from capsule._engine.calls import CallQueue, Refused
from capsule.abc import Limits


class Queue(CallQueue):
    """A queue with its history and a clock that stands still."""

    def __init__(self, max_open_calls: int = 3, ram: int = 1000) -> None:
        self.history: list[tuple] = []
        limits = Limits(fuel=1, ram=ram, max_output=1, max_message=1, max_open_calls=max_open_calls)
        super().__init__(
            limits,
            on_submit=lambda *call: self.history.append(("submit", *call)),
            on_cancel=lambda ticket: self.history.append(("cancel", ticket)),
        )


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time as the queue sees it."""
    now = SimpleNamespace(time=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.time))
    return now


def test_tickets() -> None:
    """Tickets count from 1, and each submission goes out once."""
    queue = Queue()
    assert [queue.submit("a", "1"), queue.submit("b", "2")] == [1, 2]
    assert queue.history == [("submit", 1, "a", "1"), ("submit", 2, "b", "2")]


def test_completions_in_order_of_arrival() -> None:
    """The guest gets completions as they arrive, one for each `next`."""
    queue = Queue()
    for name in "ab":
        queue.submit(name, "")
    queue.begin_wait(-1)
    assert queue.take() is None
    queue.complete(2, "second")
    queue.complete(1, "first")
    assert queue.take() == (2, "second")
    queue.begin_wait(-1)
    assert queue.take() == (1, "first")


def test_wait_ends_at_its_time(clock: SimpleNamespace) -> None:
    """A wait answers ticket 0 when its time is up, and not before."""
    queue = Queue()
    queue.begin_wait(5)
    assert (queue.take(), queue.wait_until) == (None, 105.0)
    clock.time = 104.9
    assert queue.take() is None
    clock.time = 105.0
    assert (queue.take(), queue.wait_until) == ((0, ""), None)


@pytest.mark.parametrize(
    ("seconds", "until"),
    [(0.0, 100.0), (-1.0, math.inf), (-math.inf, math.inf), (math.inf, math.inf), (math.nan, 100.0)],
)
def test_odd_waits(seconds: float, until: float) -> None:
    """Negative means for ever; what is no number means not at all."""
    queue = Queue()
    queue.begin_wait(seconds)
    assert queue.wait_until == until


def test_an_answer_comes_before_the_time(clock: SimpleNamespace) -> None:
    """A completion that is there wins over a wait that is over."""
    queue = Queue()
    queue.submit("a", "")
    queue.begin_wait(1)
    queue.complete(1, "x")
    clock.time = 200.0
    assert queue.take() == (1, "x")


def test_giving_up() -> None:
    """A ticket that was given up is told once and never handed out."""
    queue = Queue()
    queue.submit("a", "")
    queue.cancel(1)
    queue.cancel(1)
    queue.complete(1, "late")
    queue.begin_wait(0)
    assert queue.take() == (0, "")
    assert queue.history == [("submit", 1, "a", ""), ("cancel", 1)]


@pytest.mark.parametrize("ticket", [0, 1, 7, 2**64 - 1])
def test_giving_up_what_is_not_there(ticket: int) -> None:
    """Unknown and finished tickets are ignored."""
    queue = Queue()
    queue.submit("a", "")
    queue.complete(1, "x")
    queue.begin_wait(0)
    queue.take()
    queue.cancel(ticket)
    assert queue.history == [("submit", 1, "a", "")]


def test_an_answer_that_comes_twice() -> None:
    """The second answer to a ticket is dropped."""
    queue = Queue()
    queue.submit("a", "")
    queue.complete(1, "x")
    queue.complete(1, "y")
    queue.begin_wait(0)
    assert queue.take() == (1, "x")
    queue.begin_wait(0)
    assert queue.take() == (0, "")


def test_limit() -> None:
    """No more than max_open_calls are open; the refusal names the number, and an answer makes room."""
    queue = Queue(2)
    queue.submit("a", "")
    queue.submit("b", "")
    with pytest.raises(Refused, match="more than 2 host calls"):
        queue.submit("c", "")
    queue.complete(1, "x")
    queue.begin_wait(0)
    queue.take()
    assert queue.submit("c", "") == 3


def test_giving_up_makes_no_room() -> None:
    """A guest that submits and gives up in a loop cannot pile up work: what was given up counts until it is answered."""
    queue = Queue(1)
    queue.submit("a", "")
    queue.cancel(1)
    with pytest.raises(Refused):
        queue.submit("b", "")
    queue.complete(1, "x")
    queue.begin_wait(0)
    queue.take()
    assert queue.submit("b", "") == 2


def test_payloads_are_bounded() -> None:
    """What open calls carry lies outside the guest's memory, and is held to the same size."""
    queue = Queue(ram=10)
    queue.submit("a", "x" * 6)
    with pytest.raises(Refused, match="memory"):
        queue.submit("b", "x" * 5)
    queue.cancel(1)
    with pytest.raises(Refused, match="memory"):
        queue.submit("b", "x" * 5)
    queue.complete(1, "")
    queue.begin_wait(0)
    queue.take()
    assert queue.submit("b", "x" * 10) == 2


def test_answers_are_bounded() -> None:
    """Answers that the guest does not take are replaced once they exceed its memory; taking them makes room."""
    queue = Queue(ram=200)
    for name in "abc":
        queue.submit(name, "")
    queue.complete(1, "x" * 150)
    queue.complete(2, "y" * 51)
    assert queue.take() == (1, "x" * 150)
    ticket, reply = queue.take() or (0, "")
    assert (ticket, "exceed the memory" in reply) == (2, True)
    queue.complete(3, "z" * 200)
    assert queue.take() == (3, "z" * 200)


def test_a_new_message_hears_nothing_of_the_last() -> None:
    """Answers to what an earlier message left open are dropped, those that came before and those that come later."""
    queue = Queue()
    for name in "abc":
        queue.submit(name, "")
    queue.complete(2, "came before")
    queue.begin_message()
    queue.submit("new", "")
    queue.complete(1, "came late")
    queue.begin_wait(0)
    assert queue.take() == (0, "")
    queue.complete(4, "x")
    queue.complete(3, "later still")
    queue.begin_wait(-1)
    assert queue.take() == (4, "x")
    assert queue.take() == (0, "")
    assert [entry[0] for entry in queue.history] == ["submit"] * 4, "nobody is told that it was given up"


def test_what_was_left_open_counts_until_it_is_answered() -> None:
    """A new message has the room that answered operations left, and no more; payloads the same."""
    queue = Queue(2, ram=10)
    queue.submit("a", "x" * 5)
    queue.submit("b", "x" * 5)
    queue.complete(1, "")
    queue.begin_message()
    assert queue.submit("c", "x" * 5) == 3
    with pytest.raises(Refused, match="host calls"):
        queue.submit("d", "")
    queue.begin_message()
    queue.cancel(3)
    assert [entry[0] for entry in queue.history] == ["submit"] * 3
