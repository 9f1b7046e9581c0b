"""Bodies that came packed, opened in small steps.

A few kilobytes can stand for gigabytes, also for gigabytes of nothing: names without end, empty blocks, one packing
inside another. So each step takes a bounded time and answers something, if only an empty piece, and whoever reads
counts the bytes at every layer and gives others their turns in between.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import httpx2

__all__ = ["Opened", "can_open"]

MOST_LAYERS = 5
"""Packings in one another. One is what there is in practice."""

MOST_AT_ONCE = 64 * 1024
"""Bytes that one step answers, and so what the next layer has to work on."""

MOST_TAKEN = 4 * 1024
"""Bytes that one step takes: a block of thirty that stands for nothing can cost several microseconds."""

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_PACKINGS = {"gzip", "x-gzip", "deflate"}
_GZIP_BEGINS = b"\x1f\x8b"
_BEGINNING = 2
"""Bytes that tell how a body is packed."""


def can_open(packings: Sequence[str]) -> bool:
    """Whether a body that is packed so, the last one on the outside, can be opened."""
    return len(packings) <= MOST_LAYERS and _PACKINGS.issuperset(packings)


class Opened:
    """Opens one body, piece by piece, of which `can_open` is true."""

    def __init__(self, packings: Sequence[str]) -> None:
        self._layers = [_Layer(packing) for packing in reversed(packings)]

    @property
    def largest(self) -> int:
        """Bytes that came out of one layer by now, of the one with the most."""
        return max((layer.came_out for layer in self._layers), default=0)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The next bytes as they came; answers what they stand for, with an empty piece for each step that answers
        nothing. Raises httpx2.DecodingError for what is not packed so.
        """
        try:
            yield from _through(self._layers, data)
        except zlib.error as error:
            raise httpx2.DecodingError(str(error)) from None


def _through(layers: Sequence[_Layer], data: bytes) -> Iterator[bytes]:
    if not layers:
        yield data
        return
    first, *rest = layers
    for piece in first.feed(data):
        yield from _through(rest, piece)


class _Layer:
    def __init__(self, packing: str) -> None:
        self._packing = packing
        self._inner: zlib._Decompress | None = None
        self._begun = b""  # too little to tell what it is
        self._members, self._is_over = 0, False
        self.came_out = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """At least one piece, and none larger than MOST_AT_ONCE."""
        data, self._begun, piece = self._begun + data, b"", b""
        while True:
            piece, data = self._step(data)
            self.came_out += len(piece)
            yield piece
            if not data and len(piece) < MOST_AT_ONCE:  # a full one may have left more behind
                return

    def _step(self, data: bytes) -> tuple[bytes, bytes]:
        """A piece, and the bytes that are not used yet."""
        if self._is_over:
            return b"", b""
        if self._inner is None:
            return b"", self._begin(data)
        taken, rest = data[:MOST_TAKEN], data[MOST_TAKEN:]
        piece = self._inner.decompress(taken, MOST_AT_ONCE)
        if not self._inner.eof:
            return piece, self._inner.unconsumed_tail + rest
        unused, self._inner = self._inner.unused_data, None
        return piece, unused + rest

    def _begin(self, data: bytes) -> bytes:
        """Begin with `data` if there is enough of it; answers it again then.

        A gzip body may be several, one behind the other. Whatever else stands behind one is not part of it.
        """
        if len(data) < _BEGINNING:
            self._begun = data
            return b""
        is_gzip = self._packing != "deflate"
        self._is_over = self._members > 0 and not (is_gzip and data.startswith(_GZIP_BEGINS))
        if self._is_over:
            return b""
        self._members += 1
        # Some servers call the bare format deflate, and others the one with a head, which RFC 9110 means.
        has_head = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
        self._inner = zlib.decompressobj(_GZIP if is_gzip else _ZLIB if has_head else _RAW)
        return data
