"""What a Secret is: hosts that are patterns, and a value that is never shown."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from capsule import InvalidPolicy, Runtime, Secret
from capsule._secrets import Secrets

VALUE = "the-value-itself"


def test_its_value_is_not_shown() -> None:
    """By repr, str, format, its attributes or the things that hold it."""
    secret = Secret(VALUE, hosts=["API.example.com", "http://db.internal:8080"])
    held = Secrets({"KEY": secret})
    for text in (
        repr(secret),
        str(secret),
        f"{secret}",
        repr([secret]),
        repr(held),
        repr(list(held)),
        repr(dir(secret)),
    ):
        assert VALUE not in text
    assert repr(secret) == "<secret for api.example.com, db.internal:8080>"
    assert secret.plain_hosts == ("db.internal:8080",)
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copied(secret)


@pytest.mark.parametrize(
    "value",
    ["", "short", "x" * 8001, b"bytes-and-no-text", None, 12345678, "a\x00bcdefgh", " blanks around ", "line\n" * 3],
)
def test_values_that_are_none(value: Any) -> None:
    """And the refusal does not repeat them."""
    with pytest.raises(InvalidPolicy, match="value of a Secret") as caught:
        Secret(value, hosts=["a.com"])
    assert not value or str(value) not in str(caught.value)


@pytest.mark.parametrize("hosts", [[], "a.com", None, ["a b"], ["https://a.com"], [1], ["http://"], ["a.com/path"]])
def test_hosts_that_are_none(hosts: Any) -> None:
    """A secret goes somewhere, and the patterns are those of `allowed_hosts`."""
    with pytest.raises(InvalidPolicy, match="hosts of a Secret"):
        Secret(VALUE, hosts=hosts)


@pytest.mark.parametrize(
    "secrets",
    [{"A B": Secret(VALUE, hosts=["a.com"])}, {"": Secret(VALUE, hosts=["a.com"])}, {"A": VALUE}, [VALUE], {1: 2}],
)
def test_secrets_that_are_none(secrets: Any) -> None:
    """They have names of variables, and are Secrets, so that each says where it may go."""
    with pytest.raises(InvalidPolicy, match="secrets") as caught:
        Runtime(secrets=secrets)
    assert VALUE not in str(caught.value)


def test_placeholders() -> None:
    """Each runtime has its own, which nobody can guess; they are text that every part of a request can have."""
    secret = Secret(VALUE, hosts=["a.com"])
    found = {Secrets({"KEY": secret}).environment["KEY"] for _ in range(100)}
    assert len(found) == 100
    assert all(word.startswith("capsule-secret-") and len(word) == 47 for word in found)
    assert all(word.replace("-", "").isalnum() and word == word.lower() for word in found)
