"""Packed bodies: opened as what they stand for, however they arrive, in steps that are bounded."""

from __future__ import annotations

import gzip
import itertools
import zlib

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule._host.http_packing import MOST_AT_ONCE, Opened, can_open


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


def opened(packings: list[str], data: bytes, cuts: list[int]) -> bytes:
    """What comes out of `data`, which arrives in pieces."""
    opener = Opened(packings)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [piece for start, end in itertools.pairwise(places) for piece in opener.feed(data[start:end])]
    assert all(len(piece) <= MOST_AT_ONCE for piece in pieces)
    return b"".join(pieces)


@given(
    st.binary(max_size=300),
    st.lists(st.sampled_from(sorted(PACKERS)), max_size=4),
    st.lists(st.integers(0), max_size=5),
)
def test_what_was_packed_is_opened(body: bytes, packings: list[str], cuts: list[int]) -> None:
    """In any number of layers, cut anywhere."""
    data = body
    for packing in packings:
        data = PACKERS[packing](data)
    assert can_open(packings)
    assert opened(packings, data, cuts) == body


@given(
    st.lists(st.binary(max_size=50), min_size=1, max_size=4),
    st.sampled_from([b"", b"\0\0\0", b"rest"]),
    st.lists(st.integers(0), max_size=5),
)
def test_gzip_of_several(bodies: list[bytes], behind: bytes, cuts: list[int]) -> None:
    """A gzip body may be several in a row; zeros and other bytes behind it are not part of it."""
    data = b"".join(map(gzip.compress, bodies)) + behind
    assert opened(["gzip"], data, cuts) == b"".join(bodies)


@given(st.binary(max_size=300), st.lists(st.integers(0), max_size=5))
def test_deflate_without_a_head(body: bytes, cuts: list[int]) -> None:
    """The bare format is opened too."""
    assert opened(["deflate"], raw_deflate(body), cuts) == body


def test_large_pieces_come_in_steps() -> None:
    """One read that stands for many megabytes is answered in pieces, and the count tells how many there were."""
    opener = Opened(["gzip", "gzip"])
    came = sum(len(piece) for piece in opener.feed(gzip.compress(gzip.compress(bytes(5_000_000)))))
    assert (came, opener.largest) == (5_000_000, 5_000_000)


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_what_is_not_packed_so(packing: str) -> None:
    """It is an error, and never the bytes as they came."""
    with pytest.raises(httpx2.DecodingError):
        opened([packing], b"\xff\xffthis is neither", [])


@pytest.mark.parametrize("packings", [["br"], ["gzip", "br"], ["gzip"] * 6])
def test_what_cannot_be_opened(packings: list[str]) -> None:
    """Other packings, and too many in one another."""
    assert not can_open(packings)
