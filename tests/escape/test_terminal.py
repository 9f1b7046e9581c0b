"""Hostile guests that write to a person's terminal: what would steer it is shown, and harmless text passes.

Each row is a text that a guest prints and what a terminal is sent for it. Real processes, on a real pseudo-terminal.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from capsule._guest.cache import CompiledGuest
from capsule.cli.terminal import RESET, Guard, one_line

COMMAND = [sys.executable, "-c", "from capsule.cli.main import main; main()"]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

HOSTILE = {
    "the clipboard": ("\x1b]52;c;cm0gLXJmIH4=\x07", "\\x1b]52;c;cm0gLXJmIH4=\\x07"),
    "the title": ("\x1b]0;root@host\x1b\\", "\\x1b]0;root@host\\x1b\\"),
    "a link": ("\x1b]8;;http://evil.example\x1b\\ok", "\\x1b]8;;http://evil.example\\x1b\\ok"),
    "the line above": ("\x1b[1A\x1b[2Kall is well", "\\x1b[1A\\x1b[2Kall is well"),
    "the screen": ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
    "the other screen": ("\x1b[?1049h", "\\x1b[?1049h"),
    "a question that the terminal answers": ("\x1b[6n\x1b[c\x05", "\\x1b[6n\\x1b[c\\x05"),
    "a reset": ("\x1bc", "\\x1bc"),
    "letters as lines": ("\x1b(0lqk\x0e", "\\x1b(0lqk\\x0e"),
    "keys": ("\x1b[>4;2m\x1b[?4m\x1b[=1u", "\\x1b[>4;2m\\x1b[?4m\\x1b[=1u"),
    "pictures and programs": ("\x1bPq#0\x1b\\\x1b_G\x1b\\", "\\x1bPq#0\\x1b\\\\x1b_G\\x1b\\"),
    "in one byte each": ("\x9b2J\x9d0;title\x9c\x90", "\\x9b2J\\x9d0;title\\x9c\\x90"),
    "backspaces": ("denied\x08\x08\x08\x08\x08\x08granted", "denied" + "\\x08" * 6 + "granted"),
    "a bell, a page, a null": ("\x07\x0b\x0c\x00\x7f\x85", "\\x07\\x0b\\x0c\\x00\\x7f\\x85"),
    "text turned around": ("\u202egpj.exe\u202c \u2066x\u2069", "\\u202egpj.exe\\u202c \\u2066x\\u2069"),
    "a colour in a sequence": ("\x1b]0;\x1b[31mred\x07", f"\\x1b]0;\x1b[31mred\\x07{RESET}"),
    "a sequence in a colour": ("\x1b[3\x1b[2J1m", "\\x1b[3\\x1b[2J1m"),
    "a colour with other signs": ("\x1b[3$m\x1b[ 1m\x1b[1\nm", "\\x1b[3$m\\x1b[ 1m\\x1b[1\nm"),
    "an endless colour": ("\x1b[" + "1;" * 40 + "m", "\\x1b[" + "1;" * 40 + "m"),
    "one that never ends": ("\x1b[38;5", "\\x1b[38;5"),
    "one that hardly begins": ("\x1b", "\\x1b"),
    "hidden text": ("\x1b[8mhidden", f"\x1b[8mhidden{RESET}"),
}

HARMLESS = {
    "plain": "one\ntwo\tthree\n",
    "colours": "\x1b[1;31mred\x1b[0m \x1b[38;5;196mred\x1b[m \x1b[38:2::255:0:0mred\x1b[0;0m",
    "languages": "Grüße, 你好\u3000世界, नमस्ते, שלום, a\u0301, 1\u00a0000",
    "emoji": "👩\u200d👩\u200d👧\u200d👦 ❤\ufe0f 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f \ue0b0",
    "progress": "10 %\r50 %\r100 %\n",
    "line ends of Windows": "one\r\ntwo\r\n",
    "backslashes": "\\x1b[2J",
    "brackets": "[31m [bold]no[/bold]",
}

ROWS = [*HOSTILE.values(), *((text, text) for text in HARMLESS.values())]
NAMES = [*HOSTILE, *HARMLESS]
PRINTS = "import sys\ndef main():\n"


@pytest.mark.parametrize(("text", "shown"), ROWS, ids=NAMES)
def test_row(text: str, shown: str) -> None:
    """The same is sent whether a text comes at once, in two writes, or character by character."""
    for cut in range(len(text) + 1):
        guard = Guard()
        assert guard.passed(text[:cut]) + guard.passed(text[cut:]) + guard.rest() == shown
    guard = Guard()
    assert "".join(map(guard.passed, text)) + guard.rest() == shown


@pytest.mark.parametrize("text", [text for text, _ in ROWS], ids=NAMES)
def test_a_name_is_one_line(text: str) -> None:
    """In words of ours nothing of it is obeyed, colours included, and it ends no line."""
    assert not set(one_line(text)) & {"\x1b", "\x9b", "\x9d", "\r", "\n", "\x07", "\x08", "\u202e", "\u2028", "\x85"}


def test_long_text_without_colours_is_not_held() -> None:
    """What waits for its end is a few characters, however much comes."""
    guard = Guard()
    sent = sum(len(guard.passed("\x1b[" + "1" * 50)) for _ in range(1000))
    assert sent >= 999 * len("\\x1b[" + "1" * 50)


@pytest.fixture
def built(guest: CompiledGuest) -> None:
    """The guest is there before the first command."""


def printing(*texts: str, stream: str = "stdout", end: str = "") -> str:
    return PRINTS + "".join(f"    print({text!r}, end={end!r}, file=sys.{stream}, flush=True)\n" for text in texts)


def seen(*args: str) -> tuple[int, str]:
    """Run the command on a terminal; answers its status and every character that the terminal was sent."""
    pty, tty = pytest.importorskip("pty"), pytest.importorskip("tty")
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    env = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen([*COMMAND, *args], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    data = b"".join(_everything(ours))
    os.close(ours)
    return process.wait(60), data.decode()


def _everything(terminal: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(terminal, 65536):
            yield chunk
    except OSError:  # how Linux says that nobody has the other side any more
        return


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_printed(write, built, stream: str) -> None:
    """On both streams a terminal is sent what the rows say."""
    text, shown = ("\n".join(each) for each in zip(*ROWS, strict=True))
    status, got = seen("run", write("prints.py", printing(text, stream=stream)), "--timeout", "10s")
    assert status == 0
    # The end of the colours that one row leaves on comes when the next row has no more of them.
    assert got.replace(RESET, "") == shown.replace(RESET, "") + "\n"


def test_in_two_prints(write, built) -> None:
    """A sequence that is split over two prints is no other; a colour that is, is a colour."""
    file = write("split.py", printing("\x1b", "]0;title\x07 \x1b[3", "1mred\x1b[", "0m", "\n"))
    assert seen("run", file) == (0, "\\x1b]0;title\\x07 \x1b[31mred\x1b[0m\n")


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07\n"),
        (["\x9b2J", "\x7f", "\x1b"], '["\\x9b2J", "\\x7f", "\\u001b"]\n'),
        ("\x1b[32mgreen", f"\x1b[32mgreen\n{RESET}"),
        ("ü\t👩\u200d👧", "ü\t👩\u200d👧\n"),
    ],
)
def test_a_result(write, built, result: object, shown: str) -> None:
    """A result is text of the guest's as well."""
    assert seen("run", write("returns.py", f"def main(): return {result!r}\n")) == (0, shown)


def test_our_words_stand_alone(write, built) -> None:
    """A line that the guest has begun, and a colour that hides, are ended before anything of ours is said."""
    body = printing("all is well, never mind\r", "\x1b[8m") + "    raise ValueError('no')\n"
    status, got = seen("run", write("fails.py", body), "--verbose")
    begun, _, rest = got.partition("all is well, never mind\r\x1b[8m")
    assert rest.startswith(f"{RESET}\n")
    assert status == 1
    assert COLOUR.sub("", begun) == "> main started\n"
    assert COLOUR.sub("", rest).splitlines()[-1] == "error: task main failed with ValueError (task_error)"


def test_the_next_prompt_stands_alone(write, built) -> None:
    """Nothing of a guest's stands on the line on which the shell asks."""
    assert seen("run", write("prompt.py", printing("$ rm -rf ~\r"))) == (0, "$ rm -rf ~\r\n")


def piped(*args: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *args], capture_output=True, timeout=120, check=False)


def test_a_pipe_gets_every_byte(write, built) -> None:
    """What a program reads is what the guest printed and returned, as it was."""
    text = "\n".join(text for text, _ in ROWS)
    file = write(
        "prints.py", printing(text) + printing(text, stream="stderr")[len(PRINTS) :] + f"    return {text!r}\n"
    )
    done = piped("run", file)
    assert (done.returncode, done.stderr.decode()) == (0, text)
    assert done.stdout.decode() == text + text + "\n"


CLASS = "type('Oops\\nerror: task main failed with \\x1b[2J', (Exception,), {})"


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
def test_the_name_of_a_class(write, built, is_terminal: bool) -> None:
    """An exception's name stays within our line, wherever that goes."""
    args = ["run", write("fails.py", f"def main():\n    raise {CLASS}('no')\n"), "-v"]
    said = seen(*args)[1] if is_terminal else piped(*args).stderr.decode()
    assert "\x1b[2J" not in said
    lines = COLOUR.sub("", said).splitlines()
    assert lines[-1] == "error: task main failed with Oops\\nerror: task main failed with \\x1b[2J (task_error)"
    assert [line for line in lines if line.startswith("error:")] == lines[-1:]


def test_the_story(write, built) -> None:
    """Each line of --verbose is one line, whatever an actor says of its end."""
    source = f"""
from capsule import actor, task
@actor
class Ends:
    def __init__(self): raise {CLASS}('no\\nerror: faked')
    def hear(self): pass
@task
async def main():
    try: await Ends().hear()
    except Exception: return 1
"""
    done = piped("run", write("story.py", source), "-v")
    assert done.stdout == b"1\n", done.stderr
    lines = done.stderr.decode().splitlines()
    assert any("its constructor failed: Oops\\nerror" in line for line in lines)
    assert [line for line in lines if not re.match(r" *[<>~] ", line)] == []


@pytest.mark.parametrize(
    "setting",
    [
        "timeout='5x\\nerror: faked'",
        "compute='5x\\nerror: faked'",
        "name='x\\nerror: faked'",
        "allowed_hosts=['x\\nerror: faked']",
        "env_variables=['x\\nerror: faked']",
        "mounts=['x\\nerror: faked']",
        "on_failure='x\\nerror: faked'",
    ],
)
def test_a_declaration(write, built, setting: str) -> None:
    """A file that is refused says nothing on a line of its own."""
    file = write("a.py", f"from capsule import task\n@task({setting})\ndef main(): pass\n")
    done = piped("run", file)
    assert done.returncode == 2
    assert [line[:5] for line in done.stderr.decode().splitlines() if line.startswith("error")] == ["error"]
    assert "\nerror: faked" not in done.stderr.decode()


def test_a_package(write, built) -> None:
    """Nor does one whose packages are refused."""
    file = write("a.py", '# /// script\n# dependencies = ["x\\nerror: faked"]\n# ///\ndef main(): pass\n')
    done = piped("run", file)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "\nerror: faked" not in done.stderr.decode()
