"""The capability "http" on its own: its caller, its names, and what a guest would hear."""

from __future__ import annotations

import base64
import ipaddress
import ssl
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from capsule import Denied, Policy, Secret
from capsule._actor.family import Family
from capsule._actor.requests import Requests
from capsule._host.http import Http, make_http_capability
from capsule._secrets import Secrets
from host.jobs import CONTEXT


class Web:
    """Sends requests as a guest would. `told` is the record; names are looked up in `names`, a list for each turn."""

    def __init__(
        self, *, ssl_context: ssl.SSLContext | None = None, secrets: Mapping[str, Secret] | None = None, **policy: Any
    ) -> None:
        self.policy = Policy(**{"allowed_hosts": ["127.0.0.1", "localhost"], **policy})
        self.secrets = Secrets(secrets)
        self.requests = Requests(self.policy, Family(self.policy), None, self.secrets)
        self.names: dict[str, list[str]] = {}
        self.looked_up: list[str] = []
        self.group: Any = None
        self.http = Http(self._start_soon, resolve=self._look_up, ssl_context=ssl_context)
        self._capability = make_http_capability(self.http, lambda _: self.requests)

    def _start_soon(self, work: Any) -> None:
        assert self.group is not None
        self.group.start_soon(work)

    async def _look_up(self, name: str, port: int) -> list[Any]:
        await anyio.lowlevel.checkpoint()
        self.looked_up.append(name)
        found = self.names.get(name)
        if not found:
            raise OSError("no such name, says /etc/resolv.conf")
        text = found.pop(0) if len(found) > 1 else found[0]
        return [ipaddress.ip_address(part) for part in text.split()]

    async def send(self, payload: Any) -> Any:
        return await self._capability(CONTEXT, payload)

    async def get(self, url: str, method: str = "GET", **more: Any) -> Any:
        return await self.send({"method": method, "url": url, **more})

    async def body(self, url: str, **more: Any) -> bytes:
        answer = await self.get(url, **more)
        return base64.b64decode(answer["body"])

    async def failed(self, url: str, **more: Any) -> str:
        try:
            answer = await self.get(url, **more)
        except Denied as error:
            return f"{type(error).__name__}: {error}"
        return f"{answer['failed']}: {answer['message']}"

    async def denied(self, url: str, **more: Any) -> str:
        with pytest.raises(Denied) as caught:
            await self.get(url, **more)
        return str(caught.value)

    @property
    def told(self) -> list[tuple[str, str, int, int]]:
        return [(one.method, one.url, one.status, one.bytes) for one in self.requests.told]


def limited(web: Web, **policy: Any) -> Web:
    """The same client with another policy."""
    web.policy = Policy(**{"allowed_hosts": ["127.0.0.1", "localhost"], **policy})
    web.requests = Requests(web.policy, Family(web.policy), None, web.secrets)
    return web
