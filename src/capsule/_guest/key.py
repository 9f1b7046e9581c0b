"""What a compiled guest depends on, as one key: its sources, the tools, and the processor it was compiled for."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

from .._versions import version_of
from .build import content_of, sources_digest

MERGING = Path(__file__).with_name("merging")


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
    names = sorted(name for name in os.listdir(MERGING) if name.endswith(".py"))  # noqa: PTH208 - as build.py does
    return hashlib.sha256(b"\0".join(content_of(f"{MERGING}/{name}") for name in names)).hexdigest()


def key_of(facts: dict[str, str]) -> str:
    """A short key for `facts`, fit for a file name."""
    return hashlib.sha256("\n".join(f"{name}={facts[name]}" for name in sorted(facts)).encode()).hexdigest()[:24]


def processor() -> str:
    """The processor as far as native code cares: code compiled on a newer one may not run on an older one."""
    return f"{sys.platform} {platform.machine()} {_features()}"


def _features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:  # not Linux; wasmtime itself refuses code with features that the processor lacks
        return platform.processor()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(flags.encode()).hexdigest()[:16]
