"""From the guest's Python source to one WebAssembly component, by componentize-py in a process of its own.

A process of its own, because componentize-py reads the environment (`VIRTUAL_ENV`, site-packages) to find more
modules, and the guest must be the same wherever it is built.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

from ..errors import SetupError

SDK = Path(__file__).resolve().parents[2] / "capsule_sdk"
PROBE = "_capsule_probe.cpython-314-wasm32-wasi.so"
BUILD_TIMEOUT = 600.0
"""Seconds; it takes five to fifteen."""

SHARED = {"_missing.py": "modules.py", "_json_text.py": "json_text.py"}
"""Modules of this room that the guest has too: standard library only."""

_SUFFIXES = (".py", ".wit", ".wat")


def source_files() -> dict[str, str]:
    """All files that go into the guest, by their paths inside it."""
    names = sorted(_names_below(str(SDK), ""), key=lambda name: name.split("/"))
    if not names:
        raise SetupError(f"capsule_sdk is not installed beside capsule (looked in {SDK}); reinstall capsule")
    found = {f"capsule_sdk/{name}": f"{SDK}/{name}" for name in names}
    for name, module in SHARED.items():
        found[f"capsule_sdk/{name}"] = str(Path(__file__).with_name(module))
    return found


def guest_sources() -> dict[str, bytes]:
    """Everything that goes into the guest, by its path inside it."""
    return {name: content_of(file) for name, file in source_files().items()}


def _names_below(folder: str, start: str) -> Iterator[str]:
    """What of `folder` goes into the guest. Without pathlib, which takes longer for this than a sandbox to start."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "js":
                    yield from _names_below(entry.path, f"{start}{entry.name}/")
            elif entry.name.endswith(_SUFFIXES):
                yield start + entry.name


def content_of(file: str) -> bytes:
    """The same of `Path.read_bytes`."""
    with FileIO(file) as content:
        return content.readall()


def sources_digest() -> str:
    """A digest of `guest_sources`, names and contents."""
    import hashlib  # as in key.py

    digest = hashlib.sha256()
    for name, content in guest_sources().items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def build_guest(to_wasm: Callable[[str], bytes], workplace: Path, *, is_metered: bool) -> bytes:
    """The guest as a component, built below `workplace`. `to_wasm` assembles WebAssembly text. If it `is_metered`, its
    code counts its fuel.

    Takes six to sixteen seconds. Raises SetupError with the first lines of componentize-py's output if it fails, and
    if what it made is not what `merging` knows.
    """
    import tempfile  # only a build needs it

    with tempfile.TemporaryDirectory(prefix="build-", dir=workplace) as folder:
        root = Path(folder)
        for name, content in guest_sources().items():
            file = root / "path" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        probe = to_wasm((root / "path/capsule_sdk/probe.wat").read_text("utf-8"))
        (root / "path" / PROBE).write_bytes(probe)
        return _merge(_componentize(root), is_metered)


def _merge(component: bytes, is_metered: bool) -> bytes:
    from .merging import (
        HOT,
        Unmergeable,
        merge,
    )  # its patterns take milliseconds to compile, and only a build needs them

    try:
        return merge(component, HOT, is_metered=is_metered)
    except Unmergeable as error:
        raise SetupError(f"the guest's modules cannot be merged: {error}") from error


def take_snapshot_out(guest: bytes) -> tuple[bytes, bytes]:
    """A guest without what its memory begins with, and that."""
    from .merging import Unmergeable, take_data_out

    try:
        return take_data_out(guest)
    except Unmergeable as error:
        raise SetupError(f"the guest's snapshot cannot be taken out: {error}") from error


def _componentize(root: Path) -> bytes:
    import subprocess  # as above

    command = [
        *(sys.executable, "-P", "-c", "import componentize_py; componentize_py.script()", "--quiet"),
        *("--wit-path", str(root / "path/capsule_sdk/wit"), "--world", "guest"),
        *("componentize", "capsule_sdk._entry", "-p", str(root / "path"), "-o", str(root / "guest.wasm")),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=_environment(root),
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"building the guest took longer than {BUILD_TIMEOUT:.0f} s; try `capsule setup` again"
        ) from None
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[:20])
        raise SetupError(f"componentize-py could not build the guest:\n{last}")
    return (root / "guest.wasm").read_bytes()


def _environment(root: Path) -> dict[str, str]:
    """The caller's environment without what would let other packages into the guest."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PIPENV"))
    }
    # An empty environment of its own: otherwise componentize-py adds the site-packages of this interpreter.
    empty = root / "no-environment"
    (empty / "lib" / "python3" / "site-packages").mkdir(parents=True, exist_ok=True)
    kept |= {
        "RUST_BACKTRACE": "0",
        "VIRTUAL_ENV": str(empty),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    return kept
