"""The guest in the two forms that sandboxes need: one that counts fuel, and one that does not and is faster.

To count costs a guest that computes a tenth to a quarter of its time. Few tasks go without a limit, so the second form
is found, and if need be built, when the first of them starts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from .._units import UNMETERED
from ..abc import Limits
from .loaded import LoadedGuest

FindGuest = Callable[[], Awaitable[Path]]
"""Finds a compiled guest, or builds it."""


class Guests:
    """Both forms of one guest, for one engine. Close it after the last sandbox.

    `file` is the one that counts; `find_unmetered` is asked for the other, once. Without it there is none, and what
    has no limit is counted all the same.
    """

    def __init__(self, file: Path, find_unmetered: FindGuest | None) -> None:
        self._metered, self._find = LoadedGuest(file), find_unmetered
        self._unmetered: LoadedGuest | None = None
        self._loading = anyio.Lock()

    def ready(self, limits: Limits) -> LoadedGuest | None:
        """The guest for a sandbox with these limits; None if `unmetered` must be awaited."""
        if limits.fuel < UNMETERED or self._find is None:
            return self._metered
        return self._unmetered

    async def unmetered(self) -> LoadedGuest:
        """The one that does not count, loaded by the first who asks. Raises what finding it raises."""
        async with self._loading:
            if self._unmetered is None:
                assert self._find is not None
                self._unmetered = LoadedGuest(await self._find(), is_metered=False)
            return self._unmetered

    def tick(self) -> None:
        """Begin a new epoch of all sandboxes."""
        self._metered.tick()
        if self._unmetered is not None:
            self._unmetered.tick()

    def close(self) -> None:
        """Free both."""
        self._metered.close()
        if self._unmetered is not None:
            self._unmetered.close()
