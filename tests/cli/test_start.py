"""How the command starts: what it leaves alone is what makes it quick. No times here, only what is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import capsule
from capsule._guest.cache import CompiledGuest
from capsule.cli.commands import app, app_for

SRC = str(Path(capsule.__file__).parents[1])
HELLO = "def main(*words):\n    return 'Hello from Capsule!'\n"
COMMANDS = ["run", "inspect", "ps", "log", "trace", "setup", "cache"]

LOADED = """
import atexit, sys
from capsule.cli.main import main
atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))
main()
"""

NEVER = {
    *("pydantic", "pydantic_core", "rich", "httpx2", "httpcore2", "packaging", "filelock", "wasmtime", "trio"),
    *("dotenv", "idna", "importlib.metadata", "email", "zipfile", "tomllib", "capsule_sdk"),
    *("capsule._guest.slicing", "capsule._installing", "capsule._host.http_client", "capsule._host.look_up"),
    *("capsule._host.tool", "capsule._host.tool_shape", "capsule._host.tool_threads", "capsule._actor.requests"),
    *("platformdirs", "capsule._journal.reading", "capsule._journal.tree", "capsule._child", "hashlib"),
    *("capsule._scrubbing", "capsule._guest.actors"),
}
"""Each takes longer to load than a sandbox to start, and no run of a plain file needs one."""


def loaded_by(*args: str) -> set[str]:
    command = [sys.executable, "-c", LOADED, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--no-journal",),
        ("one", "two"),
        ("--json", "--timeout", "20s", "--compute", "HIGH", "--ram", "128MB"),
        ("--allow-host", "example.com", "--env", "HOME", "--mount", ".", "--args-json", "[]"),
    ],
    ids=" ".join,
)
def test_a_run_loads_what_it_needs(write, guest: CompiledGuest, options: tuple[str, ...]) -> None:
    """A run of a file that asks for nothing loads nothing large, whatever options are given as text."""
    loaded = loaded_by("run", write("hello.py", HELLO), *options)
    assert "capsule._engine.engine" in loaded
    assert loaded & NEVER == set()
    assert ("sqlite3" in loaded) is ("--no-journal" not in options)


@pytest.mark.skipif(sys.platform == "win32", reason="typer expands wildcards there")
def test_a_run_without_options_loads_no_parser(write, guest: CompiledGuest) -> None:
    """A run without options goes without typer, one with options does not."""
    file = write("hello.py", HELLO)
    assert loaded_by("run", file, "one") & {"typer", "shutil", "tempfile", "random", "secrets", "shlex"} == set()
    assert "typer" in loaded_by("run", file, "--verbose")


@pytest.mark.parametrize(
    "words",
    [("echo.py",), ("echo.py", "one", ""), ("echo.py:main", "a b", "*"), ("nowhere.py",), ("echo.py:none",), ()],
    ids=str,
)
def test_with_and_without_the_parser(write, guest: CompiledGuest, words: tuple[str, ...]) -> None:
    """What comes of a run is the same, in words and status, whether typer read its words or nobody needed to."""
    folder = Path(write("echo.py", "def main(*words):\n    return words\n")).parent
    command = [sys.executable, "-c", "from capsule.cli.main import main; main()", "run"]
    plain, parsed = (
        subprocess.run([*command, *dashes, *words], capture_output=True, timeout=120, cwd=folder, check=False)
        for dashes in ((), ("--",))
    )
    assert plain.stdout + plain.stderr
    assert (plain.returncode, plain.stdout) == (parsed.returncode, parsed.stdout)
    assert plain.stderr == parsed.stderr


@pytest.mark.parametrize("args", [("ps",), ("log",), ("inspect", "hello.py"), ("cache",)], ids=" ".join)
def test_other_commands_load_no_engine(write, guest: CompiledGuest, args: tuple[str, ...]) -> None:
    """What runs nothing loads no wasmtime, and without numbers among its options nothing that checks them."""
    assert loaded_by("run", write("hello.py", HELLO)) & NEVER == set()
    assert loaded_by(*args) & {"pydantic", "wasmtime", "capsule._engine.engine", "httpx2"} == set()


def test_ctrl_c_is_told_first() -> None:
    """Nothing that takes long to load is loaded before Ctrl-C is the command's."""
    code = "import sys; before = {*sys.modules}; import capsule.cli.main; print(*{*sys.modules} - before)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {SRC!r}); {code}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    loaded = {name for name in done.stdout.split() if not name.startswith("capsule")}
    assert loaded <= {
        "__future__",
        "gc",
        "importlib",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "warnings",
    }


@pytest.mark.parametrize("limit", ["0", "many", "1.5"])
def test_a_number_is_checked(limit: str) -> None:
    """What is no text is checked by typer as ever."""
    done = CliRunner().invoke(app_for(["ps"]), ["ps", "--limit", limit])
    assert done.exit_code == 2
    assert "--limit" in done.output


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_alone_is_the_same(name: str) -> None:
    """Building one command alone changes nothing of what it says."""
    alone, whole = (CliRunner().invoke(each, [name, "--help"]) for each in (app_for([name, "--help"]), app))
    assert (alone.exit_code, alone.output) == (whole.exit_code, whole.output)
    assert alone.exit_code == 0


@pytest.mark.parametrize("words", [[], ["--help"], ["-h", "run"], ["--version"], ["runn"], ["clear"]])
def test_otherwise_all_are_built(words: list[str]) -> None:
    """Unless a command stands first, the whole app answers: it lists its commands, and knows what was meant."""
    assert app_for(words) is app


def test_the_list_above_is_whole() -> None:
    """Every command of the app is among those that are tried here."""
    commands = [command.callback.__name__ for command in app.registered_commands if command.callback]
    assert [*commands, *(group.name for group in app.registered_groups)] == COMMANDS


def test_the_collector_works_while_a_program_runs(write, guest: CompiledGuest) -> None:
    """It is off only while modules are loaded."""
    code = (
        "import atexit, gc\nfrom capsule.cli.main import main\natexit.register(lambda: print(gc.isenabled()))\nmain()"
    )
    command = [sys.executable, "-c", code, "run", write("hello.py", HELLO)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "Hello from Capsule!\nTrue\n"


ENDING = """
import atexit, sys, threading, time
from capsule.cli.main import command
sys.argv = ["capsule", "run", {file!r}]
atexit.register(lambda: print("exit handlers ran", file=sys.stderr, flush=True))
{more}
try:
    command()
finally:
    print("taken apart", file=sys.stderr, flush=True)
"""


A_THREAD = "threading.Thread(target=lambda: (time.sleep(0.5), print('a thread ended', file=sys.stderr))).start()"


@pytest.mark.parametrize(
    ("more", "is_taken_apart"),
    [
        ("", False),
        (A_THREAD, False),
        ("sys.setprofile(lambda *_: None)", True),
    ],
    ids=["nobody", "a thread", "a profiler"],
)
def test_how_the_process_ends(write, guest: CompiledGuest, more: str, is_taken_apart: bool) -> None:
    """At once, with its status, its output, its threads and the handlers of others; as usual where somebody looks on."""
    file = write("ending.py", "def main():\n    print('said')\n    raise ValueError('no')\n")
    command = [sys.executable, "-c", ENDING.format(file=file, more=more)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "said\n")
    assert ("a thread ended" in done.stderr) == (more == A_THREAD)
    assert done.stderr.count("exit handlers ran") == 1
    assert ("taken apart" in done.stderr) == is_taken_apart


def test_a_profiler_sees_the_end(write, guest: CompiledGuest, tmp_path: Path) -> None:
    """Since Python 3.12 without a function for it."""
    script = write("profiled.py", "from capsule.cli.main import command\ncommand()\n")
    words = ["-m", "cProfile", "-o", str(tmp_path / "profile"), script, "run", write("hello.py", HELLO)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "Hello from Capsule!\n"
    assert (tmp_path / "profile").stat().st_size > 1000


def test_main_comes_back(write, guest: CompiledGuest) -> None:
    """To whoever calls it in a process of theirs: it ends with SystemExit."""
    code = "import sys\nfrom capsule.cli.main import main\ntry: main()\nexcept SystemExit as end: print('status', end.code)"
    words = [sys.executable, "-c", code, "run", write("hello.py", HELLO)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "Hello from Capsule!\nstatus 0\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there it cannot be removed")
@pytest.mark.parametrize(
    "words",
    [("run", "hello.py"), ("run", "hello.py", "--json"), ("ps",), ("cache",), ("inspect", "x.py")],
    ids=" ".join,
)
@pytest.mark.parametrize("cache", ["/nowhere", "here"])
def test_a_current_folder_that_is_gone(tmp_path: Path, words: tuple[str, ...], cache: str) -> None:
    """One line says so; what needs no folder works.

    The path is a script's, without "": with it, 3.13 asks for the current folder whenever a module lacks a name.
    """
    code = "import os, sys\nos.rmdir(os.getcwd())\nfrom capsule.cli.main import command\ncommand()"
    for given, status, said in ((words, 2, ""), (("--version",), 0, f"capsule {capsule.__version__}\n")):
        place = tmp_path / "gone"
        place.mkdir()
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *given],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=place,
            env={**os.environ, "CAPSULE_CACHE_DIR": cache},
            check=False,
        )
        assert (done.returncode, done.stdout) == (status, said)
        assert done.stderr == ("error: the current folder is gone; change to one that is there\n" if status else "")
