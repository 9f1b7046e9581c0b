"""Fake and real engine keep the same promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from capsule._engine.engine import WasmEngine
from capsule._guest.cache import CompiledGuest
from capsule.abc import Engine
from capsule.testing import CONTRACT_SCRIPTS, ENGINE_CHECKS, FakeEngine, check_engine


@pytest.fixture(params=["fake", "guest", "portable"])
def make_engine(request: pytest.FixtureRequest) -> Callable[[], Engine]:
    """Makes engines of one kind."""
    if request.param == "fake":
        return lambda: FakeEngine(CONTRACT_SCRIPTS)
    guest: CompiledGuest = request.getfixturevalue(request.param)
    return lambda: WasmEngine(Path(guest.file), min_ram=guest.min_ram)


@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
async def test_engine_keeps_the_contract(check, make_engine: Callable[[], Engine]) -> None:
    """Each check holds for the real engine and for the fake, on both loops."""
    await check(make_engine)


async def test_all_checks_in_one_call() -> None:
    """`check_engine` runs every check, for engines of others."""
    await check_engine(lambda: FakeEngine(CONTRACT_SCRIPTS))


async def test_a_broken_engine_is_caught() -> None:
    """An engine that breaks a promise fails the checks."""
    with pytest.raises(AssertionError):
        await check_engine(lambda: FakeEngine({**CONTRACT_SCRIPTS, "echo": CONTRACT_SCRIPTS["keep"]}))
