"""The suite as a whole: its benches, and a run of one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

import benches
from benches._contender import load
from benches._peers.environments import Missing, python_of
from benches._ratios import Report
from benches._runner import run
from benches._values import Do, Peer

ROOT = Path(benches.__file__).parents[1]


def test_every_bench_is_named() -> None:
    """The list has each file that is not the suite's own, once."""
    files = {file.stem for file in (ROOT / "benches").glob("*.py") if not file.stem.startswith("_")}
    assert Counter(benches.NAMES) == Counter(files)


@pytest.mark.parametrize("name", benches.NAMES)
def test_benches_are_sound(name: str) -> None:
    """Keys are unique, references take part, each bench measures capsule, and each row of a driver exists."""
    bench = load(name)
    names = [contender.name for contender in bench.contenders]
    assert len(set(names)) == len(names)
    assert any(contender.is_ours for contender in bench.contenders)
    keys = [row.key for row in bench.rows]
    assert len(set(keys)) == len(keys)
    assert {row.against for row in bench.rows} <= {*names, None}
    for contender in bench.contenders:
        if isinstance(contender, Peer):
            assert set(contender.rows) <= set(keys)
            assert all(do.program in contender.programs for do in contender.rows.values())


def test_keys_are_the_suites() -> None:
    """No two benches have a row of the same key, so that runs can be compared by it."""
    keys = Counter(row.key for name in benches.NAMES for row in load(name).rows)
    assert [key for key, count in keys.items() if count > 1] == []


def test_a_peer_that_cannot_be_had_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason is pip's own last line."""
    monkeypatch.setattr("benches._peers.environments.FOLDER", tmp_path)
    monkeypatch.setitem(sys.modules["benches._peers.environments"].REQUIREMENTS, "nobody", ("./there-is-nothing",))
    with pytest.raises(Missing, match="nobody cannot be installed: "):
        python_of("nobody")


def test_a_contender_that_fails_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go on, and its line says what went wrong."""
    bench = load("fresh")
    broken = Peer(
        name="broken",
        driver="cpython",
        programs={"main": "def main(): raise SystemExit('by design')"},
        rows={"fresh": Do(way="each")},
    )
    monkeypatch.setattr("benches._runner.load", lambda _: msgspec.structs.replace(bench, contenders=(broken,)))
    fresh, *others = run("fresh", rounds=1, with_peers=False, say=lambda _: None)
    (figure,) = fresh.figures
    assert figure.value is None
    assert "JSONDecodeError" in figure.note
    assert [other.figures for other in others] == [(), ()]


@pytest.mark.slow
def test_a_quick_run_writes_and_compares(tmp_path: Path, guest: object) -> None:
    """A table on stdout, a run as JSON, and no regression against itself."""
    file = tmp_path / "run.json"
    command = [sys.executable, "-m", "benches", "fresh", "--quick", "--no-peers", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "fresh  a fresh sandbox" in done.stdout
    report = msgspec.json.decode(file.read_bytes(), type=Report)
    contenders = {figure.contender for figure in report.results[0].figures}
    assert {"capsule", "capsule on trio", "wasmtime, bare"} <= contenders
    assert all(figure.value and not figure.note for figure in report.results[0].figures)
    assert {"Python", "capsule", "wasmtime"} <= set(json.loads(file.read_text())["versions"])
    again = [sys.executable, "-m", "benches", "--from", str(file), "--check", str(file)]
    assert subprocess.run(again, cwd=ROOT, capture_output=True, timeout=60, check=False).returncode == 0
