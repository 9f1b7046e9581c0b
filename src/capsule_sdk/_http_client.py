"""`http.client` over the host's HTTP, and with it `urllib.request` and the pure-Python clients that stand on it.

A connection gets something in the place of its socket: it collects the bytes of a request, hands the request to the
host when it is complete, and is read as if the response had come over a wire.
"""

import http.client
import io
import socket

from . import http as capsule_http

_NO_BODY = {204, 304}


class Wire:
    """What stands where `http.client` expects a socket."""

    def __init__(self, scheme, host, port, timeout):
        self._origin = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        self._timeout = timeout
        self._sent = bytearray()
        self._received = self._late = None

    def sendall(self, data, flags=0):
        self._sent += data
        if (asked := _complete(self._sent)) is not None:
            self._sent = bytearray()
            try:
                self._received = self._exchange(*asked)
            except capsule_http.Timeout as error:
                self._late = error  # it is the response that does not come

    def send(self, data, flags=0):
        self.sendall(data)
        return len(data)

    def makefile(self, mode="rb", buffering=None, **_):
        late, self._late = self._late, None
        if late is not None:
            raise late
        if self._received is None:
            raise http.client.CannotSendRequest("the request is not complete: its body is shorter than it says")
        received, self._received = self._received, None
        return io.BufferedReader(io.BytesIO(received))

    def _exchange(self, method, target, headers, body):
        url = target if "://" in target.partition("?")[0] else self._origin + target
        response, is_whole = capsule_http.exchange(method, url, headers, body, self._seconds())
        status, pairs, content = response.status_code, response.headers.pairs, response.content
        lines = [f"HTTP/1.1 {status} {response.reason}"]
        has_body = method != "HEAD" and status not in _NO_BODY
        lines += [f"{name}: {value}" for name, value in pairs if not (has_body and name.lower() == "content-length")]
        if has_body:
            lines.append(f"Content-Length: {_length(response, is_whole)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (content if has_body else b"")

    def _seconds(self):
        default = self._timeout is socket._GLOBAL_DEFAULT_TIMEOUT
        timeout = socket.getdefaulttimeout() if default else self._timeout
        return timeout if isinstance(timeout, int | float) and timeout > 0 else None

    def settimeout(self, timeout):
        self._timeout = timeout

    def gettimeout(self):
        return self._timeout

    def setsockopt(self, *_):
        pass

    def shutdown(self, how):
        pass

    def close(self):
        self._sent, self._received, self._late = bytearray(), None, None


_MOST_DIGITS, _MOST_MISSING = 20, 1 << 20  # whoever reads makes room for what is missing


def _length(response, is_whole):
    """What to say of a body's length. Of one that was cut off it is more than there is: whoever reads it finds out."""
    there = len(response.content)
    if is_whole:
        return there
    said = response.headers.get("content-length", "")
    missing = int(said) - there if said.isdecimal() and len(said) < _MOST_DIGITS else 0
    return there + min(max(missing, 1), _MOST_MISSING)


def _complete(sent):
    """Method, target, headers and body of a request, or None while some of it is missing."""
    head, end, rest = bytes(sent).partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    known = {name.lower(): value for name, value in headers}
    if known.get("transfer-encoding", "").lower() == "chunked":
        body = _unchunked(rest)
        return None if body is None else (method, target, headers, body)
    length = int(known.get("content-length") or 0)
    return (method, target, headers, rest[:length]) if len(rest) >= length else None


def _unchunked(data):
    found, at = bytearray(), 0
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        size = int(data[at:line].partition(b";")[0], 16)
        if size == 0:
            return bytes(found)
        found += data[line + 2 : line + 2 + size]
        at = line + 2 + size + 2


def _connect(connection):
    if connection._tunnel_host:
        raise capsule_http.Denied("a proxy is not there inside the sandbox: the host makes the connections")
    connection.sock = Wire(connection._capsule_scheme, connection.host, connection.port, connection.timeout)


class HTTPSConnection(http.client.HTTPConnection):
    """The TLS is the host's, and so are its certificates: a `context` changes nothing."""

    __module__ = "http.client"
    default_port = http.client.HTTPS_PORT
    _capsule_scheme = "https"

    def __init__(
        self,
        host,
        port=None,
        *,
        timeout=socket._GLOBAL_DEFAULT_TIMEOUT,
        source_address=None,
        context=None,
        blocksize=8192,
    ):
        super().__init__(host, port, timeout, source_address, blocksize)
        self._context = context


def install():
    """Put it in place; before `urllib.request` is imported, which looks for HTTPS when it starts."""
    http.client.HTTPConnection._capsule_scheme = "http"
    http.client.HTTPConnection.connect = _connect
    http.client.HTTPSConnection = HTTPSConnection
    http.client._create_https_context = lambda _: None
    if "HTTPSConnection" not in http.client.__all__:
        http.client.__all__.append("HTTPSConnection")
