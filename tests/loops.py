"""Which event loops a test runs on: both, unless it says otherwise."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

LOOPS = {"asyncio": ("asyncio", {"debug": True}), "trio": ("trio", {})}


def in_turn(name: str, rows: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Each of `rows` as the argument `name`, on one of the loops: for many or long rows of what no loop has a part in.

    A row that says `is_slow` is marked so.
    """
    cases = []
    for (key, row), (backend, loop) in zip(rows.items(), itertools.cycle(LOOPS.items()), strict=False):
        marks = [pytest.mark.slow] if getattr(row, "is_slow", False) else []
        cases.append(pytest.param(row, loop, id=f"{key}-{backend}", marks=marks))
    return pytest.mark.parametrize((name, "anyio_backend"), cases)
