"""Hostile archives, and what is left of good ones."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from capsule import InvalidPackages
from capsule._packages import wheel as room
from capsule._packages.shelf import PackageSet, write_set
from capsule._packages.wheel import read_wheel
from packages.wheels import Index


def contents(file: Path, tmp_path: Path, taken: frozenset[str] = frozenset()) -> PackageSet:
    write_set(tmp_path / "set.zip", [read_wheel(file)], taken)
    return PackageSet(tmp_path / "set.zip")


def test_what_goes_along(index: Index, tmp_path: Path) -> None:
    """Files of the package and its metadata; no native code, no scripts, nothing that a start-up would run."""
    file = index.wheel(
        "foo",
        files={
            "foo/__init__.py": "",
            "foo/data.txt": "x",
            "foo/fast.so": "x",
            "foo/__pycache__/a.pyc": "x",
            "evil.pth": "import os",
            "foo-1.0.data/purelib/bar.py": "B = 1",
            "foo-1.0.data/scripts/run": "x",
        },
    )
    opened = contents(file, tmp_path)
    assert opened.names == ("bar", "foo")
    assert opened.about.packages == {"foo": "1.0"}
    assert list(opened.entries("") or ()) == ["bar.py", "foo", "foo-1.0.dist-info"]
    assert opened.entries("foo") == {"__init__.py": 0, "data.txt": 1}
    assert opened.read("foo/data.txt") == b"x"
    opened.close()


def test_what_is_found(index: Index, tmp_path: Path) -> None:
    """Modules by their dotted names, folders without code among them; nothing by any other name."""
    file = index.wheel("foo", files={"ns/foo/a.py": "", "b.py": "", "json.py": "", "c/__init__.py": ""})
    opened = contents(file, tmp_path, frozenset({"json"}))
    assert opened.find("ns") == ("ns", True)
    assert opened.find("ns.foo.a") == ("ns/foo/a.py", False)
    assert opened.find("c") == ("c/__init__.py", True)
    for name in ("json", "d", "", ".", "..", "ns..foo", "ns/foo/a", "/etc", "b.py", "ns.foo.a.", "foo-1", "about"):
        assert opened.find(name) is None
    for path in ("", "/b.py", "./b.py", "../b.py", "ns/../b.py", "about.json", "../about.json", "/etc/passwd", "ns"):
        assert opened.size(path) is None
    opened.close()


def archive(members: list[tuple[zipfile.ZipInfo | str, bytes]], index: Index) -> Path:
    file = index.folder / "bad-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("bad-1.0.dist-info/METADATA", "Name: bad\nVersion: 1.0\n")
        for name, content in members:
            opened.writestr(name, content)
    return file


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


LEADS_OUT = "a link, a twin, or a name that leads out"
HOSTILE = {
    "a name above": ([("../evil.py", b"")], LEADS_OUT),
    "a name above in the middle": ([("bad/../../evil.py", b"")], LEADS_OUT),
    "an absolute name": ([("/etc/cron.d/evil", b"")], LEADS_OUT),
    "a drive": ([("C:/evil.py", b"")], LEADS_OUT),
    "a backslash": ([("bad\\..\\evil.py", b"")], LEADS_OUT),
    "an empty part": ([("bad//evil.py", b"")], LEADS_OUT),
    "a name of one dot": ([("./evil.py", b"")], LEADS_OUT),
    "a control character": ([("bad/\nevil.py", b"")], LEADS_OUT),
    "a long name": ([("bad/" + "x" * 400, b"")], LEADS_OUT),
    "a name above in its data": ([("bad-1.0.data/purelib/../../evil.py", b"")], LEADS_OUT),
    "a link": ([(link("bad/passwd.py"), b"/etc/passwd")], LEADS_OUT),
    "a bomb": ([("bad/zeros.txt", b"\0" * (room.MAX_FILE + 1))], "larger than 8 MB"),
}


@pytest.mark.parametrize(("members", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive(index: Index, members, words: str) -> None:
    """All of it is refused, by the package's name; one that is as it should be passes."""
    assert read_wheel(archive([("bad/fine.py", b"x = 1")], index)).name == "bad"
    with pytest.raises(InvalidPackages, match=re.escape(words)) as caught:
        read_wheel(archive(members, index))
    assert caught.value.package == "bad"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_twins(index: Index) -> None:
    """Two files of one name: what is checked might not be what is read."""
    with pytest.raises(InvalidPackages, match="twin"):
        read_wheel(archive([("bad/a.py", b"1"), ("bad/a.py", b"2")], index))


def test_an_archive_that_says_less_than_it_holds(index: Index, tmp_path: Path) -> None:
    """A bomb whose table of contents lies is never read further than it says, and is damaged then."""
    file = archive([("bad/zeros.py", b"\0" * (room.MAX_FILE + 1))], index)
    data = bytearray(file.read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    file.write_bytes(data)
    found = read_wheel(file)
    with pytest.raises(InvalidPackages, match="damaged"):
        write_set(tmp_path / "set.zip", [found], ())
    assert list(tmp_path.iterdir()) == []


def test_too_many_files(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a name to keep; a table of contents that is too large is not even read."""
    members = [(f"bad/m{n}.py", b"") for n in range(20)]
    monkeypatch.setattr(room, "MAX_FILES", 10)
    with pytest.raises(InvalidPackages, match="more than 10 files"):
        read_wheel(archive(members, index))
    monkeypatch.setattr(room, "MAX_DIRECTORY", 100)
    with pytest.raises(InvalidPackages, match="holds too much"):
        read_wheel(archive(members, index))


def test_no_archive(index: Index) -> None:
    """Noise, an empty file, half a file."""
    whole = archive([], index).read_bytes()
    for data in (b"", b"noise" * 100, whole[: len(whole) // 2], whole[:-30]):
        file = index.folder / "bad-1.0-py3-none-any.whl"
        file.write_bytes(data)
        with pytest.raises(InvalidPackages, match="bad cannot be used"):
            read_wheel(file)


def test_a_native_wheel_is_refused_by_name(index: Index) -> None:
    """Whoever brought it here."""
    with pytest.raises(InvalidPackages, match="foo needs compiled code"):
        read_wheel(index.wheel("foo", tag="cp314-cp314-manylinux_2_17_x86_64"))


def test_another_python(index: Index) -> None:
    """What a package says of itself is asked of the sandbox's Python."""
    assert read_wheel(index.wheel("foo", python=">=3.8")).name == "foo"
    with pytest.raises(InvalidPackages, match=r"foo cannot be used: it asks for Python <3.12"):
        read_wheel(index.wheel("foo", python="<3.12"))
