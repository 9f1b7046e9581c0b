"""JSON that a guest wrote: how deep it may be, measured without recursion."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule._actor.decoding import MAX_DEPTH, check_depth, decode

DEEP = MAX_DEPTH + 1
VALUES = st.recursive(
    st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)

SMALL = """
import threading
from capsule._actor.decoding import decode
def deep():
    for opening, closing in ("[", "]"), ('{"a":', "}"):
        try:
            decode(opening * 9000 + "1" + closing * 9000)
        except RecursionError:
            print("RecursionError")
threading.stack_size(1 << 20)
thread = threading.Thread(target=deep)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEP + "]" * DEEP,
        "[" * 5_000_000,
        '{"a":' * DEEP + "1" + "}" * DEEP,
        '["]]]]",' * DEEP + "1" + "]" * DEEP,
        '["\\"]]]",' * DEEP + "1" + "]" * DEEP,
        "[" * DEEP + '"unended [',
    ],
)
def test_too_deep(text: str) -> None:
    """Depth is found whatever stands in strings, and in texts that are no JSON at all."""
    with pytest.raises(RecursionError):
        check_depth(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        json.dumps(["[" * 100_000, "\\" + "{" * 10_000]),
        "[" + ",".join(["[]"] * 10_000) + "]",
        "]" * 10_000,
    ],
)
def test_wide_is_not_deep(text: str) -> None:
    """Many brackets side by side, or inside strings, are no depth."""
    check_depth(text)


def test_a_string_without_an_end() -> None:
    """It is looked through once, not once for each quote in it."""
    began = time.process_time()
    check_depth("[]" * DEEP + '"' + '\\"' * 40_000)
    check_depth('["' + "[" * DEEP + "\\")
    assert time.process_time() - began < 5


def test_a_thread_with_a_small_stack() -> None:
    """No value is so deep that decoding it ends the process."""
    done = subprocess.run([sys.executable, "-c", SMALL], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "RecursionError\n" * 2), done.stderr


@given(VALUES)
def test_values_pass(value: object) -> None:
    """What is decoded is what was encoded."""
    text = json.dumps(value)
    check_depth(text)
    assert decode(text) == value
