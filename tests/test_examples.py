"""Each example runs as its first line says, and prints what a person can follow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from capsule._guest.cache import CompiledGuest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BIN = Path(sys.executable).parent

PRINTS = {
    "hello.py": ["Hello from Capsule!"],
    "word_count.py": ['{"to": 2, "be": 2, "or": 1, "not": 1}'],
    "subtasks.py": [
        "half of 10 is 5",
        "half of 7: task_error, half: ValueError: 7 is odd",
        "three naps side by side: [0.2, 0.2, 0.2]",
    ],
    "limits.py": [
        "takes_too_long    timeout",
        "burns_its_fuel    fuel_exhausted",
        "hoards_memory     memory_exhausted",
        "nests_too_deeply  stack_overflow",
        "prints_too_much   answered 'done', after 1024 bytes of output",
        "behaves           answered 'still here'",
    ],
    "http_client.py": [
        "apple: 150",
        "bread: 150",
        "cheese: 160",
        "GET 200 14 bytes",
        "GET 200 14 bytes",
        "GET 200 14 bytes",
        '200 {"cents": 150}',
        'a request to example.com is not allowed; allowed_hosts=["example.com"] would allow it',
    ],
    "application.py": [
        "run:  280",
        "run:  total: KeyError: 'caviar'",
        "spawn: total is at work",
        "spawn: 480",
        "basket total why not",
        "apple, apple 60",
        "bread, cheese 730",
        "caviar task_error",
        "0",
    ],
}


def test_every_example_is_checked() -> None:
    """An example that nothing runs would rot."""
    assert sorted(PRINTS) == [file.name for file in EXAMPLES]


@pytest.mark.slow
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_prints(file: Path, guest: CompiledGuest) -> None:
    """The command in its first line ends well, and stdout holds these lines and no others."""
    done = run(command_of(file))
    assert done.returncode == 0, done.stderr
    printed = [words_of(line) for line in done.stdout.splitlines()]
    assert [line for line in printed if line] == [words_of(line) for line in PRINTS[file.name]]


def test_word_count_takes_a_text(guest: CompiledGuest) -> None:
    """Arguments of the shell reach the task."""
    assert run("capsule run examples/word_count.py 'a b a'").stdout == '{"a": 2, "b": 1}\n'


def command_of(file: Path) -> str:
    """What the docstring says: the text between the first backquotes behind "Run it with"."""
    found = re.search(r"Run it with `([^`]+)`", file.read_text("utf-8"))
    assert found, f"{file.name} does not say how to run it"
    return found[1]


def words_of(line: str) -> str:
    """A line without table borders and runs of spaces."""
    return " ".join(re.sub(r"[\u2500-\u257f]", " ", line).split())


def run(command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        command,
        shell=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
