"""The meter of a guest whose code counts: what it is given for a slice, and when it is wanted back."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as some

from capsule._engine.meter import (
    CELL_SIZE,
    EPOCHS_HERE,
    FIRST_EPOCHS,
    FUEL_HERE,
    FUEL_SLICE,
    CellMeter,
    Epochs,
    FuelSpent,
)


class Guest:
    """What compiled code does with a cell."""

    def __init__(self) -> None:
        self.epochs = Epochs()
        self.meter = CellMeter(self.epochs)
        self._left = ctypes.c_int64.from_address(self.meter.address)
        self._wanted = ctypes.c_int64.from_address(self.meter.address + 8)

    def burn(self, fuel: int) -> None:
        self._left.value -= fuel

    @property
    def must_call(self) -> bool:
        return self._left.value < 0

    @property
    def is_wanted(self) -> bool:
        return self._wanted.value < 0

    def is_wanted_after(self, epochs: int) -> bool:
        """Whether the last of so many epochs is the first that wants it back; it runs meanwhile."""
        self.meter.enter()
        for _ in range(epochs - 1):
            self.epochs.begin()
        was_wanted = self.is_wanted
        self.epochs.begin()
        self.meter.leave()
        return self.is_wanted and not was_wanted

    def may_go_on(self, place: int) -> bool:
        return bool(ctypes.string_at(place))


@pytest.fixture
def cell() -> Guest:
    return Guest()


@pytest.mark.parametrize(("is_here", "slice_"), [(True, FUEL_HERE), (False, FUEL_SLICE)])
def test_a_slice(cell: Guest, is_here: bool, slice_: int) -> None:
    """It is burnt, the guest calls, and goes on when it is polled again."""
    cell.meter.renew(10 * FUEL_SLICE, is_here=is_here)
    cell.burn(slice_)
    assert not cell.must_call
    cell.burn(1)
    assert cell.must_call
    place = cell.meter.checkpoint()
    assert not cell.must_call
    assert not cell.may_go_on(place)
    cell.meter.enter()
    assert cell.may_go_on(place)
    cell.meter.leave()
    assert cell.meter.fuel_left() == 10 * FUEL_SLICE - slice_ - 1


@given(some.integers(0, 4 * FUEL_SLICE), some.lists(some.integers(0, FUEL_SLICE), max_size=8))
def test_nothing_gets_lost(fuel: int, burnt: list[int]) -> None:
    """Whatever it burns between whatever it is told: what is left is exact, and it calls when nothing is."""
    cell = Guest()
    cell.meter.renew(fuel)
    for number, one in enumerate(burnt):
        cell.burn(one)
        (cell.meter.begin_slice, cell.meter.leave_here, lambda: cell.meter.yield_after(FUEL_HERE))[number % 3]()
    assert cell.meter.fuel_left() == max(0, fuel - sum(burnt))
    if sum(burnt) > fuel:
        assert cell.must_call
        with pytest.raises(FuelSpent):
            cell.meter.checkpoint()
    else:
        cell.meter.checkpoint()


def test_a_new_message(cell: Guest) -> None:
    """Has its own fuel, whatever the last one left or owed."""
    cell.meter.renew(5)
    cell.burn(9)
    cell.meter.renew(7)
    assert (cell.meter.fuel_left(), cell.must_call) == (7, False)
    cell.burn(8)
    assert cell.must_call


@pytest.mark.parametrize(("is_here", "most"), [(True, EPOCHS_HERE), (False, FIRST_EPOCHS)])
def test_epochs(cell: Guest, is_here: bool, most: int) -> None:
    """While it runs, the end of its time is told to it; a slice that follows takes one epoch."""
    cell.meter.renew(10**9, is_here=is_here)
    cell.epochs.begin()  # not while it runs
    assert cell.is_wanted_after(most - 1)
    cell.meter.checkpoint()
    assert not cell.is_wanted
    assert cell.is_wanted_after(1)
    cell.meter.begin_slice()  # after a wait
    assert cell.is_wanted_after(FIRST_EPOCHS)
    assert not cell.epochs.running


def test_cells_lie_apart() -> None:
    """Each in a cache line of its own, and what says whether a guest may go on is not in what the guest knows."""
    meters = [CellMeter(Epochs()) for _ in range(100)]
    lines = {meter.address // 64 for meter in meters}
    assert len(lines) == 100
    assert all(meter.address % 64 == 0 for meter in meters)
    assert all(meter.checkpoint() >= meter.address + CELL_SIZE for meter in meters)
