"""Turns of a limiter, taken at once where one is free: anyio's own way gives others a turn of the event loop first."""

from __future__ import annotations

from types import TracebackType

import anyio

__all__ = ["Turn"]


class Turn:
    """One of a limiter's, held for an `async with`. Waiting for it can be cancelled, and leaves nothing behind."""

    __slots__ = ("_limiter",)

    def __init__(self, limiter: anyio.CapacityLimiter) -> None:
        self._limiter = limiter

    async def __aenter__(self) -> None:
        try:
            self._limiter.acquire_on_behalf_of_nowait(self)
        except anyio.WouldBlock:
            await self._limiter.acquire_on_behalf_of(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._limiter.release_on_behalf_of(self)
