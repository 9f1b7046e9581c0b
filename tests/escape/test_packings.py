"""Servers that pack their bodies in bad faith: a few kilobytes that stand for gigabytes, or for gigabytes of nothing."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socketserver
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator

import pytest

from capsule import Policy, Runtime, Secret
from capsule._guest.cache import CompiledGuest
from escape.hosts import watched

GAP = 0.7
"""Seconds that the loop may be held, in tests on a machine that does other things too."""

GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
GZIP_NAME = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff"  # a file name follows, up to a zero
READS = """
from capsule import http
def main(url):
    try:
        return len(http.get(url, timeout=20).content)
    except Exception as error:
        return type(error).__name__
"""


def _block(data: bytes) -> bytes:
    """A stored block of deflate, after which others follow."""
    return b"\0" + len(data).to_bytes(2, "little") + (len(data) ^ 0xFFFF).to_bytes(2, "little") + data


def _packed(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)


def _costly() -> bytes:
    """Blocks of nothing, packed five times, of which each costs as much time as it can: its tables have to be built."""
    block = (0x558DB6DB6DB6DB6DB6DB6DB6DB6DB6DB6DBA0C00006000003C00C, 212)  # and so many bits
    blocks = sum(block[0] << (block[1] * number) for number in range(8)).to_bytes(block[1], "little")
    data = blocks * (65_000 // len(blocks))
    for _ in range(3):
        inner = _flushed(data)
        data = blocks * ((65_000 - len(inner)) // len(blocks)) + inner
    return _flushed(data)


def _flushed(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)


LETTERS = _packed(_packed(b"a" * 1_000_000) * 1000)

BODIES: dict[str, tuple[str, Callable[[], Iterable[bytes]]]] = {
    "a name without an end, packed twice": (
        "gzip, gzip, gzip",
        lambda: [GZIP_HEAD + _block(GZIP_HEAD + _block(GZIP_NAME)), *itertools.repeat(LETTERS, 3)],
    ),
    "a name without an end": ("gzip", lambda: itertools.chain([GZIP_NAME], itertools.repeat(b"a" * 65536))),
    "bytes behind the end": ("gzip", lambda: itertools.chain([gzip.compress(b"x")], itertools.repeat(b"a" * 65536))),
    "members of nothing": ("gzip", lambda: itertools.repeat(gzip.compress(b"") * 1000)),
    "blocks of nothing": ("deflate", lambda: itertools.chain([b"\x78\x9c"], itertools.repeat(_block(b"") * 10_000))),
    "blocks of nothing that cost": ("deflate, deflate, deflate, deflate, deflate", lambda: itertools.repeat(_costly())),
    "zeros packed twice": ("gzip, gzip", lambda: [gzip.compress(gzip.compress(bytes(200_000_000)))]),
}


class Packer(socketserver.StreamRequestHandler):
    """Sends the body whose number stands in the path."""

    def handle(self) -> None:
        number = int(self.rfile.readline().split(b" ")[1][1:])
        packing, body = list(BODIES.values())[number]
        with contextlib.suppress(OSError):
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {packing}\r\nTransfer-Encoding: chunked\r\n\r\n"
            self.wfile.write(head.encode())
            for piece in body():
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def packer() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Packer) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    "secrets", [{}, {"KEY": Secret("a-value-of-a-secret", hosts=["api.example"])}], ids=["", "secrets"]
)
@pytest.mark.parametrize("name", BODIES)
async def test_a_body_in_bad_faith(
    guest: CompiledGuest, write, packer: str, name: str, secrets: dict[str, Secret]
) -> None:
    """It ends as too large by what came or by what it stands for, whichever comes first, and holds nobody up."""
    policy = Policy(allowed_hosts=("127.0.0.1",), timeout="30s", max_response="1MB")
    async with Runtime(policy=policy, secrets=secrets) as runtime:
        reads, number = write("reads.py", READS), list(BODIES).index(name)
        async with watched() as measures:
            assert await runtime.run(reads, f"{packer}/{number}") == "TooLarge"
        assert measures.gap < GAP


async def test_an_honest_neighbour(guest: CompiledGuest, write, packer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is packed twice and small arrives as it was."""
    monkeypatch.setitem(BODIES, "honest", ("gzip, deflate", lambda: [zlib.compress(gzip.compress(b"honest"))]))
    async with Runtime(policy=Policy(allowed_hosts=("127.0.0.1",))) as runtime:
        assert await runtime.run(write("reads.py", READS), f"{packer}/{len(BODIES) - 1}") == len(b"honest")
