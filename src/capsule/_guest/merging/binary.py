"""The alphabet of the binary format: numbers in LEB128, names, vectors, sections. Shared by modules and components."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Unmergeable(Exception):
    """The binary has something that merging does not know. It says what; nothing was changed."""


class Reader:
    """Reads one value after the other from `data`, between `at` and `end`."""

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data, self.at, self.end = data, at, len(data) if end is None else end

    def byte(self) -> int:
        """The next byte."""
        if self.at >= self.end:
            raise Unmergeable(f"the binary ends in the middle, at byte {self.at}")
        self.at += 1
        return self.data[self.at - 1]

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if self.at + size > self.end:
            raise Unmergeable(f"the binary ends in the middle, at byte {self.at}")
        self.at += size
        return self.data[self.at - size : self.at]

    def u32(self) -> int:
        """An unsigned number."""
        result = shift = 0
        while (byte := self.byte()) >= 0x80:
            result |= (byte & 0x7F) << shift
            shift += 7
        return result | byte << shift

    def s64(self) -> int:
        """A signed number of any size."""
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result - (1 << shift) if byte & 0x40 else result

    def name(self) -> str:
        """A name: its size, then UTF-8."""
        return self.take(self.u32()).decode()

    def vec(self, item: Callable[[], T]) -> list[T]:
        """A count, then as many of what `item` reads."""
        return [item() for _ in range(self.u32())]

    def since(self, start: int) -> bytes:
        """What was read from `start` up to here."""
        return self.data[start : self.at]

    def expect(self, what: str, *allowed: int) -> int:
        """The next byte, which must be one of `allowed`."""
        byte = self.byte()
        if byte not in allowed:
            raise Unmergeable(f"{what} is {byte:#04x}, which merging does not know")
        return byte


def u32(number: int) -> bytes:
    """An unsigned number in its shortest form."""
    result = bytearray()
    while number >= 0x80:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def s64(number: int) -> bytes:
    """A signed number in its shortest form."""
    result = bytearray()
    while not -0x40 <= number < 0x40:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number & 0x7F)
    return bytes(result)


def sized(content: bytes) -> bytes:
    """`content` after its size."""
    return u32(len(content)) + content


def name(text: str) -> bytes:
    """A name: its size, then UTF-8."""
    return sized(text.encode())


def vec(items: Iterable[bytes]) -> bytes:
    """How many there are, then they."""
    parts = list(items)
    return u32(len(parts)) + b"".join(parts)


def section(number: int, content: bytes) -> bytes:
    """A section of `content`."""
    return bytes([number]) + sized(content)


def sections(data: bytes, preamble: bytes) -> Iterator[tuple[int, Reader]]:
    """Every section of a module or component that begins with `preamble`: its number, and a reader of its content."""
    whole = Reader(data)
    if whole.take(len(preamble)) != preamble:
        raise Unmergeable(f"it begins with {data[: len(preamble)].hex()} and not with {preamble.hex()}")
    while whole.at < whole.end:
        number, size = whole.byte(), whole.u32()
        start = whole.at
        if start + size > whole.end:
            raise Unmergeable(f"section {number} at byte {start} is longer than the binary")
        whole.at += size
        yield number, Reader(data, start, whole.at)
