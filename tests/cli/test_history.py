"""`capsule ps`, `log` and `trace` as a person sees them, and a run whose process was killed."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from capsule import UsageError
from capsule._guest.cache import CompiledGuest
from capsule.journal import JournalReader
from cli.test_run import COMMAND, HELLO, capsule

FAMILY = r"""
from capsule import task
@task(max_retries=1)
def part(number):
    print("part \x1b]0;owned\x07", number)
    if number == 2:
        raise ValueError("no \x1b[31mluck\nat all")
    return number
@task(name="main")
def main():
    part(1)
    try:
        part(2)
    except Exception:
        print("caught")
    return "the result"
"""
# More fuel than HIGH: a fast machine burns that in seconds, and the program would end before it is killed.
FOREVER = """
from capsule import task
@task(compute=1000000000000000, timeout="1h")
def part():
    print("part is at work")
    while True: pass
@task(name="main", compute="HIGH", timeout="1h")
def main():
    part()
"""


@pytest.fixture(autouse=True)
def built(guest: CompiledGuest) -> None:
    """The guest is there before the first command."""


def test_a_run_and_its_tree(write) -> None:
    """Who called whom, with costs; failures with their reason; no result, and nothing that a terminal would obey."""
    done = capsule("run", write("family.py", FAMILY))
    assert (done.returncode, done.stdout.endswith("caught\nthe result\n")) == (0, True)
    (run,) = json.loads(capsule("ps", "--json").stdout)
    told = {name: run[name] for name in ("title", "state", "tasks", "failed", "requests", "dropped")}
    assert told == {"title": "family.py", "state": "ended", "tasks": 3, "failed": 1, "requests": 0, "dropped": 0}

    shown = capsule("trace")
    head, main, one, two = shown.stdout.splitlines()
    assert head.startswith(f"family.py: run {run['key']} ended, ")
    assert head.endswith(", 3 tasks, 1 failed")
    assert main.startswith("└── main: ")
    assert one.startswith("    ├── part: ")
    assert two.startswith("    └── part: ")
    assert two.endswith(r"MB, 1 retry; ValueError: no \x1b[31mluck\nat all")
    (actor,) = json.loads(capsule("trace", run["key"][:6], "--json").stdout)["tree"]
    (message,) = actor["children"]
    assert [child["success"] for child in message["children"]] == [True, False]
    assert message["cost"]["fuel_consumed"] > 0

    logged = capsule("log", "last").stdout
    assert r"#2 stdout: part \x1b]0;owned\x07 1" in logged
    assert "#3 part failed, retry 1: ValueError" in logged
    for text in (shown.stdout, logged, capsule("ps").stdout):
        assert "\x1b" not in text
        assert "the result" not in text
    assert b"the result" not in b"".join(file.read_bytes() for file in Path(".capsule").iterdir())


def test_no_journal(write) -> None:
    """--no-journal writes nothing, and the commands say where they looked and what makes one."""
    assert capsule("run", "--no-journal", write("hello.py", HELLO)).returncode == 0
    assert not Path(".capsule").exists()
    for command in ("ps", "log", "trace"):
        done = capsule(command)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(
            f"error: {Path.cwd() / '.capsule' / 'trace.db'}: there is no journal; `capsule run`"
        )
    assert not Path(".capsule").exists()


def test_it_is_the_projects(write, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any folder of a project there is one journal, at its root. An unknown run is an error."""
    write("capsule.toml", "[workflow]\n")
    write("below/hello.py", HELLO)
    root = Path.cwd()
    monkeypatch.chdir("below")
    assert capsule("run", "hello.py").returncode == 0
    assert (root / ".capsule" / "trace.db").exists()
    assert not Path(".capsule").exists()
    assert "hello.py" in capsule("ps").stdout
    done = capsule("trace", "zz")
    assert (done.returncode, done.stderr) == (2, "error: no run 'zz' is in the journal\n")


def test_a_journal_that_cannot_be_written(write) -> None:
    """The run is what was asked for: it goes on, and one line says what is wrong."""
    write(".capsule/trace.db", "this is no database, " * 1000)
    done = capsule("run", write("hello.py", HELLO))
    assert (done.returncode, done.stdout) == (0, "Hello from Capsule!\n")
    assert done.stderr.count("\n") == 1
    assert "trace.db cannot be written (file is not a database); the run goes on without" in done.stderr
    done = capsule("ps")
    assert (done.returncode, done.stdout) == (2, "")
    assert "SQLite cannot read it" in done.stderr


def test_a_killed_run_is_interrupted(write) -> None:
    """SIGKILL in the middle of a sub-task: what happened until then can be read, and the run is marked."""
    process = subprocess.Popen([*COMMAND, "run", write("forever.py", FOREVER)], stdout=subprocess.DEVNULL)
    try:
        wait_for("part is at work")
        (run,) = json.loads(capsule("ps", "--json").stdout)
        assert (run["state"], run["tasks"], run["pid"]) == ("running", 2, process.pid)
    finally:
        process.kill()
        process.wait()
    (run,) = json.loads(capsule("ps", "--json").stdout)
    assert (run["state"], run["tasks"], run["ended"]) == ("interrupted", 2, None)
    *_, last, end = capsule("log").stdout.splitlines()
    assert "part is at work" in last
    assert end.split()[0] == last.split()[0], "it was over with the last that is known of it"
    assert capsule("trace").stdout.splitlines()[1:] == ["└── main: no end", "    └── part: no end"]

    assert capsule("run", write("hello.py", HELLO)).returncode == 0
    new, old = json.loads(capsule("ps", "--json").stdout)
    assert (new["state"], old["state"], old["key"]) == ("ended", "interrupted", run["key"])
    assert old["ended"] >= old["began"]
    assert not list(Path(".capsule").glob("*.lock"))


HEEDING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
"""Runs a command that heeds Ctrl-C: whoever runs the tests may ignore it."""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_an_interrupted_command_says_how_it_ended(write) -> None:
    """Ctrl-C ends the guest, and what it did is in the journal to its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEEDING, *COMMAND, "run", write("forever.py", FOREVER)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for("part is at work")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    (run,) = json.loads(capsule("ps", "--json").stdout)
    assert (run["state"], run["tasks"], run["failed"]) == ("cancelled", 2, 2)


def test_a_journal_that_a_stranger_made(write) -> None:
    """Keys that lead elsewhere and texts that a terminal would obey: shown or refused, never followed."""
    assert capsule("run", write("hello.py", HELLO)).returncode == 0
    with sqlite3.connect(".capsule/trace.db") as database:
        database.execute("UPDATE runs SET key = ?, title = ?", ("\x1b[31m[bold]", "\x1b]0;owned\x07[red]\n"))
    database.close()
    for command in ("ps", "log", "trace"):
        done = capsule(command)
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        assert r"\x1b[31m[bold]" in done.stdout
        assert r"\x1b]0;owned\x07[red]\n" in done.stdout
    with sqlite3.connect(".capsule/trace.db") as database:
        database.execute("UPDATE runs SET key = '/../../hello.py', ended = NULL, ending = NULL")
    database.close()
    done = capsule("ps")
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not decode" in done.stderr
    assert capsule("run", "hello.py").stderr == ""
    assert Path("hello.py").read_text("utf-8") == HELLO


def wait_for(text: str) -> None:
    """Another process writes it; there is nobody who would tell."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with JournalReader(".capsule/trace.db") as reader:
                if any(text in str(entry.event) for entry in reader.entries(reader.run("last"))):
                    return
        except UsageError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{text!r} never came")
