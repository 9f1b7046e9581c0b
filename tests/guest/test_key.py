"""The key of the guest, remembered while nothing that it covers was touched."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from capsule._guest import build, key
from capsule.cache import VARIABLE

ENGINE = "an engine"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Copies of what the key covers, to be changed."""
    folders = tmp_path / "sdk", tmp_path / "merging"
    for folder, real in zip(folders, (build.SDK, key.MERGING), strict=True):
        shutil.copytree(real, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(build, "SDK", folders[0])
    monkeypatch.setattr(key, "MERGING", folders[1])
    return folders


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that were not remembered."""
    keys: list[str] = []
    real = key.key_of
    monkeypatch.setattr(key, "key_of", lambda facts: keys.append(real(facts)) or keys[-1])
    return keys


def now() -> str:
    return key.key_of(key.made_with(ENGINE))


def test_it_is_remembered(found: list[str], cache: Path) -> None:
    """The second time nothing is read, and the answer is the same."""
    expected = now()
    found.clear()
    assert [key.key_here(ENGINE) for _ in range(3)] == [expected] * 3
    assert found == [expected]
    assert len([*cache.iterdir()]) == 1


def keeping_times(file: Path, change: Callable[[], object]) -> None:
    """As somebody who unpacks an archive over it does."""
    before = file.stat()
    change()
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # a clock's tick may be as long as 10 ms
        os.utime(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def edited(file: Path) -> None:
    def change() -> None:
        file.write_bytes(file.read_bytes()[:-2] + b"#\n")

    keeping_times(file, change)


def replaced(file: Path) -> None:
    def change() -> None:
        other = file.with_name("other")
        other.write_bytes(file.read_bytes()[:-2] + b"#\n")
        other.replace(file)

    keeping_times(file, change)


@pytest.mark.skipif(sys.platform == "win32", reason="the time of a change of status is POSIX's")
@pytest.mark.parametrize("change", [edited, replaced])
@pytest.mark.parametrize("which", [0, 1], ids=["the guest", "what builds it"])
def test_what_changes_unseen(sources: tuple[Path, Path], which: int, change: Callable[[Path], None]) -> None:
    """A file whose size and time are those of before is another one all the same."""
    before = key.key_here(ENGINE)
    file = next(file for file in sorted(sources[which].glob("*.py")) if file.stat().st_size > 10)
    change(file)
    assert key.key_here(ENGINE) == now() != before


@pytest.mark.parametrize("which", [0, 1], ids=["the guest", "what builds it"])
def test_what_comes_and_goes(sources: tuple[Path, Path], which: int) -> None:
    """A file more is another guest, and without it it is the one of before."""
    before = key.key_here(ENGINE)
    new = sources[which] / "more.py"
    new.write_text("", "utf-8")
    assert key.key_here(ENGINE) == now() != before
    new.unlink()
    assert key.key_here(ENGINE) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(key, "version_of", lambda _: "99"),
        lambda patch: patch.setattr(key, "_flags", lambda: "flags: fewer"),
        lambda patch: patch.setattr(key.platform, "machine", lambda: "another"),
        lambda patch: patch.setattr(key.sys, "platform", "elsewhere"),
    ],
    ids=["componentize-py", "features", "machine", "system"],
)
def test_what_is_no_file(monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None]) -> None:
    """Another tool or processor is another guest; so is another engine."""
    before = key.key_here(ENGINE)
    assert key.key_here("another engine") != before
    with monkeypatch.context() as patch:
        change(patch)
        assert key.key_here(ENGINE) == now() != before
    assert key.key_here(ENGINE) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"\n",
        lambda _: b"x" * 10_000,
        lambda _: b"0123456789abcdef01234567\n",
        lambda data: b"\xff" + data[1:],
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
        lambda data: data[:-1],
    ],
)
def test_a_damaged_file(cache: Path, found: list[str], damage: Callable[[bytes], bytes]) -> None:
    """It is found anew, and written down again."""
    expected = key.key_here(ENGINE)
    (file,) = cache.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    found.clear()
    assert key.key_here(ENGINE) == key.key_here(ENGINE) == expected
    assert found == [expected]


def test_each_place_has_its_own(cache: Path, sources: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that are installed share a cache; of many the oldest go."""
    for number in range(key.MOST_SEEN + 2):
        shutil.copytree(sources[1], sources[1].with_name(str(number)))
        monkeypatch.setattr(key, "MERGING", sources[1].with_name(str(number)))
        key.key_here(ENGINE)
    assert len([*cache.iterdir()]) == key.MOST_SEEN


def test_no_place_for_it(cache: Path, found: list[str]) -> None:
    """Without a cache, and in one that others can write, it is found each time."""
    expected = key.key_here(ENGINE)
    shutil.rmtree(cache)
    assert key.key_here(ENGINE) == key.key_here(ENGINE) == expected
    if sys.platform != "win32":
        cache.mkdir()
        cache.chmod(0o777)
        assert key.key_here(ENGINE) == key.key_here(ENGINE) == expected
        assert [*cache.iterdir()] == []
    assert set(found) == {expected}
    assert len(found) >= 3
