"""Hostile guests with folders: what the right to see some does not give, row by row, on a real disk.

Each row's program sees `data` (to read) and `out` (to write); beside them lies what nobody gave it. Its neighbour, which
does nothing wrong, must pass in the same runtime.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from capsule import InvalidPolicy, InvalidProgram, Outcome, Policy, RightsRefused, Runtime
from capsule._engine import folders as engine_folders
from capsule._guest.cache import CompiledGuest
from capsule.cache import VARIABLE
from loops import in_turn

SECRET = "what nobody gave"
HARMLESS = "    return open('data/x.txt').read()"
KEPT = "    open('out/n.txt', 'w').write('new'); return open('out/n.txt').read()"
MADE = (
    "    os.makedirs('./out', exist_ok=True); os.makedirs('/out/deep', exist_ok=True); return os.path.isdir('out/deep')"
)
BACK = "    import contextlib\n    with contextlib.chdir('out'): pass\n    os.chdir('data'); os.chdir('/'); return os.getcwd()"
posix = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and modes of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="watched by way of /proc")


@dataclass(frozen=True, kw_only=True)
class Row:
    """`hostile` is the body of `main()`. It raises one of `raises`, or ends as `error_type` with `message`, or answers
    `result`.
    """

    name: str
    hostile: str
    raises: tuple[str, ...] = ()
    error_type: str | None = None
    message: str = ""
    result: Any = None
    harmless: str = HARMLESS
    value: Any = "hello"
    policy: dict[str, Any] = field(default_factory=dict)


REFUSED = ("PermissionError", "FileNotFoundError")


def refused(name: str, code: str, *raises: str, **more: Any) -> Row:
    return Row(name=name, hostile=f"    {code}", raises=raises or REFUSED, **more)


def changes(name: str, code: str, **more: Any) -> Row:
    """Of what can only be read; the neighbour does the same where it may."""
    return refused(
        name, code, "PermissionError", harmless=f"    {code.replace('data', 'out')}; return 1", value=1, **more
    )


TMP = {"policy": {"workspace": "1MB"}}
FULL = {"error_type": "denied", "message": "a larger workspace would allow it", **TMP}

ROWS = (
    refused("a link out of the folder, relative", "open('data/rel/secret.txt').read()"),
    refused("a link out of the folder, absolute", "open('data/abs/secret.txt').read()"),
    refused("a link to a file outside", "open('data/link').read()", harmless="    return open('data/inner').read()"),
    refused("the size of what a link leads to", "os.stat('data/link').st_size"),
    refused("where an absolute link leads to", "os.readlink('data/abs')"),
    refused("a list of what a link leads to", "os.listdir('data/rel')"),
    refused("a link of the guest's own", "os.symlink('../../outside/secret.txt', 'out/mine'); open('out/mine').read()"),
    refused(
        "writing through it", "os.symlink('../../outside/secret.txt', 'out/mine'); open('out/mine', 'w').write('x')"
    ),
    refused("an absolute link of its own", "os.symlink('/etc/passwd', 'out/mine')", harmless=KEPT, value="new"),
    refused("removing what is behind a link", "os.remove('out/rel/secret.txt')", harmless=KEPT, value="new"),
    refused("times of what is behind a link", "os.utime('out/link', (0, 0))", harmless=KEPT, value="new"),
    Row(name="a tree with a link in it", hostile="    shutil.rmtree('out/rel')", raises=("OSError",)),
    refused("upwards", "open('data/../../outside/secret.txt').read()"),
    refused("upwards from far below", "open('data/sub/../../../outside/secret.txt').read()"),
    refused("upwards and down into the other folder", "open('data/../out/x.txt').read()"),
    refused("upwards by a link of its own", "os.symlink('..', 'out/up'); open('out/up/program.py').read()"),
    refused(
        "upwards from an open folder",
        "os.open('../outside/secret.txt', os.O_RDONLY, dir_fd=os.open('data', os.O_RDONLY))",
    ),
    refused("the program's own file", "open('hostile.py').read()"),
    refused(
        "writing beside the folders",
        "open('new', 'w')",
        harmless="    return sorted(os.listdir('/')), sorted(os.listdir('.')) == sorted(os.listdir('/'))",
        value=[["data", "out", "tmp"], True],
        **TMP,
    ),
    refused("making a folder beside them", "os.mkdir('/new')", harmless=MADE, value=True),
    refused("renaming one of them", "os.rename('/data', '/other')"),
    refused(
        "times of the current folder", "os.utime('/', (0, 0))", harmless="    return os.path.isdir('.')", value=True
    ),
    refused("upwards from the current folder", "os.listdir('/..')", harmless=BACK, value="/"),
    refused("upwards from it, far", "open('../' * 20 + OUTSIDE[1:]).read()"),
    Row(
        name="more open folders than allowed, of what is not mounted",
        hostile="    kept = []\n    while True: kept.append(os.open('/', os.O_RDONLY))",
        error_type="denied",
        message="more than 100 open files",
        harmless="    return len([os.open('/', os.O_RDONLY) for _ in range(50)])",
        value=50,
    ),
    refused("an absolute path", "open(OUTSIDE).read()"),
    refused("the passwords", "open('/etc/passwd').read()"),
    refused("the host's environment", "open('/proc/self/environ').read()"),
    refused("the host's memory", "open('/proc/self/mem', 'rb').read(1)"),
    refused("the host's descriptors", "os.listdir('/proc/self/fd')"),
    refused("a device of the host", "open('/dev/zero', 'rb').read(1)"),
    refused("a temporary folder that it was not given", "open('/tmp/x', 'w')", policy={}),
    Row(
        name="a NUL in a path",
        hostile="    open('data/x.txt\\0/../../outside/secret.txt')",
        raises=("ValueError",),
    ),
    Row(name="a name that no system has", hostile="    open('out/' + 'n' * 300, 'w')", raises=("OSError",)),
    Row(name="a path that no system has", hostile="    open('out/' + 'n/' * 3000)", raises=("OSError",)),
    Row(name="a link to itself", hostile="    open('data/loop').read()", raises=("OSError",)),
    changes("writing", "open('data/n.txt', 'w').write('x')"),
    changes("appending", "open('data/x.txt', 'a').write('x')"),
    changes("writing in the middle", "open('data/x.txt', 'r+').write('x')"),
    changes("cutting off", "os.truncate('data/x.txt', 0)"),
    changes("removing", "os.unlink('data/x.txt')"),
    changes("renaming", "os.rename('data/x.txt', 'data/y.txt')"),
    changes("making a folder", "os.mkdir('data/new')"),
    changes("removing a folder", "os.rmdir('data/sub')"),
    changes("making a link", "os.symlink('x.txt', 'data/mine')"),
    changes("setting times", "os.utime('data/x.txt', (0, 0))"),
    refused(
        "a database", "__import__('sqlite3').connect('data/q.db').execute('create table t(a)')", "OperationalError"
    ),
    refused(
        "writing into a database that can only be read",
        "__import__('sqlite3').connect('data/r.db').execute('insert into t values(2)')",
        "OperationalError",
        harmless="    return __import__('sqlite3').connect('data/r.db').execute('select a from t').fetchall()",
        value=[[1]],
    ),
    refused(
        "the same, with a URI that says how to open it",
        "__import__('sqlite3').connect('file:data/r.db?mode=rwc&nolock=0', uri=True).execute('delete from t')",
        "OperationalError",
        harmless="    return __import__('sqlite3').connect('file:data/r.db', uri=True).execute('select a from t').fetchone()",
        value=[1],
    ),
    refused(
        "a database outside, by a URI without locks",
        "__import__('sqlite3').connect('file:data/../../outside/secret.txt?mode=ro&nolock=1', uri=True)",
        "OperationalError",
    ),
    refused(
        "a database outside",
        "__import__('sqlite3').connect(':memory:').execute(f\"attach '{OUTSIDE}' as z\")",
        "OperationalError",
        harmless="    return __import__('sqlite3').connect('out/q.db').execute('pragma user_version').fetchone()[0]",
        value=0,
    ),
    Row(
        name="modes, which are not there to be changed",
        hostile="    os.chmod('data/x.txt', 0o777); os.chmod('out/x.txt', 0o7777)",
        result=None,
    ),
    refused("a hard link from what can only be read", "os.link('data/x.txt', 'out/mine')"),
    refused("a hard link to a link's target", "os.link('out/link', 'out/mine'); open('out/mine').read()"),
    refused("moving out of what can only be read", "os.rename('data/x.txt', 'out/mine')"),
    refused("moving into it", "os.rename('out/x.txt', 'data/mine')"),
    refused("moving out of the folder", "os.rename('out/x.txt', 'out/../../outside/mine')"),
    Row(name="removing the folder itself", hostile="    os.rmdir('out')", raises=("OSError",)),
    Row(name="moving the folder itself", hostile="    os.rename('out', 'out2')", raises=REFUSED),
    Row(
        name="removing all there is in it",
        hostile="    shutil.rmtree('out', ignore_errors=True); return os.path.isdir('out')",
        result=True,
    ),
    Row(name="a pipe", hostile="    open('data/pipe').read()", error_type="denied", message="does not open"),
    Row(name="a pipe to write to", hostile="    open('out/pipe', 'w')", error_type="denied", message="does not open"),
    Row(
        name="a pipe, and a timeout",
        hostile="    open('data/pipe').read()",
        error_type="timeout",
        policy={"timeout": "100ms"},
    ),
    Row(
        name="a pipe that a guest waits for again and again",
        hostile="    while True:\n        try: os.open('data/pipe', os.O_RDONLY)\n        except OSError: pass",
        error_type="denied",
        message="does not open",
    ),
    Row(name="both ends of a pipe", hostile="    os.read(os.open('out/pipe', os.O_RDWR), 10)", raises=("OSError",)),
    Row(name="a socket that lies in a folder", hostile="    open('data/socket').read()", raises=("OSError",)),
    Row(
        name="reading for ever",
        hostile="    while True: open('data/x.txt').read()",
        error_type="timeout",
        policy={"timeout": "200ms", "compute": "HIGH"},
    ),
    Row(
        name="a huge file, bit by bit",
        hostile="    f = open('data/huge', 'rb')\n    while f.read(1 << 20): pass",
        error_type="timeout",
        policy={"timeout": "200ms", "compute": "HIGH"},
    ),
    Row(name="a huge file at once", hostile="    open('data/huge', 'rb').read()", error_type="memory_exhausted"),
    Row(
        name="more open files than allowed",
        hostile="    kept = []\n    while True: kept.append(open('data/x.txt'))",
        error_type="denied",
        message="more than 100 open files",
        harmless="    kept = [open('data/x.txt') for _ in range(50)]; return kept[-1].read()",
    ),
    Row(
        name="more open files than allowed, in its workspace",
        hostile="    kept = []\n    while True: kept.append(open('/tmp/x', 'w'))",
        error_type="denied",
        message="more than 100 open files",
        **TMP,
    ),
    Row(
        name="a workspace that is filled",
        hostile="    f = open('/tmp/x', 'wb')\n    while True: f.write(bytes(100_000))",
        harmless="    open('/tmp/x', 'wb').write(bytes(900_000)); return os.path.getsize('/tmp/x')",
        value=900_000,
        **FULL,
    ),
    Row(name="a workspace that is filled at once", hostile="    open('/tmp/x', 'wb').write(bytes(3 << 20))", **FULL),
    Row(
        name="a workspace that is filled with nothing",
        hostile="    open('/tmp/x', 'wb').truncate(1 << 40)",
        **FULL,
    ),
    Row(
        name="a workspace that is filled with files",
        hostile="    n = 0\n    while True: n += 1; open(f'/tmp/{n}', 'w').close()",
        harmless="    [open(f'/tmp/{n}', 'w').close() for n in range(100)]; return len(os.listdir('/tmp'))",
        value=100,
        **FULL,
    ),
    Row(
        name="a workspace that is filled with links",
        hostile="    n = 0\n    while True: n += 1; os.symlink('x', f'/tmp/{n}')",
        **FULL,
    ),
    Row(
        name="a workspace that is filled with a file that is removed already",
        hostile="    f = open('/tmp/x', 'wb'); os.remove('/tmp/x')\n    while True: f.write(bytes(100_000))",
        harmless="    f = open('/tmp/x', 'w+b'); os.remove('/tmp/x'); f.write(bytes(900_000)); f.seek(0); return len(f.read())",
        value=900_000,
        **FULL,
    ),
    Row(
        name="a workspace that is filled in a folder that is removed already",
        hostile="    os.mkdir('/tmp/d'); f = open('/tmp/d/x', 'wb'); os.remove('/tmp/d/x'); os.rmdir('/tmp/d')\n"
        "    while True: f.write(bytes(100_000))",
        **FULL,
    ),
    Row(
        name="a workspace that is filled with removed files, a few in each message",
        hostile="    kept = []\n    while True:\n        f = open('/tmp/x', 'wb'); f.write(bytes(50_000)); f.flush()\n"
        "        os.remove('/tmp/x'); kept.append(f)",
        **FULL,
    ),
    Row(
        name="a workspace of folders in folders",
        hostile="    path = '/tmp'\n    while True: path += '/d'; os.mkdir(path)",
        harmless="    os.makedirs('/tmp' + '/d' * 50); return 1",
        value=1,
        **FULL,
    ),
    Row(
        name="a sub-task sees only its own",
        hostile="    return without()",
        error_type="task_error",
        message="not permitted",
        harmless="    return with_some()",
    ),
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with two folders, and beside it what nobody gave."""
    outside, project = tmp_path / "outside", tmp_path / "project"
    outside.mkdir()
    (outside / "secret.txt").write_text(SECRET)
    for name in ("data", "out"):
        folder = project / name
        (folder / "sub").mkdir(parents=True)
        (folder / "x.txt").write_text("hello")
        if sys.platform != "win32":
            (folder / "rel").symlink_to("../../outside")
            (folder / "abs").symlink_to(outside)
            (folder / "link").symlink_to("../../outside/secret.txt")
            (folder / "inner").symlink_to("x.txt")
            (folder / "loop").symlink_to("loop")
            os.mkfifo(folder / "pipe")
            os.mknod(folder / "socket", 0o600 | stat.S_IFSOCK)
    with (project / "data" / "huge").open("wb") as huge:
        huge.truncate(10 << 30)
    with closing(sqlite3.connect(project / "data" / "r.db")) as database, database:
        database.executescript("create table t(a); insert into t values(1)")
    (project / "pyproject.toml").touch()
    monkeypatch.chdir(project)
    before = listing(outside), listing(project / "data")
    yield project
    assert (outside / "secret.txt").read_text() == SECRET
    assert (listing(outside), listing(project / "data")) == before


def listing(folder: Path) -> list[tuple[Any, ...]]:
    found = []
    for entry in sorted(folder.rglob("*")):
        status = entry.lstat()
        found.append((entry.name, stat.filemode(status.st_mode), status.st_size, status.st_mtime_ns))
    return found


def program(body: str, outside: str = "") -> str:
    return (
        f"import os, shutil\nfrom capsule import task\nOUTSIDE = {outside!r}\n@task\ndef main():\n{body}\n"
        "@task(allowed_files=['data'])\ndef with_some(): return open('data/x.txt').read()\n"
        "@task(allowed_files=['data/sub'])\ndef without(): return open('data/sub/../x.txt').read()\n"
    )


@posix
@in_turn("row", {row.name: row for row in ROWS})
async def test_row(row: Row, guest: CompiledGuest, place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The hostile program ends as the table says, quietly, and its neighbour passes."""
    outside = str(place.parent / "outside" / "secret.txt")
    Path("hostile.py").write_text(program(row.hostile, outside))
    Path("harmless.py").write_text(program(row.harmless, outside))
    given = Policy(allowed_files=("data",), mounts=("out:rw",) if "sub-task" in row.name else ("data", "out:rw"))
    with anyio.fail_after(30):
        async with Runtime(policy=given.with_settings({"timeout": "10s", **row.policy})) as runtime:
            outcome = await (await runtime.spawn("hostile.py")).outcome()
            check(row, outcome)
            neighbour = {"timeout": "10s"} | {name: row.policy[name] for name in row.policy if name == "workspace"}
        async with Runtime(policy=given.with_settings(neighbour)) as runtime:
            assert await runtime.run("harmless.py") == row.value
    assert SECRET not in str(outcome)
    assert [record for record in caplog.records if record.name.startswith("capsule")] == []


def check(row: Row, outcome: Outcome) -> None:
    error = outcome.error
    if row.raises:
        assert error is not None, outcome.result
        assert error.exception in row.raises, error
    elif row.error_type is not None:
        assert error is not None, outcome.result
        assert (error.error_type, row.message in error.message) == (row.error_type, True), error
    else:
        assert (outcome.success, outcome.result) == (True, row.result), error


LOOKS = """
from capsule import task
@task
def main():
    found = set()
    for _ in range(3000):
        try: found.add(open("data/turn/secret.txt").read())
        except OSError as error: found.add(type(error).__name__)
        try: open("out/turn/secret.txt", "w").write("overwritten")
        except OSError: pass
    return sorted(found)
"""


@posix
async def test_a_folder_that_turns_into_a_link(guest: CompiledGuest, place: Path) -> None:
    """While somebody swaps a folder for a link out again and again, a guest that looks sees one of the two or nothing."""
    for name in ("data", "out"):
        turn = Path(name, "turn")
        turn.mkdir()
        (turn / "secret.txt").write_text("inside")
        (Path(name) / "other").symlink_to("../../outside")
    stopped, turns = threading.Event(), []

    def swap() -> None:
        while not stopped.is_set():
            for name in ("data", "out"):
                turn, other, aside = (Path(name, each) for each in ("turn", "other", "aside"))
                turn.rename(aside)
                other.rename(turn)
                aside.rename(other)
            turns.append(1)

    Path("program.py").write_text(LOOKS)
    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        async with Runtime(policy=Policy(mounts=("data", "out:rw"), compute="HIGH")) as runtime:
            found = await runtime.run("program.py")
    finally:
        stopped.set()
        swapping.join()
        for name in ("data", "out"):  # as it was
            turn, other = Path(name, "turn"), Path(name, "other")
            (other if turn.is_symlink() else turn).joinpath("secret.txt").unlink()
            (other if turn.is_symlink() else turn).rmdir()
            (turn if turn.is_symlink() else other).unlink()
            os.utime(name, ns=(0, 0))
    assert len(turns) > 10
    assert set(found) <= {"", "inside", "overwritten", "PermissionError", "FileNotFoundError", "OSError"}
    assert "inside" in found


@posix
async def test_a_granted_folder_that_was_replaced(guest: CompiledGuest, place: Path) -> None:
    """A folder that has become a link since it was granted is not opened, whatever the link leads to."""
    Path("program.py").write_text("from capsule import task\n@task\ndef main(): return open('/g/secret.txt').read()\n")
    granted = Path("out/granted")
    granted.mkdir()
    (granted / "secret.txt").write_text("granted")
    async with Runtime(policy=Policy(mounts=("out/granted::/g",))) as runtime:
        assert await runtime.run("program.py") == "granted"
        granted.rename("out/before")
        granted.symlink_to("../../outside")
        outcome = await (await runtime.spawn("program.py")).outcome()
        assert outcome.error is not None
        assert (outcome.error.error_type, "/g" in outcome.error.message) == ("invalid", True)
        assert str(place) not in outcome.error.message
        granted.unlink()
        Path("out/before").rename(granted)
        assert await runtime.run("program.py") == "granted"


@posix
@pytest.mark.parametrize("name", ["../outside", "data/rel", "data/abs", "{outside}", "/", "nowhere", "data/x.txt", "~"])
async def test_declared_folders_stay_inside(guest: CompiledGuest, place: Path, name: str) -> None:
    """What a program declares is refused before anything runs, unless it is a folder below its project's root."""
    from capsule import UsageError

    wanted = name.format(outside=place.parent / "outside")
    source = "from capsule import task\n@task(allowed_files=[{!r}])\ndef main(): return 1\n"
    Path("bad.py").write_text(source.format(wanted))
    Path("good.py").write_text(source.format("./data"))
    ceiling = Policy.largest().with_settings({"allowed_files": (str(place.parent),)})
    async with Runtime(ceiling=ceiling) as runtime:
        with pytest.raises(UsageError, match="allowed_files"):
            await runtime.run("bad.py")
        assert await runtime.run("good.py") == 1


@linux
async def test_a_disk_that_is_nearly_full(guest: CompiledGuest, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that can write is ended when the disk below it has little room left; one that can only read goes on."""
    Path("program.py").write_text("from capsule import task\n@task\ndef main(): return open('data/x.txt').read()\n")
    room = os.statvfs
    monkeypatch.setattr(engine_folders.os, "statvfs", lambda path: FullDisk(room(path)))
    async with Runtime(policy=Policy(mounts=("data",))) as runtime:
        assert await runtime.run("program.py") == "hello"
    async with Runtime(policy=Policy(mounts=("data", "out:rw"))) as runtime:
        outcome = await (await runtime.spawn("program.py")).outcome()
    assert outcome.error is not None
    assert (outcome.error.error_type, "filling the disk" in outcome.error.message) == ("denied", True)


class FullDisk:
    """What a disk says of itself that has a thousandth of its room left."""

    def __init__(self, real: os.statvfs_result) -> None:
        self.f_blocks, self.f_frsize = real.f_blocks, real.f_frsize
        self.f_bavail, self.f_files, self.f_favail = real.f_blocks // 1000, real.f_files, real.f_files


DEVICES = {
    "a device that does not answer": Row(
        name="",
        hostile="    f = os.open('out/kmsg', os.O_RDONLY)\n    while os.read(f, 8192): pass",
        raises=("OSError",),
        harmless="    return len(open('out/zero', 'rb').read(1000))",
        value=1000,
    ),
    "one that a guest waits for again and again": Row(
        name="",
        hostile="    while True:\n        try:\n            f = os.open('out/kmsg', os.O_RDONLY)\n"
        "            while os.read(f, 8192): pass\n        except OSError: pass",
        error_type="denied",
        message="or answer",
    ),
    "one, and a timeout": Row(
        name="",
        hostile="    f = os.open('out/kmsg', os.O_RDONLY)\n    while os.read(f, 8192): pass",
        error_type="timeout",
        policy={"timeout": "100ms"},
    ),
}


@linux
@pytest.mark.parametrize("name", DEVICES)
async def test_a_device(name: str, guest: CompiledGuest, place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody put devices into the folder: of one the end never comes, the other answers."""
    try:
        for file, minor in (("kmsg", 11), ("zero", 5)):
            os.mknod(place / "out" / file, 0o600 | stat.S_IFCHR, os.makedev(1, minor))
            os.close(os.open(place / "out" / file, os.O_RDONLY))
    except OSError:
        pytest.skip("devices may not be made here, or not be read")
    await test_row(DEVICES[name], guest, place, caplog)


@linux
async def test_a_pipe_does_not_hold_up_others(guest: CompiledGuest, place: Path) -> None:
    """Guests that wait for pipes on every carrier end, and those beside them are answered."""
    Path("program.py").write_text(program("    open('data/pipe').read()"))
    async with Runtime(policy=Policy(allowed_files=("data",), timeout="20s")) as runtime:
        stuck = [await runtime.spawn("program.py") for _ in range(6)]
        with anyio.fail_after(20):
            assert [await runtime.run("program.py:with_some") for _ in range(3)] == ["hello"] * 3
            outcomes = [await ref.outcome() for ref in stuck]
    assert {outcome.error.error_type for outcome in outcomes if outcome.error} == {"denied"}


@linux
async def test_leaving_while_a_guest_waits_for_a_pipe(guest: CompiledGuest, place: Path) -> None:
    """The runtime ends without the pipe's other end."""
    Path("program.py").write_text(program("    open('data/pipe').read()"))
    with anyio.fail_after(10):
        async with Runtime(policy=Policy(mounts=("data",), timeout="20s")) as runtime:
            await runtime.spawn("program.py")
            await anyio.sleep(0.1)


@linux
async def test_descriptors_come_back(guest: CompiledGuest, place: Path) -> None:
    """Whatever becomes of guests with folders, the process has as many descriptors as before."""
    Path("program.py").write_text(program("    kept = []\n    while True: kept.append(open('data/x.txt'))"))
    async with Runtime(policy=Policy(mounts=("data", "out:rw"), workspace="1MB")) as runtime:
        await runtime.run("program.py:with_some")
        before = descriptors()
        for _ in range(3):
            with suppress(Exception):
                await runtime.run("program.py")
        with anyio.fail_after(10):
            while descriptors() > before:  # an answer comes before its sandbox is gone
                await anyio.sleep(0.01)


@linux
async def test_few_files_while_the_process_is_short_of_descriptors(
    guest: CompiledGuest, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the process has left is not for guests; one that holds a few goes on."""
    monkeypatch.setattr(engine_folders, "_is_process_short", lambda: True)
    source = "from capsule import task\nimport time\n@task\ndef main(count):\n    kept = []\n"
    source += "    for _ in range(count):\n        kept.append(open('data/x.txt'))\n        time.sleep(0.001)\n    return len(kept)\n"
    Path("program.py").write_text(source)
    async with Runtime(policy=Policy(mounts=("data",))) as runtime:
        assert await runtime.run("program.py", 10) == 10
        outcome = await (await runtime.spawn("program.py", 50)).outcome()
    assert outcome.error is not None
    assert (outcome.error.error_type, "more than 16 open files" in outcome.error.message) == ("denied", True)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


PLANT = (
    "import os\nfrom capsule import task\n"
    "@task(allowed_files=[{{'path': {path!r}, 'mode': 'rw'}}])\n"
    "def main():\n"
    "    found = [os.path.join(at, name) for at, _, names in os.walk('.') for name in names if name.startswith('modules-')]\n"
    "    for file in found:\n"
    "        with open(file, 'wb') as planted: planted.write(b'code of mine')\n"
    "    return found\n"
)


@pytest.mark.parametrize("path", [".", "kept", "kept/cache", "kept/cache/deep", "link"])
async def test_code_is_not_planted_in_the_cache(
    path: str, guest: CompiledGuest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What capsule loads code from is no folder to write, nor is one that holds it, whatever a policy says."""
    cache = tmp_path / "kept" / "cache"
    (cache / "deep").mkdir(parents=True)
    (cache / "modules-0123456789abcdef").write_bytes(b"ours")
    (cache / "deep" / "modules-0123456789abcdef").write_bytes(b"ours")
    (tmp_path / "beside").mkdir()
    if path == "link":
        (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "capsule.toml").touch()
    (tmp_path / "main.py").write_text(PLANT.format(path=path), "utf-8")
    (tmp_path / "other.py").write_text(PLANT.format(path="beside"), "utf-8")
    async with Runtime() as runtime:
        monkeypatch.setenv(VARIABLE, str(cache))
        with pytest.raises((InvalidProgram, InvalidPolicy), match="CAPSULE_CACHE_DIR"):
            async with Runtime(policy=Policy(allowed_files=[f"{tmp_path / 'beside'}:rw", f"{tmp_path / path}:rw"])):
                raise AssertionError
        with pytest.raises((InvalidProgram, RightsRefused), match="CAPSULE_CACHE_DIR"):
            await runtime.run(str(tmp_path / "main.py"))
    monkeypatch.undo()
    async with Runtime(policy=Policy(allowed_files=[f"{tmp_path / 'beside'}:rw"])) as runtime:
        assert await runtime.run(str(tmp_path / "other.py")) == []
    assert {file.read_bytes() for file in cache.rglob("modules-*")} == {b"ours"}
