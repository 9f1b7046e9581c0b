"""The cache of compiled guests, on real folders, with a `make` that costs nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import platformdirs
import pytest
from filelock import FileLock

from capsule import cache as place
from capsule._engine import version
from capsule._guest import build, cache, key
from capsule.cache import VARIABLE
from capsule.errors import CacheUnwritable, SetupError

CODE = b"native code " * 100
FACTS = {"guest": "g", "merging": "m", "componentize-py": "c", "engine": "e", "processor": "p"}
KEY = key.key_of(FACTS)

MAKER = """
import sys
from pathlib import Path
from capsule._guest import cache

def make(file):
    file.write_bytes(b"half")
    print("makes", flush=True)
    sys.stdin.readline()
    file.write_bytes(b"whole")
    return 7

found = cache.find_or_make(sys.argv[1], make, {}, lambda: print("waits", flush=True))
print(Path(found.file).read_bytes().decode(), found.min_ram, flush=True)
"""
"""A process that says what it does and makes the guest only after a line on its stdin."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of a test, which does not exist yet."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests that were taken."""
    taken: list[str] = []
    real = cache._digest
    monkeypatch.setattr(cache, "_digest", lambda code: taken.append(real(code)) or taken[-1])
    return taken


@pytest.fixture
def processes():
    """`processes(n)` starts as many makers at once; they are gone after the test, and after 20 s whatever happens."""
    started: list[subprocess.Popen[str]] = []

    def kill() -> None:
        for process in started:
            process.kill()

    watchdog = threading.Timer(20, kill)  # a maker that says nothing then fails the test instead of hanging it
    watchdog.start()

    def start(count: int) -> list[subprocess.Popen[str]]:
        command = [sys.executable, "-c", MAKER, KEY]
        started.extend(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
        )
        return started[-count:]

    yield start
    watchdog.cancel()
    kill()
    for process in started:
        process.communicate()


def make(file: Path) -> int:
    file.write_bytes(CODE)
    return 42


def make_guest(name: str = KEY) -> cache.CompiledGuest:
    return cache.find_or_make(name, make, FACTS, on_wait=lambda: pytest.fail("nobody else is making it"))


def say(process: subprocess.Popen[str], word: str) -> None:
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def touch_later(file: Path) -> None:
    """Give `file` times that differ from those it has: a clock's tick may be as long as 10 ms."""
    before = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns == before:
        os.utime(file)


def flip(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 0x80
    file.write_bytes(content)
    touch_later(file)


# What the key covers.


@pytest.mark.parametrize("fact", sorted(FACTS))
def test_the_key_changes_with_each_fact(fact: str) -> None:
    """Another source, tool, setting or processor is another guest."""
    assert key.key_of({**FACTS, fact: "another"}) != KEY


def test_the_key_is_a_file_name_and_knows_no_order() -> None:
    """The same facts give the same short name."""
    assert key.key_of(dict(reversed(FACTS.items()))) == KEY
    assert re.fullmatch("[0-9a-f]{24}", KEY)


def test_what_the_facts_are() -> None:
    """Exactly these, and none of them is empty."""
    facts = key.made_with(version.tools_version())
    assert sorted(facts) == sorted(FACTS)
    assert all(facts.values())


def test_the_engine_fact_covers_version_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that was compiled with other settings does not load, so it is never found."""
    seen = {version.tools_version()}
    for name, value in {"MAX_WASM_STACK": 1, "ASYNC_STACK": 2, "SWITCHED_OFF": ()}.items():
        monkeypatch.setattr(version, name, value)
        seen.add(version.tools_version())
    monkeypatch.setattr(version, "version_of", lambda name: f"{name} 99")
    seen.add(version.tools_version())
    assert len(seen) == 5


def test_the_processor_fact_covers_system_machine_and_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code compiled on a newer processor may not run on an older one of the same family."""
    seen = {key.processor()}
    monkeypatch.setattr(key, "_features", lambda: "fewer")
    seen.add(key.processor())
    monkeypatch.setattr(key.platform, "machine", lambda: "another")
    seen.add(key.processor())
    monkeypatch.setattr(key.sys, "platform", "elsewhere")
    seen.add(key.processor())
    assert len(seen) == 4


def test_features_without_a_list_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where /proc/cpuinfo is missing or has no flags, there is still an answer."""
    monkeypatch.setattr(key, "Path", lambda _: tmp_path / "none")
    assert key._features() == key.platform.processor()
    (tmp_path / "cpuinfo").write_text("model name: something\n", "utf-8")
    monkeypatch.setattr(key, "Path", lambda _: tmp_path / "cpuinfo")
    assert key._features()


def test_the_guest_fact_covers_names_and_contents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each edit, each new file and each new name is seen; what does not go into the guest is not."""
    sdk = tmp_path / "sdk"
    shutil.copytree(build.SDK, sdk, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(build, "SDK", sdk)
    first = build.sources_digest()
    (sdk / "js").mkdir()
    (sdk / "js" / "capsule.py").write_text("for another guest", "utf-8")
    (sdk / "notes.txt").write_text("not part of it", "utf-8")
    assert build.sources_digest() == first
    seen = {first}
    (sdk / "_entry.py").write_text("changed = 1\n", "utf-8")
    seen.add(build.sources_digest())
    (sdk / "_entry.py").rename(sdk / "_enter.py")
    seen.add(build.sources_digest())
    (sdk / "wit" / "more.wit").write_text("", "utf-8")
    seen.add(build.sources_digest())
    monkeypatch.setattr(build, "SHARED", {})
    seen.add(build.sources_digest())
    assert len(seen) == 5


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Half an installation is told from a broken guest."""
    monkeypatch.setattr(build, "SDK", tmp_path / "none")
    with pytest.raises(SetupError, match="capsule_sdk is not installed"):
        build.sources_digest()


# Finding and making.


def test_a_missing_guest(folder: Path) -> None:
    """Looking for a guest finds nothing and makes nothing, not even the folder."""
    assert cache.find(KEY) is None
    assert list(cache.entries()) == []
    assert not folder.exists()


def test_made_once_and_found(folder: Path) -> None:
    """What was made is found under its key and under no other."""
    made = make_guest()
    assert made == cache.find(KEY) == cache.CompiledGuest(file=str(folder / f"guest-{KEY}" / "guest.cwasm"), min_ram=42)
    assert Path(made.file).read_bytes() == CODE
    assert cache.find("another") is None
    assert cache.find_or_make(KEY, lambda _: pytest.fail("it is there"), FACTS, lambda: None) == made


def test_the_folder_is_private(folder: Path) -> None:
    """Nobody else can look into a cache that capsule made."""
    make_guest()
    if sys.platform != "win32":
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / f"guest-{KEY}").stat().st_mode & 0o777 == 0o700


def test_every_flipped_byte_of_the_code_is_noticed() -> None:
    """The size is kept, so only the digest can tell."""
    code = Path(make_guest().file)
    for position in (0, len(CODE) // 2, len(CODE) - 1):
        code.write_bytes(CODE)
        assert cache.find(KEY) is not None
        touch_later(code)
        flip(code, position)
        assert cache.find(KEY) is None


@pytest.mark.parametrize("content", [b"", CODE[:-1], CODE + b"x"], ids=["empty", "truncated", "longer"])
def test_another_length_is_noticed(content: bytes, hashed: list[str]) -> None:
    """A file of another size is not even hashed."""
    Path(make_guest().file).write_bytes(content)
    hashed.clear()
    assert cache.find(KEY) is None
    assert hashed == []


def test_every_truncation_of_the_about_is_noticed() -> None:
    """Half a JSON text is no JSON text."""
    about = Path(make_guest().file).with_name("guest.json")
    whole = about.read_bytes()
    for length in range(len(whole)):
        about.write_bytes(whole[:length])
        assert cache.find(KEY) is None
    about.write_bytes(whole)
    assert cache.find(KEY) is not None


def test_no_flipped_byte_of_the_about_is_an_error() -> None:
    """Whatever stands there: the guest is found or it is not, and what is no UTF-8 is damaged."""
    guest = make_guest()
    about = Path(guest.file).with_name("guest.json")
    whole = about.read_bytes()
    for position in range(len(whole)):
        about.write_bytes(whole[:position] + bytes([whole[position] ^ 0x80]) + whole[position + 1 :])
        assert cache.find(KEY) is None


@pytest.mark.parametrize(
    "text", ["null", "[]", "{}", '{"sha256": 1}', '{"sha256": "", "size": -1, "min_ram": 0, "made_with": {}}']
)
def test_an_about_of_another_shape(text: str) -> None:
    """JSON that is not ours is damage too."""
    Path(make_guest().file).with_name("guest.json").write_text(text, "utf-8")
    assert cache.find(KEY) is None


@pytest.mark.parametrize("name", ["guest.json", "guest.cwasm"])
@pytest.mark.parametrize("what", ["missing", "a folder"])
def test_a_missing_part(name: str, what: str) -> None:
    """A guest is the code and what is known of it."""
    part = Path(make_guest().file).with_name(name)
    part.unlink()
    if what == "a folder":
        part.mkdir()
    assert cache.find(KEY) is None


@pytest.mark.parametrize("what", ["flipped", "without about", "a file", "a link", "an empty folder"])
def test_what_is_damaged_is_made_again(what: str, folder: Path) -> None:
    """Whatever is in its place, the next run has a whole guest."""
    guest = make_guest()
    entry = folder / f"guest-{KEY}"
    if what == "flipped":
        flip(Path(guest.file), 5)
    elif what == "without about":
        (entry / "guest.json").unlink()
    else:
        shutil.rmtree(entry)
        if what == "a file":
            entry.write_bytes(b"in the way")
        elif what == "a link":
            entry.symlink_to(folder.parent, target_is_directory=True)
        else:
            entry.mkdir()
    assert cache.find(KEY) is None
    assert make_guest() == guest == cache.find(KEY)
    assert Path(guest.file).read_bytes() == CODE


# Written aside and renamed.


@pytest.mark.parametrize("error", [SetupError("no luck"), KeyboardInterrupt(), SystemExit(1)])
def test_a_make_that_raises_leaves_nothing(error: BaseException, folder: Path) -> None:
    """Its error passes through, its half-written file is gone, and the next one makes it."""

    def fail(file: Path) -> int:
        file.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        cache.find_or_make(KEY, fail, FACTS, lambda: None)
    assert [entry.name for entry in folder.iterdir() if entry.is_dir()] == []
    assert make_guest() == cache.find(KEY)


def test_a_make_that_writes_nothing_or_finds_the_disk_full(folder: Path) -> None:
    """What the system refuses names the folder and leaves nothing."""

    def full(file: Path) -> int:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CacheUnwritable, match="No space left on device"):
        cache.find_or_make(KEY, full, FACTS, lambda: None)
    with pytest.raises(CacheUnwritable, match="No such file"):
        cache.find_or_make(KEY, lambda _: 0, FACTS, lambda: None)
    assert [entry.name for entry in folder.iterdir() if entry.is_dir()] == []


def test_a_failed_make_keeps_the_damaged_one(folder: Path) -> None:
    """The old entry is replaced by a whole one or not at all."""
    code = Path(make_guest().file)
    flip(code, 0)
    with pytest.raises(SetupError):
        cache.find_or_make(KEY, _raise_setup_error, FACTS, lambda: None)
    assert [entry.name for entry in folder.iterdir() if entry.is_dir()] == [f"guest-{KEY}"]


def _raise_setup_error(_: Path) -> int:
    raise SetupError("no luck")


def test_what_is_half_written_is_never_found(folder: Path) -> None:
    """While it is made, and after its maker was killed, there is no guest under the key."""

    def look(file: Path) -> int:
        file.write_bytes(CODE)
        assert cache.find(KEY) is None
        assert list(cache.entries()) == []
        shutil.copytree(file.parent, file.parent.with_name(f"new-{KEY}-killed"))
        return 1

    cache.find_or_make(KEY, look, FACTS, lambda: None)
    assert (folder / f"new-{KEY}-killed" / "guest.cwasm").exists()
    assert [entry.name for entry, _ in cache.entries()] == [f"guest-{KEY}"]


# Several processes.


def test_two_processes_make_it_once(processes) -> None:
    """Whoever comes second hears that somebody else is at it, waits, and gets the same guest."""
    pair = processes(2)
    first = {process.stdout.readline(): process for process in pair}
    assert set(first) == {"makes\n", "waits\n"}
    assert cache.find(KEY) is None
    say(first["makes\n"], "go on")
    assert [process.stdout.read() for process in pair] == ["whole 7\n", "whole 7\n"]
    assert [process.wait() for process in pair] == [0, 0]


def test_the_second_makes_it_if_the_first_is_killed(processes, folder: Path) -> None:
    """A lock dies with its holder, and what the holder left goes away."""
    pair = processes(2)
    first = {process.stdout.readline(): process for process in pair}
    first["makes\n"].kill()
    assert first["waits\n"].stdout.readline() == "makes\n"
    assert len(list(folder.glob("new-*"))) == 1
    say(first["waits\n"], "go on")
    assert first["waits\n"].stdout.read() == "whole 7\n"
    assert list(folder.glob("new-*")) == []


def test_sweep(processes, folder: Path) -> None:
    """It removes what a killed maker left, and nothing of a maker that is alive or of another key."""
    (maker,) = processes(1)
    maker.stdout.readline()
    (folder / "new-0-killed").mkdir()
    cache.sweep(KEY)
    assert len(list(folder.glob(f"new-{KEY}-*"))) == 1
    maker.kill()
    maker.wait()
    cache.sweep(KEY)
    assert [file.name for file in folder.glob("new-*")] == ["new-0-killed"]


# Folders that cannot be used.


@pytest.mark.parametrize("where", ["file", "file/below", "file/far/below"])
def test_a_folder_that_cannot_be_made(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the folder, the reason and the variable that moves it; looking into it is no error."""
    (tmp_path / "file").write_text("in the way", "utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path / where))
    assert cache.find(KEY) is None
    assert list(cache.entries()) == []
    assert cache.clear() == (0, 0)
    for attempt in (cache.prepare_folder, make_guest):
        with pytest.raises(CacheUnwritable, match="CAPSULE_CACHE_DIR") as caught:
            attempt()
        assert caught.value.folder == str(tmp_path / where)
        assert caught.value.reason in str(caught.value)


@pytest.mark.parametrize("where", ["/proc/self/task", "/proc/none", "x" * 300])
def test_a_folder_that_the_system_refuses(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root is refused here as well, as on a read-only disk."""
    if where.startswith("/proc") and not Path("/proc/self/task").is_dir():
        pytest.skip("a folder of Linux")
    monkeypatch.setenv(VARIABLE, str(tmp_path / where))
    with pytest.raises(CacheUnwritable, match="CAPSULE_CACHE_DIR"):
        make_guest()


def test_something_in_the_way_of_the_lock(folder: Path) -> None:
    """What the lock runs into is about the folder as well."""
    (folder / f"guest-{KEY}.lock").mkdir(parents=True)
    folder.chmod(0o700)
    with pytest.raises(CacheUnwritable, match="CAPSULE_CACHE_DIR"):
        make_guest()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o770, 0o777, 0o1777])
@pytest.mark.parametrize("which", [".", f"guest-{KEY}"])
def test_a_folder_that_others_can_write(mode: int, which: str, folder: Path) -> None:
    """Native code is loaded from it, so neither is a guest taken from it nor one put there."""
    make_guest()
    (folder / which).chmod(mode)
    for attempt in (lambda: cache.find(KEY), make_guest):
        with pytest.raises(CacheUnwritable, match="others can write it"):
            attempt()
    (folder / which).chmod(0o755)
    assert cache.find(KEY) is not None


@pytest.mark.skipif(sys.platform == "win32", reason="owners are POSIX's")
def test_a_folder_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns it could write it; only root's is as good as ours."""
    make_guest()
    if os.getuid() == 0:
        os.chown(folder, 12345, -1)
    else:
        monkeypatch.setattr(place.os, "getuid", lambda: 12345)
    for attempt in (lambda: cache.find(KEY), make_guest):
        with pytest.raises(CacheUnwritable, match="belongs to another user"):
            attempt()


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable, also with ~ and relative; empty or absent it is the user's own cache folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(VARIABLE, "here/cache")
    assert cache.cache_folder() == tmp_path / "here" / "cache"
    monkeypatch.setenv(VARIABLE, "~/cache")
    assert cache.cache_folder() == Path("~/cache").expanduser()
    monkeypatch.setenv(VARIABLE, "")
    usual = cache.cache_folder()
    monkeypatch.delenv(VARIABLE)
    assert cache.cache_folder() == usual
    assert "capsule" in usual.parts


@pytest.mark.parametrize("home", ["/home/someone", "", "relative", None])
@pytest.mark.parametrize("xdg", ["/elsewhere/cache", "", " ", "relative", "~/cache", None])
def test_the_usual_cache_is_where_platformdirs_says(
    monkeypatch: pytest.MonkeyPatch, home: str | None, xdg: str | None
) -> None:
    """On Linux it is not asked, for it takes long to load."""
    monkeypatch.delenv(VARIABLE, raising=False)
    for name, value in (("HOME", home), ("XDG_CACHE_HOME", xdg)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert cache.cache_folder() == platformdirs.user_cache_path("capsule", appauthor=False)


# Clearing and listing.


def test_clear_without_a_folder(folder: Path) -> None:
    """There is nothing to remove, and nothing is made."""
    assert cache.clear() == (0, 0)
    assert not folder.exists()


def test_clear_counts_and_removes(folder: Path) -> None:
    """Guests whole and damaged are counted; locks and half-made ones go too; what is not ours stays."""
    make_guest("one")
    make_guest("two")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    (folder / "guest-damaged").mkdir()
    (folder / "guest-damaged" / "guest.cwasm").write_bytes(b"x" * 100)
    (folder / "new-three-abc").mkdir()
    (folder / "new-three-abc" / "guest.cwasm").write_bytes(b"x" * 10)
    (folder / "mine.txt").write_text("keep", "utf-8")
    assert cache.clear() == (3, size + 110)
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]
    assert cache.clear() == (0, 0)


def test_clear_leaves_what_is_being_made(processes, folder: Path) -> None:
    """A maker in another process is not disturbed; all the rest goes."""
    make_guest("another")
    (maker,) = processes(1)
    assert maker.stdout.readline() == "makes\n"
    assert cache.clear()[0] == 1
    say(maker, "go on")
    assert maker.stdout.read() == "whole 7\n"
    assert cache.find(KEY) is not None
    assert cache.clear()[0] == 1
    assert list(folder.iterdir()) == []


def test_a_lock_that_is_removed_by_its_holder(processes, folder: Path) -> None:
    """As clearing does it: of those who wait for it, and those who come later, still only one makes it."""
    folder.mkdir(mode=0o700)
    with FileLock(folder / f"guest-{KEY}.lock"):
        (waiting,) = processes(1)
        assert waiting.stdout.readline() == "waits\n"
        (folder / f"guest-{KEY}.lock").unlink()
    assert waiting.stdout.readline() == "makes\n"
    (late,) = processes(1)
    assert late.stdout.readline() == "waits\n"
    say(waiting, "go on")
    assert [waiting.stdout.read(), late.stdout.read()] == ["whole 7\n", "whole 7\n"]


def test_what_cannot_be_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's refusal is told as a CacheUnwritable."""
    make_guest()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(CacheUnwritable, match="Permission denied") as caught:
        cache.clear()
    assert caught.value.folder == str(folder)


def test_entries_show_damaged_ones(folder: Path) -> None:
    """A listing tells whole guests from damaged ones, whichever part is damaged, and passes over other files."""
    for name in ("flipped", "odd", "whole"):
        make_guest(name)
    flip(folder / "guest-flipped" / "guest.cwasm", 3)
    (folder / "guest-odd" / "guest.json").write_bytes(b"\xff")
    (folder / "guest-empty").mkdir()
    (folder / "guest-file").write_text("", "utf-8")
    (folder / "other").mkdir()
    shown = {entry.name.removeprefix("guest-"): about for entry, about in cache.entries()}
    assert [name for name, about in shown.items() if about is None] == ["empty", "flipped", "odd"]
    assert shown["whole"].made_with == FACTS
    assert (shown["whole"].size, shown["whole"].min_ram) == (len(CODE), 42)


# The note that spares the hashing.


def test_an_untouched_file_is_hashed_once(hashed: list[str]) -> None:
    """The first look hashes it, and later ones compare its times."""
    make_guest()
    hashed.clear()
    for _ in range(3):
        assert cache.find(KEY) is not None
    assert len(hashed) == 1


def _with_new_times(code: Path) -> None:
    touch_later(code)


def _with_its_old_mtime(code: Path) -> None:
    status = code.stat()
    touch_later(code)
    os.utime(code, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert code.stat().st_mtime_ns == status.st_mtime_ns


def _as_another_file(code: Path) -> None:
    copy = shutil.copy2(code, code.with_name("copy"))
    Path(copy).rename(code)


@pytest.mark.parametrize("change", [_with_new_times, _with_its_old_mtime, _as_another_file])
def test_a_touched_file_is_hashed_again(change, hashed: list[str]) -> None:
    """Other times or another inode may mean other content; if it is the same, the guest is still whole."""
    code = Path(make_guest().file)
    assert cache.find(KEY) is not None
    hashed.clear()
    change(code)
    assert cache.find(KEY) is not None
    assert len(hashed) == 1


@pytest.mark.parametrize("change", [_with_new_times, _with_its_old_mtime, _as_another_file])
def test_a_note_does_not_hide_damage(change) -> None:
    """A file that was whole when it was last hashed is not trusted for it."""
    code = Path(make_guest().file)
    assert cache.find(KEY) is not None
    content = code.read_bytes()
    touch_later(code)
    code.write_bytes(b"X" + content[1:])
    change(code)
    assert cache.find(KEY) is None


def test_each_part_of_the_note_counts(hashed: list[str]) -> None:
    """Name, size, both times and the inode: a note that differs in any of them is worth nothing."""
    seen = Path(make_guest().file).with_name("guest.seen")
    assert cache.find(KEY) is not None
    parts = seen.read_text("ascii").split()
    assert len(parts) == 5
    hashed.clear()
    for number in range(5):
        seen.write_text(" ".join([*parts[:number], "1", *parts[number + 1 :]]), "ascii")
        assert cache.find(KEY) is not None
        assert seen.read_text("ascii").split() == parts
    assert len(hashed) == 5


@pytest.mark.parametrize("change", [lambda image: image.unlink(), lambda image: image.write_bytes(b"another")])
def test_the_snapshot_beside_the_code_counts(change) -> None:
    """What lies beside the code is a part of the guest: missing or another one, the guest is damaged."""

    def make_both(file: Path) -> int:
        file.with_suffix(".image").write_bytes(b"snapshot")
        return make(file)

    guest = cache.find_or_make(KEY, make_both, FACTS, lambda: None)
    assert cache.find(KEY) == guest
    change(Path(guest.file).with_suffix(".image"))
    assert cache.find(KEY) is None


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"1 2 3 4", None], ids=["empty", "binary", "stale", "a folder"])
def test_a_damaged_note_is_no_damage(note: bytes | None, hashed: list[str]) -> None:
    """The guest is hashed again and found; the note is only a shortcut."""
    guest = make_guest()
    seen = Path(guest.file).with_name("guest.seen")
    seen.mkdir() if note is None else seen.write_bytes(note)
    hashed.clear()
    assert cache.find(KEY) == guest
    assert len(hashed) == 1
