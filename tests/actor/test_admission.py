"""Who may start a sandbox now: the decisions, alone and against a model."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from capsule import InvalidPolicy
from capsule._actor.admission import Admission, Place, _Waiter


class Door:
    """Admission without an event loop: joins and leaves the queue as `enter` does, one decision at a time."""

    def __init__(self, max_sandboxes: int, max_memory: int) -> None:
        self.admission = Admission(max_sandboxes, max_memory)

    def join(self, ram: int, parent: Place | None = None) -> _Waiter:
        waiter = _Waiter(ram, parent)
        self.admission._join(waiter)
        return waiter

    def cancel(self, waiter: _Waiter) -> None:
        self.admission._withdraw(waiter)


def place_of(waiter: _Waiter) -> Place:
    assert waiter.place is not None
    return waiter.place


def test_in_order() -> None:
    """Nobody overtakes the front of the queue, or large ones would starve."""
    door = Door(10, 100)
    first, large, small = door.join(60), door.join(60), door.join(10)
    assert (first.place is not None, large.place, small.place) == (True, None, None)
    door.admission.leave(place_of(first))
    assert None not in (large.place, small.place)


def test_a_child_goes_ahead_in_its_parents_lane() -> None:
    """A child that does not fit goes beyond the caps, one at a time for each parent."""
    door = Door(1, 100)
    parent = place_of(door.join(100))
    child, sibling, stranger = door.join(100, parent), door.join(100, parent), door.join(1)
    assert (child.place is not None, sibling.place, stranger.place) == (True, None, None)
    door.admission.leave(place_of(child))
    assert (sibling.place is not None, stranger.place) == (True, None)


def test_a_lane_has_a_lane() -> None:
    """Children of children go ahead too: a family of any depth comes to its end."""
    door = Door(1, 1)
    place = place_of(door.join(1))
    for _ in range(10):
        place = place_of(door.join(1, place))
    assert door.admission.live == 1


def test_a_child_that_fits_is_not_held_up_by_the_front() -> None:
    """A stranger waits for memory that the parent holds, and a small child stands behind it: the child must not wait."""
    door = Door(10, 100)
    parent = place_of(door.join(60))
    stranger, child = door.join(60), door.join(10, parent)
    assert (stranger.place, child.place is not None) == (None, True)


def test_a_child_that_leaves_the_front_makes_room() -> None:
    """When a child that stood at the front goes into its lane, those it held up go ahead."""
    door = Door(10, 100)
    parent = place_of(door.join(60))
    child, sibling, small = door.join(60, parent), door.join(60, parent), door.join(10)
    assert (sibling.place, small.place) == (None, None)
    door.admission.leave(place_of(child))
    assert None not in (sibling.place, small.place)


def test_whoever_gives_up_makes_room() -> None:
    """A waiter that is cancelled leaves the queue; those it held up go ahead."""
    door = Door(10, 100)
    door.join(60)
    large, small = door.join(60), door.join(40)
    door.cancel(large)
    assert small.place is not None
    assert door.admission.waiting == 0


def test_cancelled_in_the_moment_of_being_admitted() -> None:
    """A place that was handed to a waiter which is cancelled in that moment goes to the next."""
    door = Door(1, 100)
    first, second, third = door.join(1), door.join(1), door.join(1)
    door.admission.leave(place_of(first))
    door.cancel(second)
    assert third.place is not None
    assert (door.admission.live, door.admission.memory) == (1, 1)


def test_more_than_there_is() -> None:
    """A sandbox that could never be admitted is refused at once, with both sizes."""
    with pytest.raises(InvalidPolicy, match=r"ram: 2MB is more than the runtime's max_memory of 1MB"):
        Admission(1, 1 << 20).check(2 << 20)
    Admission(1, 1 << 20).check(1 << 20)


async def test_enter_waits_and_answers_in_order() -> None:
    """`enter` returns in the order of the queue, as places are given back."""
    admission, history = Admission(1, 100), []
    held = await admission.enter(1)

    async def enter(name: str) -> None:
        place = await admission.enter(1)
        history.append(name)
        admission.leave(place)

    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(enter, name)
            await anyio.wait_all_tasks_blocked()
        history.append("leave")
        admission.leave(held)
    assert history == ["leave", "a", "b", "c"]
    assert (admission.live, admission.memory, admission.waiting) == (0, 0, 0)


async def test_cancelled_while_waiting() -> None:
    """Cancelling `enter` leaves the queue as if it had never been joined."""
    admission = Admission(1, 100)
    held = await admission.enter(1)
    with anyio.move_on_after(0):
        await admission.enter(1)
    assert admission.waiting == 0
    admission.leave(held)
    assert (admission.live, admission.memory) == (0, 0)


async def test_cancelled_before_waiting() -> None:
    """`enter` in a cancelled scope gives the place back that it had been handed at once."""
    admission = Admission(1, 100)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await admission.enter(1)
    assert scope.cancelled_caught
    assert (admission.live, admission.memory) == (0, 0)


class Families(RuleBasedStateMachine):
    """Random families join, call, return and give up; the invariants are the promises of admission."""

    @initialize(sandboxes=st.integers(1, 4), memory=st.integers(4, 12))
    def open(self, sandboxes: int, memory: int) -> None:
        self.door = Door(sandboxes, memory)
        self.memory = memory
        self.waiting: list[_Waiter] = []
        self.live: list[Place] = []
        self.parent_of: dict[Place, Place | None] = {}

    def settle(self) -> None:
        """Move those who were admitted from one list to the other."""
        admitted = [waiter for waiter in self.waiting if waiter.place is not None]
        self.waiting = [waiter for waiter in self.waiting if waiter.place is None]
        for waiter in admitted:
            self.live.append(place_of(waiter))
            self.parent_of[place_of(waiter)] = waiter.parent

    def is_a_leaf(self, place: Place) -> bool:
        """Whether nothing that it called still lives or waits."""
        children = [other for other in self.live if self.parent_of[other] is place]
        return not children and not any(waiter.parent is place for waiter in self.waiting)

    @rule(ram=st.integers(1, 4))
    def join(self, ram: int) -> None:
        self.waiting.append(self.door.join(ram))
        self.settle()

    @precondition(lambda self: self.live)
    @rule(ram=st.integers(1, 4), data=st.data())
    def call(self, ram: int, data: st.DataObject) -> None:
        parent = data.draw(st.sampled_from(self.live))
        self.waiting.append(self.door.join(ram, parent))
        self.settle()

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(self.live))  # also a parent before its children, as when it times out
        self.live.remove(place)
        self.door.admission.leave(place)
        self.settle()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(waiter)
        self.door.cancel(waiter)
        self.settle()

    @invariant()
    def never_above_the_caps(self) -> None:
        """Lanes aside, live sandboxes and their memory stay below the caps, and the counts are right."""
        admission = self.door.admission
        common = [place for place in self.live if place.lane_of is None]
        assert admission.live == len(common) <= admission.max_sandboxes
        assert admission.memory == sum(place.ram for place in common) <= admission.max_memory

    @invariant()
    def one_child_in_a_lane(self) -> None:
        """A lane holds one child at a time."""
        lanes = [place.lane_of for place in self.live if place.lane_of is not None]
        assert len(lanes) == len(set(map(id, lanes)))

    @invariant()
    def nobody_is_lost(self) -> None:
        """Whoever is not admitted stands in the queue, in the order of arrival."""
        assert list(self.door.admission._waiters) == self.waiting

    @invariant()
    def nobody_waits_without_need(self) -> None:
        """The front of the queue waits only while it does not fit."""
        if self.waiting:
            admission = self.door.admission
            assert admission.live == admission.max_sandboxes or admission.memory + self.waiting[0].ram > self.memory

    @invariant()
    def no_family_waits_for_itself(self) -> None:
        """A live sandbox whose children all wait is a deadlock: one of them must be at work."""
        for place in self.live:
            children = [waiter for waiter in self.waiting if waiter.parent is place]
            at_work = [other for other in self.live if self.parent_of[other] is place]
            assert not children or at_work

    def teardown(self) -> None:
        """If everyone finishes, leaves first, everyone is admitted in the end."""
        while self.live:
            leaf = next(place for place in self.live if self.is_a_leaf(place))
            self.live.remove(leaf)
            self.door.admission.leave(leaf)
            self.settle()
        orphans = [waiter for waiter in self.waiting if waiter.parent is not None]
        assert self.waiting == [] or orphans


Families.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestFamilies = Families.TestCase
