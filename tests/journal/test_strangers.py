"""What strangers leave where a journal is to be, and journals that they made up."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from capsule import InvalidJournal, Started
from capsule._journal.database import open_for_writing
from capsule._journal.locks import holding, lock_file
from capsule.journal import JournalReader, SqliteJournal, tree_of

STRANGER = 12345


async def keep(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        journal.put(Started(number=1, task_name="work"))


def read_all(path: Path) -> None:
    with JournalReader(path) as reader:
        for run in reader.runs():
            tree_of(reader.entries(run))


needs_root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")


@needs_root
@pytest.mark.parametrize(
    "name",
    [".capsule", ".capsule/trace.db", ".capsule/trace.db-wal", ".capsule/trace.db-shm", ".capsule/trace.db-journal"],
)
def test_what_belongs_to_another_user(tmp_path: Path, name: str, logged) -> None:
    """Whoever could read what is written, or change it, gets nothing: it is logged once, and the run goes on."""
    path = tmp_path / ".capsule" / "trace.db"
    anyio.run(keep, path)
    size, theirs = path.stat().st_size, tmp_path / name
    theirs.touch()
    os.chown(theirs, STRANGER, STRANGER)
    anyio.run(keep, path)
    (message,) = logged()
    assert message.startswith(f"nothing is written to the journal: {path}: ")
    assert "belongs to another user" in message
    os.chown(theirs, os.geteuid(), -1)
    assert path.stat().st_size == size
    if not name.endswith(("-shm", "-journal")):  # which are of no use to SQLite like this
        anyio.run(keep, path)
        assert len(logged()) == 1


@needs_root
def test_an_empty_folder_of_another_user(tmp_path: Path, logged) -> None:
    """Nothing is made in it."""
    (tmp_path / ".capsule").mkdir()
    os.chown(tmp_path / ".capsule", STRANGER, STRANGER)
    anyio.run(keep, tmp_path / ".capsule" / "trace.db")
    assert len(logged()) == 1
    assert list((tmp_path / ".capsule").iterdir()) == []


@needs_root
def test_what_belongs_to_root_is_fine(logged) -> None:
    """Root can read everything in any case."""
    with tempfile.TemporaryDirectory() as place:  # one that another user can reach
        Path(place).chmod(0o755)
        folder = Path(place) / ".capsule"
        folder.mkdir()
        folder.chmod(0o777)
        os.seteuid(STRANGER)
        try:
            anyio.run(keep, folder / "trace.db")
        finally:
            os.seteuid(0)
        assert logged() == []
        read_all(folder / "trace.db")


def test_locks_without_a_run_are_removed(tmp_path: Path) -> None:
    """A process that was killed before its run was there leaves one; those that are held, or no locks, stay."""
    path = tmp_path / "trace.db"
    anyio.run(keep, path)
    left, held = lock_file(path, "0123456789ab"), lock_file(path, "ba9876543210")
    others = [tmp_path / "trace.db-notes.lock", tmp_path / "other.db-0123456789ab.lock"]
    for file in (left, *others):
        file.touch()
    with holding(held):
        anyio.run(keep, path)
        assert not left.exists()
        assert held.exists()
    assert all(file.exists() for file in others)
    assert sorted(file.name for file in tmp_path.glob("*.lock")) == sorted(file.name for file in others)


def test_a_lock_is_taken_where_others_see_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the transaction that makes the run: else another process would take it for one that was left behind."""
    from capsule._journal import writer

    path, seen = tmp_path / "trace.db", []

    def watched(file: Path) -> object:
        with sqlite3.connect(path, timeout=0) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                seen.append(str(error))
        other.close()
        return holding(file)

    monkeypatch.setattr(writer, "holding", watched)
    anyio.run(keep, path)
    assert seen == ["database is locked"]


@pytest.mark.parametrize("name", ["a\0b", "a\0/trace.db"])
def test_what_is_no_path(tmp_path: Path, name: str, logged) -> None:
    """One line, and the run goes on; to read there is nothing."""
    anyio.run(keep, tmp_path / name)
    (message,) = logged()
    assert message.endswith(f"{tmp_path}/{name}: this is no path".replace("\0", r"\x00"))
    with pytest.raises(InvalidJournal, match="there is no journal"):
        JournalReader(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="such names are those of POSIX")
def test_names_that_would_steer_a_terminal(tmp_path: Path, logged) -> None:
    """A log goes to a terminal, too."""
    folder = tmp_path / "\x1b]0;owned\x07"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / ".capsule").symlink_to(tmp_path / "elsewhere")
    anyio.run(keep, folder / ".capsule" / "trace.db")
    (message,) = logged()
    assert r"\x1b]0;owned\x07/.capsule/trace.db: its folder is a link" in message
    assert message.isprintable()


BEGINNINGS = ["1e17", "9e999", "-9e999", "-1e18", "-1", "'then'", "x'00'"]
MADE_UP = [
    *(f"UPDATE runs SET began = {value}" for value in BEGINNINGS),
    *(f"UPDATE runs SET ended = {value}" for value in BEGINNINGS),
    *(f"UPDATE entries SET at = {value}" for value in (*BEGINNINGS, "'abc'")),
    *(f"UPDATE entries SET body = {value}" for value in ("1", "1.5", "'e30'", "x'ff'", "'{\"number\": 1e999}'")),
    *(f"UPDATE entries SET number = {value}" for value in ("'x'", "1.5", "x'00'")),
    *(f"UPDATE entries SET kind = {value}" for value in ("'x'", "x'00'", "1")),
    *(f"UPDATE runs SET key = {value}" for value in ("x'00'", "x'ff'")),
    *(f"UPDATE runs SET title = {value}" for value in ("x'00'", "CAST(x'ff' AS TEXT)")),
    *(f"UPDATE runs SET ending = {value}" for value in ("'x'", "x'00'", "1")),
    *(f"UPDATE runs SET {name} = 'x'" for name in ("pid", "tasks", "failed", "requests", "fuel", "dropped")),
]


@pytest.mark.parametrize("statement", MADE_UP)
def test_a_journal_that_was_made_up(tmp_path: Path, statement: str) -> None:
    """Values of other types, and times of which nobody can say the date, are damage like any other."""
    path = tmp_path / "trace.db"
    anyio.run(keep, path)
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()
    with pytest.raises(InvalidJournal):
        read_all(path)


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_what_another_program_has_not_finished(tmp_path: Path, mode: str, logged) -> None:
    """The database of a program that was killed, with what SQLite needs to put it right: that is its own to do."""
    made, path = tmp_path / "made.db", tmp_path / "trace.db"
    writing = sqlite3.connect(made, isolation_level=None)
    writing.execute(f"PRAGMA journal_mode = {mode}")
    writing.execute("CREATE TABLE theirs (text)")
    writing.execute("PRAGMA cache_size = 2")
    writing.execute("BEGIN")
    writing.executemany("INSERT INTO theirs VALUES (?)", [("x" * 1000,)] * 500)
    for file in tmp_path.glob("made.db*"):
        (tmp_path / file.name.replace("made", "trace")).write_bytes(file.read_bytes())
    writing.close()
    left = path.with_name("trace.db-wal" if mode == "WAL" else "trace.db-journal")
    before = path.read_bytes(), left.read_bytes()
    anyio.run(keep, path)
    assert len(logged()) == 1
    assert (path.read_bytes(), left.read_bytes()) == before


MAKING = """
import os, signal, sqlite3, sys
from pathlib import Path
from capsule._journal import database
steps = int(sys.argv[2])
class Counting(sqlite3.Connection):
    def execute(self, *args):
        global steps
        steps -= 1
        if not steps: os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*args)
connect = sqlite3.connect
database.sqlite3.connect = lambda *args, **more: connect(*args, **more, factory=Counting)
database.open_for_writing(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
@pytest.mark.parametrize("steps", range(1, 20))
def test_a_process_is_killed_while_it_makes_one(tmp_path: Path, steps: int, logged) -> None:
    """Between any two steps: the next writes it."""
    path = tmp_path / "trace.db"
    subprocess.run([sys.executable, "-c", MAKING, str(path), str(steps)], check=False, timeout=60)
    anyio.run(keep, path)
    assert logged() == []
    read_all(path)


def test_many_make_one_at_once(tmp_path: Path, logged) -> None:
    """Nobody takes what another is making for that of a stranger."""
    for number in range(20):
        path, gate = tmp_path / f"{number}.db", threading.Barrier(6)

        def make(path: Path = path, gate: threading.Barrier = gate) -> None:
            gate.wait()
            open_for_writing(path).close()

        with ThreadPoolExecutor(6) as pool:
            for made in [pool.submit(make) for _ in range(6)]:
                made.result()
        read_all(path)
    assert logged() == []
