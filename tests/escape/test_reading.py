"""What a hostile source can do to the host before anything runs: it is read, and no more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from capsule import InvalidProgram
from capsule._guest.cache import CompiledGuest
from capsule._guest.neighbours import with_neighbours
from capsule._guest.program import choose_task, read_program
from capsule._values import Program


def test_a_program_cannot_declare_endless_output(write) -> None:
    """What the host holds outside a sandbox's memory has a bound that no declaration lifts."""
    file = write("a.py", "from capsule import task\n@task(max_output='4000GB')\ndef main(): pass")
    with pytest.raises(InvalidProgram, match="the most is 256MB"):
        read_program(file)


def test_a_chain_of_names_is_refused_at_once(write) -> None:
    """CPython's parser takes time with the square of such a chain; it never sees this one."""
    file = write("a.py", "def main(): pass\nimport a" + ".a" * 40_000)
    began = time.thread_time()
    with pytest.raises(InvalidProgram, match=r"a\.py:2: more than 5,000 names in one chain"):
        read_program(file)
    assert time.thread_time() - began < 2


def test_a_neighbour(write) -> None:
    """A file with long lines and many dots is read."""
    file = write("a.py", "def main(): pass\nx = [" + ", ".join(["a.b.c"] * 4_000) + "]\ny = '" + "." * 20_000 + "'")
    assert choose_task(read_program(file), None).name == "main"


ACTORS = "from capsule import actor, task\n"
WIDE = {
    "many tasks": ACTORS + "".join(f"@task\ndef f{n}(): 0\n" for n in range(10_000)),
    "many actors": ACTORS + "".join(f"@actor\nclass A{n}: 0\n" for n in range(9_000)),
    "many methods": ACTORS + "@actor\nclass A:\n" + "".join(f" def m{n}(self): 0\n" for n in range(9_900)),
    "methods of many parameters": ACTORS
    + "@actor\nclass A:\n"
    + "".join(f" def m{n}({', '.join(f'a{p}' for p in range(50))}): 0\n" for n in range(800)),
    "one method over and over": ACTORS + "@actor\nclass A:\n" + " if 1:\n  def a(self): 0\n" * 8_000,
    "a deep tree of classes": ACTORS
    + "class c0: 0\n"
    + "".join(f"class c{n}(c{n - 1}): 0\n" for n in range(1, 8_000))
    + "@actor\nclass Z(c7999): 0\n",
    "all derive from all before": ACTORS
    + "".join(f"class c{n}({', '.join(f'c{p}' for p in range(n))}): 0\n" for n in range(260))
    + "@actor\nclass Z(c259): 0\n",
    "circles of bases": ACTORS
    + "".join(f"@actor\nclass c{n}(c{(n + 1) % 60}, c{(n + 7) % 60}): 0\n" for n in range(60)),
    "many decorators": ACTORS + "@actor\n" + "@a.b.c\n" * 30_000 + "class Z: 0\n",
    "many aliases": "from capsule import "
    + ", ".join(f"task as t{n}" for n in range(15_000))
    + "\n@t9\ndef main(): 0\n",
    "many parameters": ACTORS + "@task\ndef main(" + ", ".join(f"a{n}: int" for n in range(15_000)) + "): 0\n",
    "a long annotation": ACTORS + "@task\ndef main(a: [" + ", ".join("b" * 60_000) + "]): 0\n",
    "a long name": ACTORS + "@actor(name='" + "x" * 250_000 + "')\nclass Z: 0\n",
    "a long setting": ACTORS + "@task(timeout='" + " " * 250_000 + "x')\ndef main(): 0\n",
    "a long number": ACTORS + "@task(ram=0x" + "f" * 250_000 + ")\ndef main(): 0\n",
    "a long word": ACTORS + "@task(" + "k" * 250_000 + "=1)\ndef main(): 0\n",
}


def assert_quick(file: str, read: Callable[[str], object], seconds: float) -> None:
    """It is read, or refused by its name, while one could wait for it."""
    assert Path(file).stat().st_size <= 256 << 10
    began = time.thread_time()
    try:
        read(file)
    except InvalidProgram as refused:
        assert file in str(refused)
    assert time.thread_time() - began < seconds


@pytest.mark.parametrize("source", WIDE.values(), ids=WIDE.keys())
def test_reading_takes_time_with_the_length_alone(write, source: str) -> None:
    """Of a file as large as it may be."""
    assert_quick(write("a.py", source), read_program, 5)


def imports(*dots: int, names: int, lines: int = 1) -> str:
    """Each line imports so many names from a chain of so many packages, another one for each line."""
    wanted = ", ".join(f"c{n}" for n in range(names))
    return "".join(f"from a{n}{'.b' * dots[n % len(dots)]} import {wanted}\n" for n in range(lines))


IMPORTS = {
    "a chain and many names": imports(300, names=3_000),
    "long chains and many names": imports(4_000, names=2_000, lines=10),
    "many chains": imports(300, names=1, lines=380),
    "chains that grow": imports(*range(350), names=1, lines=350),
    "many names": imports(0, names=34_000),
    "a long name": f"import {'a' * 5_000}\nimport b{'.c' * 5_000}\n",
    "many modules": "".join(f"import m{n}\n" for n in range(17_000)),
}


def with_its_neighbours(file: str) -> Program:
    return with_neighbours(read_program(file), file)


@pytest.mark.parametrize("source", IMPORTS.values(), ids=IMPORTS.keys())
def test_what_is_imported_takes_time_with_the_length_alone(write, source: str) -> None:
    """Of names in names there are as many as the product of both."""
    assert_quick(write("a.py", source), with_its_neighbours, 4)


@pytest.mark.skipif(sys.platform == "win32", reason="its paths are shorter")
@pytest.mark.parametrize("depth", [300, 1_000, 1_900])
def test_packages_without_end_that_are_there(write, tmp_path: Path, depth: int) -> None:
    """Who gives a program gives its folder too: each level of it made the next one dearer."""
    lines = (255 << 10) // (2 * depth + 20)
    file = write("a.py", "".join(f"from x{'.b' * (depth - n % 50)}.c{n} import y\n" for n in range(lines)))
    (tmp_path / "x").mkdir()
    os.chdir("x")
    for _ in range(depth):
        os.mkdir("b")  # noqa: PTH102 - the path is longer than a path may be
        os.chdir("b")
    os.chdir(tmp_path)
    try:
        assert_quick(file, with_its_neighbours, 1.5)
    finally:
        os.chdir("x" + "/b" * 100)
        for _ in range(100, depth):
            os.chdir("b")
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("b")  # noqa: PTH106 - as above, and shutil.rmtree would recurse
        os.chdir(tmp_path)


BEFORE = """
from capsule import task
@task(name="main")
def main():
    import os
    status = os.stat("/here/a.py")
    open("/here/a.py", "w").write(open("/here/more.txt").read())
    os.utime("/here/a.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    return "edited"
"""
AFTER = """
from capsule import task
@task(name="main", env_variables=["TOKEN"])
def main():
    import os
    return os.environ["TOKEN"]
"""


def test_a_program_that_edits_what_is_kept_of_it(guest: CompiledGuest, tmp_path: Path) -> None:
    """To the same size and the same time: what it asks for now is refused, as if it had never run."""
    (tmp_path / "here").mkdir()
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    (cache / Path(guest.file).parent.name).symlink_to(Path(guest.file).parent)
    (tmp_path / "here" / "a.py").write_text(BEFORE, "utf-8")
    (tmp_path / "here" / "more.txt").write_text(AFTER.ljust(len(BEFORE)), "utf-8")
    env = {**os.environ, "CAPSULE_CACHE_DIR": str(cache), "TOKEN": "hunter2"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from capsule.cli.main import command; command()", "run", *words, "here/a.py"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, cwd=tmp_path, check=False)

    assert run("--mount", ".::/here:rw").stdout == "edited\n"
    assert [file for file in cache.iterdir() if file.name.startswith("readings-")]
    for _ in range(2):
        refused = run()
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "TOKEN" in refused.stderr
        assert "hunter2" not in refused.stderr


INHERITED = {
    "methods": ("m", 20_000, 3_000),
    "constructors": ("__init__", 3_000, 2_500),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the measure is Linux's")
@pytest.mark.parametrize("kind", INHERITED)
def test_what_is_kept_of_a_program_is_no_product_either(write, tmp_path: Path, kind: str) -> None:
    """What many actors inherit is one thing in memory, and would be thousands in a file."""
    name, parameters, actors = INHERITED[kind]
    inherited = f"class B:\n  def {name}(self,{','.join(f'a{n:x}' for n in range(parameters))}): ...\n"
    source = (
        ACTORS
        + inherited
        + "".join(f"@actor\nclass C{n:x}(B): ...\n" for n in range(actors))
        + "@task\ndef main(): 1\n"
    )
    assert len(source) <= 256 << 10
    write("a.py", source)
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    code = """
import re
from capsule._source import Source
from capsule.cli.readings import Readings
readings = Readings("a.py")
with readings.known():
    Source(lambda _: None).resolve("a.py")
readings.keep()
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024)
"""
    env = {**os.environ, "CAPSULE_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, timeout=120
    )
    assert int(done.stdout) < 400


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("@actor\nclass A:\n    def stop(self): 0", "'stop' is what the ref of an actor offers itself"),
        ("@actor\nclass A:\n    async def kill(self): 0", "'kill' is what the ref of an actor offers itself"),
        ("class B:\n    def link(self): 0\n@actor\nclass A(B): 0", "'link' is what the ref of an actor offers itself"),
        ("@actor(name='\\ud800')\nclass A: 0", "this is not a name"),
        ("@actor(name='a\\x1b[2J')\nclass A: 0", "this is not a name"),
        ("@actor(max_mailbox=10**9)\nclass A: 0", "written out as a literal"),
        ("@actor(max_mailbox=1000000000)\nclass A: 0", "max_mailbox"),
        ("@actor(max_subtasks=10)\nclass A: 0", "an actor has no setting 'max_subtasks'"),
        ("@actor(family_ram='9GB')\nclass A: 0", "an actor has no setting 'family_ram'"),
        ("@actor(tools=['x'])\nclass A: 0", "an actor has no setting 'tools'"),
        ("@actor(**{'ram': '4GB'})\nclass A: 0", "cannot be followed"),
        ("@actor\nclass A: 0\n@actor(name='A')\nclass B: 0", "there are two actors 'A'"),
        ("def f():\n    @actor\n    class A: 0", "is not at module level"),
    ],
)
def test_declarations_that_would_confuse(write, source: str, reason: str) -> None:
    """A program cannot take names of refs, nor rights that are not a program's to give."""
    file = write("a.py", ACTORS + source)
    with pytest.raises(InvalidProgram, match=reason):
        read_program(file)
