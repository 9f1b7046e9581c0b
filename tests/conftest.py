"""What every test shares: both event loops, the real guest built once, and a runtime on it."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import settings

from capsule import Runtime, _setup
from capsule._guest import cache, key
from capsule._guest.cache import CompiledGuest
from capsule._setup import ensure_guest
from loops import LOOPS
from packages.wheels import index

__all__ = ["index"]  # a fixture of another file

settings.register_profile("no times", deadline=None)  # how long an example takes is what else the machine does
settings.load_profile("no times")


@pytest.fixture(scope="session", autouse=True)
def byte_code_of_processes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests start hundreds of processes: where no byte code may lie beside the source, it lies in a folder of theirs."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        os.environ["PYTHONPYCACHEPREFIX"] = str(tmp_path_factory.mktemp("byte_code"))


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Every async test runs on both loops."""
    return request.param


@pytest.fixture(scope="session")
def guest() -> CompiledGuest:
    """The real guest, from the cache or built on first use."""
    return anyio.run(ensure_guest)


@pytest.fixture(scope="session")
def portable() -> CompiledGuest:
    """The same as it is built where memories are not ours: the engine counts its fuel, and gives it its memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("capsule._engine.version.HAS_SLOTS", False)
        facts = _setup._facts()
        return cache.find_or_make(key.key_of(facts), _setup._make, facts, lambda: None)


@pytest.fixture(params=["guest", "portable"])
def either(request: pytest.FixtureRequest) -> CompiledGuest:
    """One that counts for itself, and one that is counted."""
    found: CompiledGuest = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def runtime(guest: CompiledGuest) -> AsyncIterator[Runtime]:
    """An open runtime on the real engine."""
    async with Runtime() as opened:
        yield opened


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`write("name.py", source)` makes a file in an empty current folder and answers its path."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, source: str) -> str:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, "utf-8")
        return name

    return make


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What capsule has logged by now; asyncio's own log tells of slow machines."""
    return lambda: [record.getMessage() for record in caplog.records if record.name == "capsule"]


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """No test leaves a thread of capsule's behind."""
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("capsule-")]
    assert left == []
