"""The database: its format, and how it is opened. What is not ours is never written to."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import InvalidJournal

FORMAT = 1
"""`PRAGMA user_version`: the number of the format."""

_APPLICATION = 0x63617073  # "caps"

_TABLES = (
    """CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  title TEXT NOT NULL,
  pid INTEGER NOT NULL,
  began REAL NOT NULL,
  ended REAL,
  ending TEXT,
  tasks INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  requests INTEGER NOT NULL DEFAULT 0,
  fuel INTEGER NOT NULL DEFAULT 0,
  dropped INTEGER NOT NULL DEFAULT 0
)""",
    """CREATE TABLE entries (
  run INTEGER NOT NULL,
  number INTEGER NOT NULL,
  at REAL NOT NULL,
  kind TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID""",
)

_NEW = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

BUSY_SECONDS = 2.0
"""How long one transaction waits for other processes that write into the same database."""

_T = TypeVar("_T")


def open_for_writing(path: Path, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection, to a database that is made if there is none.

    Raises InvalidJournal for a file that is no journal of this version, and OSError or sqlite3.Error for the rest.
    """
    _make_file(path)
    if path.stat().st_size:
        _look_beside(path, busy_seconds)
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    try:
        is_made = _is_made(connection, path)
        # Changing the mode is the one step that does not wait for others by itself.
        patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"), busy_seconds)
        connection.execute("PRAGMA synchronous = NORMAL")
        if not is_made:
            _make_tables(connection)
            _check_format(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises InvalidJournal, which says what is wrong with the file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidJournal("this is no regular file", path=str(path))
        if not path.stat().st_size:
            raise InvalidJournal("it is empty: no run has begun yet", path=str(path))
        return _connect_to_read(path)
    except OSError as error:
        raise InvalidJournal(f"it cannot be read ({error.strerror})", path=str(path)) from None
    except sqlite3.Error as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: sqlite3.Error) -> InvalidJournal:
    """SQLite's complaint about a file, as ours."""
    return InvalidJournal(f"SQLite cannot read it ({error}); move it away, and a new one is made", path=str(path))


def patiently(step: Callable[[], _T], seconds: float) -> _T:
    """Do what fails at once while another process has the database; again, for so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
        time.sleep(0.01)  # in a thread of the journal's own


def is_busy(error: sqlite3.Error) -> bool:
    """Whether it would work later."""
    return "locked" in str(error) or "busy" in str(error)


def _connect_to_read(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    try:
        return _checked(f"{uri}?mode=ro", path)
    except sqlite3.OperationalError as error:
        # A folder that cannot be written has no room for the index of a log. Without a log there is nothing to miss.
        log = path.with_name(f"{path.name}-wal")
        if is_busy(error) or (log.exists() and log.stat().st_size):
            raise
        return _checked(f"{uri}?mode=ro&immutable=1", path)


def _checked(uri: str, path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
        _check_format(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _look_beside(path: Path, busy_seconds: float) -> None:
    """SQLite brings what lies beside a database into it when it is opened to write: before that, see whose it is.

    A rollback journal that nobody holds is left to whoever made it. Ours leave none, and what such a file says may be
    done to another one: SQLite removes the file that it names.
    """
    journal = path.with_name(f"{path.name}-journal")
    if not journal.exists() and not path.with_name(f"{path.name}-wal").exists():
        return
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None)) as reader:
        try:
            _is_made(reader, path)
        except sqlite3.OperationalError as error:
            if is_busy(error) or not journal.exists():
                raise
            reason = f"something was not finished that left {journal.name}; if it is not yours to finish, remove both"
            raise InvalidJournal(reason, path=str(path)) from None


def _is_made(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether a journal is there, or a file that nobody has filled. Raises InvalidJournal if it is another's."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("BEGIN")  # one look: another process may be making it
    try:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _check_format(connection, path)
            return True
        if connection.execute("PRAGMA application_id").fetchone()[0] not in (0, _APPLICATION):
            raise _foreign(path)
        return False
    finally:
        with contextlib.suppress(sqlite3.Error):  # of what cannot be read
            connection.execute("COMMIT")


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:  # another process was first
        for table in _TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _make_whole(path: Path) -> None:
    """A database that has its tables, and a log, from the first moment on: a process that is killed meanwhile leaves
    nothing beside it. Where that cannot be done, there is none yet. Another process may be first.
    """
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        _make_tables(made)
        whole = bytearray(made.serialize())
    whole[18:20] = b"\2\2"  # written and read with a log: "File format version numbers" of SQLite's description
    aside = path.with_name(f"{path.name}-{os.urandom(6).hex()}.new")
    try:
        with os.fdopen(os.open(aside, _NEW, 0o600), "wb") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())  # or the name may be there before the content, if the power goes
        os.link(aside, path)
    except OSError:
        return
    finally:
        aside.unlink(missing_ok=True)


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != _APPLICATION:
        raise _foreign(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        reason = f"a newer capsule wrote it (format {version}, this one knows {FORMAT}); use that one, or move it away"
        raise InvalidJournal(reason, path=str(path))
    # A trigger or a view that somebody put there would run with each of our statements.
    there = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if version != FORMAT or there != set(_TABLES):
        raise InvalidJournal(f"its tables are not those of format {FORMAT}; move it away", path=str(path))


def _foreign(path: Path) -> InvalidJournal:
    return InvalidJournal("it is a database of another program; give the journal a file of its own", path=str(path))


def _make_file(path: Path) -> None:
    """The folder and the file, for their owner alone. An existing file is left as it is; a link is not followed."""
    if "\0" in str(path):
        raise InvalidJournal("this is no path", path=str(path))
    folder = path.parent
    if folder.name == ".capsule" and folder.is_symlink():  # a link that a stranger's project brought along
        raise InvalidJournal("its folder is a link; remove it", path=str(path))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.name == ".capsule":
        _check_owner(folder, path)
        with contextlib.suppress(FileExistsError), (folder / ".gitignore").open("x", encoding="utf-8") as file:
            file.write("*\n")
    if path.is_symlink():
        raise InvalidJournal("it is a link; remove it", path=str(path))
    for ending in ("", "-wal", "-shm", "-journal"):  # SQLite writes into those that are there
        _check_owner(path.with_name(path.name + ending), path)
    if not path.exists() and hasattr(sqlite3.Connection, "serialize"):
        _make_whole(path)
    try:
        os.close(os.open(path, _NEW, 0o600))
    except FileExistsError:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise InvalidJournal("this is no regular file", path=str(path)) from None
        _check_owner(path, path)


def _check_owner(file: Path, path: Path) -> None:
    """Whoever else can write into a folder above, such as a shared one for temporary files, could put one there."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(FileNotFoundError):
        if file.lstat().st_uid not in (0, os.geteuid()):
            what = "it" if file == path else file.name
            reason = f"{what} belongs to another user, who could read what is written; remove it, or make it yours"
            raise InvalidJournal(reason, path=str(path))
