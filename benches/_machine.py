"""Where figures come from: the machine, its limits, and the versions of everything that took part."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from benches._peers.environments import REQUIREMENTS

PACKAGES = ("capsule", "wasmtime", "componentize-py", "anyio", "trio")


def machine() -> dict[str, object]:
    """What the figures depend on beside the code."""
    return {
        "system": platform.platform(),
        "processor": _field(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory": _field(Path("/proc/meminfo"), "MemTotal"),
        "max_map_count": _text(Path("/proc/sys/vm/max_map_count")),
        "load": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Of Python, of what capsule rests on, and of the peers."""
    peers = dict(each.split("==") for wanted in REQUIREMENTS.values() for each in wanted)
    return {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES} | peers


def _text(file: Path) -> str:
    return file.read_text("utf-8").strip() if file.exists() else ""


def _field(file: Path, name: str) -> str:
    lines = (line.partition(":") for line in _text(file).splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
