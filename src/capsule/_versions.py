"""Versions of installed packages, found quickly: `importlib.metadata` takes longer to load than a sandbox to start."""

from __future__ import annotations

import os
import sys
from functools import cache

__all__ = ["version_of"]

_END = ".dist-info"

_LIBRARY = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib is slow here
_NOT_THERE = {_LIBRARY, os.path.join(_LIBRARY, "lib-dynload")}  # noqa: PTH118
"""The standard library has hundreds of files, and no packages that are installed."""


def version_of(name: str) -> str:
    """The version of the package `name`, as `importlib.metadata.version` gives it. Raises PackageNotFoundError."""
    start = f"{name.replace('-', '_')}-"
    for folder in sys.path:
        if folder in _NOT_THERE:
            continue
        found = [each for each in _installed(folder or ".") if each.startswith(start)]
        if len(found) == 1:
            return found[0][len(start) : -len(_END)]
        if found:
            break
    from importlib.metadata import version

    return version(name)


@cache
def _installed(folder: str) -> list[str]:
    """What says of packages that they are there. What this process has loaded stays what it was at the first look."""
    try:
        return [name for name in os.listdir(folder) if name.endswith(_END)]  # noqa: PTH208 - pathlib is slow here
    except OSError:  # an archive, or a folder that is not there
        return []
