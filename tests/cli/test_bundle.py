"""The byte code that a command keeps of what it loads: taken where it is good, and nowhere else."""

from __future__ import annotations

import errno
import marshal
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capsule.cache import files_of, replace_file
from capsule.cli import bundle
from keeping import HAS_SETTLED, SAY, Run, environment, script_in, settle


def test_the_next_one_takes_it(run: Run, cache: Path) -> None:
    """What one has loaded, the next finds in the file. It is written twice: what only the first one needed is put apart
    by the second.
    """
    assert run() == "one SourceFileLoader"
    (file,) = cache.iterdir()
    assert run() == "one Kept"
    written = file.stat().st_mtime_ns
    assert run() == run() == "one Kept"
    assert (file.stat().st_mtime_ns, [*cache.iterdir()]) == (written, [file])


def test_what_others_ask_of_a_module(run: Run, folders: list[Path]) -> None:
    """Its file, its source, its submodules and its spec are as if Python had found it."""
    package = folders[0] / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("from . import sub\n", "utf-8")
    (package / "sub.py").write_text("def f():\n    raise ValueError\n", "utf-8")
    (package / "text").write_text("here", "utf-8")
    code = """
import inspect, importlib, importlib.resources, pkgutil, traceback, array
import pack.sub
print(type(pack.sub.__spec__.loader).__name__)
for module in (pack, pack.sub, inspect, array):
    spec = module.__spec__
    print(module.__name__, module.__file__, getattr(module, "__cached__", ""), getattr(module, "__path__", ""))
    print(spec.origin, spec.cached, spec.submodule_search_locations, spec.parent, spec.has_location, module.__package__)
print(inspect.getsource(pack.sub.f), importlib.resources.files(pack).joinpath("text").read_text())
print([each.name for each in pkgutil.iter_modules(pack.__path__)], pkgutil.get_data("pack", "text"))
try: pack.sub.f()
except ValueError: print(traceback.format_exc())
print(importlib.reload(pack.sub) is pack.sub, pack.sub.f.__code__.co_filename)
"""
    first, second = run(code), run(code)
    assert first.splitlines()[0] == "SourceFileLoader"
    assert second.splitlines()[0] == "Kept"
    assert first.splitlines()[1:] == second.splitlines()[1:]


def test_what_has_just_changed_is_not_kept(run: Run, folders: list[Path]) -> None:
    """Nobody knows whether a module that came while another was loaded should have been found in its place."""
    hide = f"open({str(folders[0] / 'thing.py')!r}, 'w').write('WORD = 3')"
    assert run(f"import thing; {hide}; print(thing.WORD)", has_settled=False) == "one"
    assert run(has_settled=False) == run() == "3 SourceFileLoader"
    assert run() == "3 Kept"


def test_a_folder_whose_time_was_set_back(run: Run, folders: list[Path]) -> None:
    """As those are that come out of an archive: it has changed all the same."""
    hide = f"import os; open({str(folders[0] / 'thing.py')!r}, 'w').write('WORD = 3'); os.utime({str(folders[0])!r}, (1, 1))"
    time.sleep(3.1)
    assert run(f"import thing; {hide}; print(thing.WORD)", has_settled=False) == "one"
    assert run(has_settled=False) == "3 SourceFileLoader"


def edit(folders: list[Path]) -> None:
    (folders[1] / "thing.py").write_text("WORD = 'another'\n", "utf-8")


def edit_to_the_same_length(folders: list[Path]) -> None:
    file = folders[1] / "thing.py"
    file.write_text("WORD = 'two'\n", "utf-8")
    os.utime(file, (1_000_000_000, 1_000_000_000))


def replace(folders: list[Path]) -> None:
    (folders[1] / "new").write_text("WORD = 'another'\n", "utf-8")
    (folders[1] / "new").replace(folders[1] / "thing.py")


def hide_by_a_file(folders: list[Path]) -> None:
    (folders[0] / "thing.py").write_text("WORD = 'another'\n", "utf-8")


def hide_by_a_package(folders: list[Path]) -> None:
    (folders[1] / "thing").mkdir()
    (folders[1] / "thing" / "__init__.py").write_text("WORD = 'another'\n", "utf-8")


def hide_by_what_becomes_a_package(folders: list[Path]) -> None:
    """The folder is there before, so that of the one above nothing changes."""
    (folders[0] / "thing" / "__init__.py").write_text("WORD = 'another'\n", "utf-8")


def hide_by_what_becomes_a_package_beside(folders: list[Path]) -> None:
    (folders[1] / "thing" / "__init__.py").write_text("WORD = 'another'\n", "utf-8")


@pytest.mark.parametrize(
    "change",
    [
        *(edit, edit_to_the_same_length, replace, hide_by_a_file, hide_by_a_package),
        *(hide_by_what_becomes_a_package, hide_by_what_becomes_a_package_beside),
    ],
)
def test_what_changed_is_loaded_anew(run: Run, folders: list[Path], change: Callable[[list[Path]], None]) -> None:
    """At once, and then it is kept as it is now."""
    if change is hide_by_what_becomes_a_package:
        (folders[0] / "thing").mkdir()
    if change is hide_by_what_becomes_a_package_beside:
        (folders[1] / "thing").mkdir()
    run()
    assert run() == "one Kept"
    change(folders)
    changed = run()
    assert changed in {"another SourceFileLoader", "two SourceFileLoader"}
    assert run() == changed.replace("SourceFileLoader", "Kept")


def test_what_is_gone_is_not_found(run: Run, folders: list[Path]) -> None:
    """A module whose file was removed, and one below a package that was found elsewhere meanwhile."""
    run()
    (folders[1] / "thing.py").unlink()
    assert run("try: import thing\nexcept ModuleNotFoundError as error: print(error)") == "No module named 'thing'"


def test_a_path_that_changes_meanwhile(run: Run, folders: list[Path]) -> None:
    """What a program puts in front of `sys.path`, or of a package's path, is looked at first."""
    run()
    (folders[0] / "thing.py").write_text("WORD = 'another'\n", "utf-8")
    code = f"sys.path.insert(0, {str(folders[0])!r})\n{SAY}"
    assert run(code, path=folders[1:]) == "another SourceFileLoader"
    assert run(path=folders[1:]) == "one SourceFileLoader"
    assert run(path=folders[1:]) == "one Kept"
    assert run(code, path=folders[1:]) == "another SourceFileLoader"


def test_a_folder_that_is_a_link(run: Run, tmp_path: Path) -> None:
    """It leads elsewhere tomorrow, to files of the same times and sizes."""
    for number in (1, 2):
        (tmp_path / f"release{number}").mkdir()
        file = tmp_path / f"release{number}" / "thing.py"
        file.write_text(f"WORD = {number}\n", "utf-8")
        os.utime(file, (1, 1))
        os.utime(file.parent, (1, 1))
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "release1")
    assert [run(path=[link], PYTHONPYCACHEPREFIX="") for _ in range(3)][1:] == ["1 SourceFileLoader", "1 Kept"]
    link.unlink()
    link.symlink_to(tmp_path / "release2")
    assert [run(path=[link], PYTHONPYCACHEPREFIX="") for _ in range(3)][1:] == ["2 SourceFileLoader", "2 Kept"]


def test_packages_in_several_places(run: Run, folders: list[Path]) -> None:
    """Of a namespace, and of one that changes its own path, no module is kept: there may be another tomorrow."""
    for folder in folders:
        (folder / "space").mkdir()
    (folders[1] / "space" / "sub.py").write_text("WORD = 'one'\n", "utf-8")
    (folders[1] / "pack").mkdir()
    (folders[1] / "pack" / "__init__.py").write_text("__path__.insert(0, 'elsewhere')\n", "utf-8")
    (folders[1] / "pack" / "sub.py").write_text("WORD = 'one'\n", "utf-8")
    code = "import space.sub, pack.sub; print(space.sub.WORD, pack.sub.WORD, type(pack.__loader__).__name__, pack.__path__)"
    paths = f"['elsewhere', {str(folders[1] / 'pack')!r}]"
    assert run(code) == f"one one SourceFileLoader {paths}"
    assert run(code) == f"one one Kept {paths}"
    (folders[0] / "space" / "sub.py").write_text("WORD = 'another'\n", "utf-8")
    assert run(code) == f"another one Kept {paths}"


def test_a_submodule_beside_a_folder(run: Run, folders: list[Path]) -> None:
    """As above, in a package: the folder becomes one, too, or the package's path gets another place in front."""
    package = folders[1] / "pack"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import os\nif 'MORE' in os.environ: __path__.insert(0, os.environ['MORE'])\n", "utf-8"
    )
    (package / "sub.py").write_text("WORD = 'one'\n", "utf-8")
    (folders[0] / "sub.py").write_text("WORD = 'two'\n", "utf-8")
    code = "import pack.sub; print(pack.sub.WORD, type(pack.sub.__loader__).__name__)"
    assert [run(code) for _ in range(2)] == ["one SourceFileLoader", "one Kept"]
    assert run(code, MORE=str(folders[0])) == "two SourceFileLoader"
    assert run(code) == "one Kept"
    (package / "sub" / "__init__.py").write_text("WORD = 'another'\n", "utf-8")
    assert run(code) == "another SourceFileLoader"


def test_byte_code_of_another_kind(run: Run, tmp_path: Path, folders: list[Path]) -> None:
    """Where Python goes by a digest of the source, or by nothing, so does the command."""
    compiled = f"import py_compile; py_compile.compile({str(folders[1] / 'thing.py')!r}, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)"
    run(compiled)
    assert [run() for _ in range(3)] == ["one SourceFileLoader"] * 3


def test_what_was_loaded_by_hand(run: Run, folders: list[Path]) -> None:
    """It is not what an import would find."""
    (folders[0] / "thing.py").write_text("WORD = 'another'\n", "utf-8")
    code = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("thing", {str(folders[1] / "thing.py")!r})
thing = sys.modules["thing"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(thing)
print(thing.WORD)
"""
    assert run(code) == "one"
    assert run() == "another SourceFileLoader"


def test_a_source_that_is_away_for_a_moment(run: Run, folders: list[Path]) -> None:
    """As while an editor writes it: what was loaded from it is not kept."""
    (folders[1] / "pack").mkdir()
    file = folders[1] / "pack" / "__init__.py"
    file.write_text("WORD = 'one'\n", "utf-8")
    assert run(f"import thing, pack, os; os.unlink({str(file)!r}); print(pack.WORD)") == "one"
    file.write_text("WORD = 'another'\n", "utf-8")
    code = "import pack; print(pack.WORD, type(pack.__loader__).__name__)"
    assert [run(code) for _ in range(2)] == ["another SourceFileLoader", "another Kept"]


def test_a_source_that_is_half_written(run: Run, folders: list[Path]) -> None:
    """Nothing is said of it: it is no fault of the run."""
    broken = f"open({str(folders[1] / 'thing.py')!r}, 'a').write('def broken(:')"
    assert run(f"import thing; {broken}; print(thing.WORD)") == "one"


ODD = {
    "no package above": "import types, importlib.util; sys.modules['a.b'] = importlib.util.module_from_spec(importlib.util.spec_from_file_location('a.b', thing.__file__)); sys.modules['a'] = types.ModuleType('a')",
    "no module": "sys.modules['odd'] = None",
    "a path that is no text": "import pathlib; sys.path.append(pathlib.Path('/nowhere'))",
    "a bare spec": "import importlib.machinery, types; odd = sys.modules['odd'] = types.ModuleType('odd'); odd.__spec__ = importlib.machinery.ModuleSpec('odd', thing.__loader__)",
    "a module that raises": "import types\nclass Odd(types.ModuleType):\n    def __getattribute__(self, name): raise ZeroDivisionError\nsys.modules['odd'] = Odd('odd')",
    "no finder": "import importlib.machinery; sys.meta_path.remove(importlib.machinery.PathFinder)",
}


def test_nobody_is_asked_at_the_end(run: Run, folders: list[Path], cache: Path) -> None:
    """What somebody has put off stays so, and what stands in for a module is let be."""
    (folders[1] / "loud.py").write_text("print('loud')\n", "utf-8")
    code = """
import importlib.util as u, thing
spec = u.find_spec("loud")
spec.loader = u.LazyLoader(spec.loader)
sys.modules["loud"] = u.module_from_spec(spec)
spec.loader.exec_module(sys.modules["loud"])
class Proxy:
    def __getattr__(self, name): raise SystemExit(7)
sys.modules["proxy"] = Proxy()
sys.modules["odd"] = odd = type(sys)("odd")
odd.__spec__ = Proxy()
print("done")
"""
    assert [run(code) for _ in range(2)] == ["done"] * 2
    assert len([*cache.iterdir()]) == 1
    assert run("import loud") == "loud"


@pytest.mark.parametrize("odd", ODD)
def test_odd_things_among_the_modules(run: Run, odd: str) -> None:
    """Whatever others have put there, it costs nobody the run."""
    code = f"import thing, capsule.cli.bundle\n{ODD[odd]}\nprint(thing.WORD)"
    assert run(code) == run(code) == "one"


def test_no_finder_of_files(run: Run) -> None:
    """Where something else finds all modules, nothing is done."""
    code = """
from importlib.machinery import PathFinder
from capsule.cli.bundle import Bundle
from capsule.cli.main import hasten
class Other:
    find_spec = staticmethod(PathFinder.find_spec)
is_ours = lambda finder: isinstance(finder, Bundle)
sys.meta_path[:] = [each for each in sys.meta_path if each is not PathFinder and not is_ours(each)] + [Other]
hasten()
import thing
print(thing.WORD, any(map(is_ours, sys.meta_path)))
"""
    assert [run(code) for _ in range(2)] == ["one False"] * 2


def test_modules_that_are_frozen_elsewhere(run: Run, cache: Path) -> None:
    """Where Python has none of its own in itself, it finds more in files: that is another environment."""
    code = "import importlib.util; print(type(importlib.util.__loader__).__name__ in ('Kept', 'SourceFileLoader'))"
    usual = run(code)
    assert [run(code, "-Xfrozen_modules=off") for _ in range(2)] == ["True"] * 2
    assert len([*cache.iterdir()]) == 2
    assert run(code) == usual


def test_each_environment_has_its_own(run: Run, cache: Path, folders: list[Path]) -> None:
    """Another path, other flags, another file; of many the oldest go."""
    run()
    assert run(path=folders[::-1]) == "one SourceFileLoader"
    assert run(SAY, "-O") == "one SourceFileLoader"
    assert run() == run(path=folders[::-1]) == run(SAY, "-O") == "one Kept"
    for number in range(bundle.MOST_FILES):
        (folders[0] / str(number)).mkdir()
        run(path=[folders[0] / str(number), *folders])
    assert len([*cache.iterdir()]) == bundle.MOST_FILES
    assert run() == "one SourceFileLoader"


def parts_of(file: Path) -> list[int]:
    return sizes_in(file.read_bytes())


def sizes_in(data: bytes) -> list[int]:
    sizes: list[int] = marshal.loads(data[16 : 16 + int.from_bytes(data[:8], "little")])[-1]
    return sizes


def test_it_settles(run: Run, cache: Path, folders: list[Path]) -> None:
    """What later runs load besides is a part each, and what the second did not need of the first; the last one takes in
    what has no room. Then nothing is written any more, in whatever order they come.
    """
    numbers = range(bundle.MOST_PARTS + 4)
    counts, written = [], set()
    for number in numbers:
        (folders[1] / f"more{number}.py").write_text(f"WORD = {number}\n", "utf-8")
    for number in numbers:
        assert run(f"import thing, more{number}; print(more{number}.WORD)") == str(number)
        (file,) = cache.iterdir()
        counts.append(len(parts_of(file)))
    assert counts == [
        1,
        *range(3, bundle.MOST_PARTS + 1),
        *[bundle.MOST_PARTS] * (len(numbers) - bundle.MOST_PARTS + 1),
    ]
    for number in [*numbers, *reversed(numbers)]:
        assert run(f"import thing, more{number}; print(type(more{number}.__spec__.loader).__name__)") == "Kept"
        written.add(file.stat().st_mtime_ns)
    assert len(written) <= 2  # what the first run loaded with `thing` went into a part of its own


def test_what_nobody_can_use_any_more_goes(run: Run, cache: Path, folders: list[Path]) -> None:
    """After an update, when all of it is loaded anew: no run has to read it again."""
    large = "WORD = [" + ", ".join(f"'{number} of one'" for number in range(2000)) + "]\n"
    for name in ("thing", "other"):
        (folders[1] / f"{name}.py").write_text(large, "utf-8")
    for _ in range(3):
        run("import thing, other")
    (file,) = cache.iterdir()
    size = file.stat().st_size
    for name in ("thing", "other"):
        (folders[1] / f"{name}.py").write_text(large.replace("one", "two"), "utf-8")
        os.utime(folders[1] / f"{name}.py", (1_000_000_000, 1_000_000_000))
    for _ in range(3):
        run("import thing, other")
    assert file.stat().st_size < size + 2000
    assert b"0 of one" not in file.read_bytes()


def test_code_is_never_under_the_stamp_of_another(run: Run, cache: Path, folders: list[Path]) -> None:
    """A source that another one took the place of for a while, in a run that writes parts anew."""
    source = folders[1] / "thing.py"
    os.utime(source, (1_000_000_000, 1_000_000_000))
    (folders[1] / "more.py").write_text("", "utf-8")
    run("import thing, more")
    change = f"import thing, os; open({str(source)!r}, 'w').write(\"WORD = 'two'\\n\")"
    run(change)  # writes parts anew, for it does not load the other
    source.write_text("WORD = 'one'\n", "utf-8")
    os.utime(source, (1_000_000_000, 1_000_000_000))
    for _ in range(3):
        assert run("import thing; print(thing.WORD)") == "one"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:4],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: os.urandom(len(data)),
        lambda data: b"\xff" * len(data),
        lambda data: (5).to_bytes(8, "little") + marshal.dumps(5) + data[13:],
        lambda data: data[:8] + b"\0" * (len(data) - 8),
        lambda data: data[:-4096] + b"\0" * 4096,
        lambda data: data[:-4096] + os.urandom(4096),
        lambda data: data[: -sum(sizes_in(data))] + b"N" * sum(sizes_in(data)),
        lambda data: data.replace(b"SourceFile", b"sourceFile").replace(b"second", b"secund"),
    ],
    ids=[
        *("empty", "a few bytes", "a half", "cut", "longer", "random", "ones", "a number", "zeros"),
        *("zeros at the end", "noise at the end", "nothing in it", "other words"),
    ],
)
def test_a_damaged_file(run: Run, cache: Path, damage: Callable[[bytes], bytes]) -> None:
    """It costs nobody the run, and is written anew."""
    run()
    (file,) = cache.iterdir()
    file.write_bytes(damaged := damage(file.read_bytes()))
    assert run().startswith("one ")
    assert file.read_bytes() != damaged
    assert run() == "one Kept"
    data = file.read_bytes()
    codes, _ = marshal.loads(data[-sum(parts_of(file)) :])
    assert "thing" in codes


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """What could not be written leaves nothing behind."""
    monkeypatch.setenv("CAPSULE_CACHE_DIR", str(cache))
    for number in (1, 2):
        with pytest.raises(OSError, match="full"):
            replace_file(f"{cache}/modules-{number:016x}", _filling())
    assert [*cache.iterdir()] == []


def _filling() -> Iterator[bytes]:
    yield b"some"
    raise OSError(errno.ENOSPC, "the disk is full")


def test_files_of_others(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """What is called nearly like ours is none of our business, in a folder that is not ours alone."""
    monkeypatch.setenv("CAPSULE_CACHE_DIR", str(cache))
    key = "0123456789abcdef"
    ours = [f"modules-{key}", f"modules-{key}-01234567"]
    for name in [
        *ours,
        "modules-backup-7.txt",
        f"modules-{key}0",
        f"modules-{key}.txt",
        f"modules-{key}-more",
        "modules-",
    ]:
        (cache / name).touch()
    (cache / f"modules-{'0' * 16}").mkdir()
    assert sorted(files_of("modules-")) == [str(cache / name) for name in ours]
    assert [*map(len, (files_of("sources-"), files_of("mod")))] == [0, 0]
    monkeypatch.setenv("CAPSULE_CACHE_DIR", str(cache / "modules-"))
    assert files_of("modules-") == []


@pytest.mark.skipif(sys.platform == "win32", reason="rights are POSIX's")
def test_a_file_that_others_can_write(run: Run, cache: Path) -> None:
    """It is code, so it is not taken, from a folder that others can write neither; nor is one written there."""
    run()
    (file,) = cache.iterdir()
    file.chmod(0o666)
    assert run() == "one SourceFileLoader"
    assert run() == "one Kept"
    cache.chmod(0o777)
    assert run() == run() == "one SourceFileLoader"
    file.unlink()
    assert run() == "one SourceFileLoader"
    assert [*cache.iterdir()] == []


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user(run: Run, cache: Path) -> None:
    """Whoever owns it could have written it."""
    run()
    (file,) = cache.iterdir()
    os.chown(file, 12345, -1)
    assert run() == "one SourceFileLoader"
    assert file.stat().st_uid == os.getuid()


def test_nowhere_to_write(run: Run, cache: Path) -> None:
    """A cache that is not there, or is none, is no reason to say anything."""
    cache.rmdir()
    assert run() == run() == "one SourceFileLoader"
    cache.write_text("in the way", "utf-8")
    assert run() == "one SourceFileLoader"
    assert cache.read_text("utf-8") == "in the way"


def test_nobody_wants_byte_code(run: Run, cache: Path) -> None:
    """With -B nothing is written, as Python writes none; what is there is taken, as Python takes it."""
    assert run(SAY, "-B") == "one SourceFileLoader"
    assert [*cache.iterdir()] == []
    run()
    assert run(SAY, "-B") == "one Kept"


def test_a_path_that_depends_on_the_current_folder(run: Run, cache: Path) -> None:
    """It means other modules tomorrow."""
    assert run(f"sys.path.append('here')\n{SAY}") == "one SourceFileLoader"
    assert [*cache.iterdir()] == []


# The command.

COMMAND = f"""
import atexit, sys
{HAS_SETTLED}
from capsule.cli.main import command
atexit.register(lambda: print(*{{type(module.__spec__.loader).__name__ for name, module in sys.modules.items()
    if name.startswith("capsule.") and name not in BEFORE}}, file=sys.stderr))
BEFORE = {{*sys.modules, "capsule.cli.bundle", "capsule.cli.later", "capsule.cache"}}
command()
"""


@pytest.fixture
def commanded(tmp_path: Path, cache: Path, installed: Path) -> Callable[..., list[str]]:
    """Runs the command; answers the lines of its stderr and stdout, the last of them with how modules were found."""
    script = script_in(tmp_path / "bin", COMMAND)

    def commanded(*words: str) -> list[str]:
        env = {**environment(tmp_path, cache), "PYTHONPATH": str(installed), "SETTLED": "1000000"}
        settle(tmp_path)
        command = [sys.executable, str(script), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, cwd=tmp_path, check=False)
        assert "Traceback" not in done.stderr
        return f"{done.stdout}{done.stderr}".splitlines()

    return commanded


def test_the_command_keeps_what_a_run_loads(commanded: Callable[..., list[str]], cache: Path) -> None:
    """A run writes the file, whatever comes of it, and every command reads it."""
    commanded("cache")
    assert [*cache.glob(f"{bundle.PREFIX}*")] == []
    error, found = commanded("run", "nowhere.py")
    assert "no such file" in error
    assert found == "SourceFileLoader"
    assert commanded("run", "nowhere.py") == [error, "Kept"]
    assert "Kept" in commanded("--version")[-1].split()
    assert commanded("cache")[-1] == "SourceFileLoader"  # it has to work also when what is kept does harm


def test_it_is_shown_and_cleared(commanded: Callable[..., list[str]], cache: Path) -> None:
    """With the rest of the cache."""
    commanded("run", "nowhere.py")
    size = r"the byte code of this command, \d[.\d]*MB"
    assert any(re.fullmatch(size, line) for line in commanded("cache"))
    assert any(re.fullmatch(f"removed {size}", line) for line in commanded("cache", "clear"))
    assert [*cache.iterdir()] == []
    assert not any("byte code" in line for line in commanded("cache", "clear"))
