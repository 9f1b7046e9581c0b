"""Memories that are used again hold nothing of who had them before, whatever that was and wherever it wrote."""

from __future__ import annotations

import array
import ctypes
import hashlib
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from capsule import Runtime
from capsule._engine import address_space, pagemap
from capsule._engine.engine import WasmEngine
from capsule._engine.pagemap import ZEROS
from capsule._engine.slots import MOST_HOT, MOST_KEPT, Slot, Slots, Written
from capsule._engine.snapshot import MANY, SHARING, Snapshot
from capsule._guest.cache import CompiledGuest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memories are used again on Linux")

PAGE = 4096
SNAPSHOT = bytes(range(256)) * (64 * PAGE // 256) + b"the end in the middle of a page"
SIZE = 128 * PAGE
RESERVED, GUARD = 4096 * PAGE, 16 * PAGE
PAGEOUT = 21  # MADV_PAGEOUT: where there is swap, what was written goes there

writes = some.lists(some.tuples(some.integers(0, SIZE - 1), some.binary(min_size=1, max_size=3 * PAGE)), max_size=20)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Slots]:
    file = tmp_path / "snapshot"
    file.write_bytes(SNAPSHOT)
    opened = Slots(file)
    yield opened
    opened.close()


def content(slot: Slot) -> bytes:
    return ctypes.string_at(slot.base, slot.accessible)


def is_fresh(slot: Slot, snapshot: bytes) -> bool:
    """Whether it is `snapshot` and then zeros, compared where it lies: there are many, and they are large."""
    rest = slot.accessible - len(snapshot)
    is_same = ctypes.CDLL(None).memcmp(ctypes.c_void_p(slot.base), snapshot, ctypes.c_size_t(len(snapshot))) == 0
    return is_same and ctypes.string_at(slot.base + len(snapshot), rest) == bytes(rest)


def put(slot: Slot, at: int, data: bytes) -> None:
    data = data[: slot.size - at]
    ctypes.memmove(slot.base + at, data, len(data))


def mapped_from(slot: Slot) -> str:
    """What the kernel says lies at its beginning."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{slot.base:x}-"))


def untouched(size: int = SIZE) -> bytes:
    return SNAPSHOT + bytes(size - len(SNAPSHOT))


def can_be_touched(address: int) -> bool:
    """What the kernel says of the page at `address`."""
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= address < end:
            return line.split()[1].startswith("rw")
    return False


UNTOUCHED = hashlib.sha256(untouched()).digest()


@pytest.fixture(params=["pages are known", "pages are not known", "not in one call", "swapped out"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, pool: Slots) -> str:
    """Each way in which a memory is restored."""
    if request.param == "pages are not known":
        pool._pagemap = None
    elif pool._pagemap is None:
        pytest.skip("this kernel does not tell which pages were written")
    if request.param == "not in one call":
        monkeypatch.setattr(address_space, "_write", lambda *_: -1)
    return request.param


@given(rounds=some.lists(writes, min_size=1, max_size=4))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_left_of_what_was_written(pool: Slots, way: str, rounds: list[list[tuple[int, bytes]]]) -> None:
    """After any writes, over several lives, a memory begins with the snapshot and zeros again."""
    for written in rounds:
        slot = pool.take(SIZE, RESERVED, GUARD)
        assert (
            hashlib.sha256(content(slot)).digest() == UNTOUCHED
        )  # compared as bytes, a difference takes minutes to tell
        for at, data in written:
            put(slot, at, data)
        if way == "swapped out":
            address_space._madvise(slot.base, SIZE, PAGEOUT)
        pool.give_back(slot)
    assert pool.hot == 1
    assert hashlib.sha256(content(pool._hot[0])).digest() == UNTOUCHED


def test_a_memory_that_grew(pool: Slots, way: str) -> None:
    """What it grew by is gone: the next one cannot touch it, and finds zeros when it grows itself."""
    slot = pool.take(SIZE, RESERVED, GUARD)
    slot.grow(SIZE + 8 * PAGE)
    put(slot, SIZE - PAGE, b"secret" * 5000)
    assert can_be_touched(slot.base + SIZE)
    assert not can_be_touched(slot.base + SIZE + 8 * PAGE)
    pool.give_back(slot)
    again = pool.take(SIZE, RESERVED, GUARD)
    assert again is slot
    assert not can_be_touched(again.base + SIZE)
    again.grow(SIZE + 8 * PAGE)
    assert content(again) == untouched(SIZE + 8 * PAGE)
    pool.give_back(again)


def test_everything_was_written(tmp_path: Path) -> None:
    """A memory with more written pages than are worth restoring one by one goes back to the kernel, and is as good."""
    file = tmp_path / "large"
    file.write_bytes(SNAPSHOT)
    pool = Slots(file)
    size = (MOST_KEPT + 50) * PAGE
    slot = pool.take(size, RESERVED, GUARD)
    put(slot, 0, b"x" * size)
    pool.give_back(slot)
    assert content(pool.take(size, RESERVED, GUARD)) == untouched(size)
    pool.give_back(slot)
    pool.close()


def test_many_scattered_pages(tmp_path: Path) -> None:
    """Nor does it matter if they are more ranges than one look can find."""
    file = tmp_path / "large"
    file.write_bytes(SNAPSHOT)
    pool = Slots(file)
    size = 4 * pagemap.MOST_RANGES * PAGE
    slot = pool.take(size, RESERVED, GUARD)
    for page in range(0, 3 * pagemap.MOST_RANGES, 2):
        put(slot, page * PAGE, b"x")
    pool.give_back(slot)
    assert content(pool.take(size, RESERVED, GUARD)) == untouched(size)
    pool.give_back(slot)
    pool.close()


def test_a_memory_that_cannot_be_restored_is_not_used_again(pool: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the kernel refuses, the memory is unmapped."""
    slot = pool.take(SIZE, RESERVED, GUARD)
    put(slot, 0, b"secret")
    pool._pagemap = None
    monkeypatch.setattr(address_space, "_madvise", lambda *_: -1)
    pool.give_back(slot)
    assert pool.hot == 0
    assert not can_be_touched(slot.base)


def test_few_are_kept(pool: Slots) -> None:
    """Beyond MOST_HOT memories are unmapped: what thousands of sandboxes took is given back."""
    taken = [pool.take(SIZE, RESERVED, GUARD) for _ in range(MOST_HOT + 5)]
    for slot in taken:
        pool.give_back(slot)
    assert pool.hot == MOST_HOT
    assert sum(can_be_touched(slot.base) for slot in taken) == MOST_HOT


@pytest.mark.parametrize("size", [PAGE, RESERVED + PAGE])
def test_sizes_that_do_not_fit(pool: Slots, size: int) -> None:
    """A memory smaller than the snapshot, or larger than its reservation, is refused."""
    with pytest.raises(OSError, match="memory"):
        pool.take(size, RESERVED, GUARD)


def test_it_does_not_shrink(pool: Slots) -> None:
    """wasmtime never asks for less than there is."""
    slot = pool.take(SIZE, RESERVED, GUARD)
    with pytest.raises(OSError, match="grows"):
        slot.grow(SIZE - PAGE)
    pool.give_back(slot)


async def test_no_memory_for_a_sandbox(
    guest: CompiledGuest, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, write
) -> None:
    """What the kernel refuses ends one message, which says so, and nothing else."""
    path = write("one.py", "def main(): return 1")
    assert await runtime.run(path) == 1

    def refuse(*_: object) -> int:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as broken:
        broken.setattr(Slots, "take", refuse)
        outcome = await (await runtime.spawn(path)).outcome()
    assert outcome.error is not None
    assert outcome.error.error_type == "internal_error"
    assert "Cannot allocate memory" in outcome.error.message
    assert await runtime.run(path) == 1


LIVES = {
    "answers": "def main(): return 'a' * 1000",
    "fills its memory": "def main(): kept = [bytearray(b'secret' * 1000) for _ in range(10_000)]",
    "recurses": "def main(): return main()",
    "aborts": "import os\ndef main():\n    text = 'secret' * 100_000\n    os._exit(3)",
    "overflows its stack": "import json\ndef main():\n    x = []\n    for _ in range(100_000): x = [x]\n    json.dumps(x)",
    "spins until it is stopped": "def main():\n    text = []\n    while True: text = [*text[-50_000:], 'secret' * 10]",
    "waits until it is stopped": "import time\ndef main():\n    kept = ['secret'] * 100_000\n    time.sleep(60)",
    "imports the library": "import asyncio, sqlite3, decimal, email.message, xml.dom.minidom\ndef main(): pass",
}


DECLARED = "from capsule import task\n@task(ram='96MB', timeout='{}')\n"


@pytest.mark.slow
async def test_whatever_a_guest_did(guest: CompiledGuest, write, monkeypatch: pytest.MonkeyPatch) -> None:
    """However real guests end, their memories are the snapshot again, byte for byte."""
    engines: list[WasmEngine] = []
    begin = WasmEngine.__aenter__

    async def watched(self: WasmEngine) -> WasmEngine:
        engines.append(self)
        return await begin(self)

    monkeypatch.setattr(WasmEngine, "__aenter__", watched)
    snapshot = Path(guest.file).with_suffix(".image").read_bytes()
    async with Runtime() as runtime:
        memories = engines[0]._guest.memories
        assert memories is not None
        pool = memories.slots
        for what, source in LIVES.items():
            declared = DECLARED.format("300ms" if "until" in what else "2s")
            path = write("life.py", source.replace("def main", f"{declared}def main"))
            ref = await runtime.spawn(path)
            await ref.outcome()
            await ref.stop()
            assert pool.hot
            for slot in pool._hot:
                assert is_fresh(slot, snapshot), what


def test_the_page_of_zeros_is_no_snapshot(pool: Slots) -> None:
    """Where the kernel has put its page of zeros in place of what a guest wrote, the snapshot is restored, too."""
    slot = pool.take(SIZE, RESERVED, GUARD)
    put(slot, PAGE, bytes(2 * PAGE))
    behind = slot.base + SIZE - PAGE
    found = array.array("Q", [slot.base + PAGE, slot.base + 3 * PAGE, ZEROS, behind, behind + PAGE, ZEROS])
    Written(found.tobytes(), slot.base, pool._snapshot).undo()
    assert content(slot) == untouched()
    pool.give_back(slot)


def test_a_memory_that_comes_back_late_is_unmapped(tmp_path: Path) -> None:
    """One that is given back when its pool is closed is not kept, and nothing is read from what is gone."""
    file = tmp_path / "late"
    file.write_bytes(SNAPSHOT)
    pool = Slots(file)
    slot = pool.take(SIZE, RESERVED, GUARD)
    put(slot, 0, b"written")
    pool.close()
    pool.give_back(slot)
    assert pool.hot == 0
    assert not can_be_touched(slot.base)


def test_many_begin_with_a_copy(pool: Slots) -> None:
    """Whatever they are mapped from, they begin alike, nobody sees what another wrote, and nothing is left open."""
    files = len(list(Path("/proc/self/fd").iterdir()))
    slots = [pool.take(SIZE, RESERVED, GUARD) for _ in range(MANY + 2)]
    assert ["(deleted)" in mapped_from(slot) for slot in slots] == [False] * MANY + [True] * 2
    first, *_, last, other = slots
    for slot in (first, last):
        put(slot, 3 * PAGE + 7, b"written")
        put(slot, SIZE - 9, b"behind it")
    assert content(other) == content(slots[1]) == untouched()
    pool.give_back(last)
    assert pool.hot == 1
    again = pool.take(SIZE, RESERVED, GUARD)
    assert (again.base, content(again)) == (last.base, untouched())
    for slot in (*slots[:-2], again, other):
        pool.give_back(slot)
    few = [pool.take(SIZE, RESERVED, GUARD) for _ in range(MOST_HOT + 1)]
    assert "(deleted)" not in mapped_from(few[-1])
    for slot in few:
        pool.give_back(slot)
    assert len(list(Path("/proc/self/fd").iterdir())) == files + 1


def test_thousands_share_no_copy(tmp_path: Path) -> None:
    """So many have one, and the next ones another; all are closed, and none has ever had a name."""
    file = tmp_path / "snapshot"
    file.write_bytes(SNAPSHOT)
    files = len(list(Path("/proc/self/fd").iterdir()))
    snapshot = Snapshot(file)
    assert snapshot.file_among(0) == snapshot.file_among(MANY - 1)
    copies = [snapshot.file_among(count) for count in (MANY, SHARING - 1, SHARING, 3 * SHARING)]
    assert copies[0] == copies[1] != copies[2] != copies[3]
    assert [os.pread(each, 1 << 20, 0) for each in copies] == [untouched()[: snapshot.size]] * 4
    assert list(tmp_path.iterdir()) == [file]
    snapshot.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_nobody_changes_the_copy(pool: Slots) -> None:
    """It is open to be read alone: what is mapped from it is what was copied."""
    slots = [pool.take(SIZE, RESERVED, GUARD) for _ in range(MANY + 1)]
    copy = pool._snapshot.file_among(MANY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(copy, b"x", 0)
    with pytest.raises(OSError, match="Invalid argument"):
        os.ftruncate(copy, 0)
    with pytest.raises(PermissionError):
        mmap.mmap(copy, PAGE, mmap.MAP_SHARED, mmap.PROT_WRITE)
    assert content(slots[-1]) == untouched()


def test_a_file_that_has_shrunk_is_not_copied(tmp_path: Path) -> None:
    """What is not what it was when it was mapped is no copy: the file is used, as if there were no room."""
    file = tmp_path / "snapshot"
    file.write_bytes(SNAPSHOT)
    snapshot = Snapshot(file)
    os.truncate(file, 3 * PAGE)
    assert snapshot.file_among(MANY) == snapshot.file_among(0)
    snapshot.close()


@pytest.mark.parametrize("room", ["elsewhere", "nowhere"])
def test_a_copy_goes_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: str) -> None:
    """A folder that takes no files, or only the beginning of one, is no reason to fail."""
    file = tmp_path / "snapshot"
    file.write_bytes(SNAPSHOT)
    real = tempfile.TemporaryFile

    def full(*, dir: Path | None, buffering: int) -> object:  # noqa: A002 - as it is called there
        if dir is None and room == "nowhere":
            raise FileNotFoundError("no folder for such files")
        opened = real(dir=dir, buffering=buffering)
        if dir is None:
            return opened
        monkeypatch.setattr(opened, "write", lambda piece: len(piece) - 1, raising=False)
        return opened

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    snapshot = Snapshot(file)
    copy = snapshot.file_among(MANY)
    assert (copy == snapshot.file_among(0)) == (room == "nowhere")
    assert os.pread(copy, 1 << 20, 0).ljust(snapshot.size, b"\0") == untouched()[: snapshot.size]
    snapshot.close()
