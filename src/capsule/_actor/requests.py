"""The HTTP requests of a message: how many it and its sub-tasks may still make, and what became of its own."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from .._secrets import NO_SECRETS, Secrets
from .._values import HostRequest
from ..errors import Denied
from ..policy import Policy
from .family import Family

__all__ = ["Requests"]

MOST_TOLD = 1000
"""Requests that one outcome tells about; the count goes on."""


class _Count:
    """Shared by a message and its sub-tasks; the limit is that of the first message."""

    def __init__(self, most: int) -> None:
        self.made, self.most = 0, most


class Requests:
    """The requests of one message, all attempts together."""

    def __init__(
        self,
        policy: Policy,
        family: Family,
        caller: Requests | None,
        secrets: Secrets | None = None,
        pass_on: Callable[[HostRequest], None] = lambda _: None,
    ) -> None:
        """`caller` are the requests of the message that asked for this one, `secrets` what they may carry. `pass_on`
        hears of each when it ends, at once.
        """
        self.policy, self._family, self._pass_on = policy, family, pass_on
        self.secrets = NO_SECRETS if secrets is None else secrets
        self._count: _Count = caller._count if caller else _Count(policy.max_requests)  # noqa: SLF001 - one of its own
        self._told: list[HostRequest] = []

    @property
    def share(self) -> anyio.CapacityLimiter:
        """What bounds the requests that its family has open at once."""
        return self._family.open_requests

    @property
    def look_ups(self) -> anyio.CapacityLimiter:
        """What bounds the names that its family has looked up at once."""
        return self._family.look_ups

    def begin(self) -> None:
        """Count one more. Raises Denied beyond `max_requests`."""
        if self._count.made >= self._count.most:
            raise Denied(
                f"more than {self._count.most} HTTP requests for one message and its sub-tasks",
                f"Policy(max_requests={self._count.most + 1})",
            )
        self._count.made += 1

    def tell(self, request: HostRequest) -> None:
        """One has ended."""
        if len(self._told) < MOST_TOLD:
            self._told.append(request)
        self._pass_on(request)

    @property
    def told(self) -> tuple[HostRequest, ...]:
        """Those that ended, in that order."""
        return tuple(self._told)
