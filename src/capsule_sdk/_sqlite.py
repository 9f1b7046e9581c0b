"""`sqlite3` in a sandbox: SQLite waits for a lock in C, which would end the sandbox, so it is told not to, and Python
waits; it locks by a folder beside the database, which cannot be made where a folder can only be read; and it has no
place for its temporary files where there is no workspace, and no source of chance at all.
"""

import _sqlite3
import contextlib
import functools
import itertools
import os
import posixpath
import re
import time
import urllib.parse
import weakref

from . import _rights

LOCKED = "database is locked"  # the code, SQLITE_BUSY, stands for more: statements that are not at their end
STRANGE = "file is not a database"
SHORTEST, LONGEST = 0.001, 0.05  # seconds between two tries
FACTORY = 5  # its place among the arguments of `connect`

_PARTS = re.compile(r"""'[^']*'?|"[^"]*"?|`[^`]*`?|\[[^\]]*\]?|--[^\n]*|/\*.*?(?:\*/|\Z)|;""", re.DOTALL)
_PATIENCE = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*+pragma\s+(?:\w+\.)?busy_timeout\s*"
    r"(?:[=(]\s*['\"]?(?P<ms>[+-]?\d+)['\"]?\s*\)?\s*)?(?:\s|;|--[^\n]*+|/\*(?:(?!\*/).)*+\*/)*+\Z",
    re.DOTALL | re.IGNORECASE,
)
_open = weakref.WeakValueDictionary()  # id -> connection
_reading = weakref.WeakSet()  # cursors: a statement that is not at its end keeps its lock, whatever becomes of the rest


def mend(module):
    """Put our classes into `sqlite3` or `sqlite3.dbapi2`, whose own they are made of."""
    module.Connection, module.Cursor, module.connect = Connection, Cursor, connect


def let_go(for_good):
    """End what a task left open, as the end of a process does: its locks would stay for ever.

    Not `for_good`, only transactions: a connection that a module holds is used again by the next message of a task that
    lives.
    """
    for each in list(_reading) if for_good else ():
        with contextlib.suppress(_sqlite3.Error):  # it is closed, or belongs to another thread
            _sqlite3.Cursor.close(each)
    for each in list(_open.values()):
        with contextlib.suppress(_sqlite3.Error):
            if for_good:
                _sqlite3.Connection.close(each)
            elif each.in_transaction:
                _sqlite3.Connection.rollback(each)


@functools.wraps(_sqlite3.connect)
def connect(*args, **named):
    if len(args) <= FACTORY:
        named.setdefault("factory", Connection)
    return _sqlite3.connect(*args, **named)


class Cursor(_sqlite3.Cursor):
    """`sqlite3.Cursor`, which waits for a lock as long as its connection's timeout says."""

    __module__ = "sqlite3"

    def __init__(self, connection, /):
        super().__init__(connection)
        _reading.add(self)

    def execute(self, sql, parameters=(), /):
        return _patiently(self.connection, super().execute, _put(self.connection, sql), parameters)

    def executemany(self, sql, parameters, /):
        """After a wait in the middle, which there is only in autocommit mode, `rowcount` counts what came after it."""
        rows = _Rows(parameters)
        return _patiently(self.connection, super().executemany, sql, rows, is_final=lambda: rows.failed)

    def executescript(self, sql_script, /):
        """One statement at a time, so that none is run again."""
        with _one_commit(self.connection):
            for statement in _statements(sql_script):
                _patiently(self.connection, super().executescript, _put(self.connection, statement))
        return self


class Connection(_sqlite3.Connection):
    """`sqlite3.Connection`, whose SQLite is told not to wait."""

    __module__ = "sqlite3"
    _patience = 0.0  # seconds

    def __init__(
        self,
        database,
        timeout=5.0,
        detect_types=0,
        isolation_level="",
        check_same_thread=True,
        factory=None,
        cached_statements=128,
        uri=False,
        *,
        autocommit=_sqlite3.LEGACY_TRANSACTION_CONTROL,
    ):
        self._patience = float(timeout)
        database, uri = _readable(database, uri)
        super().__init__(
            database,
            timeout=0,
            detect_types=detect_types,
            isolation_level=isolation_level,
            check_same_thread=check_same_thread,
            cached_statements=cached_statements,
            uri=uri,
            autocommit=autocommit,
        )
        _open[id(self)] = self
        _draw_anew(self)
        if not os.path.isdir(_rights.TEMPORARY) or _rights.mode_of(_rights.TEMPORARY) == "ro":
            _sqlite3.Cursor(self).execute("pragma temp_store=memory")

    def cursor(self, factory=Cursor):
        return super().cursor(factory)

    def execute(self, sql, parameters=(), /):
        return Connection.cursor(self).execute(sql, parameters)

    def executemany(self, sql, parameters, /):
        return Connection.cursor(self).executemany(sql, parameters)

    def executescript(self, sql_script, /):
        return Connection.cursor(self).executescript(sql_script)

    def blobopen(self, *args, **named):
        return _patiently(self, functools.partial(super().blobopen, *args, **named))

    def backup(self, target, *, pages=-1, progress=None, name="main", sleep=0.250):
        """Waits for a lock as long as it takes, as the real one; what is locked in the middle is copied anew."""

        def look(status, remaining, total):
            if progress is not None:
                progress(status, remaining, total)
            if status in {_sqlite3.SQLITE_BUSY, _sqlite3.SQLITE_LOCKED}:
                raise _Locked  # or it would sleep in C

        while True:
            try:
                return super().backup(target, pages=pages, progress=look, name=name)
            except _Locked:
                time.sleep(sleep)


class _Locked(Exception):
    """A step of a backup found a lock."""


class _Rows:
    """Rows for `executemany`: a new iteration begins with the row that ended the one before, since it was refused."""

    def __init__(self, rows):
        self.failed = False  # whether to get a row raised, so that there are no more
        self._refused, self._rows = (), iter(rows)

    def __iter__(self):
        try:
            for row in itertools.chain(self._refused, self._rows):
                self._refused = (row,)
                yield row
                self._refused = ()
        except Exception:
            self.failed = True
            raise


def _patiently(connection, call, *args, is_final=bool):
    """What `call` answers, tried again while the database is locked, until its time is over or the error `is_final`.

    Of a file that was empty when it was opened, SQLite says once that it is no database: what has ended is not read on.
    """
    end, pause, was_strange = None, SHORTEST, False
    while True:
        try:
            return call(*args)
        except _sqlite3.DatabaseError as error:
            said = str(error)
            known = {_sqlite3.OperationalError: LOCKED, _sqlite3.DatabaseError: STRANGE}  # a trigger may say the same
            if is_final() or known.get(type(error)) != said or (said == STRANGE and was_strange):
                raise
            now = time.monotonic()
            end = now + getattr(connection, "_patience", 0) if end is None else end
            if said == LOCKED and now >= end:
                raise
        if said == STRANGE:
            was_strange = True
        else:
            time.sleep(min(pause, end - now))
            pause = min(2 * pause, LONGEST)


def _put(connection, sql):
    """`sql` for SQLite, which is not told of a `pragma busy_timeout`: the time is kept here."""
    found = _PATIENCE.match(sql)
    if not found:
        return sql
    if found["ms"]:
        connection._patience = max(0, int(found["ms"])) / 1000
    return f"select {round(connection._patience * 1000)} as timeout"


def _statements(script):
    """The statements of a script, as they are, and what is behind the last."""
    start = 0
    for found in _PARTS.finditer(script):
        statement = script[start : found.end()]
        if found[0] == ";" and _sqlite3.complete_statement(statement):
            yield statement
            start = found.end()
    yield script[start:]


@contextlib.contextmanager
def _one_commit(connection):
    """What `sqlite3` commits before each script is committed once, and not between the statements of one."""
    legacy = connection.autocommit == _sqlite3.LEGACY_TRANSACTION_CONTROL
    if legacy:
        connection.autocommit = True
    try:
        yield
    finally:
        if legacy:
            connection.autocommit = _sqlite3.LEGACY_TRANSACTION_CONTROL


def _readable(database, is_uri):
    """How to open a database, and whether that is a URI: without a lock if its folder can only be read."""
    name = os.fsdecode(database)
    uri = name if is_uri and name.startswith("file:") else None
    path = name if uri is None else urllib.parse.unquote(urllib.parse.urlsplit(uri).path)
    if path in {"", ":memory:"} or _rights.mode_of(posixpath.abspath(path)) != "ro":
        return database, is_uri
    if uri is None:
        uri = "file://" + urllib.parse.quote("/" + posixpath.abspath(path).lstrip("/"))
    return _with_missing(uri, {"mode": "ro", "nolock": "1"}), True


def _with_missing(uri, wanted):
    """`uri` with those parameters that it says nothing of."""
    base, mark, fragment = uri.partition("#")
    given = urllib.parse.parse_qs(base.partition("?")[2], keep_blank_values=True)
    missing = urllib.parse.urlencode({name: value for name, value in wanted.items() if name not in given})
    return f"{base}{'&' if '?' in base else '?'}{missing}{mark}{fragment}" if missing else uri


def _draw_anew(connection):
    """SQLite finds no source of chance here, and would draw the same in every sandbox."""
    connection.create_function("random", 0, lambda: int.from_bytes(os.urandom(8), "little", signed=True))
    connection.create_function("randomblob", 1, lambda size: os.urandom(max(1, _whole(size))))


def _whole(value):
    """A value of SQL as SQLite takes it for a whole number: as far as it is one."""
    if isinstance(value, int | float):
        return int(value)
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
    found = re.match(r"\s*[+-]?\d+", text)
    return int(found[0]) if found else 0
