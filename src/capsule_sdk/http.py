"""`capsule.http` inside the sandbox: HTTP requests that the host sends, to the hosts that the policy allows.

from capsule import http
from capsule.http import get

get("https://api.example.com/items", params={"page": 2}).json()
await http.aget("https://api.example.com/items")
"""

import base64
import errno
import json as _json
from urllib.parse import urlencode, urlsplit, urlunsplit

from . import _loop, _wire

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

_FIRST_ERROR = 400


class RequestError(OSError):
    """A request that has no response. The classes below it say why."""

    __module__ = "capsule.http"

    def __str__(self):
        return str(self.args[0]) if self.args else ""


class Denied(RequestError):
    """The policy does not allow it; the message says which line would."""

    __module__ = "capsule.http"
    error_type = "denied"


class TooLarge(Denied):
    """The response is larger than the policy allows."""

    __module__ = "capsule.http"


class TooManyRedirects(Denied):
    """The redirects do not come to an end within what the policy allows."""

    __module__ = "capsule.http"


class Timeout(RequestError, TimeoutError):
    """There was no response in time."""

    __module__ = "capsule.http"


class ConnectionFailed(RequestError, ConnectionError):
    """The host is not there, hung up, or does not speak HTTP."""

    __module__ = "capsule.http"


class ConnectionRefused(ConnectionFailed, ConnectionRefusedError):
    """The host is there, and nobody listens at that port."""

    __module__ = "capsule.http"
    errno = errno.ECONNREFUSED


class HTTPError(RequestError):
    """What `raise_for_status` raises; `response` is the response."""

    __module__ = "capsule.http"

    def __init__(self, message, response=None):
        super().__init__(message)
        self.response = response


_FAILURES = {
    "connection": ConnectionFailed,
    "refused": ConnectionRefused,
    "timeout": Timeout,
}
_REFUSALS = {kind.__name__: kind for kind in (TooLarge, TooManyRedirects)}


class Headers(dict):
    """Headers by name, in any case. Of several with one name the values are joined; `pairs` has them all."""

    def __init__(self, pairs=()):
        super().__init__()
        self.pairs = [tuple(pair) for pair in pairs]
        self._names = {}
        for name, value in self.pairs:
            known = self._names.setdefault(name.lower(), name)
            dict.__setitem__(
                self, known, f"{dict.__getitem__(self, known)}, {value}" if known in self.keys() else value
            )

    def __getitem__(self, name):
        return dict.__getitem__(self, self._names[name.lower()])

    def __contains__(self, name):
        return isinstance(name, str) and name.lower() in self._names

    def get(self, name, default=None):
        return self[name] if name in self else default  # noqa: SIM401 - this is that method


class _Truth(int):
    """True or False, which may also be called: `if response.ok:` and `response.ok()` mean the same."""

    def __call__(self):
        return bool(self)

    def __repr__(self):
        return repr(bool(self))


class Response:
    """What a host answered."""

    def __init__(self, answer, method):
        self.status_code = answer["status"]
        self.reason = answer["reason"]
        self.url = answer["url"]
        self.headers = Headers(answer["headers"])
        self.content = base64.b64decode(answer["body"])
        self.method = method

    @property
    def ok(self):
        """Whether the status is below 400; `ok()` is the same."""
        return _Truth(self.status_code < _FIRST_ERROR)

    @property
    def encoding(self):
        """The character set that the Content-Type names, or UTF-8."""
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.strip().partition("=")
            if name.strip().lower() == "charset" and value:
                return value.strip("\"' ")
        return "utf-8"

    def text(self):
        """The body as text; what does not decode is replaced."""
        try:
            return self.content.decode(self.encoding, "replace")
        except (LookupError, ValueError):
            return self.content.decode("utf-8", "replace")

    def json(self):
        """The value of a JSON body. Raises ValueError."""
        return _json.loads(self.content)

    def raise_for_status(self):
        """This response; raises HTTPError if its status is 400 or above."""
        if self.status_code >= _FIRST_ERROR:
            raise HTTPError(f"{self.status_code} {self.reason} for {self.url}".replace("  ", " "), self)
        return self

    def __repr__(self):
        return f"<response {self.status_code}>"


def request(method, url, **options):
    """Send a request and wait for the response; `aget` and the others with an `a` are for `async def` code.

    `params` go behind the URL's question mark. `json` is sent as JSON; `data` as it is (bytes or text), or as a form
    (a dict or pairs). `headers` is a dict or pairs. `timeout` is in seconds, for all of it. `allow_redirects` says
    whether redirects are followed. Raises RequestError.
    """
    _check_names("request", options)
    payload = _payload(method, url, **options)
    return _response(_wire.call("http", payload, _error), method)


async def arequest(method, url, **options):
    """As `request`; other tasks of the event loop go on meanwhile."""
    _check_names("arequest", options)
    payload = _payload(method, url, **options)
    return _response(await _loop.call("http", payload, _error), method)


def _of(method, *places):
    """The two functions for a method. `places` are the options that may be given by position, as `requests` has it."""

    def send(url, *given, **options):
        return request(method, url, **_named(send.__name__, places, given, options))

    async def asend(url, *given, **options):
        return await arequest(method, url, **_named(asend.__name__, places, given, options))

    for function, name in ((send, method.lower()), (asend, f"a{method.lower()}")):
        function.__name__ = function.__qualname__ = name
        function.__module__ = "capsule.http"
        function.__doc__ = f"Send a {method} request; see `request`."
    return send, asend


def _named(function, places, given, options):
    """All options by name. Raises TypeError, which names the function."""
    if len(given) > len(places):
        raise TypeError(f"{function}() takes a URL and {len(places)} more by position, and {len(given)} were given")
    for name in places[: len(given)]:
        if name in options:
            raise TypeError(f"{function}() got multiple values for argument {name!r}")
    _check_names(function, options)
    return {**dict(zip(places, given, strict=False)), **options}


def _check_names(function, options):
    for name in options:
        if name not in _payload.__kwdefaults__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


get, aget = _of("GET", "params")
post, apost = _of("POST", "data", "json")
put, aput = _of("PUT", "data", "json")
delete, adelete = _of("DELETE")
patch, apatch = _of("PATCH", "data", "json")
head, ahead = _of("HEAD")
options, aoptions = _of("OPTIONS")


def _payload(
    method,
    url,
    *,
    params=None,
    headers=None,
    json=None,
    data=None,
    timeout=None,
    allow_redirects=True,
    follow_redirects=True,
):
    body, kind = _body(json, data)
    pairs = [(str(name), _text(value)) for name, value in _pairs(headers)]
    names = {name.lower() for name, _ in pairs}
    if kind and "content-type" not in names:
        pairs.append(("Content-Type", kind))
    for name, value in (("User-Agent", "capsule"), ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate")):
        if name.lower() not in names:
            pairs.append((name, value))
    return {
        "method": method.upper(),
        "url": _with_params(str(url), params),
        "headers": pairs,
        "body": None if body is None else base64.b64encode(body).decode(),
        "timeout": None if timeout is None else float(timeout),
        "follow": bool(allow_redirects and follow_redirects),
    }


def _body(json, data):
    if json is not None:
        if data is not None:
            raise ValueError("a request has one body: json or data")
        return _json.dumps(json, allow_nan=False).encode(), "application/json"
    if data is None:
        return None, None
    if isinstance(data, str):
        return data.encode(), "text/plain; charset=utf-8"
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), None
    if hasattr(data, "read"):
        return _body(None, data.read())
    return urlencode(_pairs(data), doseq=True).encode(), "application/x-www-form-urlencoded"


def _with_params(url, params):
    if params:
        parts = urlsplit(url)
        more = params if isinstance(params, str) else urlencode(_pairs(params), doseq=True)
        url = urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, more)))))
    return url


def _pairs(given):
    found = () if given is None else given.items() if hasattr(given, "items") else given
    return [(name, value) for name, value in found if value is not None]


def _text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _response(answer, method):
    if "failed" in answer:
        raise _FAILURES.get(answer["failed"], RequestError)(answer["message"])
    return Response(answer, method)


def _error(answer):
    if answer["error_type"] == "denied":
        return _REFUSALS.get(answer["exception"], Denied)(answer["message"])
    if answer["error_type"] == "invalid":
        return ValueError(answer["message"])
    return RequestError(answer["message"])


def exchange(method, url, headers, body, timeout):
    """For `http.client` inside: one request as it stands, no redirect followed and no body unpacked.

    Answers the response, and whether the body is whole. Raises RequestError.
    """
    payload = {
        "method": method,
        "url": url,
        "headers": headers,
        "body": base64.b64encode(body).decode() if body else None,
        "timeout": timeout,
        "follow": False,
        "decode": False,
        "cut": True,
    }
    answer = _wire.call("http", payload, _error)
    return _response(answer, method), answer.get("is_whole", True)
