"""What a hostile source can do to the host before anything runs: it is read, and no more."""

from __future__ import annotations

import time

import pytest

from capsule import InvalidProgram
from capsule._guest.program import choose_task, read_program


def test_a_program_cannot_declare_endless_output(write) -> None:
    """What the host holds outside a sandbox's memory has a bound that no declaration lifts."""
    file = write("a.py", "from capsule import task\n@task(max_output='4000GB')\ndef main(): pass")
    with pytest.raises(InvalidProgram, match="the most is 256MB"):
        read_program(file)


def test_a_chain_of_names_is_refused_at_once(write) -> None:
    """CPython's parser takes time with the square of such a chain; it never sees this one."""
    file = write("a.py", "def main(): pass\nimport a" + ".a" * 40_000)
    began = time.monotonic()
    with pytest.raises(InvalidProgram, match=r"a\.py:2: more than 5,000 names in one chain"):
        read_program(file)
    assert time.monotonic() - began < 2


def test_a_neighbour(write) -> None:
    """A file with long lines and many dots is read."""
    file = write("a.py", "def main(): pass\nx = [" + ", ".join(["a.b.c"] * 4_000) + "]\ny = '" + "." * 20_000 + "'")
    assert choose_task(read_program(file), None).name == "main"
