"""Values are found in whatever form they come back, wherever a stream is cut; and nothing else is touched."""

from __future__ import annotations

import base64
import html
import itertools
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capsule._scrubbing import Scrubber, Table, TextScrubber

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
