"""What a compiled guest depends on, as one key: its sources, the tools, and the processor it was compiled for.

The key comes of what is in some sixty files. While none of them has been touched, it is the one that was found last:
they are not read, and hashlib is not loaded, which takes longer than a sandbox to start.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .._versions import version_of
from ..cache import cache_place, keep_newest, replace_file, short_name
from .build import content_of, source_files, sources_digest

MERGING = Path(__file__).with_name("merging")


SEEN = "sources-"
"""How the names of files begin that say which key was found last."""

MOST_SEEN = 8
"""One for each place where capsule is installed. Those that were written first go first."""


def key_here(engine: str) -> str:
    """The key of what `made_with` says now."""
    seen = _stamp(
        [*source_files().values(), *_merging_files()], engine
    )  # first: what is written meanwhile is read again
    file = f"{cache_place()}/{SEEN}{short_name(str(MERGING))}"
    with suppress(OSError, ValueError):
        known, check, before = content_of(file).split(b"\n", 2)
        if before == seen and short_name(known.decode()) == check.decode():
            return known.decode()
    key = key_of(made_with(engine))
    with suppress(OSError):  # a cache that is read-only, or not there yet: it is found anew each time
        replace_file(file, (f"{key}\n{short_name(key)}\n".encode(), seen))
        keep_newest(SEEN, MOST_SEEN)
    return key


def _stamp(files: Sequence[str], engine: str) -> bytes:
    """What cannot stay the same if one of `files`, or what else `made_with` covers, becomes another."""
    lines = [version_of("componentize-py"), engine, sys.platform, platform.machine(), _flags() or platform.processor()]
    for file in files:
        status = os.stat(file)
        lines.append(f"{file} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}")
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def made_with(engine: str) -> dict[str, str]:
    """Everything that the key covers. `engine` describes the compiler and its settings."""
    return {
        "guest": sources_digest(),
        "merging": _merging_digest(),
        "componentize-py": version_of("componentize-py"),
        "engine": engine,
        "processor": processor(),
    }


def _merging_digest() -> str:
    """A digest of the code that turns what componentize-py makes into the guest."""
    return _sha256(b"\0".join(map(content_of, _merging_files())))


def _merging_files() -> list[str]:
    names = sorted(name for name in os.listdir(MERGING) if name.endswith(".py"))  # noqa: PTH208 - as build.py does
    return [f"{MERGING}/{name}" for name in names]


def key_of(facts: dict[str, str]) -> str:
    """A short key for `facts`, fit for a file name."""
    return _sha256("\n".join(f"{name}={facts[name]}" for name in sorted(facts)).encode())[:24]


def processor() -> str:
    """The processor as far as native code cares: code compiled on a newer one may not run on an older one."""
    return f"{sys.platform} {platform.machine()} {_features()}"


def _features() -> str:
    flags = _flags()
    return _sha256(flags.encode())[:16] if flags is not None else platform.processor()


def _flags() -> str | None:
    """What Linux says of the processor; None on other systems, where wasmtime itself refuses code with features that
    the processor lacks.
    """
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:  # a kilobyte for each processor
            return next((line.rstrip("\n") for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        return None


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()
