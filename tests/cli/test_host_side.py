"""`--mount`, `--env` and `--env-file`: real processes, a project on the disk, and what its programs see of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capsule._guest.cache import CompiledGuest
from cli.test_run import capsule

LOOKS = """
import os
from capsule import task

@task
def main(*paths):
    return [look(path) for path in paths] + [dict(os.environ)]

def look(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        return type(error).__name__

@task
def writes(path):
    with open(path, "w") as file:
        file.write("new")
"""

DECLARES = '@task(env_variables=["CAPSULE_TEST_A=default"])'


@pytest.fixture(autouse=True)
def project(guest: CompiledGuest, write) -> None:
    write("pyproject.toml", "")
    write("data/x.txt", "hello")
    write("tools/main.py", LOOKS)
    write("tools/asks.py", LOOKS.replace("@task\ndef main", DECLARES + "\ndef main"))


def looked(*args: str, **env: str) -> list[object]:
    done = capsule("run", *args, "--json", **env)
    assert done.returncode == 0, done.stdout + done.stderr
    return list(json.loads(done.stdout)["result"])


def test_folders() -> None:
    """Below the project root, under their own names or others; read-only unless it says otherwise."""
    file = "tools/main.py"
    assert looked(file, "data/x.txt") == ["FileNotFoundError", {}]
    assert looked(file, "data/x.txt", "--mount", "./data") == ["hello", {}]
    assert looked(file, "/in/x.txt", "data/x.txt", "--mount", "data::/in") == ["hello", "FileNotFoundError", {}]
    done = capsule("run", f"{file}:writes", "data/y.txt", "--mount", "data:ro")
    assert (done.returncode, "can only be read" in done.stderr) == (1, True)
    assert capsule("run", f"{file}:writes", "data/y.txt", "--mount", "data:rw").returncode == 0
    assert Path("data/y.txt").read_text() == "new"


@pytest.mark.parametrize(
    "mount", ["..", "/etc", "nowhere", "data/x.txt", "data::in", "data::/in::ro", "data:bad::/in:x", "data::", ""]
)
def test_folders_that_are_refused(mount: str) -> None:
    """Nothing runs; the error says what is wrong, and shows nothing of ours."""
    done = capsule("run", "tools/main.py", "--mount", mount)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --mount: ")
    assert "[" not in done.stderr, "how a policy is written"
    assert "Traceback" not in done.stderr


def test_a_wrong_option_is_told_as_it_is_written() -> None:
    """The form that the option has, and for a name what is wrong with it."""
    for mount, words in (
        ("..", """'..' leads upwards; write the path without ".."; write it as --mount ./data, --mount ./out:rw or """),
        ("data::/in::ro", "--mount: 'data::/in::ro': a name inside has no colon, as in HOST::/name:ro; write it as"),
    ):
        assert words in capsule("run", "tools/main.py", "--mount", mount).stderr
    both = capsule("run", "tools/main.py", "--mount", "data::/in", "--mount", "tools::/in").stderr
    assert both == "error: --mount: 'data' and 'tools' would both be called /in inside\n"


def test_values_are_not_told_again() -> None:
    """The command that would grant the rest has the names of variables that were given, and no value."""
    arguments = ["--env", "OTHER=secret", "--env=MORE=secret", "--env", "PLAIN", "--", "--env", "K=word"]
    done = capsule("run", "tools/asks.py", *arguments)
    assert "secret" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith(" tools/asks.py --env OTHER --env=MORE --env PLAIN -- --env K=word")


def test_variables() -> None:
    """Those that the program declares and the command grants, by name, by value, or from a file."""
    file = "tools/asks.py"
    Path(".env").write_text("CAPSULE_TEST_A=from the file\n")
    value = {"CAPSULE_TEST_A": "mine"}
    done = capsule("run", file, **value)
    assert (done.returncode, "capsule run --env CAPSULE_TEST_A tools/asks.py" in done.stderr) == (2, True)
    assert looked("tools/main.py", "--env", "CAPSULE_TEST_A", **value) == [{}]
    assert looked(file, "--env", "CAPSULE_TEST_A", **value) == [{"CAPSULE_TEST_A": "mine"}]
    assert looked(file, "--env", "CAPSULE_TEST_A") == [{"CAPSULE_TEST_A": "default"}]
    assert looked(file, "--env", "CAPSULE_TEST_A=a=b", **value) == [{"CAPSULE_TEST_A": "a=b"}]
    from_file = looked(file, "--env", "CAPSULE_TEST_A", "--env-file", ".env")
    assert from_file == [{"CAPSULE_TEST_A": "from the file"}]
    assert capsule("run", file, "--env-file", ".env").returncode == 2
    done = capsule("run", file, "--env-file", "nowhere")
    assert (done.returncode, "env_file: nowhere" in done.stderr) == (2, True)
    done = capsule("run", file, "--env", "1=2")
    assert (done.returncode, "names no variable" in done.stderr) == (2, True)


def test_a_missing_variable(write) -> None:
    """Nothing runs, and the exit status is that of a wrong call."""
    source = LOOKS.replace("@task\ndef main", DECLARES.replace("=default", "") + "\ndef main")
    done = capsule("run", write("b.py", source), "--env", "CAPSULE_TEST_A")
    assert (done.returncode, "main needs CAPSULE_TEST_A" in done.stderr) == (2, True)
