"""What programs declare, kept for the next run: always what reading them anew says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import capsule
from capsule import InvalidProgram, recall
from capsule._guest import neighbours, program
from capsule._source import Source
from capsule.cli import readings
from capsule.cli.readings import PREFIX, READERS, Readings
from keeping import environment

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"

Look = Callable[..., tuple[Any, int]]

FORGET = (program.remembered, program._functions, neighbours._imported)

ALL = """
from capsule import actor, task
import helper, json
@task(name="first", timeout="5s", ram="64MB", allowed_hosts=["api.example", "*.example"], env_variables=("A",), max_retries=2)
def one(a, /, b: int = 1, *args, c="x" * 3, **rest) -> str: ...
@task(compute="LOW")
async def two(): ...
def plain(n: "int" = -1): return n
def plain(m): return m
class Base:
    def inherited(self): ...
@actor(max_mailbox=5, on_failure="restart", allowed_files=["./data", {"path": "./out", "mode": "read-write"}])
class Notes(Base):
    def __init__(self, text: str = ""): ...
    def add(self, text): ...
    async def all(self): ...
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a folder beside it to run in."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("CAPSULE_CACHE_DIR", str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


@pytest.fixture
def look(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """`look(target)` is what a process finds there, and how many texts it had to parse for it."""
    parsed = []

    def counting(source: str, path: str, parse: Any = program.parse) -> Any:
        parsed.append(path)
        return parse(source, path)

    monkeypatch.setattr(program, "parse", counting)
    monkeypatch.setattr(neighbours, "parse", counting)

    def look(target: str, *, keeps: bool = True) -> tuple[Any, int]:
        _forget()
        parsed.clear()
        of = Readings(target)
        with of.known():
            found = Source(lambda _: None).resolve(target)
        if keeps:
            of.keep()
        return found, len(parsed)

    return look


def _forget() -> None:
    for each in FORGET:
        each.cache_clear()


def _write(name: str, text: str) -> str:
    Path(name).write_text(text, "utf-8")
    return name


@pytest.mark.parametrize("name", ["first", "one", "two", "plain", "Notes"])
def test_it_is_what_was_read(look: Look, name: str) -> None:
    """All that a program declares, and what it imports of its folder; and nothing is parsed for it."""
    _write("helper.py", "from capsule import task\nimport further\n@task(ram='32MB')\ndef sub(x): ...\n")
    _write("further.py", "WORD = 1\n")
    for folder in ("data", "out"):
        Path(folder).mkdir()
    target = f"{_write('all.py', ALL)}:{name}"
    first, parsed = look(target)
    assert parsed
    again, parsed = look(target)
    assert (again, parsed) == (first, 0)
    assert repr(again) == repr(first)
    assert {module.name for module in again[0].modules} == {"further", "helper"}


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.py")), ids=lambda file: file.name)
def test_examples(look: Look, file: Path) -> None:
    """Likewise, whether there is something to run in them or not."""
    try:
        first, _ = look(str(file))
    except InvalidProgram as error:
        with pytest.raises(InvalidProgram) as again:
            look(str(file))
        assert str(again.value) == str(error)
    else:
        again = look(str(file))
        assert repr(again) == repr((first, 0))


def test_nothing_is_known_elsewhere(look: Look, cache: Path) -> None:
    """An application reads each file itself, and keeps nothing."""
    target = _write("one.py", "def main(): return 1\n")
    Source(lambda _: None).resolve(target)
    assert (recall._recall, [*cache.iterdir()]) == (None, [])
    look(target)
    assert recall._recall is None


def _edit() -> None:
    _write("one.py", "import helper\ndef main(c, d): ...\n")


def _edit_a_neighbour() -> None:
    _write("helper.py", "from capsule import task\n@task\ndef other(): ...\n")


def _add_a_neighbour() -> None:
    _write("missing.py", "WORD = 1\n")


def _remove_a_neighbour() -> None:
    Path("helper.py").unlink()


@pytest.mark.parametrize("change", [_edit, _edit_a_neighbour, _add_a_neighbour, _remove_a_neighbour])
def test_what_changed_is_read_anew(look: Look, cache: Path, change: Callable[[], None]) -> None:
    """Whatever has the size and the times of what was there."""
    _write("one.py", "import helper, missing\ndef main(a, b): ...\n")
    _write("helper.py", "from capsule import task\n@task\ndef thing(): ...\n")
    times = [os.stat(name) for name in ("one.py", "helper.py")]
    look("one.py")
    assert look("one.py")[1] == 0
    change()
    for name, status in zip(("one.py", "helper.py"), times, strict=True):
        if Path(name).exists():
            os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns))
    changed, _ = look("one.py")
    _forget()
    assert changed == Source(lambda _: None).resolve("one.py")
    assert look("one.py") == (changed, 0)
    assert len([*cache.iterdir()]) == 1


def test_an_error_comes_again(look: Look, cache: Path) -> None:
    """Nothing is kept of what could not be read."""
    for text in ("def main(:\n", "from capsule import task\n@task(ram='no')\ndef main(): ...\n", "def other(): ...\n"):
        target = _write("bad.py", text)
        told = set()
        for _ in range(2):
            with pytest.raises(InvalidProgram) as error:
                look(target)
            told.add(str(error.value))
        assert len(told) == 1
    assert [*cache.iterdir()] == []


def test_what_cannot_be_kept_is_read_each_time() -> None:
    """What plain data cannot say, or says as something else."""
    for made in ({1: 2, 3: {4}}, b"bytes", 1 + 2j, object(), float("nan")):
        with recall.recalling({}) as known:
            assert recall.recalled(("key",), lambda made=made: made, lambda plain: plain) is made
        assert (known.asked, known.has_new) == ({}, False)


def test_damage(look: Look, cache: Path) -> None:
    """A file that is not what was written is none; the next run writes it anew."""
    target = _write("one.py", "def main(a, b): ...\n")
    expected, _ = look(target)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:7], whole[:-1], whole + b"x", bytes(len(whole)), *_flipped(whole)):
        file.write_bytes(damaged)
        assert look(target, keeps=False)[0] == expected
    look(target)
    assert look(target) == (expected, 0)
    assert file.read_bytes() == whole


def _flipped(whole: bytes) -> list[bytes]:
    return [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 7)]


@pytest.mark.parametrize("odd", [{}, 5, None, {"text": 1}, {("declared", "def main(): ...\n"): 5}, {("imports",): ()}])
def test_of_another_kind(look: Look, cache: Path, odd: Any) -> None:
    """As another version might have written it."""
    target = _write("one.py", "def main(): ...\n")
    expected, _ = look(target)
    (file,) = cache.iterdir()
    content = readings.marshal.dumps((Readings(target)._made_for, odd))
    file.write_bytes(readings.number_of(content) + content)
    assert look(target)[0] == expected
    assert look(target) == (expected, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such rights")
@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_one_that_others_can_write(look: Look, cache: Path, mode: int) -> None:
    """It is not believed."""
    target = _write("one.py", "def main(): ...\n")
    look(target)
    (file,) = cache.iterdir()
    file.chmod(mode)
    assert look(target)[1]
    assert file.stat().st_mode & 0o777 == 0o600


def test_another_reading(look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What another capsule read is read anew: one whose sources are others, or that lies elsewhere."""
    target = _write("one.py", "def main(): ...\n")
    look(target)
    home = tmp_path / "capsule"
    for name in READERS:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / f"{name}.py").write_bytes((SRC / "capsule" / f"{name}.py").read_bytes())
    monkeypatch.setattr(capsule, "__file__", str(home / "__init__.py"))
    assert look(target)[1]
    assert look(target)[1] == 0
    (home / "policy.py").write_text("changed", "utf-8")
    assert look(target)[1]
    (home / "policy.py").unlink()
    for _ in range(2):
        assert look(target)[1]


def test_all_that_decides_is_looked_at() -> None:
    """What is loaded to read a program is among the readers, but what has no part in it."""
    code = (
        "import sys\nfrom capsule._guest import actors, declarations, neighbours\n"
        "print(*(name for name in sys.modules if name.startswith('capsule.')))"
    )
    env = {**os.environ, "PYTHONPATH": str(SRC)}
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    others = {"capsule._guest", "capsule.cache"}
    assert {f"capsule.{name.replace('/', '.')}" for name in READERS} == set(loaded.split()) - others


def test_there_are_not_more_and_more(look: Look, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of programs that were first run long ago go; a large one is not kept."""
    monkeypatch.setattr(readings, "MOST_FILES", 3)
    monkeypatch.setattr(readings, "MOST_BYTES", 3000)
    for number in range(5):
        look(_write(f"p{number}.py", f"def main(): return {number}\n"))
    assert len([*cache.iterdir()]) == 3
    assert look("p4.py")[1] == 0
    look(_write("large.py", f"def main(): ...\n#{'x' * 3000}\n"))
    assert len([*cache.iterdir()]) == 3
    assert look("large.py")[1]


def test_a_cache_that_cannot_be_written(look: Look, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs nobody the run; nor does one that is not there."""
    target = _write("one.py", "def main(): ...\n")
    monkeypatch.setattr(readings, "replace_file", _full)
    assert look(target)[1]
    monkeypatch.setenv("CAPSULE_CACHE_DIR", str(cache / "nowhere"))
    assert look(target)[1]
    assert [*cache.iterdir()] == []


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_where_nothing_may_be_written(look: Look, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants no byte code wants none of this."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    look(_write("one.py", "def main(): ...\n"))
    assert [*cache.iterdir()] == []


def test_it_is_shown_and_cleared(look: Look, cache: Path, tmp_path: Path) -> None:
    """With the rest of the cache."""
    look(_write("one.py", "def main(): ...\n"))
    env = {**environment(tmp_path, cache), "PYTHONPATH": str(SRC)}

    def says(*words: str) -> str:
        command = [sys.executable, "-c", "from capsule.cli.main import command; command()", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=True, timeout=60)
        return done.stdout + done.stderr

    assert "what programs declare, " in says("cache")
    assert "removed what programs declare, " in says("cache", "clear")
    assert [file for file in cache.iterdir() if file.name.startswith(PREFIX)] == []
