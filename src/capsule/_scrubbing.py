"""Values found in bytes and text in the forms in which they come back, and replaced. Pure; knows nothing of requests.

The forms of a value: as it is, quoted as in a URL, escaped as in JSON and in HTML, as hex, and as base64 at each of the
three places where it can begin in a longer text. Whoever changes it in another way is not noticed.
"""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

__all__ = ["Scrubber", "Table", "TextScrubber"]

_LEAST_CORE = 8
"""Letters of base64 that are looked for at the least: fewer are there by chance."""


class Table:
    """What is to be replaced by what: `values` are the words to use in place of each value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        found: dict[bytes, bytes] = {}
        for value, word in values.items():
            for form in _forms(value):
                found.setdefault(form, word.encode())
        self._words = found
        longest_first = sorted(found, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if found else None
        self._longest = max(map(len, found), default=0)

    def replace(self, data: bytes) -> bytes:
        """`data` with each form of a value replaced by the value's word."""
        if self._pattern is None or not any(form in data for form in self._words):  # a plain search is much quicker
            return data
        return self._pattern.sub(lambda match: self._words[match[0]], data)

    def replace_text(self, text: str) -> str:
        """The same for text."""
        if self._pattern is None:
            return text
        data = text.encode("utf-8", "surrogatepass")
        replaced = self.replace(data)
        return text if replaced is data else replaced.decode("utf-8", "replace")

    def settled(self, data: bytes) -> int:
        """How many bytes of `data` no form reaches into that may go on behind its end."""
        tail = data[-(self._longest - 1) :] if self._longest > 1 else b""
        cut = len(data) - max((_overlap(tail, form) for form in self._words), default=0)
        if self._pattern is not None and any(form in data for form in self._words):
            for match in self._pattern.finditer(data):
                if match.start() < cut < match.end():
                    return match.start()  # it is a value whatever comes, but may be a part of a longer one
        return cut


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


def _overlap(tail: bytes, form: bytes) -> int:
    """The length of the longest end of `tail` that `form` begins with, if that is not all of `form`."""
    at = tail.find(form[0], max(0, len(tail) - len(form) + 1))
    while at >= 0:
        if form.startswith(tail[at:]):
            return len(tail) - at
        at = tail.find(form[0], at + 1)
    return 0


def _forms(value: str) -> Iterable[bytes]:
    for raw in {value.encode(), value.encode("latin-1", "ignore")}:
        if not raw:
            continue
        yield raw
        for upper in (quote(raw, safe=""), quote_plus(raw, safe=""), quote(raw), quote_plus(raw)):
            yield upper.encode()
            yield re.sub("%..", lambda match: match[0].lower(), upper).encode()
        yield from _cores(raw)
        yield raw.hex().encode()
        yield raw.hex().upper().encode()
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        yield text[1:-1].encode()
        yield text[1:-1].replace("/", "\\/").encode()
    yield html.escape(value).encode()
    yield html.escape(value).replace("&#x27;", "&#39;").encode()


def _cores(raw: bytes) -> Iterable[bytes]:
    """The letters of base64 that stand for `raw` alone, wherever it begins; in both alphabets."""
    for before in range(3):
        bits = 8 * len(raw)
        first = -(-8 * before // 6)  # letters that have bits of what stands before it
        last = (8 * before + bits) // 6
        letters = base64.b64encode(b"\0" * before + raw)[first:last]
        if len(letters) >= _LEAST_CORE:
            yield letters
            yield letters.translate(bytes.maketrans(b"+/", b"-_"))
