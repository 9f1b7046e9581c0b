"""The cap on what a guest prints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule._engine.calls import Refused
from capsule._engine.output import Output


def written(limit: int, *texts: bytes) -> tuple[list[tuple[str, str]], bool]:
    heard: list[tuple[str, str]] = []
    output = Output(limit, lambda *text: heard.append(text))
    for text in texts:
        output.write(1, text[: output.room], len(text))
    return heard, output.is_truncated


@pytest.mark.parametrize(
    ("limit", "texts", "heard", "is_truncated"),
    [
        (5, [b"abc"], ["abc"], False),
        (3, [b"abc"], ["abc"], False),
        (2, [b"abc"], ["ab"], True),
        (4, [b"abc", b"def"], ["abc", "d"], True),
        (3, [b"abc", b""], ["abc"], False),
        (3, [b"abc", b"d", b"e"], ["abc"], True),
        (0, [b"a"], [], True),
        (0, [b""], [], False),
        (2, ["aé".encode()], ["a"], True),
        (3, ["aé".encode()], ["aé"], False),
        (3, ["\U0001f40d".encode()], [], True),
    ],
)
def test_cap(limit: int, texts: list[bytes], heard: list[str], is_truncated: bool) -> None:
    """Bytes count; the rest is dropped, a character cut in two as well, and nothing empty is passed on."""
    assert written(limit, *texts) == ([("stdout", text) for text in heard], is_truncated)


def test_streams() -> None:
    """1 is stdout, 2 is stderr, both share the cap, and there is no other."""
    heard = []
    output = Output(3, lambda *text: heard.append(text))
    output.write(2, b"ab", 2)
    output.write(1, b"c", 1)
    assert (heard, output.room) == ([("stderr", "ab"), ("stdout", "c")], 0)
    for stream in (0, 3, 255):
        with pytest.raises(Refused, match="no stream"):
            output.write(stream, b"", 0)


def test_renew() -> None:
    """Each message has a share of its own."""
    output = Output(1, lambda *_: None)
    output.write(1, b"a", 2)
    output.renew(4)
    assert (output.room, output.is_truncated) == (4, False)


@given(st.integers(0, 40), st.lists(st.text(max_size=20), max_size=6))
def test_never_more_than_the_cap(limit: int, texts: list[str]) -> None:
    """What is passed on is a prefix of what was printed, within the cap, and "truncated" is said when it is less."""
    heard, is_truncated = written(limit, *(text.encode() for text in texts))
    passed, printed = "".join(text for _, text in heard), "".join(texts)
    assert len(passed.encode()) <= limit
    assert is_truncated == (len(printed.encode()) > limit)
    if not is_truncated:
        assert passed == printed
