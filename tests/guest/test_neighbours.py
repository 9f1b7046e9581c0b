"""A file that is run by its path has the modules of its folder that it imports, as a script would."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from capsule import InvalidProgram, Runtime, TaskFailed
from capsule._guest import neighbours
from capsule._guest.neighbours import with_neighbours
from capsule._guest.program import read_program

FILES = {
    "app/main_file.py": (
        "from capsule import task\nimport helper, json\nfrom pkg import part, other as o\n"
        "@task\ndef main():\n    import effects\n    from pkg.deep.low import X\n"
        "    return [helper.greet(), part.name(), helper.SEEN, X, o.Y, half(8), json.dumps(1)]\n"
        "@task\ndef half(n):\n    import pkg.deep.low as low\n    return low.halve(n)\n"
    ),
    "app/helper.py": "SEEN = []\ndef greet(): return 'hi'\n",
    "app/effects.py": "import helper\nhelper.SEEN.append('effects')\n",
    "app/pkg/__init__.py": "from . import other\n",
    "app/pkg/other.py": "Y = 2\n",
    "app/pkg/part.py": "from .other import Y\ndef name():\n    from .deep import low\n    return [__name__, Y, low.X]\n",
    "app/pkg/deep/low.py": "X = 3\ndef halve(n): return n // 2\n",
    "app/not_imported.py": "this is no Python\n",
}


@pytest.fixture
def app(write, tmp_path: Path) -> Path:
    for name, source in FILES.items():
        write(name, source)
    return tmp_path / "app"


def names(path: str | Path) -> list[str]:
    return sorted(module.name for module in with_neighbours(read_program(path), path).modules)


async def test_they_import(runtime: Runtime, app: Path) -> None:
    """At the top, in functions, for their effects alone, relatively, and in sub-tasks; from any current folder."""
    value = ["hi", ["pkg.part", 2, 3], ["effects"], 3, 2, 4, "1"]
    assert await runtime.run("app/main_file.py") == value
    os.chdir("/")
    assert await runtime.run(app / "main_file.py") == value


def test_what_goes_along(app: Path) -> None:
    """What is imported, whole, and the packages that it is in; nothing else of the folder."""
    assert names("app/main_file.py") == [
        "effects",
        "helper",
        "pkg",
        "pkg.deep",
        "pkg.deep.low",
        "pkg.other",
        "pkg.part",
    ]
    program = with_neighbours(read_program("app/main_file.py"), "app/main_file.py")
    assert {module.path for module in program.modules} >= {"app/pkg/deep", "app/pkg/part.py", "app/helper.py"}


def test_an_edit_is_seen(app: Path) -> None:
    """The next call has the new text."""
    assert "effects" in names("app/main_file.py")
    (app / "main_file.py").write_text("import helper\n", "utf-8")
    (app / "helper.py").write_text("import pkg\n", "utf-8")
    assert names("app/main_file.py") == ["helper", "pkg", "pkg.other"]


def test_circles_and_itself(write) -> None:
    """Modules that import each other, and the program."""
    write("app.py", "import one\n")
    write("one.py", "import two, app\n")
    write("two.py", "import one\n")
    assert names("app.py") == ["app", "one", "two"]


async def test_tasks_of_a_neighbour_are_declared(runtime: Runtime, write) -> None:
    """They run in sandboxes of their own, under their own settings."""
    write("app.py", "from capsule import task\nfrom jobs import double\n@task\ndef main(): return double(4)\n")
    write("jobs.py", "from capsule import task\n@task(ram='64MB')\ndef double(n): return 2 * n\n")
    assert await runtime.run("app.py") == 8


async def test_a_name_that_the_sandbox_has(runtime: Runtime, write) -> None:
    """A file cannot stand in the place of a module that the sandbox has loaded, and says so."""
    write("app.py", "import json\ndef main(): return 1\n")
    write("json.py", "X = 1\n")
    with pytest.raises(TaskFailed, match=r"'json' would hide one that the sandbox has; rename it"):
        await runtime.run("app.py")


BROKEN = {
    "no Python": ({"helper.py": "X = (\n"}, "helper.py", "was never closed"),
    "no text": ({"helper.py": "# coding: nonsense\n"}, "helper.py", "not text in the encoding"),
    "a task of the same name": (
        {"helper.py": "from capsule import task\n@task\ndef main(): ...\n"},
        "helper.py",
        "'main' is declared here and in another module",
    ),
}


@pytest.mark.parametrize(("files", "path", "words"), BROKEN.values(), ids=BROKEN)
def test_one_that_cannot_go_along(write, files, path: str, words: str) -> None:
    """The error names the file."""
    write("app.py", "from capsule import task\nimport helper\n@task\ndef main(): ...\n")
    for name, source in files.items():
        write(name, source)
    with pytest.raises(InvalidProgram, match=words) as caught:
        names("app.py")
    assert caught.value.path == path


def test_links_do_not_leave_the_folder(write, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whoever writes a program must not read others' files with it; a link within the folder is as good as a file."""
    other = tmp_path_factory.mktemp("other")
    (other / "secret.py").write_text("KEY = 1\n", "utf-8")
    write("app.py", "import inside\n")
    write("real.py", "X = 1\n")
    (tmp_path / "inside.py").symlink_to(tmp_path / "real.py")
    assert names("app.py") == ["inside"]
    for name, target in (("linked.py", other / "secret.py"), ("folder", other)):
        (tmp_path / name).symlink_to(target)
    for source in ("import linked", "import folder.secret", "def f():\n    from folder import secret"):
        write("app.py", source + "\n")
        with pytest.raises(InvalidProgram, match="a link leads out of the folder"):
            names("app.py")


def test_limits(write, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many modules, and how much they have together."""
    write("app.py", "import one, two\n")
    write("one.py", "X = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'\n")
    write("two.py", "X = 1\n")
    monkeypatch.setattr(neighbours, "MOST_MODULES", 1)
    with pytest.raises(InvalidProgram, match="more of its folder than 1 modules"):
        names("app.py")
    monkeypatch.setattr(neighbours, "MOST_MODULES", 9)
    monkeypatch.setattr(neighbours, "MAX_MODULES", 20)
    with pytest.raises(InvalidProgram, match="or 20 bytes"):
        names("app.py")
