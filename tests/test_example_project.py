"""The example of a project: run from its folder, inspected, and as an application on both loops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from capsule._guest.cache import CompiledGuest

PROJECT = Path(__file__).resolve().parents[1] / "examples" / "project"
CAPSULE = [sys.executable, "-c", "from capsule.cli.main import main; main()"]
MEANS = {"ada": 47.5, "bob": 47.5, "eve": "task_error"}


def run(*command: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("args", [[], ["report.py"]])
def test_it_runs_in_its_folder(guest: CompiledGuest, args: list[str]) -> None:
    """The entrypoint, by the project file or by its name."""
    done = run(*CAPSULE, "run", *args)
    assert (json.loads(done.stdout), done.stderr, done.returncode) == (MEANS, "", 0)


def test_from_elsewhere_it_is_a_file_like_any_other(guest: CompiledGuest) -> None:
    """The project of the folder above has no say, and its own neither: the host that it asks for is refused."""
    done = run(*CAPSULE, "run", "project/report.py", cwd=PROJECT.parent)
    assert done.returncode == 2
    assert 'task rate: allowed_hosts=["rates.example.com"]; it may have none' in done.stderr


def test_it_can_be_inspected(guest: CompiledGuest) -> None:
    """The project's defaults, a task's own settings over them, and the host that is granted."""
    told = json.loads(run(*CAPSULE, "inspect", "--json").stdout)
    policies = {each["name"]: each["policy"] for each in told["declared"]}
    assert (told["project"], told["may_start"]) == ({"name": "orders", "version": "1.0"}, True)
    assert [policies[name]["ram"] >> 20 for name in ("main", "mean", "rate")] == [64, 48, 64]
    assert [policies[name]["allowed_hosts"] for name in ("main", "rate")] == [[], ["rates.example.com"]]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_its_application(guest: CompiledGuest, backend: str) -> None:
    """It prints the same on both loops, and warns of nothing."""
    code = (
        f"import sys, anyio; sys.path.insert(0, {str(PROJECT)!r}); import app; anyio.run(app.main, backend={backend!r})"
    )
    done = run(sys.executable, "-W", "error", "-c", code)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines() == [
        "[5.0, 47.5, 400.0]",
        str(MEANS),
        "app.py declares more rights than it may be granted:",
        '  app.py:23, task wants_more: allowed_hosts=["elsewhere.example.com"]; it may have only ["rates.example.com"]',
        'Runtime(ceiling=Policy(allowed_hosts=["rates.example.com", "elsewhere.example.com"])) would allow it',
    ]
