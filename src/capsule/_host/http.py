"""The capability "http": a request of a guest. This file is light; what does the work is loaded at the first request.

It takes a tenth of a second to load, which those who never send a request do not pay, and happens in a thread.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.to_thread

from .._hosts import Address
from .._secrets import Secrets
from .._values import HostRequest
from ..abc import CallContext, Capability
from ..policy import Policy

if TYPE_CHECKING:
    from .http_client import HttpClient
    from .look_up import LookUps

__all__ = ["Http", "HttpCaller", "Resolve", "make_http_capability"]

Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""The addresses of a name. Raises OSError."""


class HttpCaller(Protocol):
    """Who makes a request: its policy, and what its family has used."""

    policy: Policy
    secrets: Secrets

    @property
    def share(self) -> anyio.CapacityLimiter:
        """Bounds the requests that its family has open at once, and so the bodies that the host holds for it."""

    @property
    def look_ups(self) -> anyio.CapacityLimiter:
        """Bounds the names that its family has looked up at once."""

    def begin(self) -> None:
        """Count one request. Raises Denied beyond `max_requests`."""

    def tell(self, request: HostRequest) -> None:
        """A request has ended."""


class Http:
    """The outside of HTTP for one runtime: how names are looked up, and one pooled client, made when first used."""

    def __init__(
        self,
        start_soon: Callable[..., None],
        *,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`start_soon` is of a task group that outlives every caller: it owns the look-ups. For tests, `resolve`
        stands for the machine's own, and `ssl_context` for its certificates.
        """
        self._start_soon = start_soon
        self._look_ups: LookUps | None = None
        self.resolve = resolve
        self.ssl_context = ssl_context
        self.client: HttpClient | None = None

    async def addresses(self, name: str, port: int, share: anyio.CapacityLimiter) -> list[Address]:
        """The addresses of a name. `share` bounds the look-ups of one family. Raises OSError and UnicodeError."""
        if self.resolve is not None:
            return await self.resolve(name, port)
        if self._look_ups is None:
            from .look_up import LookUps

            self._look_ups = LookUps(self._start_soon)
        return await self._look_ups.find(name, port, share)

    async def aclose(self) -> None:
        """Close the client, if there is one."""
        client, self.client = self.client, None
        if client is not None:
            await client.aclose()


def make_http_capability(http: Http, caller_of: Callable[[CallContext], HttpCaller]) -> Capability:
    """The capability on top of `http`.

    It answers `{"status", "reason", "url", "headers", "body"}`, or `{"failed", "message"}` for a request that came to
    nothing. Raises Denied for what the policy refuses and InvalidArguments for what is no request.
    """
    exchange: ModuleType | None = None

    async def request(context: CallContext, payload: Any) -> Any:
        nonlocal exchange
        if exchange is None:
            exchange = await anyio.to_thread.run_sync(_load)
        return await exchange.serve(http, caller_of(context), payload)

    return request


def _load() -> ModuleType:
    from . import http_exchange

    return http_exchange
