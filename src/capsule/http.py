"""`capsule.http` in an application: it lets a module be imported here whose tasks send HTTP requests inside a sandbox.

The names are those of the sandbox, and nothing is sent from here: an application has an HTTP client of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from .errors import UsageError

__all__ = [
    "ConnectionFailed",
    "ConnectionRefused",
    "Denied",
    "HTTPError",
    "Headers",
    "RequestError",
    "Response",
    "Timeout",
    "TooLarge",
    "TooManyRedirects",
    "adelete",
    "aget",
    "ahead",
    "aoptions",
    "apatch",
    "apost",
    "aput",
    "arequest",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
]


def _refused(name: str) -> UsageError:
    return UsageError(
        f"http.{name} is there inside a sandbox only; call it in a task, and allow the host with "
        '@task(allowed_hosts=["api.example.com"])'
    )


class RequestError(OSError):
    """A request that has no response. The classes below it say why."""


class Denied(RequestError):
    """The policy does not allow it; the message says which line would."""


class TooLarge(Denied):
    """The response is larger than the policy allows."""


class TooManyRedirects(Denied):
    """The redirects do not come to an end within what the policy allows."""


class Timeout(RequestError, TimeoutError):
    """There was no response in time."""


class ConnectionFailed(RequestError, ConnectionError):
    """The host is not there, hung up, or does not speak HTTP."""


class ConnectionRefused(ConnectionFailed, ConnectionRefusedError):
    """The host is there, and nobody listens at that port."""


class HTTPError(RequestError):
    """What `raise_for_status` raises; `response` is the response."""

    response: Response


class Headers(dict[str, str]):
    """Headers by name, in any case. `pairs` has them all, one for each time that a name was sent."""

    pairs: list[tuple[str, str]]

    def __init__(self, *_: Any) -> None:
        raise _refused("Headers")


class Response:
    """What a host answered, as a task sees it."""

    status_code: int
    reason: str
    url: str
    headers: Headers
    content: bytes
    method: str
    ok: Any
    """Whether the status is below 400; `ok()` is the same."""

    encoding: str

    def __init__(self, *_: Any) -> None:
        raise _refused("Response")

    def text(self) -> str:
        """The body as text."""
        raise _refused("Response")

    def json(self) -> Any:
        """The value of a JSON body."""
        raise _refused("Response")

    def raise_for_status(self) -> Response:
        """The response; raises HTTPError if its status is 400 or above."""
        raise _refused("Response")


def _inside_only(name: str) -> Callable[..., NoReturn]:
    def send(*_: Any, **__: Any) -> NoReturn:
        raise _refused(name)

    send.__name__ = send.__qualname__ = name
    send.__doc__ = f"There inside a sandbox only; here `{name}` raises UsageError."
    return send


request: Callable[..., Response] = _inside_only("request")
get: Callable[..., Response] = _inside_only("get")
post: Callable[..., Response] = _inside_only("post")
put: Callable[..., Response] = _inside_only("put")
delete: Callable[..., Response] = _inside_only("delete")
patch: Callable[..., Response] = _inside_only("patch")
head: Callable[..., Response] = _inside_only("head")
options: Callable[..., Response] = _inside_only("options")
arequest: Callable[..., Awaitable[Response]] = _inside_only("arequest")
aget: Callable[..., Awaitable[Response]] = _inside_only("aget")
apost: Callable[..., Awaitable[Response]] = _inside_only("apost")
aput: Callable[..., Awaitable[Response]] = _inside_only("aput")
adelete: Callable[..., Awaitable[Response]] = _inside_only("adelete")
apatch: Callable[..., Awaitable[Response]] = _inside_only("apatch")
ahead: Callable[..., Awaitable[Response]] = _inside_only("ahead")
aoptions: Callable[..., Awaitable[Response]] = _inside_only("aoptions")
