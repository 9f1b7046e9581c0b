"""The thread that writes one run, and the queue in front of it. Nobody on the event loop ever waits for it."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import astuple

from .._events import Event
from ..errors import InvalidJournal
from .database import is_busy, open_for_writing
from .entries import Entries, Row
from .locks import holding, is_free, keys_of_locks, lock_file

MOST_WAITING, MOST_WAITING_BYTES = 10_000, 16_000_000
"""Entries that wait to be written, and bytes of them."""

MOST_TITLE = 1000
"""Characters of a run's title."""

LINGER = 0.05
"""Seconds in which entries gather for one transaction: what a killed process loses at most, beside the writing."""

log = logging.getLogger("capsule")


class Writer:
    """Writes one run. `put` and `close_soon` are called on the event loop, everything else is the thread's."""

    def __init__(self, path: Path, title: str, keep: int) -> None:
        self._path, self._keep = path, keep
        self._title = title[:MOST_TITLE].encode("utf-8", "replace").decode()
        self._key = os.urandom(6).hex()
        self._entries = Entries()
        self._waiting: deque[Row] = deque()
        self._bytes = 0
        self._lock = threading.Lock()  # held for moments only, never while something is written
        self._arrival, self._closing = threading.Event(), threading.Event()
        self._began = time.time()
        self._ending = ""
        self._has_failed = False
        self._fault: BaseException | None = None
        self._run = self._number = 0
        # A block that is never left, at the end of a process, is no reason to wait for its end.
        self._thread = threading.Thread(target=self._work, name="capsule-journal", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the system has no thread for it
            self._fail(f"nothing is written to the journal {path}: {error}")

    def put(self, event: Event) -> None:
        """Something happened. Dropped and counted if too much waits already."""
        if self._has_failed:
            return
        with self._lock:
            has_room = len(self._waiting) < MOST_WAITING and self._bytes < MOST_WAITING_BYTES
            rows = self._entries.rows(event, has_room=has_room)
            self._waiting.extend(rows)
            self._bytes += sum(len(row.body) for row in rows)
        if rows and not self._arrival.is_set():
            self._arrival.set()

    def close_soon(self, ending: str) -> None:
        """Nothing more comes: write what waits, and how the run ended."""
        self._ending = ending
        self._closing.set()
        self._arrival.set()

    def join(self) -> None:
        """Wait until all is written, or could not be. Not for the event loop."""
        if self._thread.ident is not None:
            self._thread.join()

    def log_fault(self) -> None:
        """Log the fault of ours that ended the thread, if one did. On the event loop: on CPython 3.11 a traceback must
        not be formatted in one thread while another, such as that of the loop, parses source.
        """
        if self._fault is not None:
            path = _shown(str(self._path))
            log.error("the journal %s was given up; the run went on without", path, exc_info=self._fault)

    def _work(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                connection = stack.enter_context(contextlib.closing(open_for_writing(self._path)))
                self._begin(connection, stack)
                try:
                    self._write_all(connection)
                except (OSError, sqlite3.Error) as error:
                    self._fail_to_write(error)
                    self._closing.wait()  # with its lock: a reader takes the run for interrupted once that is free
        except InvalidJournal as error:
            self._fail(f"nothing is written to the journal: {error}")
        except (OSError, sqlite3.Error) as error:
            self._fail_to_write(error)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it costs nobody the run
            self._stop_keeping()
            self._fault = error

    def _fail_to_write(self, error: OSError | sqlite3.Error) -> None:
        reason = getattr(error, "strerror", None) or error
        self._fail(f"the journal {self._path} cannot be written ({reason}); the run goes on without")

    def _fail(self, message: str) -> None:
        self._stop_keeping()
        log.warning(_shown(message))

    def _stop_keeping(self) -> None:
        self._has_failed = True
        with self._lock:
            self._waiting.clear()

    def _write_all(self, connection: sqlite3.Connection) -> None:
        while not self._closing.is_set():
            self._arrival.wait()
            self._closing.wait(LINGER)
            self._arrival.clear()
            if self._closing.is_set():
                break
            try:
                self._write(connection)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                self._arrival.set()  # it waits, and is tried again with what comes meanwhile
        self._write(connection, ended=time.time())

    def _begin(self, connection: sqlite3.Connection, stack: contextlib.ExitStack) -> None:
        with _transaction(connection):
            # Before others see a run: a reader takes one without a lock for interrupted. And in the transaction: a lock
            # without a run that another one sees is of a process that was killed in here.
            stack.enter_context(holding(lock_file(self._path, self._key)))
            statement = "INSERT INTO runs (key, title, pid, began) VALUES (?, ?, ?, ?)"
            done = connection.execute(statement, (self._key, self._title, os.getpid(), self._began))
            self._run = done.lastrowid or 0
            self._note_interrupted(connection)
            with contextlib.suppress(OSError):
                self._remove_locks_without_runs(connection)
            self._forget_old(connection)

    def _note_interrupted(self, connection: sqlite3.Connection) -> None:
        """Write down which runs ended without saying so. Readers see that by themselves; so no lock has to be kept."""
        unended = "SELECT id, key FROM runs WHERE ended IS NULL AND id != ?"
        for run, key in connection.execute(unended, (self._run,)).fetchall():
            try:
                if not is_free(lock_file(self._path, key), patience=0):  # others wait for this transaction
                    continue
            except (OSError, ValueError):  # another user's, or a key that nobody of us made
                continue
            # Should the run have ended in between, it has said so: its lock is free only after that.
            statement = (
                "UPDATE runs SET ending = 'interrupted', ended ="
                " max(began, coalesce((SELECT max(at) FROM entries WHERE run = id), began))"
                " WHERE id = ? AND ended IS NULL"
            )
            connection.execute(statement, (run,))
            with contextlib.suppress(OSError):
                lock_file(self._path, key).unlink()

    def _remove_locks_without_runs(self, connection: sqlite3.Connection) -> None:
        keys = keys_of_locks(self._path)
        if keys == [self._key]:
            return
        known = {key for (key,) in connection.execute("SELECT key FROM runs")}
        for key in keys:
            file = lock_file(self._path, key)
            with contextlib.suppress(OSError):
                if key not in known and is_free(file, patience=0):
                    file.unlink()

    def _forget_old(self, connection: sqlite3.Connection) -> None:
        old = "SELECT id FROM runs WHERE ended IS NOT NULL AND id <= ?"
        oldest = connection.execute("SELECT id FROM runs ORDER BY id DESC LIMIT 1 OFFSET ?", (self._keep,)).fetchone()
        if oldest is not None:
            connection.execute(f"DELETE FROM entries WHERE run IN ({old})", oldest)  # noqa: S608 - constant text
            connection.execute("DELETE FROM runs WHERE ended IS NOT NULL AND id <= ?", oldest)

    def _write(self, connection: sqlite3.Connection, *, ended: float | None = None) -> None:
        """One transaction with all that waits. What could not be written goes on waiting."""
        with self._lock:
            if ended is not None:
                self._waiting.extend(self._entries.rest(ended))
            rows, totals = list(self._waiting), self._entries.totals
        with _transaction(connection):
            connection.executemany(
                "INSERT INTO entries (run, number, at, kind, body) VALUES (?, ?, ?, ?, ?)",
                ((self._run, number, row.at, row.kind, row.body) for number, row in enumerate(rows, self._number + 1)),
            )
            statement = "UPDATE runs SET tasks = ?, failed = ?, requests = ?, fuel = ?, dropped = ? WHERE id = ?"
            connection.execute(statement, (*astuple(totals), self._run))
            if ended is not None:
                end = "UPDATE runs SET ended = ?, ending = ? WHERE id = ?"
                connection.execute(end, (ended, self._ending, self._run))
        self._number += len(rows)
        with self._lock:
            for _ in rows:
                self._bytes -= len(self._waiting.popleft().body)


def _shown(text: str) -> str:
    """A path may have characters in it that steer a terminal, which is where a log may go."""
    return text if text.isprintable() else repr(text)[1:-1]


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk may have rolled it back already
            connection.execute("ROLLBACK")
        raise
