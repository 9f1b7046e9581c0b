"""The lock of a run: held as long as its process lives, and no longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from capsule._journal.locks import holding, is_free


def test_it_is_held_and_removed(tmp_path: Path) -> None:
    """filelock, with which readers look, sees the lock; afterwards the file is gone."""
    file = tmp_path / "run.lock"
    with holding(file):
        assert not is_free(file, patience=0)
    assert not file.exists()


def test_a_file_that_is_there_is_not_taken(tmp_path: Path) -> None:
    """It is a new run's own: a link that a stranger laid there leads nowhere."""
    file = tmp_path / "run.lock"
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"run\.lock"), holding(file):
        pass
    assert not (tmp_path / "elsewhere").exists()


FORKS = """
import os, sys
from pathlib import Path
from capsule._journal.locks import holding
with holding(Path(sys.argv[1])):
    if os.fork() == 0:
        sys.stdin.read()  # the child lives on
        os._exit(0)
    print("forked", flush=True)
    os._exit(1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_child_by_fork_does_not_hold_it(tmp_path: Path) -> None:
    """A run whose process is gone is not taken for one at work because a child of it lives."""
    file = tmp_path / "run.lock"
    command = [sys.executable, "-c", FORKS, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "forked\n"
        assert process.wait(60) == 1
        assert file.exists()
        assert is_free(file, patience=30)  # once the child has come so far
