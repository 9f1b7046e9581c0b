"""`capsule run` as a person or a script sees it: real processes, real pipes, real signals."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from capsule._guest.cache import CompiledGuest

COMMAND = [sys.executable, "-c", "from capsule.cli.main import main; main()"]
HELLO = 'from capsule import task\n\n@task(name="main", compute="LOW", ram="64MB")\ndef main() -> str:\n    return "Hello from Capsule!"\n'


def capsule(*args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **env},
        check=False,
    )


@pytest.fixture(autouse=True)
def built(guest: CompiledGuest) -> None:
    """The guest is there before the first command."""


def test_hello(write) -> None:
    """The value of main is what stdout holds, and nothing else is said."""
    done = capsule("run", write("hello.py", HELLO))
    assert (done.stdout, done.stderr, done.returncode) == ("Hello from Capsule!\n", "", 0)


def test_json_is_one_line_of_stdout(write) -> None:
    """--json prints the envelope of the design and nothing else on stdout; what the task prints goes to stderr."""
    done = capsule("run", write("hello.py", HELLO.replace("    return", '    print("working")\n    return')), "--json")
    envelope = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert done.stderr == "working\n"
    assert list(envelope) == ["success", "result", "error", "execution"]
    assert (envelope["success"], envelope["result"], envelope["error"]) == (True, "Hello from Capsule!", None)
    names = ["task_name", "duration_ms", "retries", "fuel_consumed", "ram_used", "host_requests"]
    assert list(envelope["execution"]) == names


ECHO = "def main(*args, **kwargs):\n    return [list(args), kwargs]\n"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["1", "two"], [["1", "two"], {}]),
        (["--args-json", '[1, "two", null]'], [[1, "two", None], {}]),
        (["--args-json", '{"n": 1.5}'], [[], {"n": 1.5}]),
        (["--args-file", "args.json"], [[{"deep": []}], {}]),
        (["--args-file", "-"], [[7], {}]),
        (["--", "--json"], [["--json"], {}]),
    ],
)
def test_arguments(write, args: list[str], expected: object) -> None:
    """Bare arguments reach main as strings, typed ones as JSON."""
    write("args.json", '[{"deep": []}]')
    done = capsule("run", write("echo.py", ECHO), *args, stdin="[7]")
    assert json.loads(done.stdout) == expected, done.stderr


WRONG = [
    (["run", "missing.py"], "no such file"),
    (["run", "."], "folder"),
    (["run", "syntax.py"], "syntax.py:2"),
    (["run", "hello.py", "extra"], "main()"),
    (["run", "hello.py:other"], "other"),
    (["run", "hello.py", "--timeout", "5x"], "500ms"),
    (["run", "hello.py", "--compute", "SOME"], "LOW, MEDIUM, HIGH"),
    (["run", "hello.py", "--ram", "much"], "64MB"),
    (["run", "hello.py", "--ram", "1MB"], "less than the guest needs to start"),
    (["run", "level.py"], "LOW, MEDIUM, HIGH"),
    (["run", "unknown.py"], "timeout"),
    (["run", "two.py"], "first"),
    (["run", "hello.py", "--args-json", "{"], "not JSON"),
    (["run", "hello.py", "--args-json", "3"], "array or object"),
    (["run", "hello.py", "--args-file", "missing.json"], "missing.json"),
    (["run", "hello.py", "a", "--args-json", "[]"], "one way"),
]


@pytest.mark.parametrize(("args", "fragment"), WRONG, ids=[" ".join(args) for args, _ in WRONG])
def test_a_wrong_call(write, args: list[str], fragment: str) -> None:
    """A call that is wrong exits with 2, says what to do, and never shows a traceback of ours."""
    write("hello.py", HELLO)
    write("syntax.py", "def main():\n    return (\n")
    write("level.py", HELLO.replace("LOW", "SOME"))
    write("unknown.py", HELLO.replace("ram=", "tiemout="))
    write("two.py", "from capsule import task\n@task\ndef first(): ...\n@task\ndef second(): ...\n")
    done = capsule(*args)
    assert done.returncode == 2, done
    assert fragment in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_wrong_call_in_json(write) -> None:
    """With --json a wrong call is an envelope too."""
    done = capsule("run", "missing.py", "--json")
    envelope = json.loads(done.stdout)
    assert (envelope["success"], envelope["error"]["error_type"], done.returncode) == (False, "invalid", 2)


def test_a_syntax_error_shows_its_place(write) -> None:
    """File, line and a caret."""
    done = capsule("run", write("broken.py", "def main():\n    retrun 1\n"))
    assert "broken.py:2" in done.stderr
    assert "retrun 1" in done.stderr
    assert "^" in done.stderr


def test_a_failed_task(write) -> None:
    """A task that raises exits with 1 and shows its own file and line."""
    done = capsule("run", write("fails.py", "def main():\n    raise ValueError('no luck')\n"))
    assert done.returncode == 1
    assert 'File "fails.py", line 2, in main' in done.stderr
    assert "ValueError: no luck" in done.stderr
    assert str(Path.cwd()) not in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [("ssl", "TLS"), ("ctypes", "native"), ("numpy", "native"), ("nowhere_to_be_found", "nowhere_to_be_found")],
)
def test_a_module_that_is_not_there(write, name: str, words: str) -> None:
    """A missing module says why."""
    done = capsule("run", write("needs.py", f"def main():\n    import {name}\n"))
    assert done.returncode == 1
    assert name in done.stderr
    assert words in done.stderr


@pytest.mark.parametrize(
    ("limit", "body", "kind"),
    [
        (["--timeout", "200ms"], "    while True: pass", "timeout"),
        (["--timeout", "200ms"], "    import time; time.sleep(60)", "timeout"),
        (["--compute", "3000000"], "    while True: pass", "fuel_exhausted"),
        (["--ram", "32MB"], "    return len(bytearray(64 << 20))", "memory_exhausted"),
    ],
)
def test_ceilings(write, limit: list[str], body: str, kind: str) -> None:
    """An option of the command cuts what the program declares."""
    source = f'from capsule import task\n@task(timeout="1h", compute="HIGH", ram="1GB")\ndef main():\n{body}\n'
    done = capsule("run", write("greedy.py", source), "--json", *limit)
    assert json.loads(done.stdout)["error"]["error_type"] == kind
    assert done.returncode == 1


def test_which_function_runs(write) -> None:
    """Without a task called main, the function main; without that, the only task."""
    assert capsule("run", write("plain.py", "def main():\n    return 'plain'\n")).stdout == "plain\n"
    only = "from capsule import task\n@task\ndef only():\n    return 'only'\n"
    assert capsule("run", write("only.py", only)).stdout == "only\n"
    named = 'from capsule import task\n@task(name="main")\ndef other():\n    return 1\ndef main():\n    return 2\n'
    assert capsule("run", write("named.py", named)).stdout == "1\n"


def test_output_streams_live(write) -> None:
    """What a task prints is there while it still runs, also without a newline before it sleeps."""
    source = "import sys, time\ndef main():\n    print('first', end=''); time.sleep(60)\n"
    process = subprocess.Popen([*COMMAND, "run", write("slow.py", source)], stdout=subprocess.PIPE)
    try:
        assert process.stdout.read(5) == b"first"
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def test_verbose_tells_the_story(write) -> None:
    """--verbose tells each task's start, end and cost on stderr; a called task is indented."""
    source = (
        "from capsule import task\n@task\ndef main():\n    return inner(2)\n"
        "@task(max_retries=1)\ndef inner(n):\n    return n * 2\n"
    )
    done = capsule("run", write("story.py", source), "--verbose")
    lines = done.stderr.splitlines()
    assert done.stdout == "4\n"
    assert lines[:2] == ["> main started", "  > inner started"]
    assert lines[2].startswith("  < inner done: ")
    assert " ms, " in lines[2]
    assert " fuel, " in lines[2]
    assert lines[3].startswith("< main done: ")


def test_no_colours_in_a_pipe(write) -> None:
    """Escape codes only go to terminals."""
    done = capsule("run", write("fails.py", "def main():\n    1 / 0\n"), "-v")
    assert "\x1b" not in done.stdout + done.stderr


def test_a_reader_that_goes_away(write) -> None:
    """A closed pipe is no error of ours."""
    source = "def main():\n    for n in range(10000): print(n)\n"
    file = write("lines.py", source)
    process = subprocess.Popen([*COMMAND, "run", file], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.wait(60)
    process.stderr.close()
    assert errors == b""


@pytest.mark.skipif(os.name != "posix", reason="a shell closes streams there")
@pytest.mark.parametrize(
    ("streams", "status", "errors"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        pytest.param(
            "> /dev/full",
            1,
            "error: the output cannot be written: No space left on device\n",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device"),
        ),
    ],
)
def test_streams_that_take_nothing(write, streams: str, status: int, errors: str) -> None:
    """A stream that is closed is no error, and one that is full is one of one line."""
    command = f"{shlex.join([*COMMAND, 'run', write('hello.py', HELLO)])} {streams}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (status, errors)


@pytest.mark.skipif(os.name != "posix", reason="words are text there")
def test_a_word_that_is_no_text(write) -> None:
    """It is refused by its number."""
    words = [*COMMAND, "run", write("hello.py", "def main(*words): return words"), "a", b"\xff"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: argument 2 has bytes that are not UTF-8: '\\udcff'\n"


def test_a_terminal_that_cannot_say_it(write) -> None:
    """Text that the terminal's encoding lacks is escaped, not an error."""
    done = capsule("run", write("text.py", "def main():\n    print('→')\n    return 'ü'\n"), PYTHONIOENCODING="ascii")
    assert (done.stdout, done.returncode) == ("\\u2192\n\\xfc\n", 0)


def test_an_edited_file_runs_as_edited(write) -> None:
    """No compile step stands between an edit and a run."""
    for number in (1, 2):
        assert capsule("run", write("edited.py", f"def main():\n    return {number}\n")).stdout == f"{number}\n"


def test_version_and_help() -> None:
    """--version answers, and help shows an example."""
    assert capsule("--version").stdout.startswith("capsule ")
    assert "capsule run hello.py" in capsule("run", "--help").stdout
    assert "Example" in capsule("--help").stdout


def test_control_characters_are_shown_not_sent(write) -> None:
    """What a failed task says of itself cannot steer the terminal."""
    source = "def main():\n    raise ValueError('\\x1b[2J\\x07 gone')\n"
    done = capsule("run", write("steer.py", source))
    assert "\x1b" not in done.stderr
    assert "\\x1b[2J\\x07 gone" in done.stderr


def test_packages(index, write, guest: CompiledGuest) -> None:
    """From the file's own block, from the command line and from a file of requirements."""
    for name in ("foo", "bar", "baz"):
        index.wheel(name)
    block = "# /// script\n# dependencies = ['foo']\n# ///\n"
    write(
        "app.py", f"{block}def main():\n    import foo, bar, baz\n    return foo.VERSION + bar.VERSION + baz.VERSION\n"
    )
    write("needs.txt", "# two\nbaz>=1\n")
    done = capsule("run", "--with", "bar", "--requirements", "needs.txt", "app.py")
    assert (done.returncode, done.stdout) == (0, "1.01.01.0\n")
    assert "capsule: fetching packages..." in done.stderr


def test_packages_that_cannot_be_had(index, write, guest: CompiledGuest) -> None:
    """A wrong call: what is in the way, before anything runs, and no traceback."""
    index.wheel("nat", tag="cp314-cp314-manylinux_2_17_x86_64")
    write("app.py", "def main(): return 1\n")
    for words, asked in {
        "nat needs compiled code": ["--with", "nat"],
        "is no name of a package": ["--with=--index-url=http://example.com"],
        "cannot read the requirements file none.txt": ["--requirements", "none.txt"],
    }.items():
        done = capsule("run", *asked, "app.py")
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    done = capsule("run", "--with", "nat", "--json", "app.py")
    assert json.loads(done.stdout)["error"]["error_type"] == "invalid"


@pytest.mark.skipif(sys.platform != "linux", reason="only there a name is any bytes")
def test_a_file_whose_name_is_no_text(tmp_path: Path, guest: CompiledGuest) -> None:
    """It runs like any other, and an error names it without a traceback of ours."""
    for body, status, words in (("return 1", 0, b"1"), ("return 1 / 0", 1, b"ZeroDivisionError")):
        name = os.fsencode(tmp_path) + b"/p\xff.py"
        with open(name, "w") as file:
            file.write(f"def main(): {body}\n")
        done = subprocess.run(
            [*COMMAND, "run", b"p\xff.py"], cwd=tmp_path, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == status, done.stderr
        assert words in done.stdout + done.stderr
        assert b"engine" not in done.stderr
