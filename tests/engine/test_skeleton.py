"""What a guest finds at `/`: made once for each set of names, made again if it is gone, and bounded in number."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from capsule._engine import skeleton
from capsule._engine.skeleton import Skeletons


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine's temporary folders are, for now."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def names_in(top: str) -> set[str]:
    return {"/" + each.relative_to(top).as_posix() for each in Path(top).rglob("*")}


def test_one_for_each_set_of_names(temporary: Path) -> None:
    """However they are ordered; nothing is left at the end."""
    made = Skeletons()
    one = made.of(["/data", "/a/b", "/a"])
    assert names_in(one) == {"/data", "/a", "/a/b"}
    assert made.of(["/a", "/data", "/a/b"]) == one
    assert names_in(made.of(["/data"])) == {"/data"}
    made.close()
    assert list(temporary.iterdir()) == []


def test_nothing_is_made_unless_asked_for(temporary: Path) -> None:
    Skeletons().close()
    assert list(temporary.iterdir()) == []


def test_what_a_cleaner_removed_is_made_again(temporary: Path) -> None:
    """A part of it, or all."""
    made = Skeletons()
    top = made.of(["/data", "/out"])
    Path(top, "data").rmdir()
    assert names_in(made.of(["/data", "/out"])) == {"/data", "/out"}
    for each in temporary.iterdir():
        shutil.rmtree(each)
    assert names_in(made.of(["/data", "/out"])) == {"/data", "/out"}
    made.close()


def test_their_number_is_bounded(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who come late find an empty one."""
    monkeypatch.setattr(skeleton, "MOST_SKELETONS", 3)
    made = Skeletons()
    found = [made.of([f"/n{number}"]) for number in range(10)]
    assert [names_in(top) for top in found] == [{"/n0"}, {"/n1"}, {"/n2"}] + [set()] * 7
    assert made.of(["/n1"]) == found[1]
    made.close()


@pytest.mark.skipif(sys.platform == "win32", reason="links and owners of POSIX")
@pytest.mark.parametrize("what", ["a link", "a folder for all", "a file"])
def test_what_somebody_put_in_its_place_is_not_used(temporary: Path, what: str) -> None:
    """After a cleaner removed it. Nothing is made there, and nothing of it shown or removed."""
    made, victim = Skeletons(), temporary / "victim"
    home = Path(made.of(["/data"])).parent
    shutil.rmtree(home)
    victim.mkdir()
    if what == "a link":
        home.symlink_to(victim)
    elif what == "a folder for all":
        (home / "0" / "evil").mkdir(parents=True)
        home.chmod(0o777)
    else:
        home.touch()
    top = made.of(["/data"])
    assert names_in(top) == {"/data"}
    assert home not in Path(top).parents
    made.close()
    assert sorted(each.name for each in temporary.iterdir()) == sorted([home.name, "victim"])
    assert not list(victim.iterdir())
