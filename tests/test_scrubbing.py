"""Values are found in whatever form they come back, wherever a stream is cut; and nothing else is touched."""

from __future__ import annotations

import base64
import html
import itertools
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capsule._scrubbing import Scrubber, Table, TextScrubber
from capsule._spellings import LEAST_FORM, forms

VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=8, max_size=60)
AROUND = st.text(st.characters(codec="utf-8"), max_size=20)
WORD = "[the word]"


def base64_at(value: str, before: str) -> str:
    """Base64 of a longer text; whole bytes of the value are looked for in what is left of it."""
    return base64.b64encode((before + value + "!").encode()).decode()


def each(text: str, characters: str, form: str) -> str:
    """Some of the characters by their numbers."""
    return "".join(form.format(ord(one)) if one in characters else one for one in text)


FORMS = {
    "plain": lambda value: value,
    "quoted": lambda value: quote(value, safe=""),
    "quoted in a form": quote_plus,
    "quoted in a path": quote,
    "json": lambda value: json.dumps(value)[1:-1],
    "json in utf-8": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json with slashes": lambda value: json.dumps(value)[1:-1].replace("/", "\\/"),
    "json with escaped html": lambda value: each(json.dumps(value)[1:-1], "<>&'+=", "\\u{:04X}"),
    "json in json": lambda value: json.dumps(json.dumps(value)[1:-1])[1:-1],
    "html": html.escape,
    "html by numbers": lambda value: each(value, "<>&'+=/`\"", "&#{};"),
    "html by hexadecimal numbers": lambda value: each(value, "<>&'+=/`\"", "&#x{:X};"),
    "html in json": lambda value: json.dumps(html.escape(value))[1:-1],
    "quoted as far as a path needs it": lambda value: quote(value, safe="!$&'()*+,;=:@"),
    "quoted twice": lambda value: quote(quote(value, safe=""), safe=""),
    "source code": lambda value: ascii(value)[1:-1].replace("\\U000", "\\u"),
    "hex": lambda value: value.encode().hex(),
    "base64": lambda value: base64.b64encode(value.encode()).decode().rstrip("="),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("form", FORMS)
@given(value=VALUES, before=AROUND, after=AROUND, cuts=st.lists(st.integers(0, 200), max_size=5))
@example(value="0" * 8, before="", after="0" * 7, cuts=[])
def test_every_form_in_every_cut(form: str, value: str, before: str, after: str, cuts: list[int]) -> None:
    """However the bytes are split, the value is gone, and the word is there instead."""
    found = FORMS[form](value)
    data = (before + found + after).encode()
    scrubber = Scrubber(Table({value: WORD}))
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [scrubber.feed(data[a:b]) for a, b in itertools.pairwise(places)]
    answer = b"".join([*pieces, scrubber.rest()])
    part, text = found[:-1], before + found + after
    if sum(text.startswith(part, at) for at in range(len(text))) == 1:  # else what is left may be there by chance
        assert part.encode() not in answer.replace(WORD.encode(), b" ")
    assert found.encode() not in answer
    assert WORD.encode() in answer
    assert scrubber.has_found


@given(st.data())
def test_every_mixture_of_spellings(data: st.DataObject) -> None:
    """What is escaped, and how, may differ from one character to the next."""
    value = data.draw(st.text(st.sampled_from("aB1+/=&<'\\\"% -"), min_size=8, max_size=20).filter(str.strip))
    ways = st.sampled_from([*("{}", "%{:02X}", "%25{:02x}", "&#{:d};", "\\u{:04x}", "\\\\u{:04X}")])
    spelled = "".join(
        one if one.isalnum() else (way.format(ord(one)) if (way := data.draw(ways)) != "{}" else one) for one in value
    )
    assert WORD.encode() in Table({value: WORD}).replace(f"<{spelled}>".encode())


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@given(value=VALUES)
def test_base64_of_a_longer_text(before: str, value: str) -> None:
    """As in Basic authentication: what is left does not decode to the value."""
    left = Table({value: WORD}).replace(base64_at(value, before).encode())
    assert WORD.encode() in left
    for count in range(1, 5):
        letters = left.replace(WORD.encode(), b"A" * count).rstrip(b"=")
        if len(letters) % 4 != 1:
            assert value.encode()[1:-1] not in base64.b64decode(letters + b"=" * (-len(letters) % 4))


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5))
def test_what_holds_no_value_passes_unchanged(data: bytes, cuts: list[int]) -> None:
    """All of it comes, in order, and at the latest at the end."""
    scrubber = Scrubber(Table({"secret-value-of-the-test": WORD}))
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [scrubber.feed(data[a:b]) for a, b in itertools.pairwise(places)]
    assert b"".join([*pieces, scrubber.rest()]) == data
    assert not scrubber.has_found


@given(value=VALUES, before=AROUND, after=AROUND, cut=st.integers(0, 100))
def test_text_in_pieces(value: str, before: str, after: str, cut: int) -> None:
    """The same for text, whose characters are never cut."""
    scrubber, text = TextScrubber(Table({value: WORD})), before + value + after
    answer = scrubber.feed(text[:cut]) + scrubber.feed(text[cut:]) + scrubber.rest()
    assert value not in answer
    assert WORD in answer


def test_only_what_may_be_a_value_is_held_back() -> None:
    """A line goes on at once, so that whoever watches sees it."""
    scrubber = TextScrubber(Table({"secret-value": WORD}))
    assert scrubber.feed("a line\n") == "a line\n"
    assert scrubber.feed("password: secret-") == "password: "
    assert scrubber.feed("s are kept\n") == "secret-s are kept\n"
    assert scrubber.feed("secret-value\n") == f"{WORD}\n"


def test_one_value_within_another() -> None:
    """The longer one is replaced as a whole."""
    table = Table({"password": "[a]", "password-two": "[b]"})
    assert table.replace(b"password-two password") == b"[b] [a]"
    scrubber = Scrubber(table)
    answer = scrubber.feed(b"password-t") + scrubber.feed(b"wo password") + scrubber.rest()
    assert answer == b"[b] [a]"
    overlapping = Scrubber(Table({"X-abcdefg": "[a]", "abcdefghi": "[b]"}))
    assert overlapping.feed(b"X-abcdefg") + overlapping.feed(b"!") == b"[a]!"


# Against a reference that tries everything.


def reference(values: dict[str, str], data: bytes) -> bytes:
    """The same by the simplest way: at each place, every spelling of every form."""
    shapes = [(pieces, word.encode()) for value, word in values.items() for pieces in forms(value)]
    answer, at = b"", 0
    while at < len(data):
        end, word = max(
            ((ends_at(pieces, data, at), word) for pieces, word in shapes), key=lambda each: each[0], default=(0, b"")
        )
        answer, at = (answer + word, end) if end > at else (answer + data[at : at + 1], at + 1)
    return answer


def ends_at(pieces: Any, data: bytes, at: int) -> int:
    places = {at}
    for piece in pieces:
        places = {place + len(text) for place in places for text in piece if data.startswith(text, place)}
    return max(places, default=0)


SMALL = st.text(st.sampled_from("aa-%\\&25\n \u00c3"), min_size=8, max_size=14).filter(
    lambda text: text == text.strip() and text.isascii() | ("\u00c3" in text)
)


@st.composite
def around(draw: st.DrawFn, values: list[str]) -> bytes:
    """Values in some of their spellings, whole and in part, one after another."""
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        pieces = draw(st.sampled_from([shape for value in values for shape in forms(value)]))
        kinds = st.integers(0, 3 if draw(st.booleans()) else 0)
        text = b"".join(sorted(piece, key=len)[min(draw(kinds), len(piece) - 1)] for piece in pieces)
        text = text[draw(st.sampled_from([0, 0, 1, 3])) :]
        parts.append(text[: len(text) - draw(st.sampled_from([0, 0, 1, 4]))])
    return draw(st.sampled_from([b"", b"-", b"a", b"\\"])).join(parts)


@given(st.data())
def test_as_the_reference_finds_it(data: st.DataObject) -> None:
    """In one piece and in any others."""
    values = data.draw(st.lists(SMALL, min_size=1, max_size=2, unique=True))
    table_of = {value: f"[{number}]" for number, value in enumerate(values)}
    text = data.draw(around(values))
    expected, scrubber = reference(table_of, text), Scrubber(Table(table_of))
    assert Table(table_of).replace(text) == expected
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    places = [0, *sorted(cuts), len(text)]
    pieces = [scrubber.feed(text[a:b]) for a, b in itertools.pairwise(places)]
    assert b"".join([*pieces, scrubber.rest()]) == expected


@given(st.data())
def test_many_values_are_found_as_few_are(data: st.DataObject) -> None:
    """Beyond some number they are looked for by their words."""
    values = {f"sk-{number:02}-{number * 7919:08}-key": f"[{number}]" for number in range(40)}
    texts = st.lists(st.sampled_from([*values, *(text[:-1] for text in values), "x", "\u00e9", "-"]), max_size=6)
    text = "".join(data.draw(texts))
    expected = text
    for value, word in values.items():
        expected = expected.replace(value, word)
    assert Table(values).replace(text.encode()) == expected.encode()


JSON = st.recursive(
    st.none()
    | st.integers(0, 9)
    | st.sampled_from(["", 'se-ret"\\val', "se-ret", '"', "\\", "\0", "\n\\", 'a","b-cdefg']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["", 'se-ret"\\val', "a"]), inner),
    max_leaves=12,
)


@given(value=JSON, around=st.sampled_from(["", "\0", "x", "\\"]))
def test_json_values(value: Any, around: str) -> None:
    """All texts at once, as each by itself."""
    table = Table({'se-ret"\\val': WORD, 'a","b-cdefg': WORD})

    def slowly(value: Any) -> Any:
        if isinstance(value, str):
            return table.replace_text(value)
        if isinstance(value, list):
            return [slowly(item) for item in value]
        return {slowly(key): slowly(item) for key, item in value.items()} if isinstance(value, dict) else value

    value = [value, f'{around}se-ret\\"\\\\val{around}'] if around else value
    assert table.replace_in(value) == slowly(value)


# What a form is.


@pytest.mark.parametrize("value", ["пароль-секрет", "密码密码密码密码1", "ключ:значение", "é-é-é-é-"])
def test_no_form_is_short(value: str) -> None:
    """What Latin-1 leaves of a text is another text, which is there by chance."""
    assert all(sum(min(map(len, piece)) for piece in form) >= LEAST_FORM for form in forms(value))
    text = "id 2d4f-12d0 3a 31 2D"
    assert Table({value: WORD}).replace_text(text) == text


def test_latin_1() -> None:
    """A server may send it so, if it has all of the value."""
    table = Table({"clé-secrète": WORD})
    for found in ("clé-secrète".encode("latin-1"), "clé-secrète".encode("latin-1").hex().encode()):
        assert table.replace(b"<%s>" % found) == f"<{WORD}>".encode()


LINES = "-----BEGIN KEY-----\nMIIEvQIBADANBg+/\nkqhkiG9w0BAQ==\n-----END KEY-----"
IN_OTHER_ENDS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "a form": quote_plus,
    "json": json.dumps,
    "html": lambda text: html.escape(text).replace("\r", "&#13;"),
    "hex": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
}


@pytest.mark.parametrize("form", IN_OTHER_ENDS)
@pytest.mark.parametrize("given_end", ["\n", "\r\n"])
@pytest.mark.parametrize("found_end", ["\n", "\r\n"])
def test_line_ends(form: str, given_end: str, found_end: str) -> None:
    """LF and CRLF stand for one another, as in a form that a browser sends."""
    table = Table({LINES.replace("\n", given_end): WORD})
    found = IN_OTHER_ENDS[form](LINES.replace("\n", found_end))
    assert len(table.replace_text(found)) < len(WORD) + 5


# How long it takes.


def seconds(work: Callable[[], Any]) -> float:
    """The processor time of the quickest of some tries."""
    tries = []
    for _ in range(3):
        began = time.process_time()
        work()
        tries.append(time.process_time() - began)
    return min(tries)


PEM = "-----BEGIN KEY-----\n" + "\n".join(base64.b64encode(bytes([line]) * 48).decode() for line in range(40, 66))
COSTLY = {
    "the beginning of a key": (PEM, "-"),
    "nearly all of a key": (PEM, PEM[:-1] + "!"),
    "punctuation in turn": ("a-b-c-d-e-f-g-h-i-j", "a-"),
    "punctuation alone": ("!@#$%^&*()" * 20, "!@#$%^&*("),
    "one that repeats itself": ("ab-" * 50 + "xy", "ab-" * 49 + "x"),
    "backslashes": ("\\-" * 20 + "x", "\\-"),
    "backslashes alone": ("\\" * 20 + "x", "\\"),
    "percent signs": ("%25" * 30 + "z", "%25"),
    "a run of one letter": ("a" * 500, "a" * 499 + "b"),
}


def in_reads(table: Table, data: bytes, size: int) -> Callable[[], None]:
    def work() -> None:
        scrubber = Scrubber(table)
        for at in range(0, len(data), size):
            scrubber.feed(data[at : at + size])

    return work


@pytest.mark.parametrize("name", COSTLY)
def test_no_text_takes_long(name: str) -> None:
    """Reads of a hostile text take little longer than others: a part of a value is not looked for at every place of it.

    Twice the text takes twice as long.
    """
    value, part = COSTLY[name]
    table, size = Table({value: WORD}), 60_000
    hostile, other = (part.encode() * size)[:size], bytes(range(1, 33)) * (size // 32)
    for read in (size, 16_384, 2000):
        took = seconds(in_reads(table, hostile, read))
        assert took < 0.02 + 200 * seconds(in_reads(table, other, read))
        assert seconds(in_reads(table, hostile * 2, read)) < 0.02 + 3.5 * took


def test_a_long_value_byte_by_byte() -> None:
    """What is held back is not searched again for each byte of it."""
    times = []
    for size in (1500, 3000):
        value = "".join(chr(97 + number * 7919 % 26) for number in range(size))
        table = Table({value: WORD})
        times.append(seconds(in_reads(table, value.encode(), 1)))
        scrubber = Scrubber(table)
        said = b"".join(scrubber.feed(bytes([each])) for each in value.encode()) + scrubber.rest()
        assert said == WORD.encode()
    assert times[1] < 0.05 + 3 * times[0]


def test_a_short_text_of_long_letters() -> None:
    """A form has eight bytes at the least, which may be four letters."""
    text = "\u00e9" * 4
    table = Table({text.encode().decode("latin-1"): WORD})
    assert table.replace_text(text) == WORD
    assert table.replace_in([text, "b"]) == [WORD, "b"]


@pytest.mark.parametrize("text", ["", "abc", "12345678", "sk-live-"])
@pytest.mark.parametrize("count", [1, 20])
def test_a_value_of_many_texts(text: str, count: int) -> None:
    """It costs about what it costs to decode it, however many values there are; more if there is something to replace."""
    values = {f"sk-live-{number * 7919:08}-secret": WORD for number in range(count)}
    table, data = Table(values), msgspec.json.encode([text] * 200_000)
    value = msgspec.json.decode(data)
    decoded = seconds(lambda: msgspec.json.decode(data))
    assert seconds(lambda: table.replace_in(value)) < 0.05 + 5 * decoded
    value.append(next(iter(values)))
    assert table.replace_in(value)[-1] == WORD
    assert seconds(lambda: table.replace_in(value)) < 0.3 + 20 * decoded
