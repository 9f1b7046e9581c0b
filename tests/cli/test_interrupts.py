"""Signals at any moment of a command: real processes, real signals, one exit status and never a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from capsule._guest.cache import CompiledGuest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one child")

READY = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from capsule.cli import main
main.INTERRUPTS.take_over()
"""
GO = READY + "os.write(1, b'go\\n')\nmain.main()\n"
AT = (
    READY
    + """
wanted = [sys.argv.pop(1)]

def hear(event, _):
    if event in wanted:
        wanted.clear()
        os.kill(os.getpid(), signal.SIGINT)

class Finder:
    def find_spec(name, *_):
        hear(name, ())

sys.addaudithook(hear)
sys.meta_path.insert(0, Finder)
main.main()
"""
)
"""Presses Ctrl-C when the module is looked for, or the event of Python's happens, that stands in its first argument."""

ENDLESS = """
from capsule import task
@task(timeout="1h", compute=1_000_000_000_000_000)
def main():
    print("up", flush=True)
"""
HELLO = "def main(): return 'hello'\n"
LINE = "error: interrupted\n"


@pytest.fixture(autouse=True)
def built(guest: CompiledGuest) -> None:
    """The guest is there before the first command."""


def started(
    code: str, *args: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, **env: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        env={**os.environ, **env},
    )


def pressed(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
    """Press Ctrl-C once, or send another signal; answers the status and what else was said."""
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


MODULES = [
    *("re", "capsule.cli.run", "msgspec", "anyio", "asyncio", "anyio._backends._asyncio"),
    *("capsule._runtime", "sqlite3", "capsule._engine.engine"),
]


@pytest.mark.parametrize(("module", "dashes"), [*((each, []) for each in MODULES), ("typer", ["--"])], ids=str)
def test_while_modules_load(write, module: str, dashes: list[str]) -> None:
    """Whatever is being loaded, the command ends with 130 and says so in one line."""
    process = started(AT, module, "run", *dashes, write("hello.py", HELLO))
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (130, "", LINE)


@pytest.mark.parametrize("event", ["sqlite3.connect", "cpython._PySys_ClearAuditHooks"])
def test_at_other_moments(write, event: str) -> None:
    """While the journal opens, and at the interpreter's very end, when the status is known already."""
    process = started(AT, event, "run", write("hello.py", HELLO))
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) in [(130, "", LINE), (0, "hello\n", "")]


@pytest.mark.parametrize("words", [["log"], ["ps"], ["inspect", "hello.py"], ["cache"], ["--help"]], ids=" ".join)
def test_other_commands(write, words: list[str]) -> None:
    """Every command ends so."""
    write("hello.py", HELLO)
    process = started(AT, "typer", *words)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (130, "", LINE)


@pytest.mark.parametrize("delay", [0, 2, 5, 10, 20, 50, 100, 150, 200, 250, 300, 400, 600, 1000])
def test_at_any_moment(write, delay: int) -> None:
    """So many milliseconds after the start it is over: either interrupted, or with its result."""
    process = started(GO, "run", write("hello.py", HELLO))
    assert process.stdout.readline() == "go\n"
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay / 1000)
    status, output, errors = pressed(process)
    assert (status, errors) in [(130, LINE), (0, "")], (output, errors)
    assert output in ["hello\n", ""][: 1 if status == 0 else 2]


@pytest.mark.parametrize("body", ["while True: pass", "import time; time.sleep(60)"])
def test_while_the_guest_runs(write, body: str) -> None:
    """A busy or sleeping guest is ended at once."""
    process = started(GO, "run", write("endless.py", f"{ENDLESS}    {body}\n"))
    assert [process.stdout.readline() for _ in range(2)] == ["go\n", "up\n"]
    began = time.monotonic()
    assert pressed(process) == (130, "", LINE)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("command", [["run", "hello.py"], ["setup"]], ids=" ".join)
def test_while_the_guest_is_built(write, tmp_path: Path, command: list[str]) -> None:
    """The build is ended too and leaves nothing behind."""
    write("hello.py", HELLO)
    process = started(GO, *command, CAPSULE_CACHE_DIR=str(tmp_path / "cache"))
    assert "building the Python guest" in process.stderr.readline()
    status, _, errors = pressed(process)
    assert status == 130
    assert errors.startswith("error: interrupted")
    assert errors.count("\n") == 1
    assert [each.name for each in (tmp_path / "cache").iterdir() if each.suffix != ".lock"] == []


def test_while_the_journal_waits(write) -> None:
    """A database that another process has locked holds nothing up."""
    write(".capsule/made", "")
    file = write("up.py", "def main():\n    print('up', flush=True)\n    return 'hello'\n")
    subprocess.run([sys.executable, "-c", READY + "main.main()", "run", file], check=True, capture_output=True)
    with contextlib.closing(sqlite3.connect(".capsule/trace.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        process = started(GO, "run", file)
        assert [process.stdout.readline() for _ in range(2)] == ["go\n", "up\n"]
        status, _, errors = pressed(process)
    assert status in (130, 0)
    assert "Traceback" not in errors


def test_while_arguments_are_awaited(write) -> None:
    """One press is enough where the command reads arguments that nobody writes."""
    os.mkfifo("args")
    process = started(GO, "run", write("hello.py", HELLO), "--args-file", "args")
    with Path("args").open("wb"):  # goes on when the command has opened it to read
        assert pressed(process) == (130, "go\n", LINE)


def test_twice(write) -> None:
    """A second press does not wait for what the first one began, and is as quiet."""
    process = started(GO, "run", write("endless.py", f"{ENDLESS}    while True: pass\n"))
    assert [process.stdout.readline() for _ in range(2)] == ["go\n", "up\n"]
    process.send_signal(signal.SIGINT)
    status, _, errors = pressed(process)
    assert status == 130
    assert set(errors.splitlines(keepends=True)) == {LINE}


def test_where_it_is_ignored(write) -> None:
    """A command that was started to ignore Ctrl-C, as shells do in the background, goes on."""
    ignoring = GO.replace("signal.default_int_handler", "signal.SIG_IGN")
    file = write(
        "up.py", "def main():\n    print('up', flush=True)\n    import time; time.sleep(0.2)\n    return 'end'\n"
    )
    process = started(ignoring, "run", file)
    assert [process.stdout.readline() for _ in range(2)] == ["go\n", "up\n"]
    assert pressed(process) == (0, "end\n", "")


KEEPER = """
from capsule import task
@task(workspace="1MB", timeout="1h")
def main():
    import time
    open("/tmp/left", "w").write("behind")
    print("up", flush=True)
    while True: time.sleep(1)
"""
OTHERS = [signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])


def with_a_workspace(write, folder: Path, code: str = GO, **streams: int) -> subprocess.Popen[str]:
    """A command whose guest has made a file in its workspace, which is in `folder`."""
    folder.mkdir()
    process = started(code, "run", write("keeper.py", KEEPER), TMPDIR=str(folder), **streams)
    deadline = time.monotonic() + 60
    while not list(folder.glob("capsule-*/left")) and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def state() -> str:
    """How the newest run ended, as its journal says."""
    done = subprocess.run(
        [sys.executable, "-c", READY + "main.main()", "ps", "--json"], capture_output=True, text=True, check=True
    )
    return str(json.loads(done.stdout)[0]["state"])


@pytest.mark.parametrize("number", [signal.SIGINT, *OTHERS], ids=lambda number: number.name)
def test_all_is_unwound(write, tmp_path: Path, number: signal.Signals) -> None:
    """The guest ends, its workspace is removed, the journal knows how it ended, and the status names the signal."""
    write(".capsule/made", "")
    process = with_a_workspace(write, tmp_path / "temporary")
    assert pressed(process, number) == (128 + number, "go\nup\n", LINE)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert state() == "cancelled"


@pytest.mark.parametrize("number", OTHERS, ids=lambda number: number.name)
def test_they_come_twice(write, tmp_path: Path, number: signal.Signals) -> None:
    """As `timeout` sends SIGTERM and as a closed terminal sends SIGHUP: that is one wish."""
    process = with_a_workspace(write, tmp_path / "temporary")
    process.send_signal(number)
    time.sleep(0.001)
    assert pressed(process, number) == (128 + number, "go\nup\n", LINE)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_ctrl_c_after_sigterm(write) -> None:
    """Whoever does not want to wait presses Ctrl-C."""
    process = started(GO, "run", write("endless.py", f"{ENDLESS}    while True: pass\n"))
    assert [process.stdout.readline() for _ in range(2)] == ["go\n", "up\n"]
    process.send_signal(signal.SIGTERM)
    status, _, errors = pressed(process)
    assert status in (128 + signal.SIGTERM, 128 + signal.SIGINT)  # that of the one which Python hears of first
    assert set(errors.splitlines(keepends=True)) == {LINE}


@pytest.mark.parametrize("number", OTHERS, ids=lambda number: number.name)
def test_others_while_modules_load(write, number: signal.Signals) -> None:
    """Where there is nothing to clean up it is over at once."""
    process = started(AT.replace("SIGINT)\n\n", f"{number.name})\n\n"), "asyncio", "run", write("hello.py", HELLO))
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (128 + number, "", LINE)


@pytest.mark.parametrize("delay", [0, 5, 20, 50, 100, 200, 300, 600])
def test_sigterm_at_any_moment(write, delay: int) -> None:
    """So many milliseconds after the start it is over, interrupted or with its result, or while Python ends."""
    process = started(GO, "run", write("hello.py", HELLO))
    assert process.stdout.readline() == "go\n"
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay / 1000)
    status, output, errors = pressed(process, signal.SIGTERM)
    assert (status, errors) in [(143, LINE), (0, ""), (-signal.SIGTERM, "")], (output, errors)


def test_sighup_that_is_ignored(write) -> None:
    """What was started with nohup goes on when the terminal is closed."""
    ignoring = GO.replace("SIGHUP, signal.SIG_DFL", "SIGHUP, signal.SIG_IGN")
    file = write(
        "up.py", "def main():\n    print('up', flush=True)\n    import time; time.sleep(0.2)\n    return 'end'\n"
    )
    process = started(ignoring, "run", file)
    assert [process.stdout.readline() for _ in range(2)] == ["go\n", "up\n"]
    assert pressed(process, signal.SIGHUP) == (0, "end\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="what a terminal does to those that hold it")
def test_a_closed_terminal(write, tmp_path: Path) -> None:
    """Nobody can be told any more, and all is unwound none the less."""
    terminal, end = os.openpty()
    code = "import fcntl, os, termios; os.setsid(); fcntl.ioctl(2, termios.TIOCSCTTY, 0)\n" + GO
    write(".capsule/made", "")
    process = with_a_workspace(write, tmp_path / "temporary", code, stdout=end, stderr=end)
    os.close(end)
    os.close(terminal)
    assert process.wait(60) == 129
    assert list((tmp_path / "temporary").iterdir()) == []
    assert state() == "cancelled"
