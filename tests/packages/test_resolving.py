"""Which wheels are chosen, with the real pip on a folder of tiny ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from capsule import InvalidPackages, SetupError
from capsule._packages import pip, resolving
from capsule._packages.requirements import parse_all
from capsule._packages.resolving import resolve
from packages.wheels import Index


@pytest.fixture
def chosen(tmp_path: Path):
    """`chosen("a>=1", ...)`: what is found, as texts."""

    def find(*lines: str) -> list[str]:
        return [f"{wheel.name} {wheel.version}" for wheel in resolve(parse_all(lines), tmp_path)]

    return find


def test_the_newest_and_what_it_needs(index: Index, chosen) -> None:
    """Each once, whatever the ways to it; conditions are the sandbox's, extras are followed where they are asked for."""
    index.wheel("foo", "1.0")
    index.wheel(
        "foo",
        "2.0",
        needs=["bar>=1", "old; python_version < '3.14'", "linux; sys_platform == 'linux'", "more; extra == 'more'"],
    )
    index.wheel("bar", "1.5", needs=["foo"])
    index.wheel("more", "1.0", needs=["bar"])
    assert chosen("foo") == ["bar 1.5", "foo 2.0"]


def test_extras(index: Index, chosen) -> None:
    """Also one that a package asks for of another, and one after the other."""
    index.wheel("foo", needs=["bar[x]", "bar"])
    index.wheel("bar", needs=["plain", "ex; extra == 'x'", "why; extra == 'y'"])
    for name in ("plain", "ex", "why"):
        index.wheel(name)
    assert chosen("foo") == ["bar 1.0", "ex 1.0", "foo 1.0", "plain 1.0"]


def test_what_comes_later_may_ask_for_less(index: Index, chosen) -> None:
    """A version that was taken is given back when somebody cannot live with it, and what it alone needed with it."""
    index.wheel("foo", "2.0", needs=["only-for-two"])
    index.wheel("foo", "1.0")
    index.wheel("only-for-two")
    index.wheel("bar", needs=["deep"])
    index.wheel("deep", needs=["foo<2"])
    assert chosen("foo", "bar") == ["bar 1.0", "deep 1.0", "foo 1.0"]


def test_a_conflict_names_who_asks(index: Index, chosen) -> None:
    """With the versions that each of them wants."""
    index.wheel("foo", "1.0")
    index.wheel("foo", "2.0")
    index.wheel("bar", "3.0", needs=["foo>=2"])
    words = "no version of foo in pure Python is <2,>=2; there are 1.0, 2.0 (asked for: foo<2 for the program; foo>=2 for bar 3.0)"
    with pytest.raises(InvalidPackages, match=re.escape(words)) as caught:
        chosen("foo<2", "bar")
    assert caught.value.package == "foo"


def test_what_is_native(index: Index, chosen) -> None:
    """By name, with the reason, and with who needs it."""
    index.wheel("nat", tag="cp314-cp314-manylinux_2_17_x86_64")
    index.wheel("bar", needs=["nat"])
    index.wheel("fine")
    with pytest.raises(InvalidPackages, match=r"^nat needs compiled code, which a sandbox cannot load; [^(]*$"):
        chosen("fine", "nat")


def test_what_is_native_below(index: Index, chosen) -> None:
    """The same for what a package needs."""
    index.wheel("nat", tag="cp314-cp314-manylinux_2_17_x86_64")
    index.wheel("bar", needs=["nat"])
    with pytest.raises(InvalidPackages, match=r"^nat needs compiled code.*\(asked for: nat for bar 1.0\)$"):
        chosen("bar")


def test_a_pure_wheel_beside_a_native_one(index: Index, chosen) -> None:
    """Many packages have both; the pure one is taken although the other would fit this machine."""
    index.wheel("both", tag="cp314-cp314-manylinux_2_17_x86_64")
    index.wheel("both")
    assert chosen("both") == ["both 1.0"]


WAS_PURE = {
    "was>=2": r"^was >=2 needs compiled code, which a sandbox cannot load; .*; in pure Python there are only 0\.1$",
    "bar": r"^was ==2\.1 needs compiled code.*\(asked for: was==2\.1 for bar 1\.0\)$",
    "was>=3": r"^no version of was in pure Python is >=3; there are 0\.1$",
}


@pytest.mark.parametrize(("line", "words"), WAS_PURE.items(), ids=WAS_PURE)
def test_what_was_pure_once(index: Index, chosen, line: str, words: str) -> None:
    """An old release that nobody asks for does not hide that the newer ones are native."""
    index.wheel("was", "0.1")
    for version in ("2.0", "2.1"):
        index.wheel("was", version, tag="cp312-cp312-manylinux_2_17_x86_64")
    index.wheel("bar", needs=["was==2.1"])
    with pytest.raises(InvalidPackages, match=words) as caught:
        chosen(line)
    assert caught.value.package == "was"


def test_sources_are_never_built(index: Index, chosen, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Building would run a stranger's code here."""
    proof = tmp_path_factory.mktemp("proof") / "ran"
    index.sdist("src", setup=f"open({str(proof)!r}, 'w')\n")
    with pytest.raises(InvalidPackages, match="src has source distributions only, and building one would run its code"):
        chosen("src")
    assert not proof.exists()


def test_there_is_no_such_package(index: Index, chosen) -> None:
    """A name that nobody took, or a slip of the pen."""
    with pytest.raises(InvalidPackages, match="there is no package nosuch in the index; check the name"):
        chosen("nosuch")


@pytest.mark.parametrize(
    "address", ["file:///etc", "git+https://example.com/x", "https://example.com/x-1-py3-none-any.whl"]
)
def test_what_a_package_needs_has_a_name(index: Index, chosen, address: str) -> None:
    """An address in a wheel is refused before anybody goes there."""
    index.wheel("bar", needs=[f"x @ {address}"])
    with pytest.raises(InvalidPackages, match=re.escape("bar 1.0 asks for x by an address")):
        chosen("bar")


def test_another_python(index: Index, chosen) -> None:
    """An older release is taken if the newest is not for the sandbox's Python."""
    index.wheel("foo", "1.0", python=">=3.8")
    index.wheel("foo", "2.0", python="<3.12")
    assert chosen("foo") == ["foo 1.0"]


def test_only_another_python(index: Index, chosen) -> None:
    """A package that the sandbox's Python is too new for."""
    index.wheel("bar", python="<3.12")
    with pytest.raises(InvalidPackages, match=r"bar has no release for Python 3\.14"):
        chosen("bar")


def test_versions_that_never_fit(index: Index, chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that throw each other out are given up in the end."""
    monkeypatch.setattr(resolving, "MAX_ROUNDS", 6)
    index.wheel("foo", "2.0", needs=["bar<2"])
    index.wheel("foo", "1.0", needs=["bar>=2"])
    index.wheel("bar", "2.0", needs=["foo>=2"])
    index.wheel("bar", "1.0", needs=["foo<2"])
    with pytest.raises(InvalidPackages, match=r"(bar|foo)"):
        chosen("foo", "bar")


def test_limits(index: Index, chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many packages, and how much they have together."""
    index.wheel("foo", needs=["bar"])
    index.wheel("bar", files={"bar.py": "x = '" + "x" * 5000 + "'"})
    monkeypatch.setattr(resolving, "MOST_PACKAGES", 1)
    with pytest.raises(InvalidPackages, match="more than 1 packages"):
        chosen("foo")


def test_the_total(index: Index, chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest is named."""
    index.wheel("bar", files={"bar.py": "x = '" + "x" * 5000 + "'"})
    monkeypatch.setattr(resolving, "MAX_TOTAL", 5000)
    with pytest.raises(InvalidPackages, match="bar most of them; the most is 5,000"):
        chosen("bar")


def test_an_index_that_cannot_be_reached(index: Index, chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of the program's, and the index's password stays here."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(SetupError, match="cannot be reached to look for toolz") as caught:
        chosen("toolz")
    assert "secret" not in str(caught.value)


def test_no_pip(index: Index, chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without pip says what to install."""
    monkeypatch.setattr(pip.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(pip.shutil, "which", lambda name: None)
    with pytest.raises(SetupError, match="install pip, or uv"):
        chosen("foo")
    monkeypatch.setattr(pip.shutil, "which", lambda name: "/bin/uv")
    assert pip._command() == ["/bin/uv", "tool", "run", "pip"]


def test_a_native_wheel_that_works_without_its_native_part(index: Index, chosen) -> None:
    """Two packages that many others need are taken without it; nobody else's native wheel is."""
    index.wheel("markupsafe", "3.0", tag="cp314-cp314-manylinux_2_17_x86_64")
    index.wheel("foo", needs=["markupsafe>=2"])
    assert chosen("foo") == ["foo 1.0", "markupsafe 3.0"]
