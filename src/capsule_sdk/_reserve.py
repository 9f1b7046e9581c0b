"""Memory that only the answer to an error may use: a guest that has filled its own can still say that it has.

`kept.clear()` gives it back, without a frame or an object of Python's own, for which a full memory has no room.
"""

import contextlib

SIZE = 256 * 1024  # bytes; a traceback of the longest kind takes less
kept = []


def keep():
    """Set the memory aside, unless it still is. In the snapshot it is pages that nobody touches until then."""
    if not kept:
        with contextlib.suppress(MemoryError):  # this message has none; it may give memory back
            kept.append(bytearray(SIZE))
