"""What the process has open, as far as the system tells: Linux all of it, other systems the number, Windows nothing."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence

_PLACE = next((place for place in ("/proc/self/fd", "/dev/fd") if os.path.isdir(place)), None)
_IS_COUNTED = _PLACE == "/proc/self/fd" and os.stat(_PLACE).st_size > 0
"""The size of Linux's folder of them is their number since 6.2."""


def count() -> int:
    """How many descriptors the process has open; 0 where nobody knows."""
    if _PLACE is None:
        return 0  # Windows has millions for each process
    with contextlib.suppress(OSError):
        return os.stat(_PLACE).st_size if _IS_COUNTED else len(os.listdir(_PLACE))
    return 0


def below(roots: Sequence[str]) -> list[str] | None:
    """Those of something below `roots`, removed things too, as paths that lead to it; None where nobody knows, and
    when none is left to look with.
    """
    if _PLACE != "/proc/self/fd":
        return None
    try:
        numbers = os.listdir(_PLACE)
    except OSError:
        return None
    found = []
    for number in numbers:
        with contextlib.suppress(OSError):
            descriptor = f"{_PLACE}/{number}"
            path = os.readlink(descriptor)
            if any(path == root or path.startswith(root + "/") for root in roots):
                found.append(descriptor)
    return found


def are_spent(error: BaseException | None = None) -> bool:
    """Whether the process, or the system, has none left, as `error` says or as it is now: no fault of whatever was to
    be opened.
    """
    if error is not None:
        return isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as found:
        return are_spent(found)
    return False
