"""A real HTTP server on loopback that also misbehaves: each path is one way to answer, hostile ones included."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import socketserver
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

ENDLESS = b"x" * 65536
BINARY = bytes(range(256))
BOMB = gzip.compress(b"\0" * 200_000_000, 9)


def _escaped(characters: str, form: str) -> Callable[[str], str]:
    return lambda text: "".join(form.format(ord(each)) if each in characters else each for each in text)


ESCAPES: dict[str, Callable[[str], str]] = {
    "go": _escaped("<>&", "\\u{:04x}"),
    "net": _escaped("<>&+'`\"", "\\u{:04X}"),
    "gson": _escaped("<>&='", "\\u{:04x}"),
    "html": _escaped("<>&'\"+", "&#{};"),
    "handlebars": _escaped("<>&'\"`=/", "&#x{:X};"),
    "url": _escaped("<>&'\"`/+", "%{:02x}"),
    "url-in-url": _escaped("<>&'\"`/=", "%25{:02X}"),
}


class Server(socketserver.ThreadingTCPServer):
    """Answers on 127.0.0.1; `requests` are the heads that arrived, `bodies` what came with them."""

    allow_reuse_address, daemon_threads, block_on_close, request_queue_size = True, True, False, 1500

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls = tls
        self.port = self.server_address[1]
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.released = threading.Event()
        self.redirects: dict[str, str] = {}
        self.open: set[Any] = set()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self.tls is not None:  # the handshake comes with the first read, in the thread of the connection
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def hang_up(self) -> None:
        """End every connection."""
        for connection in list(self.open):
            connection.shutdown(socket.SHUT_RDWR)

    def heads(self, name: str) -> list[str]:
        """The values of one header in all requests."""
        lines = [line for request in self.requests for line in request.split("\r\n")[1:]]
        return [line.partition(":")[2].strip() for line in lines if line.lower().startswith(f"{name.lower()}:")]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients hang up here on purpose


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server while the block runs, with `tls` one that speaks nothing else."""
    with Server(tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.server.connections += 1
        if self.rfile.peek(1)[:1] == b"\x16":  # the first byte of TLS
            self.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        self.server.open.add(self.request)
        try:
            while self._one():
                pass
        finally:
            self.server.open.discard(self.request)

    def _one(self) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline(70_000)
            if not line:
                return False
            head += line
        text = head.decode("latin-1")
        lengths = [line.partition(":")[2] for line in text.split("\r\n") if line.lower().startswith("content-length:")]
        body = self.rfile.read(int(lengths[0])) if lengths else b""
        self.server.requests.append(text)
        self.server.bodies.append(body)
        self.method, target, _ = text.split(" ", 2)
        self.path, _, self.query = target.partition("?")
        self.head_text, self.body = text, body
        name = self.path.strip("/").partition("/")[0].replace("-", "_") or "root"
        return bool(getattr(self, f"do_{name}", self.do_missing)())

    def answer(self, body: bytes = b"", status: str = "200 OK", **headers: str) -> bool:
        named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{named}\r\n".encode("latin-1")
        self.wfile.write(head if self.method == "HEAD" else head + body)
        return True

    def raw(self, data: bytes) -> bool:
        self.wfile.write(data)
        return False

    # Good ones.

    def do_root(self) -> bool:
        return self.answer(b"hello", Content_Type="text/plain; charset=utf-8", X_One="1")

    def do_missing(self) -> bool:
        return self.answer(b'{"why": "missing"}', "404 Not Found", Content_Type="application/json")

    def do_echo(self) -> bool:
        said = {"method": self.method, "path": self.path, "query": self.query, "head": self.head_text}
        return self.answer(json.dumps({**said, "body": self.body.decode("latin-1")}).encode())

    def do_binary(self) -> bool:
        return self.answer(BINARY)

    def do_mirror(self) -> bool:
        return self.answer(self.body)

    def do_slow(self) -> bool:
        time.sleep(0.1)
        return self.answer(b"slow")

    def do_gzip(self) -> bool:
        return self.answer(gzip.compress(b"packed" * 100), Content_Encoding="gzip")

    def do_deflate(self) -> bool:
        return self.answer(zlib.compress(b"packed" * 100), Content_Encoding="deflate")

    def do_chunked(self) -> bool:
        return bool(
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        )

    def do_cookie(self) -> bool:
        return self.answer(b"", Set_Cookie="a=1; Path=/")

    def do_twice(self) -> bool:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Two: a\r\nX-Two: b\r\n\r\n")
        return True

    # Those that send back what they got, in many ways.

    @property
    def key(self) -> str:
        """The value of the header X-Key."""
        lines = [line.partition(":") for line in self.head_text.split("\r\n")]
        return next((value.strip() for name, _, value in lines if name.lower() == "x-key"), "")

    def do_key_header(self) -> bool:
        return self.answer(b"", f"200 {self.key}", X_Key=self.key, Set_Cookie=f"k={self.key}")

    def do_key_chunks(self) -> bool:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for letter in f"<{self.key}>":
            self.wfile.write(f"1\r\n{letter}\r\n".encode("latin-1"))
        return bool(self.wfile.write(b"0\r\n\r\n"))

    def do_key_cut(self) -> bool:
        return self.raw(f"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<{self.key}".encode("latin-1"))

    def do_key_gzip(self) -> bool:
        return self.answer(gzip.compress(self.key.encode()), Content_Encoding="gzip")

    def do_key_gzip_gzip(self) -> bool:
        return self.answer(gzip.compress(gzip.compress(self.key.encode())), Content_Encoding="gzip, gzip")

    def do_key_packed(self) -> bool:
        return self.answer(self.key.encode(), Content_Encoding="x-own")

    def do_key_base64(self) -> bool:
        return self.answer(base64.b64encode(f"user:{self.key}!".encode()))

    def do_key_hex(self) -> bool:
        return self.answer(self.key.encode().hex().encode())

    def do_key_json(self) -> bool:
        return self.answer(json.dumps({"key": self.key}).encode())

    def do_key_as(self) -> bool:
        """Escaped as other languages do it, which is more than Python does: /key-as/HOW."""
        return self.answer(ESCAPES[self.path.rpartition("/")[2]](self.key).encode("latin-1"))

    def do_key_backwards(self) -> bool:
        return self.answer(self.key[::-1].encode())

    def do_key_error(self) -> bool:
        return self.answer(f"no such key: {self.key}".encode(), "401 Unauthorized")

    def do_key_redirect(self) -> bool:
        return self.answer(b"", "302 Found", Location=f"{self.server.redirects['key']}?k={self.key}")

    def do_key_redirect_path(self) -> bool:
        return self.answer(b"", "307 Found", Location=f"{self.server.redirects['key']}{self.key}/there")

    # Redirects: /redirect/301/NAME, and NAME is looked up among the server's own.

    def do_redirect(self) -> bool:
        _, _, status, name = self.path.split("/", 3)
        return self.answer(b"", f"{status} Moved", Location=self.server.redirects[name])

    def do_round(self) -> bool:
        return self.answer(b"", "302 Found", Location="/round")

    # Bad ones.

    def do_never(self) -> bool:
        self.server.released.wait(30)
        return False

    def do_endless(self) -> bool:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not self.server.released.is_set():
            self.wfile.write(ENDLESS)
        return False

    def do_endless_head(self) -> bool:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.server.released.is_set():
            self.wfile.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        return False

    def do_drip(self) -> bool:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not self.server.released.wait(0.05):
            self.wfile.write(b"x")
        return False

    def do_drip_head(self) -> bool:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.server.released.wait(0.05):
            self.wfile.write(b"x")
        return False

    def do_bomb(self) -> bool:
        return self.answer(BOMB, Content_Encoding="gzip")

    def do_bomb_bomb(self) -> bool:
        return self.answer(gzip.compress(BOMB), Content_Encoding="gzip, gzip")

    def do_many_codings(self) -> bool:
        return self.answer(b"x", Content_Encoding=", ".join(["gzip"] * 50))

    def do_bad_gzip(self) -> bool:
        return self.answer(b"this is not gzip", Content_Encoding="gzip")

    def do_bad_chunks(self) -> bool:
        return self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n")

    def do_large_chunk(self) -> bool:
        return self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc")

    def do_short(self) -> bool:
        return self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")

    def do_negative(self) -> bool:
        return self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nshort")

    def do_two_lengths(self) -> bool:
        return self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nshorts")

    def do_two_answers(self) -> bool:
        """The second one is for whoever asks next on this connection. Over TLS it is a record of its own."""
        second = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
        if self.server.tls is None:
            return bool(self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + second))
        cork = getattr(socket, "TCP_CORK", None)  # both records in one packet, where the system can do that
        if cork is None:
            return self.answer(b"ok")
        self.connection.setsockopt(socket.IPPROTO_TCP, cork, 1)
        self.answer(b"ok")
        self.wfile.write(second)
        self.connection.setsockopt(socket.IPPROTO_TCP, cork, 0)
        return True

    def do_many_headers(self) -> bool:
        """As many as the query says, and Content-Length."""
        lines = b"a:\r\n" * int(self.query)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + lines + b"\r\n")
        return True

    def do_no_http(self) -> bool:
        return self.raw(b"220 mail.example.com ESMTP\r\n")

    def do_short_of_gigabytes(self) -> bool:
        return self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000000\r\n\r\nabc")

    def do_hangs_up(self) -> bool:
        return False

    def do_upgrade(self) -> bool:
        return self.raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw")

    def do_early(self) -> bool:
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3)
        return self.answer(b"late")

    def do_large(self) -> bool:
        return self.answer(b"x" * 2_000_000)
