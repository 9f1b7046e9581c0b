"""Processes of the command: each with an installed capsule, a cache and folders of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import capsule
from keeping import SAY, SCRIPT, Run, environment, script_in, settle

SRC = Path(capsule.__file__).parents[1]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a capsule that nobody else changes."""
    folder = tmp_path_factory.mktemp("installed")
    for name in ("capsule", "capsule_sdk"):
        shutil.copytree(SRC / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    settle(folder)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders on `sys.path`; in the second there is a module `thing`."""
    made = [tmp_path / "first", tmp_path / "second"]
    for folder in made:
        folder.mkdir()
    (made[1] / "thing.py").write_text("WORD = 'one'\n", "utf-8")
    return made


@pytest.fixture(params=["found", "at once"])
def run(request: pytest.FixtureRequest, tmp_path: Path, cache: Path, folders: list[Path], installed: Path) -> Run:
    """Runs code in a process that begins and ends as the command does; answers what it printed. Twice: modules that are
    kept are found as others are, or loaded at once and with all else that the command does.
    """
    return _run(request.param, tmp_path, cache, folders, installed)


@pytest.fixture
def run_at_once(tmp_path: Path, cache: Path, folders: list[Path], installed: Path) -> Run:
    """The second of these alone."""
    return _run("at once", tmp_path, cache, folders, installed)


def _run(how: str, tmp_path: Path, cache: Path, folders: list[Path], installed: Path) -> Run:
    script = script_in(tmp_path / "bin", SCRIPT)

    def run(
        code: str = SAY, *options: str, path: list[Path] = folders, has_settled: bool = True, **variables: str
    ) -> str:
        env = {
            **environment(tmp_path, cache),
            "PYTHONPATH": os.pathsep.join(map(str, [*path, installed])),
            "SETTLED": "1000000" if has_settled else "0",
            "HOW": how,
            **variables,
        }
        if has_settled:
            settle(tmp_path)
            settle(installed)
        words = [sys.executable, *options, str(script), code]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    return run
