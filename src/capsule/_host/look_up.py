"""Names looked up as the machine does it, in threads of their own: a guest's slow name is nobody else's wait.

The system's resolver is a blocking call that nothing can stop, and whoever answers for a name may take half a minute
to say nothing. So a look-up belongs to the runtime and not to the request that asked for it, which can be given up at
once, and one family has a share of the threads, look-ups that it has given up included.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

import anyio
import anyio.to_thread

from .._hosts import Address

__all__ = ["LookUps"]

MOST_THREADS = 32


class LookUps:
    """The look-ups of one runtime. `start_soon` is of a task group that outlives every caller."""

    def __init__(self, start_soon: Callable[..., None]) -> None:
        self._start_soon = start_soon
        self._limiter = anyio.CapacityLimiter(MOST_THREADS)

    async def find(self, name: str, port: int, share: anyio.CapacityLimiter) -> list[Address]:
        """The addresses of `name`, each once, the preferred one first. Raises OSError and UnicodeError.

        `share` bounds the look-ups of one caller and its like. Cancelling returns at once.
        """
        job = _LookUp(name, port, self._limiter, share)
        self._start_soon(job.run)
        try:
            await job.done.wait()
        finally:
            job.is_wanted = False
        if job.error is not None:
            raise job.error
        return [ipaddress.ip_address(text) for text in job.found]


class _LookUp:
    def __init__(self, name: str, port: int, limiter: anyio.CapacityLimiter, share: anyio.CapacityLimiter) -> None:
        self._name, self._port, self._limiter, self._share = name, port, limiter, share
        self.done = anyio.Event()
        self.is_wanted = True
        self.found: list[str] = []
        self.error: Exception | None = OSError("the look-up was given up")  # until there is an answer

    async def run(self) -> None:
        try:
            async with self._share:
                if self.is_wanted:  # leaving the runtime abandons the thread, which then knows nobody
                    self.found, self.error = await anyio.to_thread.run_sync(
                        self._ask, limiter=self._limiter, abandon_on_cancel=True
                    )
        except Exception as error:  # noqa: BLE001 - the system has no thread: nobody else's work has to end for that
            self.error = OSError(str(error))
        finally:
            self.done.set()

    def _ask(self) -> tuple[list[str], Exception | None]:
        # Not raised through the thread, which would end the group that owns it.
        try:
            answers = socket.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            return [], error
        return list(dict.fromkeys(str(place[0]) for *_, place in answers)), None
