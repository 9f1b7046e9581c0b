"""Values found in bytes and text in the forms in which they come back, and replaced. Pure; knows nothing of requests.

The forms of a value: as it is, with any of its characters but letters and digits escaped as in URLs, JSON, HTML or
source code, as hex, and as base64 at each of the three places where it can begin in a longer text. Which characters are
escaped differs from one server to the next, so each is looked for in all of its spellings. Whoever changes a value in
another way is not noticed.
"""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import TypeAlias

__all__ = ["Scrubber", "Table", "TextScrubber"]

_LEAST_CORE = 8
"""Letters of base64 that are looked for at the least: fewer are there by chance."""

Piece: TypeAlias = tuple[bytes, ...]
"""What may stand in one place: a run of letters and digits, or a character in its spellings."""


class _Form:
    """One form of a value: for each piece of it, what may stand there, and the word that replaces it."""

    def __init__(self, pieces: Sequence[Piece], word: bytes) -> None:
        self._pieces, self.word = pieces, word
        plain = [place for place, piece in enumerate(pieces) if len(piece) == 1]
        # What stands in every spelling is looked for first, which is quick.
        self._anchor = max(plain, key=lambda place: len(pieces[place][0]), default=0)
        self.longest = sum(max(map(len, piece)) for piece in pieces)

    def find(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where it begins and ends in `data`, each time; the longest where several spellings are possible."""
        before, after = self._pieces[: self._anchor], self._pieces[self._anchor + 1 :]
        for anchor in self._pieces[self._anchor]:
            at = data.find(anchor)
            while at >= 0:
                begins = _ends(reversed(before), data, at, _before)
                ends = _ends(after, data, at + len(anchor), _behind) if begins else ()
                if ends:
                    yield min(begins), max(ends)
                at = data.find(anchor, at + 1)

    def overlap(self, tail: bytes) -> int:
        """The length of the longest end of `tail` that a spelling begins with, if that is not all of it."""
        return max(self._overlap(tail, first) for first in self._pieces[0])

    def _overlap(self, tail: bytes, first: bytes) -> int:
        at = tail.find(first)
        while at >= 0:
            if self._goes_on(tail, {at + len(first)}):
                return len(tail) - at
            at = tail.find(first, at + 1)
        return _overlap(tail, first)

    def _goes_on(self, tail: bytes, places: set[int]) -> bool:
        """Whether `tail` ends in the middle of a spelling whose first piece ends at one of `places`."""
        for piece in self._pieces[1:]:
            if any(each.startswith(tail[place:]) for place in places for each in piece):
                return True
            places = _behind(piece, tail, places)
            if not places:
                break
        return False


class Table:
    """What is to be replaced by what: `values` are the words to use in place of each value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._forms = [_Form(pieces, word.encode()) for value, word in values.items() for pieces in _forms(value)]
        self._longest = max((form.longest for form in self._forms), default=0)

    def replace(self, data: bytes) -> bytes:
        """`data` with each form of a value replaced by the value's word; `data` itself if there is none."""
        parts, rest = [], 0
        for begin, end, word in self._found(data):
            parts += [data[rest:begin], word]
            rest = end
        return b"".join([*parts, data[rest:]]) if parts else data

    def replace_text(self, text: str) -> str:
        """The same for text."""
        if not self._forms:
            return text
        data = text.encode("utf-8", "surrogatepass")
        replaced = self.replace(data)
        return text if replaced is data else replaced.decode("utf-8", "replace")

    def settled(self, data: bytes) -> int:
        """How many bytes of `data` no form reaches into that may go on behind its end."""
        tail = data[-(self._longest - 1) :] if self._longest > 1 else b""
        cut = len(data) - max((form.overlap(tail) for form in self._forms), default=0)
        for begin, end, _ in self._found(data):
            if begin < cut < end:
                return begin  # it is a value whatever comes, but may be a part of a longer one
        return cut

    def _found(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Every form in `data`, in order. Of those that overlap it is the first, and the longest that begins there."""
        found = [(*place, form.word) for form in self._forms for place in form.find(data)]
        kept: list[tuple[int, int, bytes]] = []
        for each in sorted(found, key=lambda each: (each[0], -each[1])):
            if not kept or each[0] >= kept[-1][1]:
                kept.append(each)
        return kept


class Scrubber:
    """Replaces in a stream: what may be the beginning of a value is held back until more of it has come."""

    def __init__(self, table: Table) -> None:
        self._table, self._held = table, b""
        self.has_found = False
        """Whether anything was replaced."""

    def feed(self, data: bytes) -> bytes:
        """What can be passed on, now that `data` has come."""
        held = self._held + data
        cut = self._table.settled(held)
        self._held = held[cut:]
        return self._replaced(held[:cut])

    def rest(self) -> bytes:
        """What was held back: nothing more comes."""
        held, self._held = self._held, b""
        return self._replaced(held)

    def _replaced(self, data: bytes) -> bytes:
        replaced = self._table.replace(data)
        self.has_found = self.has_found or replaced is not data
        return replaced


class TextScrubber:
    """The same for text."""

    def __init__(self, table: Table) -> None:
        self._bytes = Scrubber(table)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, text: str) -> str:
        """What can be passed on, now that `text` has come."""
        return self._decoder.decode(self._bytes.feed(text.encode("utf-8", "replace")))

    def rest(self) -> str:
        """What was held back: nothing more comes."""
        return self._decoder.decode(self._bytes.rest(), final=True)


def _overlap(tail: bytes, text: bytes) -> int:
    """The length of the longest end of `tail` that `text` begins with, if that is not all of `text`."""
    at = tail.find(text[0], max(0, len(tail) - len(text) + 1))
    while at >= 0:
        if text.startswith(tail[at:]):
            return len(tail) - at
        at = tail.find(text[0], at + 1)
    return 0


def _ends(
    pieces: Iterable[Piece], data: bytes, start: int, step: Callable[[Piece, bytes, set[int]], set[int]]
) -> set[int]:
    """Where `pieces` lead to, one after another, from `start`; nowhere if they are not all there."""
    places = {start}
    for piece in pieces:
        places = step(piece, data, places)
        if not places:
            break
    return places


def _before(piece: Piece, data: bytes, places: set[int]) -> set[int]:
    """Where `piece` begins in `data` when it ends at one of `places`."""
    there = (place for place in places if data.endswith(piece, 0, place))
    return {place - len(each) for place in there for each in piece if data.endswith(each, 0, place)}


def _behind(piece: Piece, data: bytes, places: set[int]) -> set[int]:
    """Where `piece` ends in `data` when it begins at one of `places`."""
    there = (place for place in places if data.startswith(piece, place))
    return {place + len(each) for place in there for each in piece if data.startswith(each, place)}


def _forms(value: str) -> Iterator[Sequence[Piece]]:
    yield list(_pieces(value))
    for raw in {value.encode(), value.encode("latin-1", "ignore")} - {b""}:
        yield [(raw.hex().encode(),)]
        yield [(raw.hex().upper().encode(),)]
        yield from (list(_pieces(core, {"+": "+-", "/": "/_"})) for core in _cores(raw))


def _cores(raw: bytes) -> Iterable[str]:
    """The letters of base64 that stand for `raw` alone, wherever it begins."""
    for before in range(3):
        bits = 8 * len(raw)
        first = -(-8 * before // 6)  # letters that have bits of what stands before it
        last = (8 * before + bits) // 6
        letters = base64.b64encode(b"\0" * before + raw)[first:last]
        if len(letters) >= _LEAST_CORE:
            yield letters.decode("ascii")


def _pieces(text: str, also: Mapping[str, str] | None = None) -> Iterator[Piece]:
    """The pieces of `text`: runs of letters and digits as they are, and every other character in all its spellings.

    `also` has characters that may stand for others, with themselves.
    """
    for is_plain, run in groupby(text, lambda each: each.isascii() and each.isalnum()):
        if is_plain:
            yield ("".join(run).encode(),)
        else:
            yield from (_spellings((also or {}).get(each, each)) for each in run)


@cache
def _spellings(characters: str) -> Piece:
    return tuple({form for each in characters for form in _escaped(each)} - {b""})


def _escaped(character: str) -> Iterator[bytes]:
    """A character as it is, and as URLs, JSON, HTML and source code escape it, once or twice."""
    code, raws = ord(character), (character.encode(), character.encode("latin-1", "ignore"))
    yield from raws
    for number in ("%02x", "%02X"):
        for raw in raws:
            quoted = "".join(f"%{number % byte}" for byte in raw)
            yield from (quoted.encode(), quoted.replace("%", "%25").encode())
        for text in (f"&#x{number % code};", f"\\x{number % code}", f"\\u{(number % code).zfill(4)}"):
            yield from (text.encode(), text.replace("\\", "\\\\").encode())
    texts = {f"&#{code};", f"&#{code:03};", json.dumps(character)[1:-1], repr(character)[1:-1]}
    texts |= {f"&{name}" for name in _names().get(character, ())}
    texts |= {json.dumps(text)[1:-1] for text in texts if "\\" in text}
    texts |= {f"\\{character}"} if character.isascii() and character.isprintable() else set()
    texts |= {"+", "%2B"} if character == " " else set()
    yield from (text.encode() for text in texts)


@cache
def _names() -> Mapping[str, Sequence[str]]:
    """The names that HTML has for characters."""
    from html.entities import html5  # only where there are secrets

    found: dict[str, list[str]] = {}
    for name, character in html5.items():
        if name.endswith(";"):
            found.setdefault(character, []).append(name)
    return found
