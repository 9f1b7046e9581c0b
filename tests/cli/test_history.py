"""`capsule ps`, `log` and `trace` as a person sees them, and a run whose process was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from capsule import UsageError
from capsule._guest.cache import CompiledGuest
from capsule.journal import JournalReader
from cli.test_run import COMMAND, HELLO, capsule
from host.servers import Server, serving
from packages.wheels import Index

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


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


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
    assert logged.count("ValueError: no \\x1b[31mluck\\nat all") == 2, "each attempt in one line"
    assert logged.count("             Traceback (most recent call last):\n") == 2, "below it its traceback, further in"
    assert logged.count("             ValueError: no \\x1b[31mluck\n             at all\n") == 2
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
    assert (done.returncode, done.stderr) == (
        2,
        "error: no run 'zz' is in the journal; `capsule ps` lists those that are\n",
    )


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
        head, *nodes = capsule("trace").stdout.splitlines()
        assert re.search(r"running, [\d.]+ m?s so far, 2 tasks$", head)
        assert re.fullmatch(r"└── main: [\d.]+ m?s so far\n    └── part: [\d.]+ m?s so far", "\n".join(nodes))
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


ASKS = """
from capsule import http, task
@task(allowed_hosts=["127.0.0.1"], compute=1000000000000000, timeout="1h")
def main(base):
    print("before")
    http.get(base + "/one")
    print("after")
    try: http.get(base + "/status?404")
    finally: print("asked")
    while True: pass
"""


def test_requests_stand_in_their_place(write, server: Server) -> None:
    """Each is there when it has ended: while the run goes on, and after SIGKILL, in the order in which it happened."""
    file = write("asks.py", ASKS)
    command = [*COMMAND, "run", "--allow-host", "127.0.0.1", file, server.url("")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for("asked")
        assert capsule("trace").stdout.endswith(" so far, 2 requests\n")
    finally:
        process.kill()
        process.wait()
    told = [line.split(None, 1)[1] for line in capsule("log").stdout.splitlines()]
    assert told[2] == "#1 stdout: before"
    assert re.fullmatch(rf"#1 GET {server.url('/one')}: \d+, \d+ bytes?, [\d.]+ ms", told[3])
    assert told[4] == "#1 stdout: after"
    assert told[5].startswith(f"#1 GET {server.url('/status?404')}: ")
    assert told[6] == "#1 stdout: asked"
    assert capsule("trace").stdout.splitlines()[1:] == ["└── main: no end, 2 requests"]
    (run,) = json.loads(capsule("ps", "--json").stdout)
    assert run["requests"] == 2
    (actor,) = json.loads(capsule("trace", "--json").stdout)["tree"]
    assert [request["method"] for request in actor["children"][0]["requests"]] == ["GET", "GET"]


FAILS = """
from capsule import task
@task
def main():
    print("one\\ntwo")
    print("three", end="", flush=True)
    print("\\n\\nfour", 4)
    print("five", end="")
    raise ValueError("no luck")
"""


def test_a_task_that_failed(write) -> None:
    """Nothing began anew; what was printed in pieces is told by lines; why it failed stands below."""
    done = capsule("run", "--verbose", write("fails.py", FAILS))
    assert done.returncode == 1
    assert "begins anew" not in done.stderr
    lines = [line[11:] for line in capsule("log").stdout.splitlines()]
    printed = [line for line in lines if line.startswith("#1 stdout:")]
    assert printed == [f"#1 stdout: {text}".rstrip() for text in ("one", "two", "three", "", "four 4", "five")]
    begin = next(place for place, line in enumerate(lines) if line.startswith("#1 main failed: ValueError: no luck ("))
    assert lines[begin + 1 : begin + 3] == [
        "  Traceback (most recent call last):",
        '    File "fails.py", line 9, in main',
    ]
    assert lines[begin + 4 : -1] == ["  ValueError: no luck", "actor 1 main stopped: the runtime was left"]
    assert re.fullmatch(r"└── main: .* MB; ValueError: no luck", capsule("trace").stdout.splitlines()[1])


def test_a_run_that_failed_before_a_task(write, index: Index) -> None:
    """Its reason is what there is to tell."""
    done = capsule("run", "--with", "nowhere", write("hello.py", HELLO))
    assert done.returncode != 0
    why = f"InvalidPackages: {done.stderr.splitlines()[-1].removeprefix('error: ')}"
    assert capsule("trace").stdout.splitlines()[1:] == [f"└── {why}"]
    assert capsule("log").stdout.splitlines()[0][11:] == why
    told = json.loads(capsule("trace", "--json").stdout)
    assert (told["error"]["exception"], told["tree"]) == ("InvalidPackages", [])


@pytest.mark.skipif(sys.platform == "win32", reason="such names, and terminals, are those of POSIX")
def test_a_warning_of_the_journal(write) -> None:
    """It is a note like others, and nothing in it steers the terminal."""
    folder = Path("\x1b]0;owned\x07")
    folder.mkdir()
    (folder / ".capsule").symlink_to(Path.cwd())
    file = Path(write("hello.py", HELLO)).resolve()
    done = subprocess.run([*COMMAND, "run", file], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "Hello from Capsule!\n")
    place = (Path.cwd() / r"\x1b]0;owned\x07" / ".capsule" / "trace.db").as_posix()
    assert done.stderr == f"capsule: nothing is written to the journal: {place}: its folder is a link; remove it\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")
@pytest.mark.parametrize("columns", [80, 120])
def test_the_list_in_a_terminal(write, columns: int) -> None:
    """A line for each run, whatever it is called: what is long is cut, and the other columns are whole."""
    import pty

    write("x.py", HELLO)
    long = "a long name " * 20
    (Path.cwd() / long.strip()).mkdir()
    assert capsule("run", "--", f"{long.strip()}/../x.py").returncode == 0
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "ps"], stdout=follower, env={**os.environ, "COLUMNS": str(columns), "TERM": "dumb"}
    )
    os.close(follower)
    output = bytearray()
    try:
        while chunk := os.read(leader, 65536):
            output += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(leader)
    assert process.wait(60) == 0
    head, line = output.decode().splitlines()
    assert max(len(head), len(line)) <= columns
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  [\d.]+ m?s +ended  1 +0 +a long name .*…$", line)


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
    costs = re.findall(r": ([\d.]+ m?s); cancelled", capsule("trace").stdout)
    assert len(costs) == 2, "no fuel and no memory, which nobody knows"


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


def test_numbers_that_a_stranger_made_up(write) -> None:
    """What no date and no sum can be made of is damage, in whichever command meets it."""
    assert capsule("run", write("hello.py", HELLO)).returncode == 0
    original = Path(".capsule/trace.db").read_bytes()
    deep = "".join(
        f"INSERT INTO entries VALUES (1, {n + 100}, 1, 'started', "
        f'CAST(\'{{"number":{n + 100},"task_name":"x","parent":{n + 99}}}\' AS BLOB));'
        for n in range(3000)
    )
    fuel = "UPDATE entries SET body = CAST(replace(CAST(body AS TEXT), '\"ram_used\":', '\"ram_used\":1{}') AS BLOB)"
    for script, commands in {
        "UPDATE runs SET began = 1e17": ["ps", "log", "trace", "ps --json", "trace --json"],
        "UPDATE runs SET ended = 9e999": ["ps", "log", "trace", "ps --json", "trace --json"],
        "UPDATE entries SET at = 'abc'": ["log", "trace", "trace --json"],
        "UPDATE entries SET body = 1": ["log", "trace", "trace --json"],
        fuel.format("0" * 400): ["log", "trace"],
        deep: ["trace --json"],
    }.items():
        Path(".capsule/trace.db").write_bytes(original)
        with sqlite3.connect(".capsule/trace.db") as database:
            database.executescript(script)
        database.close()
        for command in commands:
            done = capsule(*command.split())
            assert (done.returncode, "Traceback" in done.stderr) == (2, False), (script[:80], command, done.stderr)
            assert done.stderr.startswith(f"error: {Path.cwd() / '.capsule' / 'trace.db'}: ")
            assert done.stderr.count("\n") == 1


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
