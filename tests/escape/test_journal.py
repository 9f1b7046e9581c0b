"""Hostile guests that may write a folder in which the host keeps a journal: what SQLite finds beside a database when it
is opened to write, it acts upon, with all that the host may do.
"""

from __future__ import annotations

import base64
import os
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from capsule import Policy, Runtime
from capsule.journal import SqliteJournal

PROGRAM = """
import base64
from capsule import task

@task
def main(files: dict[str, str]) -> str:
    for name, content in files.items():
        with open("out/.capsule/" + name, "wb") as file:
            file.write(base64.b64decode(content))
    return "planted"
"""

MAGIC = bytes.fromhex("d9d505f920a163d7")
PAGE = 4096


def rollback_journal(pages: int, names: Path) -> bytes:
    """Of a transaction over several databases (SQLite's "Database File Format", 3.0): once it is rolled back, the file
    that the last of its parts names is removed.
    """
    name = os.fsencode(names)
    header = MAGIC + struct.pack(">5I", 0, 0, pages, 512, PAGE)
    last = struct.pack(">I", (1 << 30) // PAGE + 1) + name + struct.pack(">2I", len(name), sum(name)) + MAGIC
    return header.ljust(512, b"\0") + last


def database(like: str, folder: Path) -> bytes:
    """What the guest puts in the journal's place."""
    made = folder / "made.db"
    with closing(sqlite3.connect(made, isolation_level=None)) as writing:
        if like == "a journal":
            with closing(sqlite3.connect(folder / "out" / ".capsule" / "trace.db")) as ours:
                ours.backup(writing)
        elif like == "another":
            writing.execute("CREATE TABLE theirs (x)")
        elif like == "half a journal":
            writing.execute("PRAGMA application_id = 0x63617073")
        writing.execute("PRAGMA journal_mode = DELETE")
    return made.read_bytes()


@pytest.mark.parametrize("like", ["a journal", "another", "half a journal", "nothing"])
async def test_a_rollback_journal_that_names_a_file_of_the_host(like: str, write, tmp_path: Path, logged) -> None:
    """It removes nothing: the next run has no journal, and says why in one line. Without it, the next run has one."""
    precious, folder = tmp_path / "precious.txt", tmp_path / "out" / ".capsule"
    precious.write_text("what nobody gave", "utf-8")
    program = write("hostile.py", PROGRAM)
    (tmp_path / "out").mkdir()
    policy = Policy(mounts=("out:rw",), compute="HIGH")
    async with Runtime(journal=SqliteJournal(folder / "trace.db"), policy=policy) as runtime:
        assert await runtime.run(program, {}) == "planted"
    planted = database(like, tmp_path)
    names = {"trace.db": planted, "trace.db-journal": rollback_journal(len(planted) // PAGE, precious)}
    async with Runtime(policy=policy) as runtime:
        assert await runtime.run(program, {k: base64.b64encode(v).decode() for k, v in names.items()}) == "planted"
    assert logged() == []
    async with Runtime(journal=SqliteJournal(folder / "trace.db"), policy=policy) as runtime:
        assert await runtime.run(program, {}) == "planted"
    assert precious.read_text("utf-8") == "what nobody gave"
    said = logged()
    if like == "nothing":
        assert said == []
    else:
        assert len(said) == 1
        assert "nothing is written to the journal" in said[0]
