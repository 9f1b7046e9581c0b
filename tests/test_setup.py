"""How the guest is prepared: a process of its own that is followed, ended and cleaned up after.

Most tests put a small script in the place of that process; one builds the real guest.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from capsule import CacheUnwritable, Runtime, SetupError, _child, _setup, task
from capsule._guest import cache, key
from capsule._guest.cache import CompiledGuest
from capsule.cache import VARIABLE

TELL = """
import json, os, signal, sys
def tell(**line): print(json.dumps(line), flush=True)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`child(script)` takes the place of the process that builds."""

    def replace(script: str) -> None:
        monkeypatch.setattr(_setup, "CHILD", [sys.executable, "-c", TELL + script])

    return replace


@pytest.fixture
def alive(tmp_path: Path) -> Iterator[Callable[[], bool]]:
    """`alive()` waits up to ten seconds for the end of all who hold the pipe `life` open, and says if any lives."""
    os.mkfifo(tmp_path / "life")
    reader = os.open(tmp_path / "life", os.O_RDONLY | os.O_NONBLOCK)

    def is_alive() -> bool:
        return not select.select([reader], [], [], 10)[0]

    yield is_alive
    os.close(reader)


# Following it.


async def test_phases_are_passed_on(child) -> None:
    """In order, in words; the last line is the guest."""
    child("for phase in ('wait', 'build', 'compile', 'check'): tell(phase=phase)\ntell(file='/f', min_ram=5)")
    heard: list[str] = []
    assert await _setup.ensure_guest(heard.append) == CompiledGuest(file="/f", min_ram=5)
    assert heard == list(_setup.PHASES.values())


async def test_phases_go_to_stderr_if_nobody_listens(child, capsys) -> None:
    """Whoever waits half a minute for the first time is told why."""
    child("tell(phase='build'); tell(file='/f', min_ram=5)")
    await _setup.ensure_guest()
    captured = capsys.readouterr()
    assert captured.err == "capsule: building the Python guest, once for this machine...\n"
    assert captured.out == ""


async def test_foreign_lines_are_passed_over(child) -> None:
    """What a site's start-up file prints on stdout is not taken for ours, and half a line is waited for."""
    child(
        "print('hello'); print('{'); print('[1]'); print(b'\\xff')\n"
        "text = json.dumps({'file': '/f', 'min_ram': 5})\n"
        "print(text[:9], end='', flush=True); print(text[9:])\nprint('bye')"
    )
    assert (await _setup.ensure_guest(print)).file == "/f"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("tell(error='componentize-py could not build the guest')", "componentize-py could not build the guest"),
        ("tell(phase='build'); sys.exit(3)", "ended with status 3"),
        ("", "ended with status 0"),
        (
            "tell(phase='compile'); os.kill(os.getpid(), signal.SIGKILL)",
            "killed by signal 9; it takes about a gigabyte",
        ),
    ],
)
async def test_a_build_that_fails(child, script: str, words: str) -> None:
    """The SetupError says what happened, also if the process could not say it itself."""
    child(script)
    with pytest.raises(SetupError, match=words):
        await _setup.ensure_guest(lambda _: None)


async def test_a_folder_that_only_the_child_finds_unwritable(child) -> None:
    """A disk that is full comes back as the error that names the variable."""
    child("tell(error='No space left on device', folder='/x')")
    with pytest.raises(CacheUnwritable, match="CAPSULE_CACHE_DIR") as caught:
        await _setup.ensure_guest(lambda _: None)
    assert (caught.value.folder, caught.value.reason) == ("/x", "No space left on device")


async def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed before anything is built."""
    (tmp_path / "file").write_text("in the way", "utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(_setup, "CHILD", ["/nowhere/python"])
    with pytest.raises(CacheUnwritable, match="CAPSULE_CACHE_DIR"):
        await _setup.ensure_guest(lambda _: None)


async def test_a_process_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Python to run, or no room for one more process."""
    monkeypatch.setattr(_setup, "CHILD", ["/nowhere/python"])
    with pytest.raises(SetupError, match="does not start"):
        await _setup.ensure_guest(lambda _: None)


async def test_a_guest_in_the_cache_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is whole is used as it is, and nobody hears anything."""

    def make(file: Path) -> int:
        file.write_bytes(b"native code")
        return 9

    facts = _setup._facts()
    made = cache.find_or_make(key.key_of(facts), make, facts, lambda: None)
    monkeypatch.setattr(_setup, "CHILD", ["/nowhere/python"])
    assert await _setup.ensure_guest(lambda _: pytest.fail("nothing is done")) == made == _setup.find_guest()


# Ending it.


async def test_cancelling_ends_the_build_and_what_it_started(child, alive, tmp_path: Path, folder: Path) -> None:
    """A build that answers a polite request cleans up by itself."""
    child(
        f"import subprocess\nlife = open({str(tmp_path / 'life')!r}, 'w')\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open({str(tmp_path / 'polite')!r}, 'w'), sys.exit(1)))\n"
        "tell(phase='build'); signal.pause()"
    )
    with anyio.fail_after(30), anyio.CancelScope() as scope:
        await _setup.ensure_guest(lambda _: scope.cancel())
    assert scope.cancelled_caught
    assert not alive()
    assert (tmp_path / "polite").exists()
    assert _setup.find_guest() is None


async def test_a_build_that_does_not_listen_is_killed(
    child, alive, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the process that it started, and what both left in the cache is removed."""
    monkeypatch.setattr(_child, "GRACE", 0.01)
    left = folder / f"new-{key.key_of(_setup._facts())}-x"
    child(
        f"import subprocess\nlife = open({str(tmp_path / 'life')!r}, 'w')\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"os.mkdir({str(left)!r}); open({str(left / 'guest.cwasm')!r}, 'w').write('half')\n"
        "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], pass_fds=[life.fileno()])\n"
        "tell(phase='compile'); signal.pause()"
    )
    with anyio.fail_after(30), anyio.CancelScope() as scope:
        await _setup.ensure_guest(lambda _: scope.cancel())
    assert scope.cancelled_caught
    assert not alive()
    assert not left.exists()


async def test_a_listener_that_raises_ends_the_build(child, alive, tmp_path: Path) -> None:
    """Its error passes through as it is."""
    child(f"life = open({str(tmp_path / 'life')!r}, 'w')\ntell(phase='build'); signal.pause()")
    with pytest.raises(ValueError, match="mine"):
        await _setup.ensure_guest(_raise_value_error)
    assert not alive()


def _raise_value_error(_: str) -> None:
    raise ValueError("mine")


async def test_the_build_does_not_hear_the_terminal(child) -> None:
    """Ctrl-C goes to a terminal's whole group of processes; ours is in another, and its parent decides."""
    child("tell(error=json.dumps([os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid()]))")
    with pytest.raises(SetupError, match=r"\[true, true\]"):
        await _setup.ensure_guest(lambda _: None)


# The real one.

HAS_PROC = Path("/proc/self/environ").exists()
ENSURE = """
import anyio
from capsule._setup import ensure_guest
print(anyio.run(ensure_guest, lambda phase: print(phase, flush=True)).file)
"""


@task(compute="LOW")
def answer() -> int:
    return 42


def processes_of(folder: Path) -> list[int]:
    """The living processes that were told to use `folder`, without this one. Empty where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()  # empty for one that has ended
        except OSError:
            continue
        if str(folder).encode() in environment.split(b"CAPSULE_CACHE_DIR=")[-1] and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def left_in(folder: Path) -> list[str]:
    """Of builds: locks stay, and what is known of sources."""
    return [file.name for file in folder.iterdir() if file.suffix != ".lock" and not file.name.startswith(key.SEEN)]


async def cancel_at(phase: str, folder: Path) -> None:
    """Begin a build and cancel it in the middle of `phase`."""
    begun = anyio.Event()
    with anyio.fail_after(300):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_setup.ensure_guest, lambda words: words == _setup.PHASES[phase] and begun.set())
            await begun.wait()
            if phase == "build" and HAS_PROC:
                while len(processes_of(folder)) < 2:  # only the system tells that componentize-py runs
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()


def ask_twice() -> list[list[str]]:
    """The lines of two processes that want the guest at once."""
    pair = [subprocess.Popen([sys.executable, "-c", ENSURE], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        return [process.communicate(timeout=300)[0].splitlines() for process in pair]
    finally:
        for process in pair:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_real_build(folder: Path, anyio_backend: str) -> None:
    """Cancelled twice, it leaves nothing; asked for by two processes at once, it is made once, and it works.

    Takes about a minute: componentize-py runs twice to its end.
    """
    for phase in ("build", "compile"):
        await cancel_at(phase, folder)
        assert processes_of(folder) == []
        assert left_in(folder) == []
        assert _setup.find_guest() is None

    said = await anyio.to_thread.run_sync(ask_twice)
    *heard, file = min(said, key=len)
    words = _setup.PHASES
    assert heard == [words["wait"]]
    assert max(said, key=len) == [words["build"], words["compile"], words["check"], file]
    assert left_in(folder) == [Path(file).parent.name]

    guest = _setup.find_guest()
    assert guest is not None
    assert guest.file == file
    about = json.loads(Path(file).with_name("guest.json").read_text("utf-8"))
    assert about["made_with"] == _setup._facts()
    async with Runtime(progress=lambda _: pytest.fail("it is there")) as runtime:
        assert await runtime.run(answer) == 42
