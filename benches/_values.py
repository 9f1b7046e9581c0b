"""The words of the suite: benches have rows and contenders, rows have goals, and a run has figures."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal

import msgspec

QUICK = "CAPSULE_BENCHES_QUICK"
"""Set in the environment of every contender of a quick run."""

Round = Callable[[], Awaitable[list[float]]]
"""One round of one row: its samples, in the row's unit."""

Rounds = Mapping[str, Round]
"""What a contender can do, by the key of the row."""


def size(full: int, *, quick: int) -> int:
    """`full`, or `quick` in a run that only shows that everything works."""
    return quick if os.environ.get(QUICK) else full


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What capsule must reach: a ratio to the row's reference, or the value itself."""

    bound: float
    of: Literal["ratio", "value"] = "ratio"
    is_least: bool = False

    def is_met(self, reached: float) -> bool:
        """Whether that is good enough."""
        return reached >= self.bound if self.is_least else reached <= self.bound

    def __str__(self) -> str:
        return f"at {'least' if self.is_least else 'most'} {self.bound:g}"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of work that contenders do side by side."""

    key: str
    what: str
    unit: str
    against: str | None = None
    """The contender that all are compared with."""

    goal: Goal | None = None
    statistic: Literal["median", "p99"] = "median"
    """Of the samples of a round, and of those of all rounds."""

    rounds: int | None = None
    """Fewer than the bench has, for what does not vary or cannot be repeated."""

    curve: str | None = None
    """What the row is a point of; rows of one curve are shown together and drawn."""

    at: float = 0
    """Where on the curve it lies."""

    axis: str = ""
    """What `at` counts."""


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """Who does the work, in a process of its own for each bench."""

    name: str
    is_ours: bool = False
    language: str = "python"
    needs: str | None = None
    """The peer whose environment it needs."""


class Here(Contender, frozen=True, kw_only=True):
    """A contender of this package: opened in a process of its own, on an event loop."""

    open: Callable[[], AbstractAsyncContextManager[Rounds]]
    loop: Literal["asyncio", "trio"] = "asyncio"


class Do(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver of a peer does for a row; the ways are those of `_peers/driving.py`."""

    way: str
    count: int = 1
    args: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    """Arguments of the call that warms the program up, before anything is measured."""

    program: str = "main"
    unit: float = 1.0
    """Samples are multiplied with this; 1000 makes milliseconds of seconds."""


class Peer(Contender, frozen=True, kw_only=True):
    """A contender with a driver, in the environment that it needs. `programs` are sources by name."""

    driver: str
    programs: Mapping[str, str] = {}
    rows: Mapping[str, Do]


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """Rows, in the order in which they are measured, and who takes part."""

    rows: tuple[Row, ...]
    contenders: tuple[Here | Peer, ...]
    rounds: int = 5


def ours(open: Callable[[], AbstractAsyncContextManager[Rounds]]) -> tuple[Here, Here]:  # noqa: A002 - as in Here
    """The two of capsule: one for each event loop."""
    return (
        Here(name="capsule", is_ours=True, open=open),
        Here(name="capsule on trio", is_ours=True, open=open, loop="trio"),
    )


def capsule_run(rows: Mapping[str, Do], **programs: str) -> Peer:
    """The system to beat, through its `run()`."""
    return Peer(name="capsule-run", needs="capsule-run", driver="capsule_run", programs=programs, rows=rows)


def monty(rows: Mapping[str, Do], **programs: str) -> Peer:
    """A Python subset in a process of a pool."""
    return Peer(name="pydantic-monty", needs="pydantic-monty", driver="monty", programs=programs, rows=rows)


def cpython(rows: Mapping[str, Do], **programs: str) -> Peer:
    """A process of this Python for each call: no sandbox."""
    return Peer(name="CPython subprocess", driver="cpython", programs=programs, rows=rows)
