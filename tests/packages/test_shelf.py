"""Under which name a set of packages is kept: what was asked for, and where pip would have looked for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsule._packages.shelf import key_of


def test_where_pip_looks_is_a_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment, and what its configuration files say: another index may have another package of that name."""
    monkeypatch.delenv("PIP_CONFIG_FILE", raising=False)
    first = key_of(["toolz"])
    assert key_of(["toolz"]) == first != key_of(["toolz>=1"])
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nfind-links = a\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    one = key_of(["toolz"])
    config.write_text("[global]\nfind-links = b\n")
    assert len({first, one, key_of(["toolz"])}) == 3
    monkeypatch.setenv("PIP_FIND_LINKS", "c")
    assert key_of(["toolz"]) not in {first, one}


@pytest.mark.skipif("sys.platform != 'linux'", reason="where the files of a user lie on Linux")
@pytest.mark.parametrize("place", [".config/pip/pip.conf", ".pip/pip.conf"])
def test_a_file_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """As pip reads it without being told."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    before = key_of(["toolz"])
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text("[global]\nindex-url = http://127.0.0.1:9\n")
    assert key_of(["toolz"]) != before
