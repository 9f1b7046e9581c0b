"""Values found in bytes and text in the forms in which they come back, and replaced. Pure; knows nothing of requests.

The data may be a hostile guest's, and the event loop waits: what a search takes is linear in the data, whatever the
values are.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby, pairwise
from typing import Any

import msgspec

from ._spellings import LEAST_FORM, Piece, forms

__all__ = ["Scrubber", "Table", "TextScrubber"]

_MOST_WINDOW = 4
"""Pieces that are looked for at once: each may have spellings that begin alike, which the pattern tries one by one."""

_MOST_PATTERN = 200
"""Pieces of a form that is looked for with one pattern: it may begin anew at each place, and get as far."""

_LONG, _PART = 1024, 4
"""Bytes that are held back from which a stream is not searched again for each new byte, but for a part of as many: a
value that comes byte by byte would be searched as often as it has bytes."""

_MANY = 50
"""Forms that are too many to look for each of them."""

_WORD = 4
_LEAST_RUN = 2 * _WORD - 1  # has a whole word in it, wherever the words begin

_MOST_HEAD = 8
"""Bytes of a long run by which its beginning is found at the end of data."""


_BETWEEN = "\0"
"""What no form has, between texts."""

_NO_BYTE = b"\xff"
"""What UTF-8 does not have."""

_ESCAPES = ((b'\\"', b'"'), (b"\\n", b"\n"), (b"\\r", b"\r"), (b"\\t", b"\t"))


class Found(msgspec.Struct, frozen=True):
    """Where a form stands, and the word that replaces it."""

    begin: int
    end: int
    word: bytes


class _Automaton:
    """Forms that are read backwards, all of them and from all places at once: the states are the bits of a number.

    A form has a bit before each of its pieces and one behind the last. A bit that is set at a place of the data says
    that what the form has behind that bit stands behind that place.
    """

    def __init__(self, shapes: Iterable[Sequence[Piece]]) -> None:
        self._first = self._last = self._optional = self._all = 0
        masks: dict[bytes, int] = {}
        at = 0
        for pieces in shapes:
            self._first |= 1 << at
            for piece in pieces:
                at += 1
                self._optional |= (b"" in piece) << at
                for text in piece:
                    masks[text] = masks.get(text, 0) | 1 << at
            self._last |= 1 << at
            at += 1
        masks.pop(b"", None)
        self._all = (1 << at) - 1
        self._by_end: dict[int, list[tuple[bytes, int]]] = {}
        self._by_head: dict[bytes, int] = {}
        self._long = [(text, mask) for text, mask in masks.items() if len(text) > _MOST_HEAD]
        for text, mask in masks.items():
            self._by_end.setdefault(text[-1], []).append((text, mask))
            for size in range(1, min(len(text), _MOST_HEAD)):
                self._by_head[text[:size]] = self._by_head.get(text[:size], 0) | mask

    def begins(self, data: bytes, start: int, end: int) -> set[int]:
        """Where forms begin in `data` that stand between `start` and `end`."""
        return self._back(data, start, end, {}, self._last)

    def hanging(self, data: bytes) -> int:
        """Where the longest end of `data` begins that a form may begin with, and that is not all of the form."""
        live, end = {len(data): self._all & ~self._first & ~self._last}, len(data)
        for size in range(1, min(_MOST_HEAD, end + 1)):
            _add(live, end - size, self._by_head.get(data[end - size :], 0) >> 1)
        for text, mask in self._long:
            at = data.find(text[:_MOST_HEAD], max(0, end - len(text) + 1))
            while at >= 0:
                if text.startswith(data[at:]):
                    _add(live, at, mask >> 1)
                at = data.find(text[:_MOST_HEAD], at + 1)
        begun = {at for at, bits in live.items() if bits & self._first}
        return min({end, *begun, *self._back(data, 0, end, live, 0)})

    def _back(self, data: bytes, start: int, end: int, live: dict[int, int], ends: int) -> set[int]:
        """Where forms begin, read from `end` back to `start`. `live` has bits by place, `ends` are at each place."""
        found: set[int] = set()
        for at in range(end, start, -1):
            bits = live.pop(at, 0) | ends
            if not bits:
                if not live:
                    break
                continue
            bits |= (bits & self._optional) >> 1
            for text, mask in self._by_end.get(data[at - 1], ()):
                if bits & mask and data.endswith(text, start, at):
                    before = (bits & mask) >> 1
                    _add(live, at - len(text), before)
                    if before & self._first:
                        found.add(at - len(text))
        return found


class _Form:
    """One form of a value, and the word that replaces it."""

    def __init__(self, pieces: Sequence[Piece], word: bytes) -> None:
        self.pieces, self.word = pieces, word
        self.longest = sum(max(map(len, piece)) for piece in pieces)
        # What stands in every spelling is looked for first, which is quick.
        self._middle = max(range(len(pieces)), key=lambda place: min(map(len, pieces[place])))
        self.run = pieces[self._middle][0] if len(pieces[self._middle]) == 1 else b""

    def begins(self, data: bytes) -> set[int]:
        """Where it begins in `data`."""
        found: set[int] = set()
        if self.run in data:
            for start, end in self._places(data):
                found |= self._begins(data, start, end)
        return found

    def end(self, data: bytes, begin: int) -> int:
        """Where it ends that begins there; the longest where several spellings are possible."""
        match = self._pattern and self._pattern.match(data, begin)
        if match:
            return match.end()
        places = {begin}
        for piece in self.pieces:
            places = {at + len(text) for at in places for text in piece if data.startswith(text, at)}
        return max(places)

    def _begins(self, data: bytes, start: int, end: int) -> set[int]:
        if self._pattern is None:
            return self._automaton.begins(data, start, end)
        found: set[int] = set()
        match = self._pattern.search(data, start, end)
        while match:
            found.add(match.start())
            match = self._pattern.search(data, match.start() + 1, end)
        return found

    def _places(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where it may stand in `data`: what is around each place that has some of its pieces."""
        start = end = 0
        for match in self._window.finditer(data):
            if match.start() - self.longest > end:
                yield start, end
                start = match.start() - self.longest
            end = match.end() + self.longest
        yield start, min(end, len(data))

    @cached_property
    def _window(self) -> re.Pattern[bytes]:
        return re.compile(_pattern_of(self.pieces[self._middle :][:_MOST_WINDOW]))

    @cached_property
    def _pattern(self) -> re.Pattern[bytes] | None:
        """The whole of it. None where a pattern could take long: it would try one spelling after another."""
        if len(self.pieces) > _MOST_PATTERN or any(map(_begin_alike, self.pieces)):
            return None
        return re.compile(_pattern_of(self.pieces))

    @cached_property
    def _automaton(self) -> _Automaton:
        return _Automaton([self.pieces])


class Table:
    """What is to be replaced by what: `values` are the words to use in place of each value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._forms = [_Form(pieces, word.encode()) for value, word in values.items() for pieces in forms(value)]
        self._longest = max((form.longest for form in self._forms), default=0)
        self._automaton = _Automaton(form.pieces for form in self._forms)
        self._by_word: dict[int, list[_Form]] = {}
        for form in self._forms:
            for at in range(_WORD if len(form.run) >= _LEAST_RUN else 0):
                self._by_word.setdefault(int.from_bytes(form.run[at : at + _WORD], sys.byteorder), []).append(form)

    def find(self, data: bytes) -> list[Found]:
        """Every form in `data`, in order. Of those that overlap it is the first, and the longest that begins there."""
        forms = list(self._likely(data))
        begins = sorted((begin, number) for number, form in enumerate(forms) for begin in form.begins(data))
        found: list[Found] = []
        for begin, same in groupby(begins, lambda each: each[0]):
            if not found or begin >= found[-1].end:
                here = (forms[number] for _, number in same)
                found.append(max((Found(begin, form.end(data, begin), form.word) for form in here), key=_end))
        return found

    def _likely(self, data: bytes) -> Iterable[_Form]:
        """The forms that may stand in `data`. Many are not looked for one by one, but by the words of their runs: one
        in four words of a run is where `data` has a word, counted from its beginning.
        """
        if len(self._forms) < _MANY:
            return self._forms
        words = memoryview(data)[: len(data) // _WORD * _WORD].cast("I")
        likely = {id(form) for word in self._by_word.keys() & words for form in self._by_word[word]}
        return [form for form in self._forms if len(form.run) < _LEAST_RUN or id(form) in likely]

    def settled(self, data: bytes, found: Iterable[Found]) -> int:
        """How many bytes of `data`, which has `found`, no form reaches into that may go on behind its end."""
        tail = data[max(0, len(data) - self._longest) :]
        cut = len(data) - len(tail) + self._automaton.hanging(tail)
        for each in found:
            if each.begin < cut < each.end:
                return each.begin  # it is a value whatever comes, but may be a part of a longer one
        return cut

    def replace(self, data: bytes) -> bytes:
        """`data` with each form of a value replaced by the value's word; `data` itself if there is none."""
        return _replaced(data, self.find(data))

    def replace_text(self, text: str) -> str:
        """The same for text."""
        data = text.encode("utf-8", "surrogatepass")
        replaced = self.replace(data)
        return text if replaced is data else replaced.decode("utf-8", "replace")

    def replace_in(self, value: Any) -> Any:
        """The same for all texts in a JSON value, keys included.

        A search for each text would take much longer than the value took to decode: it is one for all of them.
        """
        text = _flat(value)
        if not any(form.begins(text) for form in self._likely(text)):
            return value
        before = _BETWEEN.join(text for text in _texts(value) if len(text) >= LEAST_FORM // 4)
        after = self.replace_text(before)
        changed = {
            old: new for old, new in zip(before.split(_BETWEEN), after.split(_BETWEEN), strict=True) if old != new
        }
        return _mapped(value, changed)


class Scrubber:
    """Replaces in a stream: what may be the beginning of a value is held back until more of it has come."""

    def __init__(self, table: Table) -> None:
        self._table, self._held = table, b""
        self._new: list[bytes] = []  # what came since the last search
        self._size = 0
        self.has_found = False
        """Whether anything was replaced."""

    def feed(self, data: bytes) -> bytes:
        """What can be passed on, now that `data` has come."""
        self._new.append(data)
        self._size += len(data)
        if len(self._held) > _LONG and self._size < len(self._held) // _PART:
            return b""
        held = self._all()
        found = self._table.find(held)
        cut = self._table.settled(held, found)
        self._held = held[cut:]
        return self._replaced(held[:cut], [each for each in found if each.end <= cut])

    def rest(self) -> bytes:
        """What was held back: nothing more comes."""
        held, self._held = self._all(), b""
        return self._replaced(held, self._table.find(held))

    def _all(self) -> bytes:
        held = b"".join([self._held, *self._new])
        self._new.clear()
        self._size = 0
        return held

    def _replaced(self, data: bytes, found: Sequence[Found]) -> bytes:
        self.has_found = self.has_found or bool(found)
        return _replaced(data, found)


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


def _add(live: dict[int, int], at: int, bits: int) -> None:
    if bits:
        live[at] = live.get(at, 0) | bits


def _replaced(data: bytes, found: Iterable[Found]) -> bytes:
    parts, rest = [], 0
    for each in found:
        parts += [data[rest : each.begin], each.word]
        rest = each.end
    return b"".join([*parts, data[rest:]]) if parts else data


def _pattern_of(pieces: Iterable[Piece]) -> bytes:
    """A pattern for `pieces` in a row. Optional ones are taken where they are there: nothing else begins like them."""
    parts = []
    for piece in pieces:
        texts = b"|".join(re.escape(text) for text in piece if text)
        parts.append(texts if len(piece) == 1 else b"(?:%s)%s" % (texts, b"?" if b"" in piece else b""))
    return b"".join(parts)


def _begin_alike(piece: Piece) -> bool:
    """Whether one spelling is the beginning of another, so that both may stand in one place."""
    texts = sorted(text for text in piece if text)
    return any(longer.startswith(text) for text, longer in pairwise(texts))


def _end(found: Found) -> int:
    return found.end


# JSON values.


def _flat(value: Any) -> bytes:
    """All texts of a JSON value with what stands between them in JSON, and without the escapes of JSON."""
    data = msgspec.json.encode(value, enc_hook=lambda _: None)
    if b"\\" in data:
        data = data.replace(b"\\\\", _NO_BYTE)
        for escape, character in _ESCAPES:
            data = data.replace(escape, character)
        data = data.replace(_NO_BYTE, b"\\")
    return data


def _texts(value: Any) -> Iterator[str]:
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, list):
            rest += each
        elif isinstance(each, dict):
            rest += each
            rest += each.values()


def _mapped(value: Any, changed: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _changed(value, changed)
    if isinstance(value, list):
        return [_mapped(item, changed) for item in value]
    if isinstance(value, dict):
        return {_changed(key, changed): _mapped(item, changed) for key, item in value.items()}
    return value


def _changed(text: str, changed: Mapping[str, str]) -> str:
    if _BETWEEN not in text:
        return changed.get(text, text)
    return _BETWEEN.join(changed.get(part, part) for part in text.split(_BETWEEN))
