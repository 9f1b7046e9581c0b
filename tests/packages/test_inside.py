"""Packages inside the sandbox: in files, tasks of an application, sessions and sub-tasks, on both loops."""

from __future__ import annotations

import random
import sys
import zipfile
from pathlib import Path

import pytest

from capsule import InvalidPackages, InvalidProgram, Policy, Runtime, TaskFailed, run, task
from capsule._guest.cache import CompiledGuest
from capsule._installing import code_file, content_file
from capsule._packages.shelf import key_of
from capsule._versions import version_of
from loops import in_turn
from packages.wheels import Index

BLOCK = "# /// script\n# dependencies = [{}]\n# ///\n"


def fill(index: Index) -> Index:
    """A package with a bit of everything, and those beside it."""
    index.wheel(
        "foo",
        "1.2",
        needs=["bar"],
        files={
            "foo/__init__.py": "from .part import double\nfrom bar import VERSION\n__version__ = '1.2'\n",
            "foo/part.py": "def double(x):\n    return 2 * x\n\ndef fail():\n    raise KeyError('inside foo')\n",
            "foo/data/words.txt": "one\ntwo\n",
            "foo/data/raw.bin": bytes(range(256)),
            "foo/old.py": "print 'of Python 2'\n",
            "space/thing.py": "X = 1\n",
            "foo-1.2.dist-info/RECORD": "foo/__init__.py,,\nfoo/data/words.txt,,8\nfoo/gone.so,,\n",
            "json.py": "raise ImportError('the wrong one')\n",
            "capsule/__init__.py": "raise ImportError('the wrong one')\n",
        },
    )
    index.wheel("bar")
    index.wheel("baz")
    index.wheel("nat", tag="cp314-cp314-manylinux_2_17_x86_64")
    return index


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return fill(Index(tmp_path_factory.mktemp("index") / "wheels"))


@pytest.fixture
def foo(filled: Index, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index that is the same for all tests, so that each set of packages is fetched and compiled once."""
    filled.be_the_only_one(monkeypatch)
    return filled


def program(body: str, packages: str = "'foo'") -> str:
    return BLOCK.format(packages) + "from capsule import task\n@task\ndef main():\n" + body


ROWS = {
    "a module": ("import foo; return [foo.double(4), foo.VERSION]", [8, "1.0"]),
    "a part": ("from foo.part import double; return double(2)", 4),
    "a folder without code": ("import space.thing; return space.thing.X", 1),
    "its file": ("import foo; return [foo.__file__, foo.__path__]", ["/packages/foo/__init__.py", ["/packages/foo"]]),
    "its version": ("from importlib.metadata import version; return version('Foo')", "1.2"),
    "all versions": (
        "from importlib.metadata import distributions; return sorted(d.name for d in distributions())",
        ["bar", "foo"],
    ),
    "no such version": (
        "import importlib.metadata as m\n    try: m.version('nope')\n    except m.PackageNotFoundError: return 1",
        1,
    ),
    "its data": (
        "from importlib.resources import files\n"
        "    return files('foo').joinpath('data', 'words.txt').read_text().split()",
        ["one", "two"],
    ),
    "its data in bytes": (
        "import pkgutil; return len(set(pkgutil.get_data('foo', 'data/raw.bin')))",
        256,
    ),
    "its folder": (
        "from importlib.resources import files\n"
        "    folder = files('foo') / 'data'\n"
        "    return [folder.is_dir(), sorted(e.name for e in folder.iterdir()), (folder / 'no').is_file()]",
        [True, ["raw.bin", "words.txt"], False],
    ),
    "its data beside its file": (
        "import foo, os\n"
        "    from pathlib import Path\n"
        "    there = Path(foo.__file__).parent / 'data'\n"
        "    with open(os.path.join(os.path.dirname(foo.__file__), 'data/../data', 'words.txt')) as words:\n"
        "        lines = words.readlines()\n"
        "    return [lines, len((there / 'raw.bin').read_bytes()), sorted(os.listdir(there)), there.is_dir(),\n"
        "            (there / 'words.txt').is_file(), (there / 'no').exists(), os.path.getsize(there / 'words.txt')]",
        [["one\n", "two\n"], 256, ["raw.bin", "words.txt"], True, True, False, 8],
    ),
    "its folder in other ways": (
        "import foo, glob, os\n"
        "    from pathlib import Path\n"
        "    there = os.path.dirname(foo.__file__)\n"
        "    return [sorted(path.name for path in Path(there).glob('*.py')), len(list(Path(there).rglob('*.txt'))),\n"
        "            glob.glob(there + '/**/*.bin', recursive=True), glob.glob('p*.py', root_dir=there),\n"
        "            sorted(str(path) for path in Path(there).iterdir()),\n"
        "            [[top, folders, sorted(files)] for top, folders, files in os.walk(there)],\n"
        "            [str(top) for top, _, _ in Path(there).walk()]]",
        [
            ["__init__.py", "old.py", "part.py"],
            1,
            ["/packages/foo/data/raw.bin"],
            ["part.py"],
            [f"/packages/foo/{name}" for name in ("__init__.py", "data", "old.py", "part.py")],
            [
                ["/packages/foo", ["data"], ["__init__.py", "old.py", "part.py"]],
                ["/packages/foo/data", [], ["raw.bin", "words.txt"]],
            ],
            ["/packages/foo", "/packages/foo/data"],
        ],
    ),
    "a file that was opened": (
        "import io\n"
        "    text, raw = open('/packages/bar.py'), open('/packages/bar.py', 'rb')\n"
        "    found = [text.name, text.mode, raw.name, raw.mode, text.writable(), raw.writable()]\n"
        "    for each, what in ((text, 'x'), (raw, b'x')):\n"
        "        try: each.write(what)\n"
        "        except io.UnsupportedOperation: found.append('no')\n"
        "    for mode in ('q', '', 'rb'):\n"
        "        try: open('/packages/bar.py', mode, encoding='utf-8')\n"
        "        except ValueError: found.append(mode)\n"
        "    return found",
        ["/packages/bar.py", "r", "/packages/bar.py", "rb", False, False, "no", "no", "q", "", "rb"],
    ),
    "names that no package has": (
        "import glob, os\n"
        "    from pathlib import Path\n"
        "    far = '/packages/' + 'a' * 500\n"
        "    return [Path(far).exists(), glob.glob(far + '/*'), os.access(far, os.R_OK), os.path.exists('/packages/\\udc80')]",
        [False, [], False, False],
    ),
    "functions that a class keeps": (
        "import os\n"
        "    class Kept:\n"
        "        opener, stat = open, os.stat\n"
        "    kept = Kept()\n"
        "    found = [kept.opener('/packages/bar.py').name, kept.stat('/packages/bar.py').st_size > 0]\n"
        "    for function in (os.stat, os.lstat, open):\n"
        "        try: function()\n"
        "        except TypeError: found.append(1)\n"
        "    return found",
        ["/packages/bar.py", True, 1, 1, 1],
    ),
    "entries of its folder": (
        "import os\n"
        "    with os.scandir('/packages/foo/') as found:\n"
        "        folder = [e for e in found if e.name == 'data'][0]\n"
        "    word = [e for e in os.scandir(folder) if e.name == 'words.txt'][0]\n"
        "    left = os.scandir('/packages/foo'); left.close()\n"
        "    return [[e.path, os.fspath(e), e.is_dir(), e.is_file(), e.is_symlink(), oct(e.stat().st_mode),\n"
        "             e.stat().st_size, e.stat() == os.stat(e), e.inode() == os.lstat(e.path).st_ino, repr(e)]\n"
        "            for e in (folder, word)] + [list(left), [e.path for e in os.scandir('/packages/foo-1.2.dist-info')\n"
        "            if e.name == 'RECORD'], os.stat('/packages/bar.py').st_ino == word.inode()]",
        [
            ["/packages/foo/data"] * 2 + [True, False, False, "0o40555", 0, True, True, "<DirEntry 'data'>"],
            ["/packages/foo/data/words.txt"] * 2
            + [False, True, False, "0o100444", 8, True, True, "<DirEntry 'words.txt'>"],
            [],
            ["/packages/foo-1.2.dist-info/RECORD"],
            False,
        ],
    ),
    "what is known of its files": (
        "import os\n"
        "    file, there = '/packages/foo/part.py', '/packages/foo'\n"
        "    status = os.stat(file)\n"
        "    may = [[os.access(path, mode) for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)]\n"
        "           for path in (file, there, there + '/no')]\n"
        "    told = []\n"
        "    for look in (lambda: os.scandir(there + '/no'), lambda: os.scandir(file), lambda: os.listdir(file),\n"
        "                 lambda: os.lstat(there + '/no'), lambda: list(os.scandir('/packages/../etc'))):\n"
        "        try: look()\n"
        "        except OSError as error: told.append([type(error).__name__, error.filename])\n"
        "    return [may, told, status.st_mtime > 0, status.st_mtime_ns == status.st_mtime * 10**9,\n"
        "            os.path.lexists(file), os.path.islink(file), os.path.realpath(file, strict=True),\n"
        "            os.path.samefile(file, there + '/old.py'), os.stat in os.supports_follow_symlinks]",
        [
            [[True, True, False, False], [True, True, False, True], [False] * 4],
            [
                ["FileNotFoundError", "/packages/foo/no"],
                ["NotADirectoryError", "/packages/foo/part.py"],
                ["NotADirectoryError", "/packages/foo/part.py"],
                ["FileNotFoundError", "/packages/foo/no"],
                ["FileNotFoundError", "/packages/../etc"],
            ],
            True,
            True,
            True,
            False,
            "/packages/foo/part.py",
            False,
            True,
        ],
    ),
    "its files by its metadata": (
        "import importlib.metadata as m\n"
        "    there = [file for file in m.files('foo') if file.name == 'words.txt']\n"
        "    return [[str(file) for file in there], there[0].locate().read_text(), there[0].read_text(),\n"
        "            m.packages_distributions()]",
        [
            ["foo/data/words.txt"],
            "one\ntwo\n",
            "one\ntwo\n",
            {"foo": ["foo"]},
        ],
    ),
    "all modules": (
        "import pkgutil; return [[name, is_package] for _, name, is_package in pkgutil.iter_modules(['/packages'])]",
        [["bar", False], ["capsule", True], ["foo", True], ["json", False]],
    ),
    "its data as a file": (
        "from importlib.resources import as_file, files\n"
        "    with as_file(files('foo') / 'data/words.txt') as path: return [str(path), path.read_text()]",
        ["/packages/foo/data/words.txt", "one\ntwo\n"],
    ),
    "what cannot be changed there": (
        "import foo, os\n"
        "    from pathlib import Path\n"
        "    told = []\n"
        "    for path, mode in ((foo.__file__, 'w'), (foo.__file__, 'r+'), ('/packages/new', 'x'), ('/packages/foo', 'r'),\n"
        "                       ('/packages/../etc/passwd', 'r'), ('/packagesx', 'r'), ('/packages/nope', 'rb')):\n"
        "        try: open(path, mode)\n"
        "        except OSError as error: told.append(type(error).__name__)\n"
        "    return told",
        ["OSError", "OSError", "OSError", "IsADirectoryError", *["FileNotFoundError"] * 3],
    ),
    "the library stays": ("import json; return json.loads('1')", 1),
    "capsule stays": ("import capsule; return capsule.task.__name__", "task"),
    "a module that is none": (
        "try: import foo.nope\n    except ModuleNotFoundError as error: return str(error)",
        "No module named 'foo.nope'",
    ),
    "old code": (
        "try: import foo.old\n    except SyntaxError as error: return [error.filename, error.lineno]",
        ["/packages/foo/old.py", 1],
    ),
    "its source": ("import inspect, foo; return inspect.getsource(foo.double)", "def double(x):\n    return 2 * x\n"),
    "in async code": (
        "import asyncio\n    async def go():\n        import foo\n        await asyncio.sleep(0)\n        return foo.double(1)\n    return asyncio.run(go())",
        2,
    ),
}


async def test_a_file_that_declares_packages(foo: Index, guest: CompiledGuest, write) -> None:
    """Whatever a program does with them."""
    async with Runtime(progress=lambda _: None) as runtime:
        for name, (body, value) in ROWS.items():
            ref = await runtime.spawn(write("app.py", program("    " + body)))
            outcome = await ref.outcome()
            assert (name, outcome.error, outcome.result) == (name, None, value)


COPIED = """\
    import os, shutil
    shutil.copytree("/packages/foo", "/tmp/foo")
    shutil.copy2("/packages/bar.py", "/tmp/bar.py")
    shutil.make_archive("/tmp/all", "zip", "/packages/foo")
    told = []
    for change in (lambda: os.mkdir("/packages/new"), lambda: os.remove("/packages/bar.py"),
                   lambda: os.rename("/packages/bar.py", "/tmp/x.py"), lambda: shutil.rmtree("/packages/foo"),
                   lambda: open("/packages/new", "w"), lambda: os.open("/packages/new", os.O_CREAT | os.O_WRONLY)):
        try: change()
        except OSError as error: told.append(type(error).__name__)
    return [sorted(os.listdir("/tmp/foo")), open("/tmp/foo/data/words.txt").read(), os.path.getsize("/tmp/bar.py"),
            os.path.getsize("/tmp/all.zip") > 0, told, open("/packages/bar.py").read(4)]
"""


async def test_its_folder_is_copied_and_not_changed(foo: Index, guest: CompiledGuest, write) -> None:
    """To where the program may write, with whatever it is copied."""
    async with Runtime(policy=Policy(workspace="1MB"), progress=lambda _: None) as runtime:
        found = await runtime.run(write("app.py", program(COPIED)))
    refused = ["PermissionError"] * 4 + ["OSError", "PermissionError"]
    assert found == [["__init__.py", "data", "old.py", "part.py"], "one\ntwo\n", 16, True, refused, "VERS"]


LARGE = """\
    import glob, os, time
    begun = time.monotonic()
    found = [sum(len(files) for _, _, files in os.walk("/packages/large")), len(glob.glob("/packages/large/*9")),
             sum(entry.stat().st_size for entry in os.scandir("/packages/large"))]
    return [*found, time.monotonic() - begun < 2]
"""


async def test_a_folder_with_thousands_of_files(filled: Index, guest: CompiledGuest, write, monkeypatch) -> None:
    """Is one host call to list; one that does not fit into a message is an error, and not empty."""
    filled.wheel("large", files={f"large/a_file_with_a_rather_long_name_{n}": "x" for n in range(5000)} | {"l.py": ""})
    filled.be_the_only_one(monkeypatch)
    file = write("app.py", program(LARGE, "'large'"))
    async with Runtime(policy=Policy(compute="HIGH"), progress=lambda _: None) as runtime:
        assert await runtime.run(file) == [5000, 500, 5000, True]
    async with Runtime(policy=Policy(max_message="64KB"), progress=lambda _: None) as runtime:
        with pytest.raises(TaskFailed, match="larger than max_message allows"):
            await runtime.run(file)


DAMAGED = """\
    import foo
    with open("/packages/data.bin", "rb") as data:
        return [foo.VERSION, len(data.read())]
"""


def flip(file: Path, member: str) -> None:
    """Change one byte in the middle of what an archive holds of a file."""
    with zipfile.ZipFile(file) as archive:
        about = archive.getinfo(member)
    data = bytearray(file.read_bytes())
    data[about.header_offset + 30 + len(member) + about.compress_size // 2] ^= 0x10
    file.write_bytes(data)


@pytest.mark.parametrize("member", ["files/data.bin", "foo.py"], ids=["data", "byte code"])
async def test_a_damaged_archive_is_made_again(
    index: Index, guest: CompiledGuest, write, member: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is noticed where it is read, said once, and gone; the next run has all of it, in the same runtime too."""
    index.wheel("foo", "1.0", files={"foo.py": "VERSION = '1.0'", "data.bin": random.Random(1).randbytes(1000)})
    file = write("app.py", program(DAMAGED))
    async with Runtime(progress=lambda _: None) as runtime:
        assert await runtime.run(file) == ["1.0", 1000]
    key = key_of(("foo",))
    damaged = content_file(key) if "/" in member else code_file(key, version_of("componentize-py"))
    flip(damaged, member)
    index.wheel("foo", "2.0", files={"foo.py": "VERSION = '2.0'", "data.bin": b"x" * 1000})
    async with Runtime(progress=lambda _: None) as runtime:
        with pytest.raises(TaskFailed, match="the packages that this machine kept are damaged, and were removed"):
            await runtime.run(file)
        assert not damaged.exists()
        again = ["2.0" if "/" in member else "1.0", 1000]
        assert await runtime.run(file) == again
    async with Runtime(progress=lambda _: None) as runtime:
        assert await runtime.run(file) == again
    assert not caplog.records


async def test_an_archive_that_is_damaged_where_it_is_compiled(index: Index, guest: CompiledGuest, write) -> None:
    """Before anything runs, the error is the caller's."""
    index.wheel("foo", files={"foo.py": f"VERSION = '1.0'  # {random.Random(1).randbytes(500).hex()}"})
    file = write("app.py", program("    import foo; return foo.VERSION"))
    async with Runtime(progress=lambda _: None) as runtime:
        assert await runtime.run(file) == "1.0"
    key = key_of(("foo",))
    code_file(key, version_of("componentize-py")).unlink()
    flip(content_file(key), "files/foo.py")
    async with Runtime(progress=lambda _: None) as runtime:
        with pytest.raises(InvalidPackages, match="are damaged, and were removed"):
            await runtime.run(file)
        assert await runtime.run(file) == "1.0"


async def test_others_have_nothing_of_it(foo: Index, guest: CompiledGuest, write) -> None:
    """Packages are the program's that asked for them; the error says how to ask."""
    async with Runtime(progress=lambda _: None) as runtime:
        assert await runtime.run(write("one.py", program("    import foo; return foo.double(1)"))) == 2
        with pytest.raises(TaskFailed, match=r"no module named 'foo'.*packages=\[\.\.\.\]"):
            await runtime.run(write("two.py", "def main():\n    import foo\n"))
        with pytest.raises(TaskFailed, match=r"[Nn]o module named 'foo'"):
            await runtime.run(write("three.py", program("    import foo", "'bar'")))


async def test_errors_show_where(foo: Index, guest: CompiledGuest, write) -> None:
    """A traceback has the package's lines, under a name that is no path of this machine."""
    async with Runtime(progress=lambda _: None) as runtime:
        ref = await runtime.spawn(write("app.py", program("    from foo import part; part.fail()")))
        failure = (await ref.outcome()).error
    assert failure is not None
    assert 'File "/packages/foo/part.py", line 5, in fail\n    raise KeyError' in (failure.traceback or "")


@task(compute="LOW")
def doubled(number: int) -> int:
    """A task of an application, which need not have the package itself."""
    import foo

    return foo.double(number) + helped(number)


@task(compute="LOW")
def helped(number: int) -> int:
    from foo.part import double

    return double(number)


async def test_tasks_of_an_application(foo: Index, guest: CompiledGuest) -> None:
    """With packages of the runtime's, in sub-tasks, map, sessions and eval too; without them, it is refused and says how to ask."""
    async with Runtime(packages=["foo>=1"], progress=lambda _: None) as runtime:
        assert await runtime.run(doubled, 2) == 8
        assert [outcome.result async for outcome in runtime.map(helped, [1, 2])] == [2, 4]
        assert (await runtime.eval("import foo; foo.double(3)")).value == 6
        async with runtime.session() as session:
            await session.run("import foo")
            assert (await session.run("foo.double(4)")).value == 8
    async with Runtime() as runtime:
        with pytest.raises(InvalidProgram, match=r"doubled needs 'foo'.*packages=\[\.\.\.\]"):
            await runtime.run(doubled, 2)


async def test_both_ways_at_once(foo: Index, guest: CompiledGuest, write) -> None:
    """A file gets the runtime's packages and its own."""
    async with Runtime(packages=["baz"], progress=lambda _: None) as runtime:
        body = "    import baz, foo; return [baz.VERSION, foo.__version__]"
        assert await runtime.run(write("app.py", program(body))) == ["1.0", "1.2"]


async def test_a_runtime_that_takes_none_from_files(foo: Index, guest: CompiledGuest, write) -> None:
    """It says what the file wanted and what would allow it; its own packages stay."""
    async with Runtime(packages=["bar"], script_packages=False, progress=lambda _: None) as runtime:
        file = write("app.py", program("    import foo"))
        for call in (runtime.run, runtime.spawn):
            with pytest.raises(InvalidProgram, match=r"packages \(foo\).*script_packages=True"):
                await call(file)
        with pytest.raises(InvalidProgram, match="script_packages"):
            runtime.check(file)
        assert await runtime.run(write("own.py", "def main():\n    import bar\n    return bar.VERSION")) == "1.0"


async def test_what_cannot_be_had_is_said_before_anything_runs(foo: Index, guest: CompiledGuest, write) -> None:
    """As an error for the caller, and as an envelope; a runtime with such packages does not open."""
    async with Runtime(progress=lambda _: None) as runtime:
        with pytest.raises(InvalidPackages, match="nat needs compiled code"):
            await runtime.run(write("app.py", program("    return 1", "'nat'")))
        assert await runtime.run(write("fine.py", "def main(): return 1")) == 1
    with pytest.raises(InvalidPackages, match="no package nosuch"):
        async with Runtime(packages=["nosuch"], progress=lambda _: None):
            pytest.fail("it opened")
    envelope = await run(write("other.py", "def main(): return 1"), packages=["nat"])
    assert envelope["error"]["error_type"] == "invalid"
    assert "nat needs compiled code" in envelope["error"]["message"]
    with pytest.raises(InvalidPackages, match="no name of a package"):
        Runtime(packages=["--index-url=http://example.com"])


async def test_byte_code_is_made_once(index: Index, guest: CompiledGuest, write) -> None:
    """The first runtime hears of it, the next one does not."""
    fill(index)
    heard: list[str] = []
    file = write("app.py", program("    import foo; return foo.double(1)"))
    for _ in range(2):
        async with Runtime(progress=heard.append) as runtime:
            assert await runtime.run(file) == 2
            assert await runtime.run(file) == 2
    assert heard == ["fetching packages", "compiling packages"]


def test_the_host_did_not_import_them() -> None:
    """All of this ran inside."""
    assert not {"foo", "bar", "baz"} & set(sys.modules)


REQUESTS = """\
# /// script
# dependencies = ["requests"]
# ///
from capsule import task

@task(compute="HIGH", allowed_hosts=["{host}"])
def main(base):
    import requests
    found = [requests.get(base + "/").text]
    with requests.Session() as session:
        session.headers["X-Ours"] = "1"
        answer = session.post(base + "/echo", json={{"a": [1]}}, params={{"q": "b c"}})
        echoed = answer.json()
        found += [answer.status_code, echoed["body"], "X-Ours: 1" in echoed["head"], "q=b+c" in echoed["head"]]
        found.append(session.get(base + "/redirect/302/home").text)
    try:
        requests.get("https://example.com/")
    except requests.ConnectionError as error:
        found.append("allowed_hosts" in str(error))
    return found
"""


CHAIN = {
    "chain/__init__.py": "import typing\nfrom . import a\nif typing.TYPE_CHECKING:\n    from . import never\n",
    "chain/a.py": "try:\n    from .deep.b import B\nexcept ImportError:\n    from .other import B\n",
    "chain/deep/__init__.py": "",
    "chain/deep/b.py": "class B:\n    from link import X\ndef late():\n    from ..late import Y\n    return Y\n",
    "chain/late.py": "from .last import Y\n",
    "chain/last.py": "Y = 2\n",
    "chain/other.py": "",
    "chain/never.py": "",
    "link.py": "import chain\nX = 1\n",
}
ASKED = """\
    from capsule_sdk import _packages
    asked, ask = [], _packages._ask
    def counting(what, name, **more):
        asked.append(name)
        found = ask(what, name, **more)
        asked[-1] += ":" + ",".join(sorted(found["ahead"]))
        return found
    _packages._ask = counting
    import chain
    first = list(asked)
    return [chain.a.B.X, first, chain.deep.b.late(), asked[len(first):]]
"""


async def test_what_a_module_imports_comes_with_it(filled: Index, guest: CompiledGuest, write, monkeypatch) -> None:
    """In one host call: what it loads first, through other modules of the set, and nothing of functions or checkers.
    What is there is not sent again.
    """
    filled.wheel("chain", files=CHAIN)
    filled.be_the_only_one(monkeypatch)
    async with Runtime(progress=lambda _: None) as runtime:
        found = await runtime.run(write("app.py", program(ASKED, "'chain'")))
    ahead = "chain.a,chain.deep,chain.deep.b,chain.other,link"
    assert found == [1, [f"chain:{ahead}"], 2, ["chain.late:chain.last"]]


@pytest.mark.parametrize("policy", [Policy(max_message="1KB"), Policy(ram="30MB")], ids=["message", "ram"])
async def test_little_comes_ahead_where_there_is_little_room(
    filled: Index, guest: CompiledGuest, write, monkeypatch, policy: Policy
) -> None:
    """The modules that do not come with the first are asked for one by one."""
    text = f"TEXT = {''.join(map(chr, range(0x4E00, 0x9000)))!r}\n"  # that cannot be made shorter
    filled.wheel(
        "wide", files={f"wide/{name}.py": text for name in "abc"} | {"wide/__init__.py": "from . import a, b, c\n"}
    )
    filled.be_the_only_one(monkeypatch)
    body = ASKED.replace("import chain", "import wide").replace("chain.a.B.X", "1").replace("chain.deep.b.late()", "2")
    if policy.max_message_bytes < 1 << 20:
        body = body.replace("import wide", "import foo")
    async with Runtime(policy=policy, progress=lambda _: None) as runtime:
        found = await runtime.run(write("app.py", program(body, "'wide', 'foo'")))
    assert found[0] == 1
    assert len(found[1]) > 2


MANY = """\
    import importlib
    return sum(importlib.import_module(f"many.module_with_a_rather_long_name_{n}").X for n in range(200))
"""


async def test_many_modules_one_after_another(filled: Index, guest: CompiledGuest, write, monkeypatch) -> None:
    """As plug-ins are: what is asked does not grow with what is there."""
    filled.wheel("many", files={f"many/module_with_a_rather_long_name_{n}.py": "X = 1\n" for n in range(200)})
    filled.be_the_only_one(monkeypatch)
    async with Runtime(policy=Policy(max_message="4KB"), progress=lambda _: None) as runtime:
        assert await runtime.run(write("app.py", program(MANY, "'many'"))) == 200


LAZY = """\
    import importlib.util, pkgutil, sys
    spec = importlib.util.find_spec("foo.part")
    loader = importlib.util.LazyLoader(spec.loader)
    spec.loader = loader
    part = importlib.util.module_from_spec(spec)
    sys.modules["foo.part"] = part
    loader.exec_module(part)
    import foo
    return [part.double(2), sorted((each.name, each.ispkg) for each in pkgutil.iter_modules(foo.__path__, "foo."))]
"""


async def test_lazy_and_listed(foo: Index, guest: CompiledGuest, write) -> None:
    """The library's lazy loader loads a module when it is used, and plug-ins are found by their folder."""
    async with Runtime(progress=lambda _: None) as runtime:
        found = await runtime.run(write("app.py", program(LAZY)))
    assert found == [4, [["foo.old", False], ["foo.part", False]]]


@pytest.mark.slow
async def test_requests(guest: CompiledGuest, write) -> None:
    """The real one, from the configured index, against a real server on loopback."""
    from host.servers import serving

    with serving() as server:
        server.redirects["home"] = "/"
        host = f"127.0.0.1:{server.port}"
        file = write("app.py", REQUESTS.format(host=host))
        async with Runtime(ceiling=Policy(allowed_hosts=[host]), progress=lambda _: None) as runtime:
            found = await runtime.run(file, server.url(""))
    assert found[0] == "hello"
    assert found[1:] == [200, '{"a": [1]}', True, True, "hello", True]


@pytest.mark.slow
@in_turn("name", {"numpy": "numpy", "pandas": "pandas"})
async def test_real_packages_that_cannot_go_along(guest: CompiledGuest, write, name: str) -> None:
    """Each by its name, with the reason."""
    async with Runtime(progress=lambda _: None) as runtime:
        with pytest.raises(InvalidPackages, match=f"{name} needs compiled code"):
            await runtime.run(write("app.py", program("    return 1", repr(name))))


def test_sources_name_no_machine(foo: Index, tmp_path: Path) -> None:
    """What is kept under a key says nothing of where the wheels came from."""
    from capsule._packages.requirements import parse_all
    from capsule._packages.resolving import resolve
    from capsule._packages.shelf import PackageSet, write_set

    (tmp_path / "place").mkdir()
    write_set(tmp_path / "set.zip", resolve(parse_all(["foo"]), tmp_path / "place"), ())
    opened = PackageSet(tmp_path / "set.zip")
    content = b"".join(opened.read(path) for path in opened.sources())
    opened.close()
    assert str(tmp_path).encode() not in content
    assert str(foo.folder).encode() not in content


FALLBACK = """\
# /// script
# dependencies = ["jinja2", "pyyaml"]
# ///
def main():
    import jinja2, yaml
    return jinja2.Template("{% for x in xs %}<{{ x|e }}>{% endfor %}").render(xs=yaml.safe_load("- a\\n- '&'"))
"""


@pytest.mark.slow
async def test_packages_that_need_no_compiled_part(guest: CompiledGuest, write) -> None:
    """Their wheels are native, and their Python code works without that."""
    async with Runtime(policy=Policy(compute="HIGH"), progress=lambda _: None) as runtime:
        assert await runtime.run(write("app.py", FALLBACK)) == "<a><&amp;>"
