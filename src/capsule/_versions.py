"""Versions of installed packages, found quickly: `importlib.metadata` takes longer to load than a sandbox to start."""

from __future__ import annotations

import os
import sys

__all__ = ["version_of"]

_END = ".dist-info"


def version_of(name: str) -> str:
    """The version of the package `name`, as `importlib.metadata.version` gives it. Raises PackageNotFoundError."""
    start = f"{name.replace('-', '_')}-"
    for folder in sys.path:
        try:
            with os.scandir(folder or ".") as entries:
                found = [each.name for each in entries if each.name.startswith(start) and each.name.endswith(_END)]
        except OSError:  # an archive, or a folder that is not there
            continue
        if len(found) == 1:
            return found[0][len(start) : -len(_END)]
        if found:
            break
    from importlib.metadata import version

    return version(name)
