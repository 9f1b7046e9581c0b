"""`capsule setup` and `capsule cache`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from capsule._guest.cache import CompiledGuest
from capsule._setup import CHILD

COMMAND = [sys.executable, "-c", "from capsule.cli.main import main; main()"]


def capsule(*args: str, cache: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CAPSULE_CACHE_DIR": str(cache)}
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=120, env=env, check=False)


def test_setup_is_quick_when_there_is_nothing_to_do(guest: CompiledGuest) -> None:
    """A second setup says so and builds nothing."""
    done = capsule("setup", cache=Path(guest.file).parents[1])
    assert (done.returncode, done.stdout) == (0, "")
    assert "ready already" in done.stderr


def test_show(guest: CompiledGuest) -> None:
    """The listing names the folder and marks the guest that is in use."""
    done = capsule("cache", cache=Path(guest.file).parents[1])
    assert done.stdout.splitlines()[0] == str(Path(guest.file).parents[1])
    assert Path(guest.file).parent.name in done.stdout
    assert "in use" in done.stdout


def test_show_nothing(tmp_path: Path) -> None:
    """An empty cache says how to fill it."""
    assert "capsule setup" in capsule("cache", cache=tmp_path / "none").stderr


def test_clear(guest: CompiledGuest, tmp_path: Path) -> None:
    """Clearing removes guests, damaged ones too, and leaves other files alone."""
    (tmp_path / "guest-damaged").mkdir()
    (tmp_path / "guest-damaged" / "guest.cwasm").write_bytes(b"x" * 2048)
    (tmp_path / "mine.txt").write_text("keep", "utf-8")
    assert "damaged" in capsule("cache", cache=tmp_path).stdout
    assert capsule("cache", "clear", cache=tmp_path).stdout == "removed 1 compiled guest, 2KB\n"
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The error names the variable that moves the cache."""
    (tmp_path / "file").write_text("in the way", "utf-8")
    done = capsule("setup", cache=tmp_path / "file" / "cache")
    assert done.returncode == 1
    assert "CAPSULE_CACHE_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_imported_from_the_current_folder(guest: CompiledGuest, tmp_path: Path) -> None:
    """The process that builds the guest runs in a folder that may be hostile."""
    for name in ("capsule", "msgspec", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')", "utf-8")
    done = subprocess.run(CHILD, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert guest.file in done.stdout, done


def test_a_folder_that_others_can_write(guest: CompiledGuest, tmp_path: Path) -> None:
    """Native code is not loaded from it, and the listing says so in one line."""
    shutil.copytree(Path(guest.file).parent, tmp_path / Path(guest.file).parent.name)
    tmp_path.chmod(0o777)
    done = capsule("cache", cache=tmp_path)
    assert done.returncode == 1
    assert "others can write it" in done.stderr
    assert "Traceback" not in done.stderr
