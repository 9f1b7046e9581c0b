"""The real engine: a loaded guest, its ticker and its carriers, as one owner of all sandboxes."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import anyio

from .. import abc
from ..abc import Limits, Listener
from . import stuck
from .carrier import Carriers, default_carriers
from .loaded import LoadedGuest
from .mappings import mappings
from .port import LoopPort
from .remover import Remover
from .sandbox import Turn, WasmSandbox
from .ticker import Ticker


class WasmEngine(abc.Engine):
    """Runs sandboxes of one compiled guest. An async context manager, on asyncio or trio.

    `file` is the compiled guest, `min_ram` what it needs to start (bytes), `carriers` the number of threads that
    run guests (default: one for each core, two to four).
    """

    def __init__(self, file: Path, *, min_ram: int, carriers: int | None = None) -> None:
        self._file, self._min_ram, self._count = file, min_ram, carriers or default_carriers()

    @property
    def min_ram(self) -> int:
        return self._min_ram

    async def __aenter__(self) -> Self:
        self._live = set[WasmSandbox]()
        self._port, self._turn = LoopPort(), Turn()
        self._guest = LoadedGuest(self._file)
        mappings.measure()
        self._ticker = Ticker(self._tick)
        self._carriers, self._remover = Carriers(self._count, self._ticker), Remover()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for sandbox in list(self._live):
            sandbox.close()
        ended = anyio.Event()
        self._carriers.begin_close(lambda: self._remover.begin_close(lambda: self._port.post(ended.set)))
        with anyio.CancelScope(shield=True):  # unwinding a thousand guests takes a while: the loop goes on meanwhile
            await ended.wait()
        self._carriers.close()
        self._remover.close()
        self._ticker.close()
        self._guest.close()

    def _tick(self) -> None:
        self._guest.tick()
        self._carriers.watch()
        stuck.watch()

    def open(self, limits: Limits, listener: Listener) -> WasmSandbox:
        of_all = self._guest, self._carriers, self._remover, self._port
        return WasmSandbox(*of_all, limits, listener, self._live, self._turn)
