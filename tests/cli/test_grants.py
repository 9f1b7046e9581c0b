"""What a shell grants: `--allow-host`, the project file, and `capsule inspect`, as a person or a script sees them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from capsule._guest.cache import CompiledGuest
from host.servers import Server, serving

COMMAND = [sys.executable, "-c", "from capsule.cli.main import main; main()"]


def capsule(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args], capture_output=True, text=True, timeout=120, env={**os.environ, **env}, check=False
    )


@pytest.fixture(autouse=True)
def built(guest: CompiledGuest) -> None:
    """The guest is there before the first command."""


@pytest.fixture
def server():
    with serving() as found:
        yield found


FETCH = """
from capsule import task
@task(allowed_hosts=[{hosts}])
def main(url):
    print("begun")
    from capsule import http
    return http.get(url).text()
"""
TWO = """from capsule import actor, task
@task
def main():
    print("begun")
    return other()
@task(allowed_hosts=["api.example.com", "*.example.com"])
def other():
    return "other"
@actor(allowed_hosts=["*"])
class Crawler: pass
"""


def test_no_host_without_an_option(write, server: Server) -> None:
    """What a file declares is what it asks for; refused, it has not begun."""
    file = write("fetch.py", FETCH.format(hosts="'127.0.0.1'"))
    done = capsule("run", file, server.url(""))
    assert (done.returncode, done.stdout, server.requests) == (2, "", [])
    assert 'fetch.py:4, task main: allowed_hosts=["127.0.0.1"]; it may have none' in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_that_is_told_grants_it(write, server: Server) -> None:
    """The last line can be run as it stands, and then the file runs."""
    file = write("fetch.py", FETCH.format(hosts="'127.0.0.1', '*.example.com'"))
    refused = capsule("run", file, "--timeout", "20s", "--json", "--", server.url(""))
    envelope = json.loads(refused.stdout)
    assert envelope["error"]["error_type"] == "denied"
    last = envelope["error"]["message"].splitlines()[-1]
    words = shlex.split(last)
    assert words[:6] == ["capsule", "run", "--allow-host", "127.0.0.1", "--allow-host", "*.example.com"]
    granted = json.loads(capsule(*words[1:]).stdout)
    assert (granted["success"], granted["result"]) == (True, "hello")
    assert [request["status"] for request in granted["execution"]["host_requests"]] == [200]


def test_an_option_gives_nothing_that_is_not_declared(write, server: Server) -> None:
    """It bounds what may be granted; a task that asks for nothing has nothing."""
    file = write("fetch.py", FETCH.format(hosts=""))
    done = capsule("run", "--allow-host", "127.0.0.1", file, server.url(""))
    assert (done.returncode, done.stdout) == (1, "begun\n")
    assert "allowed_hosts" in done.stderr
    assert server.requests == []


def test_the_whole_program_is_asked(write) -> None:
    """A sub-task and an actor that main might start later are refused before main begins."""
    done = capsule("run", write("two.py", TWO), "--allow-host", "api.example.com")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: two.py declares more rights than it may be granted:",
        '  two.py:7, task other: allowed_hosts=["*.example.com"]; it may have only ["api.example.com"]',
        '  two.py:10, actor Crawler: allowed_hosts=["*"]; it may have only ["api.example.com"]',
        "to grant it:",
        "  capsule run --allow-host '*.example.com' --allow-host '*' two.py --allow-host api.example.com",
    ]
    options = ["--allow-host", "*.example.com", "--allow-host", "*"]
    assert capsule("run", "two.py", *options).stdout == "begun\nother\n"


def test_a_wrong_host(write) -> None:
    """An option that names no host is a wrong call."""
    done = capsule("run", write("two.py", TWO), "--allow-host", "http://a.com")
    assert done.returncode == 2
    assert "'http://a.com' names no host" in done.stderr


PROJECT = """
[workflow]
name = "prices"
version = "1.0"
entrypoint = "src/fetch.py"

[tasks]
default_timeout = "3s"
default_allowed_hosts = ["127.0.0.1"]
"""


def test_the_entrypoint_of_a_project(write, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """`capsule run` alone runs it, here and in folders below, with the rights that the project gives."""
    write("capsule.toml", PROJECT)
    fetch = FETCH.replace("(allowed_hosts=[{hosts}])", "")
    file = write("src/fetch.py", fetch)
    arguments = ["--args-json", json.dumps([server.url("")])]
    for folder in (".", "src"):
        monkeypatch.chdir(folder)
        done = capsule("run", *arguments)
        assert (done.stdout, done.stderr, done.returncode) == ("begun\nhello\n", "", 0)
    monkeypatch.chdir("..")
    assert capsule("run", file, server.url("")).stdout == "begun\nhello\n"
    write("src/fetch.py", fetch.replace("@task", "@task(allowed_hosts=[])"))
    assert "allowed_hosts" in capsule("run", *arguments).stderr, "a task's own settings win"


def test_the_limits_of_a_project(write) -> None:
    """Its defaults are for those that say nothing else, and its ceiling is for all; options hold both down."""
    write("capsule.toml", "[tasks]\ndefault_ram = '48MB'\n[ceiling]\nram = '64MB'\n")
    file = write(
        "t.py",
        "from capsule import task\n@task\ndef plain(): ...\n@task(ram='96MB')\ndef large(): ...\n@task(ram='32MB')\ndef small(): ...\n",
    )

    def rams(*options: str) -> dict[str, int]:
        told = json.loads(capsule("inspect", file, "--json", *options).stdout)
        return {each["name"]: each["policy"]["ram"] >> 20 for each in told["declared"]}

    assert rams() == {"plain": 48, "large": 64, "small": 32}
    assert rams("--ram", "40MB") == {"plain": 40, "large": 40, "small": 32}
    assert rams("--ram", "1GB") == {"plain": 48, "large": 64, "small": 32}


def test_a_project_is_for_its_own_files(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file elsewhere gets nothing from the project of the current folder, nor from one that it brings along."""
    source = "from capsule import task\n@task(allowed_hosts=['a.com'])\ndef main(): return 'ran'\n"
    for folder in ("mine", "theirs"):
        write(f"{folder}/capsule.toml", "[ceiling]\nallowed_hosts = ['a.com']")
        write(f"{folder}/t.py", source)
    monkeypatch.chdir(tmp_path / "mine")
    assert capsule("run", "t.py").stdout == "ran\n"
    assert capsule("run", "t.py:main").stdout == "ran\n"
    for file in ("../theirs/t.py", str(tmp_path / "theirs/t.py"), "../theirs/t.py:main"):
        done = capsule("run", file)
        assert (done.returncode, done.stdout) == (2, "")
        assert "it may have none" in done.stderr


WRONG = [
    ("", ["run"], "which file? Give one: capsule run FILE. There is no capsule.toml"),
    ("[workflow]\n", ["run"], "[workflow] entrypoint = "),
    ("[workflow]\n\nentrypoint = 'gone.py'", ["run"], "capsule.toml:3: entrypoint: 'gone.py' is not there"),
    ("[workflow]\nentrypoint = 'gone.py:main'", ["inspect"], "capsule.toml:2: entrypoint: 'gone.py:main' is not there"),
    ("[workflow]\nentrypoint = '.'", ["run"], "capsule.toml:2: entrypoint: '.' is a folder; name the .py file in it"),
    ("[workflow]\nentrypoint = ':main'", ["run"], "capsule.toml:2: entrypoint: ':main' names no file; write it as"),
    ("[workflow]\nentrypoint = '../t.py'", ["run"], "no file of this project"),
    (
        "[tasks]\n\nram = '1MB'",
        ["run", "t.py"],
        "capsule.toml:3: [tasks] has no key 'ram'; did you mean 'default_ram'?",
    ),
    ("[tasks", ["inspect", "t.py"], "capsule.toml:1: this is not TOML"),
    ("[tasks]\ndefault_timeout = 'x'", ["inspect", "t.py"], "capsule.toml:2: default_timeout: 'x' is not a duration"),
]


@pytest.mark.parametrize(("text", "args", "words"), WRONG, ids=[words for *_, words in WRONG])
def test_a_wrong_project(write, text: str, args: list[str], words: str) -> None:
    """It is said where and what, with status 2 and without a traceback."""
    write("t.py", "def main(): ...")
    if text:
        write("capsule.toml", text)
    done = capsule(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_inspect_shows_packages(write) -> None:
    """What the file asks for, which is not fetched."""
    file = write("app.py", "# /// script\n# dependencies = ['toolz>=1', 'six']\n# ///\ndef main(): ...\n")
    done = capsule("inspect", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("packages that the file asks for: six, toolz>=1\n")
    told = json.loads(capsule("inspect", file, "--json").stdout)
    assert [each["packages"] for each in told["declared"]] == [["six", "toolz>=1"]]


def test_inspect_shows_and_runs_nothing(write) -> None:
    """Limits with where they are from, rights with what becomes of them."""
    write("capsule.toml", "[workflow]\nname = 'prices'\n[tasks]\ndefault_allowed_hosts = ['b.com']")
    source = TWO.replace("@task\n", "@task(timeout='1h', max_retries=3)\n") + "print('ran')\n1 / 0\n"
    done = capsule(
        "inspect", write("two.py", source), "--allow-host", "api.example.com", "--timeout", "5s", COLUMNS="200"
    )
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "project prices (capsule.toml)"
    for line in (
        "main() 3 compute MEDIUM (default) allowed_hosts",
        "task ram 128MB (default) b.com granted",
        "timeout 5s, cut from 1h",
        "max_retries 3",
        "task ram 128MB (default) api.example.com granted",
        "timeout 5s, the ceiling *.example.com refused",
        "actor ram 128MB (default) * refused",
    ):
        assert line in lines, done.stdout
    assert "does not start" in done.stderr


def test_inspect_shows_what_is_in_force(write) -> None:
    """Limits of the project that are not the usual ones, and the files of tasks that go along."""
    write("capsule.toml", "[tasks]\ndefault_max_retries = 2\n[ceiling]\nmax_output = '1KB'\nfamily_ram = '1GB'\n")
    write("steps.py", "from capsule import task\n@task(workspace='8KB')\ndef step(): ...\n")
    file = write("t.py", "from capsule import task\nfrom steps import step\n@task\ndef main(): step()\n")
    for target in (file, f"{file}:main"):
        lines = [" ".join(line.split()) for line in capsule("inspect", target).stdout.splitlines()]
        assert lines[2:7] == [
            "main() 4 compute MEDIUM (default) none",
            "task ram 128MB (default)",
            "timeout 30s (default)",
            "max_retries 2 (default)",
            "max_output 1KB, the ceiling",
        ]
        assert "step() steps.py:3 compute MEDIUM (default) none" in lines
        assert lines.count("family_ram 1GB, the ceiling") == 2
    write("capsule.toml", "[ceiling]\nworkspace = '4KB'\n")
    assert "workspace 4KB, cut from 8KB" in capsule("inspect", file).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")
def test_inspect_in_a_terminal(write) -> None:
    """Colours, and no line longer than the terminal is wide."""
    import pty

    file, output = write("two.py", TWO), bytearray()
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "inspect", file],
        stdout=follower,
        stderr=follower,
        env={**os.environ, "COLUMNS": "70", "TERM": "xterm"},
    )
    os.close(follower)
    try:
        while chunk := os.read(leader, 65536):
            output += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(leader)
    assert process.wait(60) == 0
    text = output.decode()
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert all(len(line) <= 70 for line in plain if not line.startswith("refused:"))
    assert any(line.strip().endswith("refused") for line in plain)


def test_inspect_as_json(write) -> None:
    """For scripts: whether it may start, and everything that was read."""
    write("two.py", TWO)
    told = json.loads(capsule("inspect", "two.py", "--json").stdout)
    assert (told["project"], told["may_start"]) == (None, False)
    main, other, crawler = told["declared"]
    assert (main["name"], main["refused"]) == ("main", {})
    assert other["refused"] == {"allowed_hosts": ["api.example.com", "*.example.com"]}
    assert other["settings"] == {"allowed_hosts": ["api.example.com", "*.example.com"]}
    assert (crawler["kind"], crawler["policy"]["allowed_hosts"]) == ("actor", [])
    assert json.loads(capsule("inspect", "two.py", "--json", "--allow-host", "*").stdout)["may_start"]


@pytest.mark.parametrize("args", [["missing.py"], ["syntax.py"], ["t.py:other"], ["t.py", "--ram", "x"], []])
def test_a_wrong_inspection(write, args: list[str]) -> None:
    """As for a run: status 2, a reason, no traceback."""
    write("syntax.py", "def main(:")
    write("t.py", "def main(): ...")
    done = capsule("inspect", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_what_a_program_writes_does_not_steer_the_terminal(write) -> None:
    """Names and defaults of a hostile file are shown as they are: no markup, no control characters."""
    source = (
        "from capsule import task\n@task(name='[red]x[/nope]')\ndef main(a='\\x1b[2J', b='[bold]', c='\u202e'): ...\n"
    )
    done = capsule("inspect", write("t.py", source), COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert "[red]x[/nope]" in done.stdout
    assert "[bold]" in done.stdout
    assert not {"\x1b", "\u202e"} & set(done.stdout)
