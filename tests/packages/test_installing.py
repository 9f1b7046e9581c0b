"""Packages fetched by a process of their own: kept, shared, given up."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from capsule import CacheUnwritable, InvalidPackages, Runtime, SetupError, _installing
from capsule._engine.engine import WasmEngine
from capsule._guest.cache import CompiledGuest
from capsule._installing import cached_packages, clear_packages, content_file, install, open_set
from capsule._packages.shelf import key_of
from capsule.cache import VARIABLE
from packages.wheels import Index

TELL = "import json, os, signal, subprocess, sys, time\ndef tell(**line): print(json.dumps(line), flush=True)\n"


@pytest.fixture(autouse=True)
def folder(guest: CompiledGuest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`child(script)` takes the place of the process that fetches."""
    return lambda script: monkeypatch.setattr(_installing, "CHILD", [sys.executable, "-c", TELL + script])


@pytest.fixture
def alive(tmp_path: Path) -> Iterator[Callable[[], bool]]:
    """`alive()` waits up to ten seconds for the end of all who hold the pipe `life` open, and says if any lives."""
    os.mkfifo(tmp_path / "life")
    reader = os.open(tmp_path / "life", os.O_RDONLY | os.O_NONBLOCK)
    yield lambda: not select.select([reader], [], [], 10)[0]
    os.close(reader)


def _engine(guest: CompiledGuest) -> WasmEngine:
    """The guest of the session's cache, although the test has a cache of its own."""
    return WasmEngine(Path(guest.file), min_ram=guest.min_ram)


def left_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.suffix != ".lock")


async def test_fetched_once(index: Index, folder: Path) -> None:
    """What is there is not fetched again, and needs no index."""
    index.wheel("foo", needs=["bar"])
    index.wheel("bar")
    heard: list[str] = []
    await install(("foo",), heard.append)
    assert heard == [_installing.PHASES["fetch"]]
    key = key_of(("foo",))
    opened = open_set(key)
    assert opened is not None
    assert opened.names == ("bar", "foo")
    opened.close()
    for file in index.folder.iterdir():
        file.unlink()
    await install(("foo",), lambda _: pytest.fail("it is there"))
    assert left_in(folder) == [content_file(key).name]


async def test_two_at_once_fetch_once(index: Index, folder: Path) -> None:
    """The second waits for the first."""
    index.wheel("foo")
    heard: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(install, ("foo",), heard.append)
        tasks.start_soon(install, ("foo",), heard.append)
    assert heard.count(_installing.PHASES["fetch"]) == 1


async def test_a_damaged_set_is_fetched_again(index: Index, folder: Path) -> None:
    """Half an archive is none."""
    index.wheel("foo")
    await install(("foo",), lambda _: None)
    file = content_file(key_of(("foo",)))
    file.write_bytes(file.read_bytes()[:40])
    assert open_set(key_of(("foo",))) is None
    await install(("foo",), lambda _: None)
    opened = open_set(key_of(("foo",)))
    assert opened is not None
    opened.close()


async def test_what_cannot_be_had_leaves_nothing(index: Index, folder: Path) -> None:
    """The error comes through whole, with the package's name."""
    index.wheel("nat", tag="cp314-cp314-manylinux_2_17_x86_64")
    with pytest.raises(InvalidPackages, match="nat needs compiled code") as caught:
        await install(("nat",), lambda _: None)
    assert caught.value.package == "nat"
    assert left_in(folder) == []


async def test_cancelling_ends_pip(folder: Path, tmp_path: Path, alive, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it had begun; the next one cleans up if it could not."""
    pip = tmp_path / "pip.py"
    pip.write_text(
        f"import time\nlife = open({str(tmp_path / 'life')!r}, 'w')\nopen('half.whl', 'w').write('half')\n"
        f"open({str(tmp_path / 'begun')!r}, 'w').close()\ntime.sleep(600)\n",
        "utf-8",
    )
    patched = f"from capsule._packages import pip; pip._command = lambda: [{sys.executable!r}, {str(pip)!r}]"
    code = f"{patched}; from capsule import _installing; _installing._main()"
    monkeypatch.setattr(_installing, "CHILD", [sys.executable, "-c", code])
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(install, ("foo",), lambda _: None)
            while not (tmp_path / "begun").exists():
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    assert not alive()
    assert left_in(folder) == []


async def test_one_that_nobody_hears_any_more_is_quiet(index: Index, folder: Path) -> None:
    """Who started it may have been killed; what it fetched is kept for the next one."""
    index.wheel("foo")
    reader, writer = os.pipe()
    async with await anyio.open_process([*_installing.CHILD, "foo"], stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(reader)
        os.close(writer)
        assert process.stderr is not None
        said = b"".join([chunk async for chunk in process.stderr])
        assert (said, await process.wait()) == (b"", 0)
    await install(("foo",), lambda _: pytest.fail("it is there"))


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("tell(error='no index')", SetupError, "no index"),
        ("print('hello'); tell(phase='fetch'); sys.exit(3)", SetupError, "fetches packages ended with status 3"),
        ("tell(error='disk full', folder='/x')", CacheUnwritable, "CAPSULE_CACHE_DIR"),
        ("tell(error='no such thing', is_invalid=True, package='foo')", InvalidPackages, "no such thing"),
    ],
)
async def test_how_it_ends(child, script: str, kind: type[Exception], words: str) -> None:
    """Whatever the process says last."""
    child(script)
    with pytest.raises(kind, match=words):
        await install(("foo",), lambda _: None)


async def test_no_large_file_is_written(child, tmp_path: Path) -> None:
    """A wheel without end ends pip, not the disk."""
    file = tmp_path / "large"
    child(
        "from capsule import _installing; _installing.MAX_DOWNLOAD = 1000; _installing._bound_files()\n"
        f"try: open({str(file)!r}, 'wb', 0).write(b'x' * 5000); open({str(file)!r}, 'ab', 0).write(b'x' * 5000)\n"
        "except OSError as error: tell(error='stopped')"
    )
    with pytest.raises(SetupError, match="stopped"):
        await install(("foo",), lambda _: None)
    assert file.stat().st_size == 1000


async def test_clearing(index: Index, folder: Path) -> None:
    """What is kept is counted and removed, with its byte code and what was left half done."""
    assert clear_packages() == (0, 0)
    index.wheel("foo")
    await install(("foo",), lambda _: None)
    key = key_of(("foo",))
    (folder / f"packages-{key}-code-1.zip").write_bytes(b"x" * 100)
    (folder / f"packages-{key}-half.new").mkdir()
    (folder / "mine.txt").write_text("keep", "utf-8")
    count, size = cached_packages()
    assert (count, size > 100) == (1, True)
    assert clear_packages()[0] == 1
    assert [entry.name for entry in folder.iterdir()] == ["mine.txt"]


async def test_one_that_never_ends_is_ended(child, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that answers a byte a minute holds nobody for long."""
    child("time.sleep(600)")
    monkeypatch.setattr(_installing, "INSTALL_TIMEOUT", 0.2)
    with anyio.fail_after(30), pytest.raises(SetupError, match="took longer than"):
        await install(("foo",), lambda _: None)


async def test_a_slow_one_holds_up_nobody_else(index: Index, guest: CompiledGuest, write, monkeypatch) -> None:
    """Each set is fetched beside the others; who is cancelled while it waits gives its turn away."""
    index.wheel("foo")
    index.wheel("slow")
    begun, real = [], _installing.install

    async def fake(wanted: tuple[str, ...], progress) -> None:
        begun.append(wanted)
        if len(begun) == 1:
            await anyio.sleep_forever()
        await real(wanted, progress)

    monkeypatch.setattr(_installing, "install", fake)
    block = "# /// script\n# dependencies = ['{0}']\n# ///\ndef main():\n    import {0}\n    return {0}.VERSION\n"
    slow, fast = (write(f"with_{name}.py", block.format(name)) for name in ("slow", "foo"))
    with anyio.fail_after(60):
        async with (
            Runtime(engine=_engine(guest), progress=lambda _: None) as runtime,
            anyio.create_task_group() as tasks,
        ):
            first = anyio.CancelScope()

            async def ask() -> None:
                with first:
                    await runtime.run(slow)

            tasks.start_soon(ask)
            while not begun:
                await anyio.sleep(0.01)
            assert await runtime.run(fast) == "1.0"
            first.cancel()
            assert await runtime.run(slow) == "1.0"
    assert begun == [("slow",), ("foo",), ("slow",)]
