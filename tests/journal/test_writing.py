"""What is kept, what is not, and what becomes of a run that could not be written."""

from __future__ import annotations

import itertools
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from capsule import (
    Ended,
    Event,
    Execution,
    Failure,
    HostRequest,
    InvalidJournal,
    InvalidPackages,
    Left,
    Missed,
    Outcome,
    Printed,
    Requested,
    Restarted,
    Retried,
    Runtime,
    SetupError,
    Spawned,
    Started,
    Statistics,
    Stopped,
    TaskFailed,
    UsageError,
    task,
)
from capsule._guest.cache import CompiledGuest
from capsule._journal import writer as writing
from capsule._journal.entries import MOST_PRINTED, Entries
from capsule.journal import Entry, JournalReader, Node, Run, SqliteJournal, tree_of
from capsule.testing import FakeEngine

REQUEST = HostRequest(method="GET", url="http://example.com/", status=200, bytes=1, duration_ms=1.0)


def read(path: Path, which: str = "last") -> tuple[Run, list[Event]]:
    with JournalReader(path) as reader:
        run = reader.run(which)
        return run, [entry.event for entry in reader.entries(run)]


async def keep(path: Path, events: list[Event], **how) -> None:
    async with SqliteJournal(path, **how) as journal:
        for event in events:
            journal.put(event)


def ended(number: int = 1, *, error: Failure | None = None) -> Ended:
    cost = Execution(task_name="work", fuel_consumed=10, host_requests=(REQUEST,))
    outcome = Outcome(success=error is None, error=error, result=[1] * 1000, stdout="x" * 1000, execution=cost)
    return Ended(number=number, task_name="work", outcome=outcome)


# A model: sequences of events, and the tree that they should be.


@st.composite
def histories(
    draw: st.DrawFn,
) -> tuple[list[Event], dict[tuple[str, int], tuple[str, int] | None], set[int], list[int]]:
    """Events in an order that can be, who is below whom, the messages that ended well, and who asked for something."""
    events: list[Event] = []
    parents: dict[tuple[str, int], tuple[str, int] | None] = {}
    good: set[int] = set()
    asked: list[int] = []
    living: list[int] = []
    open_messages: list[int] = []
    numbers, actors = itertools.count(1), itertools.count(1)
    text = st.text(max_size=8)
    for step in draw(
        st.lists(st.sampled_from(["spawn", "start", "start", "print", "ask", "retry", "end", "stop"]), max_size=40)
    ):
        if step == "spawn":
            number, parent = next(actors), draw(st.sampled_from([None, *living]))
            events.append(Spawned(actor=number, task_name=draw(text), parent=parent))
            parents["actor", number] = None if parent is None else ("actor", parent)
            living.append(number)
        elif step == "start":
            number = next(numbers)
            parent, actor = (draw(st.sampled_from([None, *some])) for some in (open_messages, living))
            events.append(Started(number=number, task_name=draw(text), parent=parent, actor=actor))
            parents["message", number] = ("message", parent) if parent else ("actor", actor) if actor else None
            open_messages.append(number)
        elif step == "stop" and living:
            number = living.pop(draw(st.integers(0, len(living) - 1)))
            events.append(
                Stopped(actor=number, task_name="", reason="", failed=draw(st.booleans()), statistics=Statistics())
            )
        elif open_messages and step in ("print", "ask", "retry", "end"):
            number = draw(st.sampled_from(open_messages))
            failure = Failure(error_type="task_error", message=draw(text))
            if step == "print":
                events.append(Printed(number=number, task_name="", stream="stdout", text=draw(text)))
            elif step == "ask":
                events.append(Requested(number=number, task_name="", request=replace(REQUEST, url=draw(text))))
                asked.append(number)
            elif step == "retry":
                events.append(Retried(number=number, task_name="", error=failure, retry=1))
            else:
                open_messages.remove(number)
                events.append(ended(number, error=draw(st.sampled_from([None, failure]))))
                if events[-1].outcome.success:
                    good.add(number)
    return events, parents, good, asked


def flat(nodes: list[Node], parent: tuple[str, int] | None = None) -> Iterator[tuple[Node, tuple[str, int] | None]]:
    for node in nodes:
        yield node, parent
        yield from flat(node.children, (node.kind, node.number))


@given(histories())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_read_is_what_happened(tmp_path_factory: pytest.TempPathFactory, history) -> None:
    """Any history: the entries in order, the tree, the totals of the run."""
    events, parents, good, asked = history
    path = tmp_path_factory.mktemp("journal") / "trace.db"
    anyio.run(keep, path, events)
    with JournalReader(path) as reader:
        run = reader.run("last")
        entries = list(reader.entries(run))
    assert [type(entry.event) for entry in entries] == [type(event) for event in events]
    assert [entry.number for entry in entries] == list(range(1, len(events) + 1))
    nodes = list(flat(tree_of(entries)))
    assert {(node.kind, node.number): parent for node, parent in nodes} == parents
    assert len(nodes) == len(parents)
    assert {node.number for node, _ in nodes if node.kind == "message" and node.success} == good
    assert sorted(node.number for node, _ in nodes for _ in node.requests) == sorted(asked)
    starts = sum(isinstance(event, Started) for event in events)
    bad = sum(isinstance(event, Ended) and not event.outcome.success for event in events)
    assert (run.state, run.tasks, run.failed, run.dropped) == ("ended", starts, bad, 0)
    assert run.requests == len(asked)


def test_a_restart_that_nothing_came_of_is_none() -> None:
    """An actor of a task, whose sandbox is gone, has another when there is a message for it, and not before."""
    failure = Failure(error_type="task_error", message="no luck")
    events: list[Event] = [Spawned(actor=1, task_name="work")]
    counts = []
    for number in (1, 2):
        events += [Started(number=number, task_name="work", actor=1), ended(number, error=failure)]
        events.append(Restarted(actor=1, task_name="work", error=failure, restart=number))
        entries = [Entry(number=place, at=0.0, kind="", event=event) for place, event in enumerate(events)]
        counts.append(tree_of(entries)[0].restarts)
    assert counts == [0, 1]


# What is kept.


def test_results_and_long_texts_are_not_kept(tmp_path: Path) -> None:
    """Printed text to so many characters of each message, failures cut, no result."""
    long = Failure(error_type="task_error", message="m" * 9000, traceback="t" * 9000 + "end")
    printed = [Printed(number=1, task_name="work", stream="stdout", text="p" * 3000) for _ in range(9)]
    anyio.run(keep, tmp_path / "trace.db", [*printed, ended(error=long)])
    _, events = read(tmp_path / "trace.db")
    end = events.pop()
    told = "".join(event.text for event in events)
    assert told.startswith("p" * MOST_PRINTED + "\n[the journal keeps 10000 characters]")
    assert told.count("p") == MOST_PRINTED + "keeps".count("p")
    assert (end.outcome.result, end.outcome.stdout) == (None, "")
    assert (len(end.outcome.error.message), len(end.outcome.error.traceback)) == (2000, 4000)
    assert end.outcome.error.traceback.endswith("end")


def test_requests_are_kept_once(tmp_path: Path) -> None:
    """Each by itself, the first hundred of each message with so much of their URLs; the others are counted as missing."""
    long = Requested(number=1, task_name="work", request=replace(REQUEST, url="u" * 9000))
    other = Requested(number=2, task_name="work", request=REQUEST)
    anyio.run(keep, tmp_path / "trace.db", [*[long] * 900, other, ended(), other, long])
    run, events = read(tmp_path / "trace.db")
    kept = Requested(number=1, task_name="work", request=replace(REQUEST, url="u" * 500))
    end = events[102]
    assert events == [*[kept] * 100, Missed(count=800), other, end, other, kept]
    assert end.outcome.execution == Execution(task_name="work", fuel_consumed=10)
    assert (run.requests, run.dropped) == (903, 800)


def test_halves_of_characters(tmp_path: Path) -> None:
    """Text that UTF-8 cannot say is kept with question marks."""
    text = "a\ud83db"
    events = [Spawned(actor=1, task_name=text), Printed(number=1, task_name="work", stream="stdout", text=text)]
    path = tmp_path / "trace.db"
    anyio.run(lambda: keep(path, events, title=text))
    run, (spawned, printed) = read(path)
    assert (run.title, spawned.task_name, printed.text) == ("a?b", "a?b", "a?b")


def test_a_run_has_an_end() -> None:
    """Beyond so many bytes events are counted, and one entry says how many are missing."""
    entries = Entries(most=1000)
    rows = [row for number in range(100) for row in entries.rows(Started(number=number, task_name="work"))]
    assert sum(len(row.body) for row in rows) < 1100
    (missed,) = entries.rest(0.0)
    assert (missed.at, missed.kind, missed.body) == (0.0, "missed", b'{"count":%d}' % (100 - len(rows)))
    assert (entries.totals.tasks, entries.totals.dropped) == (100, 100 - len(rows))


def test_what_finds_no_room_is_counted() -> None:
    """And stands in front of what comes next."""
    entries = Entries()
    assert entries.rows(Started(number=1, task_name="work"), has_room=False) == []
    assert entries.rows(ended(), has_room=False) == []
    assert [row.kind for row in entries.rows(Started(number=2, task_name="work"))] == ["missed", "started"]
    assert (entries.totals.tasks, entries.totals.fuel, entries.totals.dropped) == (2, 10, 2)


async def test_a_slow_disk_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process has the database, `put` goes on; what finds no room is counted, the rest is kept."""
    monkeypatch.setattr(writing, "MOST_WAITING", 50)
    path = tmp_path / "trace.db"
    await keep(path, [])
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        async with SqliteJournal(path) as journal:
            for number in range(1, 201):
                journal.put(Started(number=number, task_name="work"))
            other.execute("ROLLBACK")
    other.close()
    run, events = read(path)
    assert (run.state, run.tasks, run.dropped) == ("ended", 200, 150)
    assert [event.number for event in events[:-1]] == list(range(1, 51))
    assert events[-1] == Missed(count=150)


async def test_only_the_newest_runs_are_kept(tmp_path: Path) -> None:
    """The oldest make room when a run begins, with all that belongs to them."""
    path = tmp_path / "trace.db"
    for number in range(6):
        await keep(path, [ended()], title=str(number), keep=3)
    with JournalReader(path) as reader:
        assert [run.title for run in reader.runs()] == ["5", "4", "3"]
        assert [run.title for run in reader.runs(1)] == ["5"]
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM entries").fetchone() == (3,)
    database.close()
    with pytest.raises(UsageError, match="keep"):
        SqliteJournal(path, keep=0)


# Whose it is.


@pytest.mark.skipif(sys.platform == "win32", reason="modes are those of POSIX")
async def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    """The folder and all files in it; and version control is told to leave it out."""
    folder = tmp_path / ".capsule"
    async with SqliteJournal(folder / "trace.db") as journal:
        journal.put(ended())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert (folder / ".gitignore").read_text() == "*\n"
    assert modes.pop(".gitignore") & 0o022 == 0
    assert set(modes.values()) == {0o600}
    assert not list(folder.glob("*.lock"))


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()


def _newer(path: Path) -> None:
    anyio.run(keep, path, [])
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def _with_a_trigger(path: Path) -> None:
    anyio.run(keep, path, [])
    with sqlite3.connect(path) as database:
        database.execute("CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END")
    database.close()


def _with_a_trigger_and_no_log(path: Path) -> None:
    _with_a_trigger(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    database.close()


def _corrupt(path: Path) -> None:
    path.write_bytes(b"this is no database, " * 1000)


def _damaged(path: Path) -> None:
    anyio.run(keep, path, [])
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 4000)


def _link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere.db"))


def _folder(path: Path) -> None:
    path.mkdir()


NOT_OURS = {
    _foreign: "another program",
    _newer: "a newer capsule wrote it",
    _with_a_trigger: "its tables are not those",
    _with_a_trigger_and_no_log: "its tables are not those",
    _corrupt: "SQLite cannot read it",
    _damaged: "SQLite cannot read it",
    _link: "cannot be read",
    _folder: "no regular file",
}


@pytest.mark.parametrize("make", NOT_OURS, ids=lambda make: make.__name__)
def test_what_is_not_ours_is_left_as_it_is(make, tmp_path: Path, logged) -> None:
    """Whoever reads it hears why; whoever would write into it logs it once, and its run goes on."""
    path = tmp_path / "trace.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InvalidJournal, match=NOT_OURS[make]) as caught:
        read(path)
    assert caught.value.path == str(path)
    anyio.run(keep, path, [ended()] * 10)
    assert len(logged()) == 1
    assert str(path) in logged()[0]
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not path.with_name("elsewhere.db").exists()


@pytest.mark.parametrize("place", ["file/trace.db", "file/more/trace.db"])
def test_a_place_that_cannot_be(place: str, tmp_path: Path, logged) -> None:
    """The system says why, once."""
    (tmp_path / "file").touch()
    anyio.run(keep, tmp_path / place, [ended()] * 10)
    assert len(logged()) == 1
    assert "cannot be written (" in logged()[0]


READ_ONLY = """
import logging, os, sys, anyio, anyio.to_thread, filelock, sqlite3, asyncio, urllib.parse
from capsule import Started
from capsule._journal import writer
from capsule.journal import JournalReader, SqliteJournal
anyio.run(anyio.sleep, 0)
if os.geteuid() == 0:
    os.seteuid(65534)  # root may write everywhere
async def main():
    async with SqliteJournal(sys.argv[1]) as journal:
        journal.put(Started(number=1, task_name="work"))
anyio.run(main)
with JournalReader(sys.argv[1]) as reader:
    print(*[(run.title, run.state, run.tasks) for run in reader.runs()])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="modes are those of POSIX")
def test_a_folder_that_cannot_be_written() -> None:
    """One line in the log, and the run goes on; what is there can be read."""
    with tempfile.TemporaryDirectory() as folder:  # one that another user can reach
        path = Path(folder) / "trace.db"
        anyio.run(lambda: keep(path, [Started(number=1, task_name="work"), ended()], title="before"))
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        command = [sys.executable, "-c", READ_ONLY, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        Path(folder).chmod(0o700)
    assert done.stdout == "('before', 'ended', 1)\n", done.stderr
    assert done.stderr.count("\n") == 1
    assert "readonly" in done.stderr


def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    """Reading makes none."""
    with pytest.raises(InvalidJournal, match="there is no journal"):
        read(tmp_path / "trace.db")
    assert list(tmp_path.iterdir()) == []


def test_an_entry_that_does_not_decode(tmp_path: Path) -> None:
    """Somebody changed it: an error of ours, and no traceback of msgspec's."""
    path = tmp_path / "trace.db"
    anyio.run(keep, path, [ended()])
    with sqlite3.connect(path) as database:
        database.execute("UPDATE entries SET body = 'x'")
    database.close()
    with pytest.raises(InvalidJournal, match="does not decode"):
        read(path)


async def test_a_full_disk_is_logged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged) -> None:
    """SQLite says that the database is full: the run goes on without a journal, and is running until it is left."""
    original = writing.open_for_writing

    def small(path: Path) -> sqlite3.Connection:
        connection = original(path)
        connection.execute("PRAGMA max_page_count = 10")
        return connection

    monkeypatch.setattr(writing, "open_for_writing", small)
    path = tmp_path / "trace.db"
    async with SqliteJournal(path) as journal:
        for number in range(100):
            journal.put(Printed(number=number, task_name="work", stream="stdout", text="x" * 5000))
        with anyio.fail_after(20):
            while not logged():
                await anyio.sleep(0.01)
        assert read(path)[0].state == "running"
    (message,) = logged()
    assert "full" in message
    assert read(path)[0].state == "interrupted"


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    """Each has its run, whole."""
    path = tmp_path / ".capsule" / "trace.db"
    code = (
        "import sys, anyio\nfrom capsule import Started\nfrom capsule.journal import SqliteJournal\n"
        "async def main():\n    async with SqliteJournal(sys.argv[1], title=sys.argv[2]) as journal:\n"
        "        for number in range(1, 2001):\n            journal.put(Started(number=number, task_name='work'))\n"
        "            await anyio.sleep(0)\n"
        "anyio.run(main)\n"
    )
    titles = ["one", "two", "three"]
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), title]) for title in titles]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    with JournalReader(path) as reader:
        runs = reader.runs()
        assert sorted(run.title for run in runs) == sorted(titles)
        assert {(run.state, run.tasks, run.dropped) for run in runs} == {("ended", 2000, 0)}
        assert [len(list(reader.entries(run))) for run in runs] == [2000, 2000, 2000]
        with pytest.raises(UsageError, match="no run 'zz'"):
            reader.run("zz")
        with pytest.raises(UsageError, match="several runs begin with"):
            reader.run("")


# Within a runtime.


@task
def work() -> str:
    return "done"


async def _work(guest) -> str:
    guest.print("at work")
    return "done"


async def _fail(guest) -> str:
    raise ValueError("no luck")


async def test_a_runtime_keeps_a_journal(tmp_path: Path) -> None:
    """By a path alone; it tells of each message and actor to the very end."""
    path = tmp_path / "trace.db"
    async with Runtime(engine=FakeEngine({"work": _work}), journal=path) as runtime:
        await runtime.run(work)
        await (await runtime.spawn(work)).outcome()
        with JournalReader(await _until_there(path)) as reader:
            assert reader.run("last").state == "running"
    run, events = read(path)
    names = [type(event).__name__ for event in events]
    assert names == ["Started", "Printed", "Ended", "Spawned", "Started", "Printed", "Ended", "Stopped"]
    assert (run.state, run.tasks, run.failed) == ("ended", 2, 0)


async def _until_there(path: Path) -> Path:
    """The thread makes it when it comes to it."""
    with anyio.fail_after(20):
        while True:
            try:
                if read(path)[0].tasks:
                    return path
            except UsageError:
                pass
            await anyio.sleep(0.01)


async def test_how_a_block_was_left(tmp_path: Path) -> None:
    """By an error, or by a cancellation: the journal says which, and holds what happened."""
    path = tmp_path / "trace.db"
    with pytest.raises(TaskFailed):
        async with Runtime(engine=FakeEngine({"work": _fail}), journal=path) as runtime:
            await runtime.run(work)
    run, events = read(path)
    assert (run.state, run.failed) == ("failed", 1)
    assert events[-1] == Left(exception="TaskFailed", message="work: ValueError: no luck")
    with anyio.CancelScope() as scope:
        async with Runtime(engine=FakeEngine({"work": _work}), journal=SqliteJournal(path)) as runtime:
            await runtime.run(work)
            scope.cancel()
            await anyio.sleep_forever()
    run, events = read(path)
    assert (run.state, len(events)) == ("cancelled", 3)


async def test_why_a_block_was_left(tmp_path: Path) -> None:
    """The text of errors of capsule's own, and only the name of others; listeners hear it, too."""
    path, heard = tmp_path / "trace.db", []
    for error in (ValueError("what a user typed"), InvalidPackages("there is no such package")):
        with pytest.raises(type(error)):
            async with Runtime(engine=FakeEngine({}), journal=path, on_event=heard.append):
                raise error
        assert read(path)[1] == heard[-1:]
    assert heard == [
        Left(exception="ValueError"),
        Left(exception="InvalidPackages", message="there is no such package"),
    ]


async def test_a_runtime_that_could_not_be_opened(tmp_path: Path) -> None:
    """Its journal says why, though nothing has run."""

    class Broken(FakeEngine):
        async def __aenter__(self) -> FakeEngine:
            raise SetupError("the guest cannot be built")

    with pytest.raises(SetupError):
        async with Runtime(engine=Broken({}), journal=tmp_path / "trace.db"):
            pass
    run, events = read(tmp_path / "trace.db")
    assert (run.state, events) == ("failed", [Left(exception="SetupError", message="the guest cannot be built")])


async def test_an_engine_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried before the journal is open, and told when it is."""

    def missing() -> None:
        raise SetupError("there is no library")

    monkeypatch.setattr("capsule._runtime.engine_type", missing)
    with pytest.raises(SetupError, match="there is no library"):
        async with Runtime(journal=tmp_path / "trace.db", progress=lambda _: None):
            pass
    run, events = read(tmp_path / "trace.db")
    assert (run.state, events) == ("failed", [Left(exception="SetupError", message="there is no library")])


def test_the_engine_is_loaded_before_it_begins(guest: CompiledGuest, tmp_path: Path) -> None:
    """Its thread would compete with that for the interpreter lock."""
    code = (
        "import sys, anyio\nfrom capsule import Runtime\nfrom capsule.journal import SqliteJournal\n"
        "class Journal(SqliteJournal):\n    async def __aenter__(self):\n"
        "        print('capsule._engine.engine' in sys.modules)\n        return await super().__aenter__()\n"
        "async def main():\n    async with Runtime(journal=Journal(sys.argv[1])):\n        pass\nanyio.run(main)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "trace.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n", done.stderr


async def test_a_fault_of_the_writer_is_no_fault_of_the_run(tmp_path: Path, monkeypatch, logged) -> None:
    """Whatever it is: it is logged, with its traceback, and the run goes on."""

    def broken(*args: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(writing, "open_for_writing", broken)
    async with Runtime(engine=FakeEngine({"work": _work}), journal=tmp_path / "trace.db") as runtime:
        assert await runtime.run(work) == "done"
    assert len(logged()) == 1


async def test_no_thread_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged) -> None:
    """The system refuses one: the run goes on without a journal."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    journal = SqliteJournal(tmp_path / "trace.db")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        await journal.__aenter__()
    journal.put(ended())
    await journal.__aexit__(None, None, None)
    (message,) = logged()
    assert "can't start new thread" in message


async def test_a_run_beside_others_is_left_alone(tmp_path: Path) -> None:
    """A run that begins while another is open does not take it for interrupted, and keeps it."""
    path = tmp_path / "trace.db"
    async with SqliteJournal(path, title="long") as long:
        long.put(Started(number=1, task_name="work"))
        await _until_there(path)
        for _ in range(3):
            await keep(path, [ended()], keep=1)
        with JournalReader(path) as reader:
            assert {run.title: run.state for run in reader.runs()} == {"": "ended", "long": "running"}
        long.put(ended())
    with JournalReader(path) as reader:
        (run,) = (run for run in reader.runs() if run.title == "long")
        assert (run.state, len(list(reader.entries(run)))) == ("ended", 2)


def test_off_costs_nothing() -> None:
    """Without a journal SQLite is not loaded and no thread is started."""
    code = (
        "import sys, threading, anyio\nfrom capsule import Runtime\nfrom capsule.testing import FakeEngine\n"
        "async def main():\n    async with Runtime(engine=FakeEngine({})) as runtime:\n"
        "        print(threading.active_count(), 'sqlite3' in sys.modules, 'filelock' in sys.modules)\n"
        "anyio.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "1 False False\n", done.stderr
