"""Versions of installed packages."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from capsule._versions import version_of


@pytest.mark.parametrize("name", ["wasmtime", "componentize-py", "anyio", "msgspec", "typer", "python-dotenv"])
def test_it_is_what_the_library_says(name: str) -> None:
    """The quick way finds what the thorough one finds."""
    assert version_of(name) == version(name)


def test_what_is_not_installed() -> None:
    """It fails as the library does."""
    with pytest.raises(PackageNotFoundError):
        version_of("nowhere-to-be-found")


def test_the_first_place_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for imports. Places that are not there, and a name that only begins the same, are passed over."""
    for name in ("first/thing_more-9.9.dist-info", "first/thing-1.0.dist-info", "second/thing-2.0.dist-info"):
        (tmp_path / name).mkdir(parents=True)
    places = [tmp_path / "missing", tmp_path / "first", tmp_path / "second"]
    monkeypatch.setattr(sys, "path", [str(place) for place in places])
    assert version_of("thing") == "1.0"


def test_two_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them holds is for the library to say."""
    for number in ("1.0", "2.0"):
        folder = tmp_path / f"thing-{number}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: thing\nVersion: {number}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert version_of("thing") == version("thing")
