"""The private folder of a sandbox: its limit, and that nothing is left of it however the sandbox ends."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import threading
from pathlib import Path

import anyio
import pytest

from capsule import Policy, Runtime, TaskFailed
from capsule._engine import descriptors, remover, workspace
from capsule._engine.workspace import Workspace, remove_some
from capsule._guest.cache import CompiledGuest

PROGRAM = """
import os, pathlib, tempfile, time
from capsule import actor, task
@task
def good():
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "a.txt").write_text("b")
        found = os.listdir(folder), folder.startswith("/tmp/")
    open("/tmp/left", "w").write("behind")
    return found, sorted(os.listdir("/tmp"))
@task
def raises():
    open("/tmp/left", "w").write("behind")
    1 / 0
@task
def hangs():
    os.makedirs("/tmp/a/b/c")
    open("/tmp/left", "w").write("behind")
    print("there", flush=True)
    while True: time.sleep(1)
@task
def plain():
    return "plain"
@actor
class Keeper:
    def put(self, text):
        with open("/tmp/kept", "a") as file: file.write(text)
        return open("/tmp/kept").read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine's temporary folders are, for now."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


async def emptied(folder: Path) -> None:
    """Wait until no workspace is in it: an answer comes before its sandbox is gone."""
    with anyio.fail_after(10):
        while workspaces(folder):
            await anyio.sleep(0.01)


def workspaces(folder: Path) -> list[Path]:
    """Without what sandboxes find at `/`, which goes with the runtime."""
    return [each for each in folder.iterdir() if not each.name.startswith("capsule-names-")]


async def test_every_end(guest: CompiledGuest, write, temporary: Path) -> None:
    """A fresh one for each sandbox, gone when it has answered, failed, timed out, or was cancelled."""
    file = write("t.py", PROGRAM)
    policy = Policy(workspace="1MB", timeout="10s")
    async with Runtime(policy=policy) as runtime:
        for _ in range(2):
            assert await runtime.run(f"{file}:good") == [[["a.txt"], True], ["left"]]
            await emptied(temporary)
        with pytest.raises(TaskFailed, match="ZeroDivisionError"):
            await runtime.run(f"{file}:raises")
        await emptied(temporary)
        with anyio.move_on_after(0.3) as scope:
            await runtime.run(f"{file}:hangs")
        assert scope.cancelled_caught
        await emptied(temporary)
    assert list(temporary.iterdir()) == []
    async with Runtime(policy=policy.with_settings({"timeout": "200ms"})) as runtime:
        with pytest.raises(TaskFailed, match="timeout"):
            await runtime.run(f"{file}:hangs")
        await emptied(temporary)


async def test_an_actor(guest: CompiledGuest, write, temporary: Path) -> None:
    """It lasts from message to message, and ends with the actor: stopped, killed, or left with the runtime."""
    file = write("t.py", PROGRAM)
    async with Runtime(policy=Policy(workspace="1MB")) as runtime:
        keeper = await runtime.spawn(f"{file}:Keeper")
        assert [await keeper.put("a"), await keeper.put("b")] == ["a", "ab"]
        assert len(workspaces(temporary)) == 1
        await keeper.stop()
        await emptied(temporary)
        killed = await runtime.spawn(f"{file}:Keeper")
        await killed.put("a")
        killed.kill()
        await emptied(temporary)
        left = await runtime.spawn(f"{file}:Keeper")
        await left.put("a")
        await runtime.spawn(f"{file}:hangs")
    assert list(temporary.iterdir()) == []


def test_a_limit(temporary: Path) -> None:
    """Bytes count as they are, files and folders as 4 KB at least, and links are not followed."""
    space = Workspace(22_000)
    root = Path(space.path)
    (root / "a").write_bytes(bytes(10_000))
    (root / "b").symlink_to("/usr")
    (root / "c").mkdir()
    assert not space.is_full(now=True)
    (root / "c" / "d").touch()
    assert space.is_full(now=True)
    assert remove_some(space.path, 10)
    assert not root.exists()


def test_a_rest_ends_when_the_disk_loses_much(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a measurement would take long, a guest cannot write many times its limit."""
    free = [1 << 40]
    monkeypatch.setattr(workspace, "_free_bytes", lambda _: free[0])
    monkeypatch.setattr(workspace, "_REST", 1 << 40)
    space = Workspace(100_000)
    assert not space.is_full()
    (Path(space.path) / "a").write_bytes(bytes(200_000))
    free[0] -= 99_999
    assert not space.is_full()
    free[0] -= 1
    assert space.is_full()
    assert remove_some(space.path, 10)


@pytest.mark.skipif(sys.platform == "win32", reason="folders by descriptor")
def test_removing_what_is_too_deep_for_a_path(tmp_path: Path) -> None:
    """A tree of a depth that no path can say is removed, and what its links lead to is not."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "kept").touch()
    root.mkdir()
    inner = os.open(root, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("folder-of-some-length", dir_fd=inner)
        os.symlink(outside, "link", dir_fd=inner)
        deeper = os.open("folder-of-some-length", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = deeper
    os.close(inner)
    assert Workspace.is_full(_at(root)) is True
    assert not remove_some(str(root), 0)
    while not remove_some(str(root), 0.001):
        assert root.exists()
    assert (root.exists(), (outside / "kept").exists()) == (False, True)
    assert remove_some(str(root), 0)  # gone already, which is all the same


def of_folders(root: Path, count: int) -> str:
    """A workspace with so many folders in it."""
    for number in range(count):
        (root / str(number)).mkdir(parents=True)
    return str(root)


def removers() -> list[str]:
    """The names of threads that remove."""
    return [thread.name for thread in threading.enumerate() if thread.name == "capsule-remover"]


needs_steps = pytest.mark.skipif(sys.platform == "win32", reason="folders by descriptor")


@needs_steps
def test_what_is_large_is_removed_on_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hands it over goes on. None waits for all of another, and closing waits for all."""
    monkeypatch.setattr(remover, "AT_ONCE", 0)
    monkeypatch.setattr(remover, "IN_TURN", 0)
    subject, gone, ended = remover.Remover(), list[tuple[str, str]](), threading.Event()

    def hand_over(name: str, count: int) -> None:
        folder = of_folders(tmp_path / name, count)
        subject.remove(folder, lambda: gone.append((name, threading.current_thread().name)))

    hand_over("none", 0)
    (tmp_path / "empty").mkdir()
    subject.remove(str(tmp_path / "empty"), lambda: gone.append(("empty", "")))
    assert ([name for name, _ in gone], removers()) == (["none", "empty"], [])
    hand_over("large", 300)
    hand_over("small", 3)
    subject.begin_close(ended.set)
    assert ended.wait(10)
    subject.close()
    assert gone[2:] == [("small", "capsule-remover"), ("large", "capsule-remover")]
    assert (list(tmp_path.iterdir()), removers()) == ([], [])
    hand_over("late", 10)
    assert (gone[-1], list(tmp_path.iterdir())) == (("late", threading.current_thread().name), [])


def test_what_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sandbox is gone none the less."""
    tries = iter([False])
    monkeypatch.setattr(remover, "remove_some", lambda *_: next(tries))  # then it raises
    subject, gone, ended = remover.Remover(), threading.Event(), threading.Event()
    subject.remove(str(tmp_path), gone.set)
    assert gone.wait(10)
    subject.begin_close(ended.set)
    assert ended.wait(10)
    subject.close()


async def test_no_carrier_waits(guest: CompiledGuest, write, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While large folders are removed others run, and their sandboxes keep their places: they cannot pile up."""
    may_remove = threading.Event()

    def remove(root: str, _: float) -> bool:
        if Path(root, "left").exists():
            if threading.current_thread().name.startswith("capsule-carrier"):
                return False
            may_remove.wait(5)
        return remove_some(root, 10)

    monkeypatch.setattr(remover, "remove_some", remove)
    file = write("t.py", PROGRAM)
    async with Runtime(policy=Policy(workspace="1MB"), max_sandboxes=5) as runtime:
        for _ in range(4):
            await runtime.run(f"{file}:good")
        for _ in range(2):
            assert await runtime.run(f"{file}:plain") == "plain"
        assert len(list(temporary.glob("capsule-*/left"))) == 4
        await runtime.run(f"{file}:good")
        with anyio.move_on_after(0.3) as scope:
            await runtime.run(f"{file}:plain")
        assert scope.cancelled_caught
        may_remove.set()
        assert await runtime.run(f"{file}:plain") == "plain"
        await emptied(temporary)
        await runtime.run(f"{file}:good")
    assert (list(temporary.iterdir()), removers()) == ([], [])


def _at(root: Path) -> Workspace:
    space = Workspace.__new__(Workspace)
    space.limit, space.path, space._next = 1 << 30, str(root), 0.0
    return space


def test_no_descriptor_is_left_to_look_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held open is not known then, which fails nobody; what lies in the folder counts as ever."""

    def listdir(_path: object) -> list[str]:
        raise OSError(errno.EMFILE, "too many open files")

    (tmp_path / "file").write_bytes(bytes(100_000))
    monkeypatch.setattr("capsule._engine.descriptors.os.listdir", listdir)
    assert descriptors.below([str(tmp_path)]) is None
    space = _at(tmp_path)
    space._real_path, space._free = str(tmp_path), 0
    assert not space.is_full(now=True)
    space.limit = 1000
    assert space.is_full(now=True)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors by way of /proc")
async def test_no_descriptor_is_left(guest: CompiledGuest, write, temporary: Path) -> None:
    """It is told as it is, nobody's folder is said to be gone, and nothing is left behind."""
    import resource

    file = write("t.py", PROGRAM)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with Runtime(policy=Policy(workspace="1MB", timeout="10s")) as runtime:
        assert await runtime.run(f"{file}:good")
        used = len(list(Path("/proc/self/fd").iterdir()))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 5, limits[1]))
        try:
            keepers = [await runtime.spawn(f"{file}:Keeper") for _ in range(6)]
            outcomes = [await keeper.outcome() for keeper in keepers]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        failed = [outcome.error for outcome in outcomes if outcome.error is not None]
        assert failed
        assert {(error.error_type, error.message.partition(";")[2]) for error in failed} == {
            ("internal_error", " raise `ulimit -n`")
        }
        assert await runtime.run(f"{file}:good")
    assert list(temporary.iterdir()) == []
