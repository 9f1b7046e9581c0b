"""Hostile programs and hostile packages: what asking for packages does not give, row by row.

Each program's neighbour, which asks for the same in a decent way, must pass in the same runtime.
"""

from __future__ import annotations

import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from capsule import InvalidPackages, InvalidProgram, Policy, Runtime, UsageError
from capsule._guest.cache import CompiledGuest
from capsule._installing import code_file
from capsule._packages.shelf import key_of
from capsule._versions import version_of
from packages.wheels import Index

ASK = "    from capsule_sdk._wire import call\n    def ask(**what): return call('package', what, lambda e: OSError(e['message']))\n"
FINE = "# /// script\n# dependencies = ['foo']\n# ///\ndef main():\n    import foo\n    return foo.VERSION\n"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """An index that has the neighbours' package, and whatever wheel a row puts beside it."""
    made = Index(tmp_path_factory.mktemp("index") / "wheels")
    made.wheel("foo")
    return made


@pytest.fixture
def shared_index(kept: Index, monkeypatch: pytest.MonkeyPatch) -> Index:
    """The same for every row, so that the neighbours' package is fetched once."""
    kept.be_the_only_one(monkeypatch)
    return kept


# Programs whose metadata wants more than packages. None gets as far as pip.

METADATA = {
    "an index": "dependencies = ['--index-url=http://127.0.0.1:1/simple']",
    "an index behind a name": "dependencies = ['foo --extra-index-url=http://127.0.0.1:1/simple']",
    "a requirements file": "dependencies = ['-r /etc/passwd']",
    "a constraints file": "dependencies = ['-c/etc/passwd']",
    "an editable folder": "dependencies = ['-e /']",
    "a file": "dependencies = ['foo @ file:///etc']",
    "a path": "dependencies = ['/etc/hosts']",
    "a path above": "dependencies = ['../../foo']",
    "a repository": "dependencies = ['foo @ git+ssh://git@127.0.0.1/foo']",
    "a repository with a command": "dependencies = ['hg+file:///x#egg=foo']",
    "a new line": 'dependencies = ["foo\\n--index-url=http://127.0.0.1:1"]',
    "a return": 'dependencies = ["foo\\r-e ."]',
    "a NUL": 'dependencies = ["foo\\u0000"]',
    "a text in the place of a version": "dependencies = ['foo===1; touch /tmp/x']",
    "thousands of them": f"dependencies = [{', '.join(repr(f'foo{n}') for n in range(5000))}]",
    "one of megabytes": f"dependencies = ['{'a' * 60_000}']",
    "a number": "dependencies = [1]",
    "a table": "dependencies = {foo = 1}",
    "brackets without end": "dependencies = " + "[" * 50_000,
    "a name of thousands of parts": ".".join(["a", '""'] * 13_000) + " = 1",
    "another Python": "requires-python = '<3'\n# dependencies = ['foo']",
    "a version that is none": "requires-python = '--index-url=x'",
}


@pytest.mark.parametrize("content", METADATA.values(), ids=METADATA)
async def test_metadata(content: str, shared_index: Index, guest: CompiledGuest, write) -> None:
    """Refused with the line of the block or the one in it, before anything is fetched or runs."""
    heard: list[str] = []
    async with Runtime(progress=heard.append) as runtime:
        write("hostile.py", f"# /// script\n# {content}\n# ///\ndef main(): return 1\n")
        with pytest.raises(InvalidProgram) as caught:
            await runtime.run("hostile.py")
        assert (caught.value.line in {1, 2}, len(str(caught.value)) < 1000, heard) == (True, True, [])
        assert await runtime.run(write("fine.py", FINE)) == "1.0"


async def test_a_block_of_megabytes(index: Index, guest: CompiledGuest, write) -> None:
    """As large as a file may be: refused at once; larger files are not even read."""
    line = "# " + "x" * 1000 + "\n"
    async with Runtime() as runtime:
        for times, words in ((200, "metadata is larger than"), (5000, "the file is larger than")):
            write("hostile.py", f"# /// script\n{line * times}# ///\ndef main(): return 1\n")
            with pytest.raises(InvalidProgram, match=words):
                await runtime.run("hostile.py")
        write("many.py", "# /// script\n" * 15_000 + "def main(): return 1\n")
        assert await runtime.run("many.py") == 1


# What a running guest asks the host for.


@dataclass(frozen=True)
class Asked:
    """`what` is asked of the host; it answers `answer`, or an error with `words`."""

    what: str
    answer: Any = None
    words: str = ""


ASKED = {
    "a file above": Asked("file='../../../etc/passwd'"),
    "a file above in the middle": Asked("file='foo/../../about.json'"),
    "an absolute file": Asked("file='/etc/passwd'"),
    "a file of the cache": Asked("file='about.json'"),
    "a file of the cache from its own": Asked("file='../about.json'"),
    "a NUL": Asked("file='foo.py\\x00.txt'"),
    "a folder above": Asked("folder='..'"),
    "an absolute folder": Asked("folder='/'"),
    "the status of a file above": Asked("status='../about.json'"),
    "the status of a file of this machine": Asked("status='/etc/passwd'"),
    "the status of a file of the cache": Asked("status='about.json'"),
    "the status of a file of another's": Asked("status='private.py'"),
    "a module above": Asked("module='..foo'"),
    "a module with a path": Asked("module='../foo'"),
    "a module of another's packages": Asked("module='private'"),
    "a file of another's packages": Asked("file='private.py'"),
    "a file of another's set": Asked("file='packages-0/private.py'"),
    "the byte code": Asked("file='/packages/foo.py'"),
    "two things": Asked("file='foo.py', folder=''", words="one module, file or folder"),
    "nothing": Asked("", words="one module, file or folder"),
    "a set by its key": Asked("file='private.py', key='x'", words="key"),
    "a number": Asked("file=7", words="Expected"),
    "a name without end": Asked("module='a.' * 100_000", words="at most 400 characters"),
}


async def test_what_a_guest_asks_for(index: Index, guest: CompiledGuest, write) -> None:
    """Names in the set's own table of contents mean something, and nothing else does; no other program's set either."""
    index.wheel("foo")
    index.wheel("private", files={"private.py": "KEY = 'secret'"})
    body = "# /// script\n# dependencies = ['foo']\n# ///\ndef main():\n" + ASK
    async with Runtime(progress=lambda _: None) as runtime:
        other = write(
            "other.py", FINE.replace("'foo'", "'private'").replace("foo", "private").replace("VERSION", "KEY")
        )
        assert await runtime.run(other) == "secret"
        for name, row in ASKED.items():
            ref = await runtime.spawn(write("hostile.py", f"{body}    return ask({row.what})\n"))
            outcome = await ref.outcome()
            if row.words:
                assert row.words in (outcome.error.message if outcome.error else ""), name
            else:
                assert (name, outcome.error, outcome.result) == (name, None, row.answer)
        fine = write("fine.py", f"{body}    return [ask(file='foo.py') is not None, list(ask(folder=''))[0]]\n")
        assert await runtime.run(fine) == [True, "foo-1.0.dist-info"]
        without = write("without.py", f"def main():\n{ASK}    return ask(folder='')\n")
        ref = await runtime.spawn(without)
        failure = (await ref.outcome()).error
        assert failure is not None
        assert 'packages=["..."]' in failure.message


async def test_a_crowd_that_reads(index: Index, guest: CompiledGuest, write) -> None:
    """A guest that asks without waiting is bounded as with every other call, and its neighbour is served."""
    index.wheel("foo", files={"foo.py": "VERSION = '1.0'", "data.bin": b"x" * 1_000_000})
    hostile = write(
        "hostile.py",
        "# /// script\n# dependencies = ['foo']\n# ///\ndef main():\n    from capsule_sdk import _wire\n"
        "    while True: _wire.submit('package', {'file': 'data.bin'})\n",
    )
    async with Runtime(policy=Policy(timeout="10s"), progress=lambda _: None) as runtime:
        ref = await runtime.spawn(hostile)
        assert await runtime.run(write("fine.py", FINE)) == "1.0"
        failure = (await ref.outcome()).error
        assert failure is not None


# Packages that are hostile themselves.


def bad_wheel(index: Index, members: list[tuple[zipfile.ZipInfo | str, bytes]]) -> None:
    with zipfile.ZipFile(index.folder / "bad-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bad-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
        archive.writestr("bad-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("bad-1.0.dist-info/RECORD", "")
        archive.writestr("bad.py", "X = 1")
        for name, content in members:
            archive.writestr(name, content)


def _link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("passwd.py")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


ARCHIVES = {
    "a member above": [("../../evil.py", b"x")],
    "an absolute member": [("/tmp/evil.py", b"x")],
    "a link": [(_link(), b"/etc/passwd")],
    "a bomb": [("zeros.py", b"\0" * (9 << 20))],
    "many bombs": [(f"zeros{n}.py", b"\0" * (8 << 20)) for n in range(9)],
}


@pytest.mark.parametrize("members", ARCHIVES.values(), ids=ARCHIVES)
async def test_an_archive(members, shared_index: Index, guest: CompiledGuest, write) -> None:
    """Refused by the package's name, and nothing of it is on the disk."""
    bad_wheel(shared_index, members)
    async with Runtime(progress=lambda _: None) as runtime:
        with pytest.raises(InvalidPackages, match="bad"):
            await runtime.run(write("hostile.py", FINE.replace("foo", "bad")))
        assert await runtime.run(write("fine.py", FINE)) == "1.0"
    assert not Path("/tmp/evil.py").exists()


ITS_OWN = """# /// script
# dependencies = ['hides', 'foo']
# ///
import sys
from capsule import task
@task
def main():
    import json, random, base64, importlib.metadata, asyncio, urllib.request
    import capsule, foo
    names = ("json", "random", "base64", "asyncio", "capsule", "encodings", "capsule_sdk", "main")
    files = [str(getattr(sys.modules.get(name), "__file__", "")) for name in names]
    return [foo.VERSION, [file for file in files if file.startswith("/packages/")], other()]
@task
def other():
    return json_of([1])
def json_of(value):
    import json
    return json.dumps(value)
"""


async def test_a_package_that_would_stand_in_the_place_of_others(index: Index, guest: CompiledGuest, write) -> None:
    """The library's modules and the sandbox's own come first, whatever a package calls its modules."""
    evil = "raise SystemExit('the wrong one')"
    names = "json random base64 asyncio capsule capsule_sdk main encodings importlib wit_world _capsule_probe _wire sys"
    index.wheel("hides", files={f"{name}/__init__.py": evil for name in names.split()} | {"sitecustomize.py": evil})
    index.wheel("foo")
    async with Runtime(progress=lambda _: None) as runtime:
        assert await runtime.run(write("app.py", ITS_OWN)) == ["1.0", [], "[1]"]


async def test_source_that_breaks_the_compiler(index: Index, guest: CompiledGuest, write) -> None:
    """A module that no sandbox can compile fails where it is imported, and costs the others nothing."""
    deep = "x = " + "(" * 100_000 + ")" * 100_000
    chain = "x = " + "-" * 300_000 + "1"
    index.wheel("foo", files={"foo.py": "VERSION = '1.0'", "deep.py": deep, "chain.py": chain, "nul.py": "x = '\0'"})
    async with Runtime(progress=lambda _: None) as runtime:
        assert await runtime.run(write("fine.py", FINE)) == "1.0"
        for name in ("deep", "chain", "nul"):
            ref = await runtime.spawn(write("hostile.py", FINE.replace("import foo", f"import {name}")))
            assert (await ref.outcome()).error is not None


SENT = """\
    from capsule_sdk._wire import call
    def ask(**what): return call('package', what, lambda error: OSError(error['message']))
    sizes = [len(str(ask(module="wide", ahead=True))) for _ in range(20)]
    told = []
    for what in ({"known": []}, {"ahead": 1}, {"ahead": "yes"}, {"ahead": None}):
        try: ask(module="wide", **what)
        except OSError as error: told.append(True)
    return [sizes[0] > 1000, max(sizes[1:]) < 1000, told]
"""


async def test_names_without_end(index: Index, guest: CompiledGuest, write) -> None:
    """What a package seems to import is kept within bounds, however long its names are and however many."""
    parts = ".".join(["a"] * 3000)
    many = ", ".join(f"foo.n{n}" for n in range(400))
    real = {f"wide/m{n}.py": f"TEXT = {str(n) * 500!r}\n" for n in range(50)}
    names = "".join(f"from . import m{n}\n" for n in range(50))
    bombs = {f"p{n}.py": f"import sys\nif not sys:\n    import foo.{parts}\n    import {many}\n" for n in range(20)}
    index.wheel("foo", files={"foo.py": "VERSION = '1.0'", "wide/__init__.py": names, **real, **bombs})
    async with Runtime(progress=lambda _: None) as runtime:
        assert await runtime.run(write("fine.py", FINE)) == "1.0"
        hostile = FINE.replace("    import foo\n    return foo.VERSION\n", SENT)
        assert await runtime.run(write("hostile.py", hostile)) == [True, True, [True] * 4]
    with zipfile.ZipFile(code_file(key_of(("foo",)), version_of("componentize-py"))) as archive:
        assert len(archive.read("imports.json")) < 10_000


async def test_code_of_a_package_is_as_free_as_the_program(index: Index, guest: CompiledGuest, write) -> None:
    """It runs in the sandbox of whoever imports it, under that policy, and nothing of it runs before."""
    index.wheel("foo", files={"foo.py": "import os\nVERSION = os.listdir('/')\n"})
    index.wheel("bar", files={"bar.py": "while True: pass\n"})
    async with Runtime(policy=Policy(timeout="1s"), progress=lambda _: None) as runtime:
        for name in ("foo", "bar"):
            ref = await runtime.spawn(write("hostile.py", FINE.replace("foo", name)))
            failure = (await ref.outcome()).error
            assert failure is not None
            assert failure.error_type in ("task_error", "timeout", "fuel_exhausted", "denied")


async def test_what_a_wheel_asks_for(index: Index, guest: CompiledGuest, write, tmp_path: Path) -> None:
    """Not by an address, and never to be built here."""
    proof = tmp_path / "ran"
    index.sdist("src", setup=f"open({str(proof)!r}, 'w')\n")
    index.wheel("foo")
    index.wheel("one", needs=["src"])
    index.wheel("two", needs=[f"src @ file://{index.folder}/src-1.0.tar.gz"])
    index.wheel("three", needs=["-r /etc/passwd"])
    async with Runtime(progress=lambda _: None) as runtime:
        for name in ("one", "two", "three"):
            with pytest.raises(UsageError, match=r"(src|three) "):
                await runtime.run(write("hostile.py", FINE.replace("foo", name)))
        assert await runtime.run(write("fine.py", FINE)) == "1.0"
    assert not proof.exists()
