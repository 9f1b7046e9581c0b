"""What a guest hears of an exception: the message, and nothing about this machine."""

from __future__ import annotations

import errno
import subprocess
import time
from pathlib import Path

import pytest

from capsule import ToolError
from capsule._host.tool_errors import MOST_TEXT, scrub, told

HIDDEN = [
    ("cannot open /home/ada/notes.txt", "cannot open <path>"),
    ("cannot open '/home/ada/my notes.txt'", "cannot open '<path>'"),
    ('cannot open "/home/ada/it\'s.txt" now', 'cannot open "<path>" now'),
    ("PosixPath('/home/ada')", "PosixPath('<path>')"),
    ("b'/home/ada'", "b'<path>'"),
    ("/etc/passwd", "<path>"),
    ("/etc/passwd: denied", "<path> denied"),
    ("at:/etc/passwd", "at:<path>"),
    ("file=/etc/passwd)", "file=<path>)"),
    ("(/usr/lib/x.py)", "(<path>)"),
    ("[/a, /b]", "[<path> <path>]"),
    ("PATH=/usr/bin:/home/ada/bin", "PATH=<path>"),
    ("/home/ada/My Files/x.txt is gone", "<path> is gone"),
    ("Failed./home/ada", "Failed.<path>"),
    ("line\n/home/ada", "line\n<path>"),
    ("'line\\n/home/ada'", "'line\\n<path>'"),
    ("\x1b[31m/home/ada\x1b[0m", "<path>"),
    ("//home/ada", "<path>"),
    ("/hême/ada", "<path>"),
    ("~ada/secret", "<path>"),
    ("~/secret", "<path>"),
    ("C:\\Users\\ada\\x.txt", "<path>"),
    ("open 'C:\\\\Users\\\\ada\\\\x.txt'", "open '<path>'"),
    ("C:/Users/ada is gone", "<path> is gone"),
    ("C:\\Program Files (x86)\\Foo\\x.dll", "<path>"),
    ("C:\\Users\\Ada Lovelace\\x.txt is gone", "<path> is gone"),
    ("'line\\nC:\\Users'", "'line\\n<path>'"),
    ("\\\\server\\share\\x", "<path>"),
    ("\\\\?\\C:\\x", "<path>"),
    ("file:///home/ada/x", "<path>"),
    ("FILE:///C:/Users/ada", "<path>"),
    ("file:/home/ada", "<path>"),
    ("file://localhost/home/ada", "<path>"),
    ("'file:///home/ada/my x'", "'<path>'"),
    ("sqlite:////home/ada/x.db", "<path>"),
    ("postgres://ada:pw@db/x failed", "<path> failed"),
    ("https://ada:pw@example.com/a", "https://example.com/a"),
    ("./a:/home/ada", "./a:<path>"),
    ("https://example.com, /home/ada", "https://example.com, <path>"),
    ("https://example.com,/home/ada", "https://example.com,<path>"),
]

KEPT = [
    "",
    "no such user",
    "https://example.com/home/x?a=/b#c",
    "see https://example.com/a (or http://b.org/c), please",
    "https://example.com/?to=ada@example.com",
    "wss://example.com/socket",
    "either/or, 1/2, text/html, a/b/c",
    "1 / 2",
    "data/x.txt and ./data/x.txt and ../x.txt",
    "10:30, key: value, C: the language",
    "a\\b, \\d+",
    "unsupported operand: '/'",
]


@pytest.mark.parametrize(("text", "seen"), HIDDEN)
def test_paths_are_hidden(text: str, seen: str) -> None:
    """Whatever shape a path of this machine has, it is not in what the guest reads."""
    assert scrub(text) == seen
    assert "ada" not in scrub(text)


@pytest.mark.parametrize("text", KEPT)
def test_other_text_is_kept(text: str) -> None:
    """Web addresses, relative paths and slashes that are no paths."""
    assert scrub(text) == text


@pytest.mark.parametrize(
    "piece",
    ["/", "/a", "'/", "'/a ", "\\", "C:\\ ", "C:\\a b ", "a b\\", "https://", "a:/", "file:", "~", "/a b", "\x1b["],
)
def test_no_text_takes_long(piece: str) -> None:
    """A guest can often choose a part of a message; the event loop must not wait for it."""
    start = time.process_time()
    scrub(piece * 1_000_000)
    assert time.process_time() - start < 0.5


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Said(ToolError):
    pass


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (ValueError("no such user"), "no such user"),
        (ValueError(), "ValueError"),
        (ValueError("  \n"), "ValueError"),
        (KeyError("name"), "'name'"),
        (Unprintable(), "Unprintable"),
        (ValueError("/home/ada"), "<path>"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/home/ada"), "No such file or directory"),
        (PermissionError(errno.EACCES, "Permission denied", "secret", None, "other"), "Permission denied"),
        (OSError("cannot reach /home/ada"), "cannot reach <path>"),
        (OSError(), "OSError"),
        (TimeoutError(), "TimeoutError"),
        (StopIteration(), "StopIteration"),
        (
            subprocess.CalledProcessError(1, ["/usr/bin/x", "-v"]),
            "Command '['<path>', '-v']' returned non-zero exit status 1.",
        ),
        (ImportError("cannot import name 'a' from 'b' (/usr/lib/b.py)"), "cannot import name 'a' from 'b' (<path>)"),
        (ValueError("\ud800"), "\\ud800"),
        (ToolError("read /home/ada"), "read /home/ada"),
        (ToolError(), ""),
        (ToolError("\ud800"), "\\ud800"),
        (ToolError("x" * 5000), "x" * 5000),
        (Said("said"), "said"),
        (ExceptionGroup("g", [ExceptionGroup("g", [ToolError("said")])]), "said"),
        (ExceptionGroup("g", [ValueError("a"), ValueError("/b")]), "g (2 sub-exceptions)"),
    ],
    ids=repr,
)
def test_what_is_told(error: Exception, seen: str) -> None:
    """A ToolError says what it says; of others the message is told without paths, of an OSError its reason."""
    heard = told(error)
    assert type(heard) is ToolError
    assert str(heard) == seen


def test_a_message_is_cut() -> None:
    """A message has an end."""
    assert str(told(ValueError("x" * 5_000_000))) == "x" * MOST_TEXT
    assert len(scrub("/a b, " * 5000)) <= MOST_TEXT


def test_causes_are_not_told() -> None:
    """What led to an exception is the host's business."""
    try:
        try:
            raise ValueError("secret")
        except ValueError as cause:
            raise KeyError("name") from cause
    except KeyError as error:
        assert str(told(error)) == "'name'"


def test_a_real_error(tmp_path: Path) -> None:
    """As Python itself words it."""
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "missing").read_text()
    assert str(told(caught.value)) == "No such file or directory"
    with pytest.raises(ValueError, match="is not in the subpath") as wrong:
        tmp_path.relative_to("/elsewhere")
    assert str(tmp_path) not in str(told(wrong.value))
