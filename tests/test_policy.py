"""The policy: units, defaults, what is refused, and how a ceiling cuts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule import InvalidPolicy, Policy
from capsule._units import MAX_FUEL
from capsule.policy import (
    COMPUTE_LEVELS,
    MAX_RAM,
    MAX_TIMEOUT,
    UNMETERED,
    format_size,
    parse_compute,
    parse_duration,
    parse_size,
)

FIELDS = Policy.__struct_fields__
NUMBERS = {
    "family_compute": "family_fuel",
    "family_ram": "family_ram_bytes",
    "idle_timeout": "idle_seconds",
    "restart_window": "restart_window_seconds",
    "compute": "fuel",
    "ram": "ram_bytes",
    "timeout": "timeout_seconds",
    "max_output": "max_output_bytes",
    "max_message": "max_message_bytes",
    "max_response": "max_response_bytes",
}
"""Fields with a unit -> the property that has them as a number. All others are numbers."""


OPEN = ("family_compute", "family_ram", "idle_timeout")
"""Limits that are not set unless somebody sets them."""

CHOICES = ("on_failure", "restart_window")
"""What is no limit of which less is stricter: the first is left alone by a ceiling, of the second the longer holds."""

LISTS = ("allowed_hosts", "allowed_files", "mounts", "workspace", "env_variables")
"""What is nothing unless somebody gives it: tests/host/test_allow_list.py and tests/test_mounts.py have the rules."""

LIMITS = [field for field in FIELDS if field not in (*CHOICES, *LISTS)]
COUNTS = [field for field in LIMITS if field not in (*NUMBERS, *OPEN, "max_mailbox")]


def number(policy: Policy, field: str) -> float:
    value = getattr(policy, NUMBERS.get(field, field))
    return math.inf if value is None else value


@pytest.mark.parametrize(
    ("value", "fuel"),
    [
        ("LOW", 100_000_000),
        ("MEDIUM", 2_000_000_000),
        ("HIGH", 50_000_000_000),
        ("low", 100_000_000),
        (" Medium ", 2_000_000_000),
        ("123", 123),
        ("1_000", 1000),
        (1, 1),
        (MAX_FUEL, MAX_FUEL),
        ("UNMETERED", UNMETERED),
        (" unmetered", UNMETERED),
        (UNMETERED, UNMETERED),
    ],
)
def test_compute(value: int | str, fuel: int) -> None:
    """A level in any case, or an exact number."""
    assert parse_compute(value) == fuel == Policy(compute=value).fuel


BAD_COMPUTE = [
    "",
    "LOWER",
    "MUCH",
    "-1",
    "+1",
    "1.5",
    "1e9",
    "0",
    0,
    -1,
    1.5,
    True,
    None,
    [],
    UNMETERED + 1,
    "٣",
    math.nan,
]


@pytest.mark.parametrize("value", BAD_COMPUTE, ids=repr)
def test_bad_compute(value: Any) -> None:
    """Everything else is refused with the field's name and what is allowed."""
    with pytest.raises(InvalidPolicy, match=r"^compute: .* LOW, MEDIUM, HIGH, UNMETERED or a number"):
        parse_compute(value)


@pytest.mark.parametrize(
    "value", ["1__0", "1_", "9" * 5000], ids=["two underscores", "underscore at the end", "5000 digits"]
)
def test_compute_that_int_refuses(value: str) -> None:
    """What Python's own int() refuses is an InvalidPolicy, too."""
    with pytest.raises(InvalidPolicy, match=r"^compute: "):
        parse_compute(value)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("64MB", 64 << 20),
        ("64MiB", 64 << 20),
        ("64 mb", 64 << 20),
        (" 1.5GB ", 3 << 29),
        ("512KB", 512 << 10),
        ("2GiB", 2 << 30),
        ("7", 7),
        ("7B", 7),
        (1, 1),
        (1 << 40, 1 << 40),
    ],
)
def test_size(value: int | str, size: int) -> None:
    """Powers of 1024, in any case, with a fraction or without a unit."""
    assert parse_size(value) == size


BAD_SIZE = [
    "",
    "MB",
    "-1MB",
    "1e3",
    "64M B",
    "64XB",
    "64 M",
    "1,5GB",
    "0",
    "0MB",
    0,
    -1,
    1.5,
    True,
    None,
    [],
    "9" * 400,
    1 << 62,
    "NaN",
]


@pytest.mark.parametrize("value", BAD_SIZE, ids=repr)
def test_bad_size(value: Any) -> None:
    """Everything else is refused with the field's name and an example."""
    with pytest.raises(InvalidPolicy, match=r'^max_output: .*"64MB"'):
        parse_size(value, "max_output")


def test_less_than_a_byte() -> None:
    """A size is at least one byte."""
    with pytest.raises(InvalidPolicy):
        parse_size("0.5B")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("1.5m", 90.0),
        ("1h", 3600.0),
        (" 2 s ", 2.0),
        (3, 3.0),
        (0.25, 0.25),
        (MAX_TIMEOUT, MAX_TIMEOUT),
    ],
)
def test_duration(value: float | str, seconds: float) -> None:
    """Milliseconds to hours, or plain seconds."""
    assert parse_duration(value) == pytest.approx(seconds)


BAD_DURATION = [
    "",
    "s",
    "30",
    "30 sec",
    "-1s",
    "1d",
    "1H",
    "0s",
    0,
    -1,
    True,
    None,
    [],
    math.nan,
    math.inf,
    "721h",
    "9" * 400 + "s",
]


@pytest.mark.parametrize("value", BAD_DURATION, ids=repr)
def test_bad_duration(value: Any) -> None:
    """Everything else is refused with the field's name and examples; thirty days are the most."""
    with pytest.raises(InvalidPolicy, match=r'^timeout: .*"30s"'):
        parse_duration(value)


def test_a_duration_that_no_float_can_say() -> None:
    """A number that is too large for a float is refused like any other that is too large."""
    with pytest.raises(InvalidPolicy):
        parse_duration(10**400)


BAD_FIELDS = {
    "compute": BAD_COMPUTE,
    "ram": [*BAD_SIZE, "5GB", MAX_RAM + 1],
    "timeout": BAD_DURATION,
    "max_output": BAD_SIZE,
    "max_message": BAD_SIZE,
    "max_response": BAD_SIZE,
    "allowed_hosts": (["http://a"], "a.com", [5], 5),
    "allowed_files": (["../a"], "a", [5], 5, [{"path": "a", "mode": "x"}], [{"file": "a"}], ["a\0b"], [""]),
    "mounts": (["a::b"], "a", [5], [["a"]], ["a::/../b"], [{"path": 5}]),
    "workspace": [value for value in BAD_SIZE if value is not None] + ["5GB"],
    "env_variables": (["1A"], "A", [5], [""], ["A-B"], ["A", "A=b"], ["A=\0"]),
    "family_compute": [value for value in BAD_COMPUTE if value is not None],
    "family_ram": [value for value in BAD_SIZE if value is not None],
    "idle_timeout": [value for value in BAD_DURATION if value is not None],
    "restart_window": BAD_DURATION,
    "on_failure": ["", "RESTART", "ignore", None, 1, []],
    "max_mailbox": [0, -1, 1.5, "1", True, None, 10**9],
    **{name: [-1, 1.5, "1", True, None, 10**9] for name in COUNTS},
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_checks_itself(field: str) -> None:
    """Every bad value of every field is an InvalidPolicy that begins with the field's name, however it comes in."""
    for value in BAD_FIELDS[field]:
        for make in (lambda v: Policy(**{field: v}), lambda v: Policy().with_settings({field: v})):
            with pytest.raises(InvalidPolicy, match=f"^{field}: "):
                make(value)


@pytest.mark.parametrize("field", [field for field in LIMITS if field not in OPEN])
def test_every_field_has_a_finite_default(field: str) -> None:
    """A policy that says nothing is a policy all the same, below the largest that can be said."""
    assert 0 <= number(Policy(), field) <= number(Policy.largest(), field) < math.inf


def test_levels_are_those_of_capsule_run() -> None:
    """A compute level is worth what capsule-run's users know; one is ours, and more than any number of units."""
    assert COMPUTE_LEVELS == {"LOW": 10**8, "MEDIUM": 2 * 10**9, "HIGH": 5 * 10**10, "UNMETERED": 2**63}


def test_an_unknown_limit() -> None:
    """A limit that does not exist is refused, with those that do."""
    with pytest.raises(InvalidPolicy, match=r"^memory: there is no such limit; the limits are compute, ram,"):
        Policy().with_settings({"memory": "64MB"})


def test_settings_replace_only_what_they_name() -> None:
    """`with_settings` leaves the rest, and the policy it was called on, as they were."""
    policy = Policy(ram="64MB")
    changed = policy.with_settings({"timeout": "1s"})
    assert (changed.timeout, changed.ram, policy.timeout) == ("1s", "64MB", "30s")
    assert policy.with_settings({}) == policy


def test_frozen() -> None:
    """A policy is a value: it does not change, and equal ones are equal."""
    policy = Policy(ram="64MB")
    with pytest.raises(AttributeError):
        policy.ram = "1GB"
    assert (policy == Policy(ram="64MB"), hash(policy)) == (True, hash(Policy(ram="64MB")))
    assert not dataclasses.is_dataclass(policy)


LARGEST = Policy.largest()


def sizes(field: str) -> st.SearchStrategy[int | str]:
    """Sizes that `field` accepts, with and without a unit."""
    units = st.builds("{}{}".format, st.integers(1, 200), st.sampled_from(["B", "KB", "MB"]))
    return st.integers(1, int(number(LARGEST, field))) | units


durations = st.floats(0.001, 86400) | st.builds(
    "{}{}".format, st.integers(1, 20), st.sampled_from(["ms", "s", "m", "h"])
)
policies = st.builds(
    Policy,
    compute=st.integers(1, UNMETERED) | st.sampled_from(sorted(COMPUTE_LEVELS)),
    timeout=durations,
    **{field: sizes(field) for field in ("ram", "max_output", "max_message", "max_response")},
    family_compute=st.none() | st.integers(1, UNMETERED),
    family_ram=st.none() | sizes("max_output"),
    idle_timeout=st.none() | durations,
    restart_window=durations,
    on_failure=st.sampled_from(["restart", "stop", "escalate"]),
    max_mailbox=st.integers(1, 1000),
    **{field: st.integers(0, int(number(LARGEST, field))) for field in COUNTS},
)


@pytest.mark.parametrize("field", [field for field in LIMITS if field not in ("timeout", *OPEN)])
def test_the_largest_is_the_largest(field: str) -> None:
    """`largest` allows as much as can be said of every limit: one more is refused, by name."""
    most = number(LARGEST, field)
    assert number(Policy(**{field: most}), field) == most
    with pytest.raises(InvalidPolicy, match=f"^{field}: "):
        Policy(**{field: most + 1})


@given(policies, policies)
def test_within_never_exceeds_either_side(policy: Policy, ceiling: Policy) -> None:
    """Cut to a ceiling, each limit is the smaller of the two; a field that were forgotten here would be a hole."""
    cut = policy.within(ceiling)
    for field in LIMITS:
        assert number(cut, field) == min(number(policy, field), number(ceiling, field)), field
    assert cut.on_failure == policy.on_failure
    assert cut.restart_window_seconds == max(policy.restart_window_seconds, ceiling.restart_window_seconds)


@given(policies)
def test_within_itself_and_the_largest(policy: Policy) -> None:
    """A policy within itself, or within the largest, allows what it allowed."""
    for ceiling in (policy, Policy.largest()):
        cut = policy.within(ceiling)
        assert [number(cut, field) for field in FIELDS] == [number(policy, field) for field in FIELDS]


@given(policies)
def test_json_there_and_back(policy: Policy) -> None:
    """A policy survives JSON."""
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy


def test_json_is_checked() -> None:
    """A bad value, or a limit that does not exist, is refused on the way in."""
    for text in ('{"ram": "much"}', '{"memory": 1}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(text, type=Policy)


@given(st.integers(1, 1 << 40))
def test_format_then_parse(size: int) -> None:
    """A formatted size parses, to within what one decimal can say; it is short."""
    text = format_size(size)
    assert parse_size(text) == pytest.approx(size, rel=0.05, abs=1)
    assert len(text) <= 8


@given(st.integers(1, 1023), st.sampled_from(["B", "KB", "MB", "GB"]))
def test_parse_then_format(count: int, unit: str) -> None:
    """A whole number of units is formatted as it was written."""
    assert format_size(parse_size(f"{count}{unit}")) == f"{count}{unit}"
