"""URLs of requests: the quick way and the whole parser agree, and what has another spelling takes the parser."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule._host import http_url
from capsule._host.http_url import checked_url, joined

LETTERS = "aZ09-._~/?=&%:@#[]+,;!$'()* é"
texts = st.builds(
    lambda scheme, host, port, rest: f"{scheme}://{host}{port}{rest}",
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(
        ["a.example", "127.0.0.1", "A.example", "a.example.", "0177.0.0.1", "1.2.3", "[::1]", "xn--p1ai", "-a.b"]
    )
    | st.text("ab1.-_", min_size=1, max_size=12),
    st.sampled_from(["", ":80", ":443", ":8080", ":0", ":65536", ":99999", ":01"]),
    st.text(LETTERS, max_size=12),
)


@given(texts)
def test_the_quick_way_agrees_with_the_parser(text: str) -> None:
    """A URL that the pattern takes is what httpx2's parser makes of it, part for part."""
    if (found := http_url._plain(text)) is not None:
        assert found == http_url._parsed(text)
        assert httpx2.URL(text).raw_path == found.target.encode()


@pytest.mark.parametrize(
    "text",
    ["http://a.example", "https://a.example/x/y.json?a=b&c=d", "http://127.0.0.1:8080/", "http://a.example:80/x/"],
)
def test_what_is_quick(text: str) -> None:
    """What most programs ask for is not parsed."""
    assert http_url._plain(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "http://a.example/..",
            "http://a.example/.x",
            "http://a.example//",
            "http://a.example/%41",
            "http://a.example/a b",
        ),
        *("http://A.example/", "http://0177.0.0.1/", "http://a.example./", "http://[::1]/", "http://a@b.example/"),
        *(
            "http://a.example/#x",
            "http://a.example?",
            "http://a.example:0/",
            "http://a.example:65536/",
            "http://a.example/\n",
        ),
    ],
)
def test_what_is_not(text: str) -> None:
    """What may have another spelling, or be no URL at all, is parsed."""
    assert http_url._plain(text) is None


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/b", "https://a.example/b"),
        ("../c?d", "https://a.example/c?d"),
        ("//b.example:443/", "https://b.example/"),
        ("http://B.example:80", "http://b.example/"),
    ],
)
def test_redirects(location: str, leads_to: str) -> None:
    """A redirect is read from where it stands."""
    assert str(joined(checked_url("https://a.example/x/y"), location)) == leads_to
