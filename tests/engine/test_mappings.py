"""No store is made that would come near the limit of memory mappings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from capsule._engine import mappings as module
from capsule._engine.mappings import Mappings, NoRoom
from capsule._guest.cache import CompiledGuest

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")


def test_nothing_is_refused_where_nothing_limits() -> None:
    """Not measured, or on a system without such a limit, every store may enter."""
    counted = Mappings()
    for _ in range(100_000):
        counted.enter()


@linux_only
def test_the_limit_of_this_machine() -> None:
    """What is left after a tenth is kept free, divided by what each takes; who leaves makes room."""
    counted = Mappings()
    counted.measure()
    assert counted._most is not None
    assert counted._most > 5000
    counted._most = 2
    counted.enter()
    counted.enter()
    with pytest.raises(NoRoom, match=r"2 live ones .* vm\.max_map_count"):
        counted.enter()
    counted.leave()
    counted.enter()


@linux_only
def test_a_measure_counts_what_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that are there when another engine starts are among what is mapped, not in addition to it."""
    counted = Mappings()
    counted.measure()
    before = counted._most
    for _ in range(10):
        counted.enter()
    counted.measure()
    assert before is not None
    assert abs(counted._most - before - 10) <= 3


def test_when_many_have_gone() -> None:
    """Once, when nine in ten of many stores are gone, and again when many were there anew; never for a few."""
    counted = Mappings()
    heard = []
    for live in (module._MANY - 1, module._MANY, 2 * module._MANY):
        for _ in range(live):
            counted.enter()
        heard.append([left for left in range(live - 1, -1, -1) if counted.leave()])
    assert heard == [[], [module._MANY // 10], [2 * module._MANY // 10]]


def test_a_system_without_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit that could be read is no limit."""
    monkeypatch.setattr(module, "Path", lambda _: Path("/nowhere"))
    counted = Mappings()
    counted.measure()
    counted.enter()


EXHAUSTED = """
import ctypes, sys
from pathlib import Path
import anyio
from capsule._engine.engine import WasmEngine
from capsule.abc import Limits
from capsule.testing import RecordingListener

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
ALLOWED = int(Path("/proc/sys/vm/max_map_count").read_text())


def mapped():
    return sum(1 for _ in Path("/proc/self/maps").open())


def use_up(count):  # pages that differ from their neighbours are mappings of their own
    base = libc.mmap(None, 4096 * count, 0, 0x4022, -1, 0)
    for page in range(0, count, 2):
        assert libc.mprotect(base + 4096 * page, 4096, 1) == 0


async def main():
    limits = Limits(fuel=10**9, ram=64 << 20, max_output=1000, max_message=10000)
    use_up(ALLOWED - ALLOWED // 10 - mapped() - 300)
    async with WasmEngine(Path(sys.argv[1]), min_ram=int(sys.argv[2])) as engine:
        async def begin():
            return await engine.open(limits, RecordingListener()).call(sys.argv[3], timeout=30)
        endings = [await begin() for _ in range(80)]
        errors = {ending.error_type for ending in endings[-5:]}
        assert endings[0].reply and errors == {"internal_error"}, endings
        assert "vm.max_map_count" in endings[-1].message
        assert ALLOWED - mapped() > ALLOWED // 20
    async with WasmEngine(Path(sys.argv[1]), min_ram=int(sys.argv[2])) as engine:
        assert (await begin()).reply

anyio.run(main)
print("well")
"""

REQUEST = '{"program":{"path":"a.py","source":"def f(): return 1"},"function":"f","call":[[],{}]}'


@linux_only
def test_a_process_without_room_goes_on(guest: CompiledGuest) -> None:
    """The sandboxes that do not fit end with an error that says what would help; the others and the process live."""
    allowed = int(Path("/proc/sys/vm/max_map_count").read_text("utf-8"))
    if allowed > 200_000:
        pytest.skip("this machine allows so many mappings that to use them up takes too long")
    command = [sys.executable, "-c", EXHAUSTED, str(guest.file), str(guest.min_ram), REQUEST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("well\n", 0), done.stderr
