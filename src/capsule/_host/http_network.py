"""Connections below the HTTP client: made to the address that stands in an origin, and to nothing else.

anyio's own connect would look the host up again and start several tasks for it; here there is one address and no
question left. Nor is its stream used: asyncio's, below it, reads into a quarter of a megabyte of new memory each time.
Times are bounded by whoever sends the request, as a whole, except for the time that a connection takes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import anyio
import anyio.abc
import anyio.streams.tls
import httpcore2

from .._backend import loop_with_readers

__all__ = ["NO_TLS", "REFUSED", "ToAddress"]

MOST_READ = 16 * 1024
"""Bytes of one read. What came is worked on without a turn for others, and may be hundreds of small answers."""

NO_TLS = "no TLS"
"""The text of a ConnectError when there was a connection, but no handshake."""

REFUSED = "refused"
"""The same when nobody listens."""


class ToAddress(httpcore2.AsyncNetworkBackend):
    """Connects to the address in an origin, `"name address"`; the name beside it is never looked up."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A stream to the address. Raises httpcore2.ConnectError and ConnectTimeout."""
        _, address = host.split(" ")
        try:
            with anyio.fail_after(timeout):
                return await _connected(address, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout from None
        except ConnectionRefusedError:
            raise httpcore2.ConnectError(REFUSED) from None
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from None

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await anyio.sleep(seconds)


async def _connected(address: str, port: int) -> _Stream:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.socket(family, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = raw.connect_ex((address, port))
        if code in {errno.EINPROGRESS, errno.EWOULDBLOCK}:
            await anyio.wait_writable(raw)
            code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        return _Stream(_Socket(raw), raw)
    except BaseException:
        raw.close()
        raise


class _Reader:
    """Reads from a socket, for one task at a time."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw

    async def read(self, most: int) -> bytes:
        """What comes next, at most `most` bytes. Raises OSError, and anyio.ClosedResourceError if it is closed."""
        while True:
            await anyio.wait_readable(self._raw)
            with contextlib.suppress(BlockingIOError, InterruptedError):
                return self._raw.recv(most)

    def close(self) -> None:
        """Wake whoever waits."""
        anyio.notify_closing(self._raw)


class _WatchingReader(_Reader):
    """The same on asyncio: the loop calls back when something has come, and is told so once for many answers.

    To tell it for each, and to take that back, takes two system calls and a turn of the loop. It forgets by itself what
    it says when nobody waits, or it would say it again at once.
    """

    def __init__(self, raw: socket.socket, loop: Any) -> None:
        super().__init__(raw)
        self._loop, self._is_watched, self._most = loop, False, 0
        self._waiter: Any = None

    async def read(self, most: int) -> bytes:
        self._waiter, self._most = self._loop.create_future(), most
        if not self._is_watched:
            self._loop.add_reader(self._raw, self._on_readable)
            self._is_watched = True
        try:
            data: bytes = await self._waiter
        finally:
            self._waiter = None
        return data

    def _on_readable(self) -> None:
        if self._waiter is None or self._waiter.done():
            self._forget()
            return
        try:
            self._waiter.set_result(self._raw.recv(self._most))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._waiter.set_exception(error)

    def _forget(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._raw)

    def close(self) -> None:
        self._forget()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(anyio.ClosedResourceError())
        super().close()


class _Socket(anyio.abc.ByteStream):
    """A connected socket as a stream, for one task at a time. Closing it wakes whoever waits.

    What can be sent at once is sent without a turn of the event loop: whoever sends waits for an answer next.
    """

    def __init__(self, raw: socket.socket) -> None:
        loop = loop_with_readers()
        self._raw, self._reader = raw, _Reader(raw) if loop is None else _WatchingReader(raw, loop)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        try:
            data = await self._reader.read(max_bytes)
        except OSError as error:
            raise anyio.BrokenResourceError from error
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        left = memoryview(item)
        while left:
            try:
                left = left[self._raw.send(left) :]
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                raise anyio.BrokenResourceError from error
            if left:
                await anyio.wait_writable(self._raw)

    async def send_eof(self) -> None:
        self._raw.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        if self._raw.fileno() >= 0:
            self._reader.close()
            self._raw.close()


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, stream: anyio.abc.ByteStream, raw: socket.socket) -> None:
        self._stream, self._raw = stream, raw

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return await self._stream.receive(min(max_bytes, MOST_READ))
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError):
            raise httpcore2.ReadError from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            if buffer:
                await self._stream.send(buffer)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError):
            raise httpcore2.WriteError from None

    async def aclose(self) -> None:
        await anyio.aclose_forcefully(self._stream)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            with anyio.fail_after(timeout):
                wrapped = await anyio.streams.tls.TLSStream.wrap(
                    self._stream, ssl_context=ssl_context, hostname=server_hostname, standard_compatible=False
                )
                return _Stream(wrapped, self._raw)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await self.aclose()
            if isinstance(error, TimeoutError):
                raise httpcore2.ConnectTimeout from None
            if isinstance(error, anyio.BrokenResourceError | anyio.EndOfStream | OSError):  # ssl.SSLError is one
                raise httpcore2.ConnectError(NO_TLS) from None
            raise

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._ssl_object()
        if info == "is_readable":  # before a connection is used again: has the other side hung up, or said more?
            tls = self._ssl_object()
            return _is_readable(self._raw) or (tls is not None and _is_unpacked(tls))
        return None

    def _ssl_object(self) -> ssl.SSLObject | None:
        if not isinstance(self._stream, anyio.streams.tls.TLSStream):
            return None
        return self._stream.extra(anyio.streams.tls.TLSAttribute.ssl_object)  # noqa: S610 - anyio's


def _is_unpacked(tls: ssl.SSLObject) -> bool:
    """Whether there is something to read that came with what was read last. It is lost: the connection is closed."""
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        return True
    return True


def _is_readable(raw: socket.socket) -> bool:
    try:
        raw.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True
    return True
