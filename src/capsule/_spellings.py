"""The forms in which a value comes back, as pieces: what may stand in each place. Pure.

The forms of a value: as it is, with any of its characters but letters and digits escaped as in URLs, JSON, HTML or
source code, as hex, and as base64 at each of the three places where it can begin in a longer text. Which characters are
escaped differs from one server to the next, so each is looked for in all of its spellings. A line end may be LF or CRLF
in each of them. Whoever changes a value in another way is not noticed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import TypeAlias

__all__ = ["LEAST_FORM", "Piece", "forms"]

LEAST_FORM = 8
"""Bytes of a form at the least: what is shorter stands in other texts by chance."""

Piece: TypeAlias = tuple[bytes, ...]
"""What may stand in one place: a run of letters and digits, or a character in its spellings. With b"" among them, there
may be nothing; never in the first place and never in two that follow one another.
"""


def forms(value: str) -> Iterator[Sequence[Piece]]:
    """Every form of `value`, which neither begins nor ends with a blank."""
    for form in _forms(value):
        if sum(min(map(len, piece)) for piece in form) >= LEAST_FORM:
            yield form


def _forms(value: str) -> Iterator[Sequence[Piece]]:
    lines = value.replace("\r\n", "\n")
    yield list(_pieces(lines))
    for raw in {raw for text in (value, lines, lines.replace("\n", "\r\n")) for raw in _encoded(text)}:
        yield [(raw.hex().encode(),)]
        yield [(raw.hex().upper().encode(),)]
        yield from (list(_pieces(core, {"+": "+-", "/": "/_"})) for core in _cores(raw))


def _encoded(text: str) -> Iterator[bytes]:
    """As UTF-8, and as Latin-1 if that has all of it: what is left of a text is another text."""
    yield text.encode()
    if all(ord(each) < 256 for each in text):  # noqa: PLR2004 - what Latin-1 has
        yield text.encode("latin-1")


def _cores(raw: bytes) -> Iterable[str]:
    """The letters of base64 that stand for `raw` alone, wherever it begins."""
    for before in range(3):
        bits = 8 * len(raw)
        first = -(-8 * before // 6)  # letters that have bits of what stands before it
        last = (8 * before + bits) // 6
        letters = base64.b64encode(b"\0" * before + raw)[first:last]
        yield letters.decode("ascii")


def _pieces(text: str, also: Mapping[str, str] | None = None) -> Iterator[Piece]:
    """The pieces of `text`: runs of letters and digits as they are, and every other character in all its spellings.

    `also` has characters that may stand for others, with themselves. A line end in `text` is LF.
    """
    for is_plain, run in groupby(text, lambda each: each.isascii() and each.isalnum()):
        if is_plain:
            yield ("".join(run).encode(),)
        else:
            for each in run:
                if each == "\n":
                    yield (b"", *_spellings("\r"))
                yield _spellings((also or {}).get(each, each))


@cache
def _spellings(characters: str) -> Piece:
    return tuple({form for each in characters for form in _escaped(each)} - {b""})


def _escaped(character: str) -> Iterator[bytes]:
    """A character as it is, and as URLs, JSON, HTML and source code escape it, once or twice."""
    code, raws = ord(character), tuple(_encoded(character))
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
