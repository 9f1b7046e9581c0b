"""Databases in the folders of a sandbox: who waits for whom, what can be read without a lock, and what ends leave."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import anyio
import pytest

from capsule import Policy, Runtime, TaskFailed
from capsule._guest.cache import CompiledGuest
from loops import in_turn

PROGRAM = """
import contextlib, os, sqlite3, time
from capsule import task

kept = None

def opened(**how):
    connection = sqlite3.connect("out/a.db", **how)
    connection.execute("create table if not exists t(a, b)")
    connection.commit()
    return connection

def rows(first, count):
    for number in range(first, first + count):
        yield number, "x"

@task
def holds(seconds):
    with opened() as connection:
        connection.execute("insert into t values(-1, '')")
        open("out/held", "w").close()
        time.sleep(seconds)

def wait_for_holder():
    while not os.path.exists("out/held"):
        time.sleep(0.002)

@task
def adds(how):
    wait_for_holder()
    connection = sqlite3.connect("out/a.db")
    match how:
        case "execute":
            with connection:
                connection.execute("insert into t values(?, ?)", (1, "x"))
        case "executemany":
            with connection:
                assert connection.executemany("insert into t values(?, ?)", rows(0, 50)).rowcount == 50
        case "immediate":
            connection.isolation_level = "IMMEDIATE"
            with connection:
                connection.execute("insert into t values(1, 'x')")
        case "never legacy":
            with contextlib.closing(sqlite3.connect("out/a.db", autocommit=False)) as other:
                other.execute("insert into t values(1, 'x')")
                other.commit()
        case "a script":
            connection.executescript("insert into t values(1, ';'); begin; insert into t values(2, 'x'); commit")
        case "a subclass":
            class Mine(sqlite3.Connection): pass
            with sqlite3.connect("out/a.db", factory=Mine) as mine:
                assert type(mine) is Mine and isinstance(mine.cursor(), sqlite3.Cursor)
                mine.execute("insert into t values(1, 'x')")
        case "made directly":
            with sqlite3.Connection("out/a.db") as direct:
                sqlite3.Cursor(direct).execute("insert into t values(1, 'x')")
        case "dbapi2":
            with sqlite3.dbapi2.connect("out/a.db") as other:
                other.execute("insert into t values(1, 'x')")
        case "a pragma":
            connection = sqlite3.connect("out/a.db", timeout=0)
            assert connection.execute("pragma busy_timeout = 4000;").fetchall() == [(4000,)]
            connection.executescript("/**/ " * 99 + "PRAGMA busy_timeout(5000); " + "/**/ " * 99 + "insert into t values(1, 'x')")
            assert connection.execute("PRAGMA busy_timeout").fetchone() == (5000,)
        case "a backup":
            copy = sqlite3.connect(":memory:")
            connection.backup(copy, sleep=0.01)
            return copy.execute("select a from t order by a").fetchall()
        case "a blob":
            with connection.blobopen("t", "b", 1) as blob:
                return len(blob)
        case "attached":
            other = sqlite3.connect(":memory:")
            other.execute("attach 'out/a.db' as z")
            return other.execute("select a from z.t order by a").fetchall()
        case "a dump":
            return len(list(connection.iterdump()))
    return connection.execute("select a from t order by a").fetchall()

@task
def adds_each(first):
    connection = opened(isolation_level=None)
    connection.executemany("insert into t values(?, ?)", rows(first, 60))

@task
def is_told(timeout):
    start = time.monotonic()
    try:
        sqlite3.connect("out/a.db", timeout=timeout).execute("select 1 from t")
    except sqlite3.OperationalError as error:
        return str(error), error.sqlite_errorname, time.monotonic() - start

@task
def rows_that_fail():
    def failing():
        yield 1, "x"
        raise sqlite3.OperationalError("database is locked")
    connection, start = opened(), time.monotonic()
    try:
        connection.executemany("insert into t values(?, ?)", failing())
    except sqlite3.OperationalError as error:
        return time.monotonic() - start < 1, connection.execute("select a from t").fetchall()

@task
def opens_before_there_is_anything():
    first = sqlite3.connect("out/a.db", isolation_level=None)
    opened().close()
    first.executemany("insert into t values(?, ?)", rows(0, 3))
    return first.execute("select a from t").fetchall()

@task
def opens_what_is_none():
    open("out/a.db", "w").write("no database" * 1000)
    sqlite3.connect("out/a.db").execute("select 1 from t")

SCRIPT = '''
-- a comment; with a semicolon
create table "a;b"(x); insert into "a;b" values('it''s; so'); /* ; */
create trigger tr after insert on t begin insert into "a;b" values(new.a); insert into "a;b" values(';'); end;
begin; insert into t values(1, ';'); rollback;
insert into t values(2, '--');
select case when 1 then ';' end; ;
'''

@task
def scripts():
    connection = opened()
    connection.execute("insert into t values(0, '')")
    cursor = connection.executescript(SCRIPT)
    connection.rollback()
    found = connection.execute("select a from t").fetchall(), connection.execute('select x from "a;b"').fetchall()
    connection.execute("insert into t values(7, '')")
    return [*found, type(cursor) is sqlite3.Cursor, connection.in_transaction, connection.autocommit]

@task
def sorts():
    connection = opened()
    connection.executemany("insert into t values(?, ?)", ((number, str(number) * 10) for number in range(50_000)))
    connection.commit()
    connection.execute("create unique index i on t(a, b)")
    connection.execute("update t set a = a + 1000000")
    connection.commit()
    connection.execute("vacuum")
    ordered = connection.execute("select b from t order by b || 'x' desc limit 40000").fetchall()
    return len(ordered), connection.execute("select count(distinct b || a) from t").fetchone()[0]

@task
def is_ended():
    connection = opened()
    connection.execute("insert into t values(1, '')")
    while True: pass

@task
def forgets():
    global kept
    kept = opened()
    kept.execute("insert into t values(1, '')")

@task
def stops_reading():
    global kept
    with opened() as connection:
        connection.executemany("insert into t values(?, ?)", rows(0, 5))
    kept = connection.execute("select a from t")
    kept.fetchone()

@task
def reads_in_a_circle():
    connection = opened()
    connection.execute("insert into t values(1, ''), (2, '')")
    connection.commit()
    circle = [connection.execute("select a from t")]
    circle[0].fetchone()
    circle.append(circle)

@task
def keeps_a_blob():
    global kept
    connection = opened()
    connection.execute("insert into t values(1, 'text')")
    connection.commit()
    kept = connection.blobopen("t", "b", 1)

@task
def raises():
    connection = opened()
    connection.execute("insert into t values(1, '')")
    1 / 0

@task
def reads(path, is_uri):
    connection = sqlite3.connect(path, uri=is_uri)
    found = connection.execute("select a from t").fetchall()
    try:
        connection.execute("insert into t values(2, '')")
    except sqlite3.OperationalError as error:
        return found, str(error)

@task
def reads_attached():
    connection = sqlite3.connect(":memory:", uri=True)
    connection.execute("attach 'file:data/a.db?mode=ro&nolock=1' as z")
    return connection.execute("select a from z.t").fetchall()
"""

OTHERS = {
    **dict.fromkeys(("execute", "immediate", "never legacy", "a subclass", "made directly", "dbapi2"), [[-1], [1]]),
    "executemany": [[-1], *([number] for number in range(50))],
    "a script": [[-1], [1], [2]],
    "a pragma": [[-1], [1]],
    "a backup": [[-1]],
    "a blob": 0,
    "attached": [[-1]],
    "a dump": 4,
}


@pytest.fixture
def program(write) -> str:
    Path("out").mkdir()
    return write("p.py", PROGRAM)


def runtime_with(*mounts: str, **settings: object) -> Runtime:
    return Runtime(policy=Policy(mounts=mounts, compute="HIGH", **{"timeout": "20s", **settings}))


@in_turn("how", {how: how for how in OTHERS})
async def test_whoever_comes_second_waits(how: str, guest: CompiledGuest, program: str) -> None:
    """Until the first has committed, in whichever way it asks, and then each row is there once."""
    async with runtime_with("out:rw") as runtime, anyio.create_task_group() as both:
        both.start_soon(runtime.run, f"{program}:holds", 0.2)
        assert await runtime.run(f"{program}:adds", how) == OTHERS[how]


async def test_two_write_each_row_by_itself(guest: CompiledGuest, program: str) -> None:
    """In autocommit mode either may be refused at any row of a generator, and no row is lost or there twice."""
    async with runtime_with("out:rw") as runtime, anyio.create_task_group() as both:
        for first in (0, 60):
            both.start_soon(runtime.run, f"{program}:adds_each", first)
    with contextlib.closing(sqlite3.connect("out/a.db")) as outside:
        assert outside.execute("select a from t order by a").fetchall() == [(number,) for number in range(120)]


async def test_a_wait_that_is_too_long(guest: CompiledGuest, program: str) -> None:
    """After `timeout` seconds the database is locked, and at once without any."""
    async with runtime_with("out:rw") as runtime, anyio.create_task_group() as both:
        both.start_soon(runtime.run, f"{program}:holds", 1)
        while not Path("out/held").exists():
            await anyio.sleep(0.002)
        *said, waited = await runtime.run(f"{program}:is_told", 0.2)
        assert said == ["database is locked", "SQLITE_BUSY"]
        assert waited >= 0.2
        *said, waited = await runtime.run(f"{program}:is_told", 0)
        assert said == ["database is locked", "SQLITE_BUSY"]
        assert waited < 0.2


async def test_what_is_not_tried_again(guest: CompiledGuest, program: str) -> None:
    """An error of the rows themselves, whatever it says."""
    async with runtime_with("out:rw") as runtime:
        assert await runtime.run(f"{program}:rows_that_fail") == [True, [[1]]]


async def test_a_file_that_was_empty(guest: CompiledGuest, program: str) -> None:
    """Whoever opened it sees what another made of it; what is no database is none."""
    async with runtime_with("out:rw") as runtime:
        assert await runtime.run(f"{program}:opens_before_there_is_anything") == [[0], [1], [2]]
        with pytest.raises(TaskFailed, match="DatabaseError: file is not a database"):
            await runtime.run(f"{program}:opens_what_is_none")


async def test_a_script(guest: CompiledGuest, program: str) -> None:
    """Each statement runs once; what was open is committed before, and the transactions are the script's own."""
    async with runtime_with("out:rw") as runtime:
        ran = await runtime.run(f"{program}:scripts")
    assert ran == [[[0], [2]], [["it's; so"], [2], [";"]], True, True, -1]


@pytest.mark.parametrize("workspace", [None, "50MB"])
async def test_much_that_is_sorted(guest: CompiledGuest, program: str, workspace: str | None) -> None:
    """With or without a folder for temporary files."""
    async with runtime_with("out:rw", workspace=workspace, timeout="30s") as runtime:
        assert await runtime.run(f"{program}:sorts") == [40_000, 50_000]


@pytest.mark.parametrize("task", ["forgets", "raises", "stops_reading", "reads_in_a_circle", "keeps_a_blob"])
async def test_what_is_left_open(guest: CompiledGuest, program: str, task: str) -> None:
    """It is closed when its task answers, however that is, a transaction is rolled back, and no lock is left."""
    async with runtime_with("out:rw") as runtime:
        with contextlib.suppress(TaskFailed):
            await runtime.run(f"{program}:{task}")
    assert [file.name for file in Path("out").iterdir()] == ["a.db"]


async def test_a_task_that_lives_keeps_its_connection(guest: CompiledGuest, write) -> None:
    """Between two messages it holds no lock, and the connection that its module made is there for the next."""
    Path("out").mkdir(exist_ok=True)
    program = write(
        "lives.py",
        "import sqlite3\nfrom capsule import task\nkept = sqlite3.connect('out/b.db')\n"
        "kept.execute('create table if not exists t(a)')\n"
        "@task\ndef main(commits):\n    kept.execute('insert into t values(1)')\n    if commits: kept.commit()\n"
        "    return kept.execute('select count(*) from t').fetchone()[0]\n",
    )
    async with runtime_with("out:rw") as runtime:
        live = await runtime.spawn(f"{program}:main")
        assert [await live(True), await live(False), await live(True)] == [1, 2, 2]
        assert not Path("out/b.db.lock").exists()


async def test_a_lock_that_is_left_behind(guest: CompiledGuest, program: str) -> None:
    """By a sandbox that was ended: others are told that the database is locked, until somebody removes the lock."""
    async with runtime_with("out:rw", timeout="1s") as runtime:
        with pytest.raises(TaskFailed, match="timeout"):
            await runtime.run(f"{program}:is_ended")
        said = await runtime.run(f"{program}:is_told", 0.1)
        assert said[0] == "database is locked"
        Path("out/a.db.lock").rmdir()
        assert await runtime.run(f"{program}:is_told", 0.1) is None


WAYS = {
    "a path": ("data/a.db", False),
    "an absolute path": ("/data/../data/a.db", False),
    "a name to quote": ("data/50% #?.db", False),
    "a URI": ("file:data/a.db", True),
    "a URI with a mode": ("file:///data/a.db?mode=ro#x", True),
    "a URI that would write": ("file:/data/a%2Edb?mode=rw&cache=private", True),
}


@in_turn("way", WAYS)
async def test_a_folder_that_can_only_be_read(way: tuple[str, bool], guest: CompiledGuest, write) -> None:
    """Its databases are read, also while somebody else's lock lies there; nothing is written and nothing is left."""
    program, data = write("p.py", PROGRAM), Path("data")
    data.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(data / "a.db")) as outside, outside:
        outside.executescript("drop table if exists t; create table t(a, b); insert into t values(1, '')")
    shutil.copy(data / "a.db", data / "50% #?.db")
    (data / "a.db.lock").mkdir(exist_ok=True)
    async with runtime_with("data") as runtime:
        assert await runtime.run(f"{program}:reads", *way) == [[[1]], "attempt to write a readonly database"]
        assert await runtime.run(f"{program}:reads_attached") == [[1]]
    assert sorted(file.name for file in data.iterdir()) == ["50% #?.db", "a.db", "a.db.lock"]
