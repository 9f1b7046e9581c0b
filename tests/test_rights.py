"""Rights and ceilings: what a program declares beyond what it may be granted is refused, exactly that, and all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule import Policy, RightsRefused, Runtime, actor, run, task
from capsule._actor.admission import Admission
from capsule._guest.cache import CompiledGuest
from capsule._guest.program import program_from_source
from capsule._hosts import Pattern, beyond, narrowed
from capsule._policies import Policies
from capsule._rights import RIGHTS, specs_of
from capsule._values import Program
from capsule.cli.grants import OPTIONS

HOSTS = [
    *("a.com", "x.a.com", "*.a.com", "*.x.a.com", "*", "a.com:80", "*.a.com:80", "*:80", "x.a.com:443"),
    *("a.com@public", "localhost", "db.localhost", "127.0.0.1", "8.8.8.8", "10.0.0.1:80", "[::1]"),
]
PLACES = [
    (host, port)
    for host in (
        "a.com",
        "x.a.com",
        "y.a.com",
        "z.x.a.com",
        "b.com",
        "localhost",
        "db.localhost",
        "127.0.0.1",
        "8.8.8.8",
    )
    for port in (80, 443)
] + [("10.0.0.1", 80), ("::1", 80), ("::1", 443)]
"""Enough places that what one pattern of HOSTS stands for lies within another's only if it does among these."""

PRIVATE = {"localhost", "db.localhost", "127.0.0.1", "10.0.0.1:80", "[::1]"}
hosts = st.lists(st.sampled_from(HOSTS), max_size=4, unique=True)
numbers = st.integers(1 << 20, 1 << 30)


def places(text: str) -> set[tuple[str, int]]:
    return {place for place in PLACES if Pattern.parse(text).matches(*place)}


def is_covered(wanted: str, ceiling: list[str]) -> bool:
    """What `beyond` must say, by looking at places and not at patterns."""
    return any(
        places(wanted) <= places(limit) and not (wanted in PRIVATE and Pattern.parse(limit).public_only)
        for limit in ceiling
    )


@given(hosts, hosts)
def test_beyond_is_what_is_not_covered(wanted: list[str], ceiling: list[str]) -> None:
    """Each pattern by itself, in order."""
    assert list(beyond(wanted, ceiling)) == [text for text in wanted if not is_covered(text, ceiling)]


@given(hosts, hosts)
def test_what_two_lists_allow_is_what_their_pairs_do(one: list[str], other: list[str]) -> None:
    """Each pattern with each, in order, though few of them are looked at."""
    met = [Pattern.parse(text).meet(Pattern.parse(limit)) for text in one for limit in other]
    texts = dict.fromkeys(map(str, filter(None, met)))
    assert list(narrowed(one, other)) == [
        text for text in texts if not (text.endswith("@public") and text.removesuffix("@public") in texts)
    ]


def test_long_lists_are_compared_in_linear_time() -> None:
    """A project may name a thousand hosts, and its ceiling the same."""

    def seconds(size: int) -> float:
        names = [f"api{number}.example.com" for number in range(size)]
        begin = time.thread_time()
        assert list(narrowed(names, names)) == names
        assert beyond(names, names) == ()
        return time.thread_time() - begin

    half, whole = (min(seconds(size) for _ in range(3)) for size in (500, 1000))
    assert whole < 3 * half + 0.02


def policies(policy: Policy | None, ceiling: Policy | None) -> Policies:
    return Policies(policy, ceiling, Admission(10, 1 << 40))


def program(declared: list[list[str] | None], ram: int = 1 << 20) -> Program:
    """A file with a task for each list of hosts, and an actor for the last."""
    source = "from capsule import actor, task\n"
    for number, wanted in enumerate(declared):
        kind, body = ("actor", "class") if number == len(declared) - 1 else ("task", "def")
        setting = "" if wanted is None else f", allowed_hosts={wanted!r}"
        name = f"n{number}" if body == "class" else f"n{number}()"
        source += f"@{kind}(ram={ram}{setting})\n{body} {name}: pass\n"
    return msgspec.structs.replace(program_from_source(source, "t.py"), is_file=True)


@given(st.lists(st.none() | hosts, min_size=1, max_size=4), hosts, st.none() | hosts, numbers, numbers)
def test_a_program_gets_what_it_declares_or_does_not_start(
    declared: list[list[str] | None], own: list[str], limit: list[str] | None, ram: int, most: int
) -> None:
    """With or without a ceiling: what is listed is exactly the excess, and what is got is never beyond the bound."""
    ceiling = None if limit is None else Policy(allowed_hosts=limit, ram=most)
    bound = own if limit is None else limit
    file = program(declared, ram)
    rules = policies(Policy(allowed_hosts=own), ceiling)
    excess = {
        f"n{number}": tuple(text for text in wanted if not is_covered(text, bound))
        for number, wanted in enumerate(declared)
        if wanted is not None and not all(is_covered(text, bound) for text in wanted)
    }
    refused: dict[str, Any] = {}
    try:
        rules.check(file)
    except RightsRefused as error:
        refused = {each.name: each.wanted for each in error.excess}
        assert all(each.allowed == Policy(allowed_hosts=bound).allowed_hosts for each in error.excess)
        assert all(f"{each.kind} {each.name}: allowed_hosts=" in str(error) for each in error.excess)
    assert refused == excess
    assert {each.name: each.refused for each in (rules.declared(file, spec) for spec in specs_of(file))} == {
        spec.name: {"allowed_hosts": excess[spec.name]} if spec.name in excess else {} for spec in specs_of(file)
    }
    for spec in specs_of(file):
        got = rules.cut(file, spec)
        assert set().union(*map(places, got.allowed_hosts)) <= set().union(*map(places, bound))
        assert got.ram_bytes == (ram if limit is None else min(ram, most))
        if spec.name not in excess and "allowed_hosts" in spec.settings:
            wanted = set().union(*map(places, spec.settings["allowed_hosts"]))
            assert set().union(*map(places, got.allowed_hosts)) == wanted


def test_a_name_below_a_star_is_held_to_public_addresses() -> None:
    """It is no excess, and it is no way into the private network either."""
    rules = policies(None, Policy(allowed_hosts=["*"]))
    file = program([["intranet.corp"], None])
    rules.check(file)
    assert rules.cut(file, file.tasks[0]).allowed_hosts == ("intranet.corp@public",)


@task(allowed_hosts=["api.example.com"])
def fetches() -> str:
    return "fetched"


@actor(allowed_hosts=["*.example.com"])
class Fetcher:
    pass


@task
def plain() -> str:
    return "plain"


def test_an_application_grants_itself_what_it_writes() -> None:
    """Its own tasks have what they declare; under a ceiling they ask as everybody does."""
    Runtime().check(fetches)
    assert Runtime().inspect(fetches)[0].policy.allowed_hosts == ("api.example.com",)
    with pytest.raises(RightsRefused, match="task fetches"):
        Runtime(ceiling=Policy()).check(fetches)
    Runtime(ceiling=Policy(allowed_hosts=["api.example.com"])).check(fetches)
    Runtime(ceiling=Policy()).check(plain)


def test_a_file_only_asks(write) -> None:
    """Without a ceiling it gets no right that the runtime's policy does not hold, and any limit."""
    file = write("t.py", "from capsule import task\n@task(allowed_hosts=['a.com'], timeout='1h')\ndef main(): ...\n")
    with pytest.raises(RightsRefused):
        Runtime().check(file)
    for runtime in (Runtime(policy=Policy(allowed_hosts=["a.com", "b.com"])), Runtime(ceiling=Policy.largest())):
        runtime.check(file)
        (main,) = runtime.inspect(file)
        assert ([place for place in main.policy.allowed_hosts if "a.com" not in place], main.refused) == ([], {})
        assert main.policy.timeout_seconds == 3600


async def test_the_envelope_says_denied(guest: CompiledGuest, write) -> None:
    """`run` of a file, as in a shell: nothing ran, and the envelope says which right was not granted."""
    file = write("t.py", "from capsule import task\n@task(allowed_hosts=['a.com'])\ndef main(): return 'ran'\n")
    refused = await run(file)
    assert (refused["success"], refused["error"]["error_type"]) == (False, "denied")
    assert 't.py:3, task main: allowed_hosts=["a.com"]' in refused["error"]["message"]
    for granting in (
        {"policy": Policy(allowed_hosts=["a.com"])},
        {"ceiling": Policy(allowed_hosts=["*.com", "a.com"])},
    ):
        assert (await run(file, **granting))["result"] == "ran"
    assert (await run("gone.py"))["error"]["error_type"] == "invalid"


def test_the_message() -> None:
    """All that is wanted, line by line, what it may have instead, and what would allow it."""
    with pytest.raises(RightsRefused) as caught:
        policies(None, Policy(allowed_hosts=["a.com"])).check(program([["a.com", "b.com"], None, ["*"]]))
    assert str(caught.value) == (
        "t.py declares more rights than it may be granted:\n"
        '  t.py:3, task n0: allowed_hosts=["b.com"]; it may have only ["a.com"]\n'
        '  t.py:7, actor n2: allowed_hosts=["*"]; it may have only ["a.com"]\n'
        'Runtime(ceiling=Policy(allowed_hosts=["a.com", "b.com", "*"])) would allow it'
    )


@pytest.mark.parametrize("place", [".", "..", "data", "elsewhere"])
def test_the_line_that_is_told_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[str, str], str], place: str
) -> None:
    """It holds in the current folder, wherever the program's project is: relative paths start from there."""
    file = write("project/t.py", "from capsule import task\n@task(allowed_files=['data', 'out:rw'])\ndef main(): ...\n")
    write("project/pyproject.toml", "")
    for folder in ("project/data", "project/out", "project/elsewhere"):
        (tmp_path / folder).mkdir()
    file = str(Path(file).resolve())
    monkeypatch.chdir(tmp_path / "project" / place)
    with pytest.raises(RightsRefused) as caught:
        Runtime().check(file)
    line = str(caught.value).splitlines()[-1].removesuffix(" would allow it")
    eval(line, {"Runtime": Runtime, "Policy": Policy}).check(file)
    told = {
        ".": '["./data", "./out:rw"]',
        "..": '["./project/data", "./project/out:rw"]',
        "data": f'["./", "{tmp_path}/project/out:rw"]',
        "elsewhere": f'["{tmp_path}/project/data", "{tmp_path}/project/out:rw"]',
    }
    assert line == f"Runtime(ceiling=Policy(allowed_files={told[place]}))"


def test_a_workspace_that_there_is_none_of() -> None:
    """Less of it is something to work with, none is not: a task that declares one does not start."""
    file = program_from_source("from capsule import task\n@task(workspace='1MB')\ndef main(): pass\n", "t.py")
    with pytest.raises(RightsRefused) as caught:
        policies(None, Policy()).check(file)
    assert str(caught.value) == (
        "t.py declares more rights than it may be granted:\n"
        '  t.py:3, task main: workspace="1MB"; it may have none\n'
        'Runtime(ceiling=Policy(workspace="1MB")) would allow it'
    )
    rules = policies(None, Policy(workspace="10KB"))
    rules.check(file)
    assert rules.cut(file, file.tasks[0]).workspace_bytes == 10 << 10


def test_a_long_message_is_cut() -> None:
    """A hostile file cannot fill the screen; the error itself has everything."""
    with pytest.raises(RightsRefused) as caught:
        policies(None, Policy()).check(program([[f"h{n}.com" for n in range(900)]] * 30))
    assert (len(caught.value.excess), len(caught.value.excess[0].wanted)) == (30, 900)
    assert len(str(caught.value)) < 20_000
    assert "... and 10 more" in str(caught.value)


def test_inspection_needs_no_main(write) -> None:
    """All that is declared, and in front a main that is not."""
    two = "from capsule import actor, task\n@task\ndef a(x=1): ...\n@actor\nclass B: ...\n@task\ndef c(): ...\n"
    found = Runtime().inspect(write("t.py", two))
    assert [(each.name, each.kind, each.signature) for each in found] == [
        ("a", "task", "(x=1)"),
        ("c", "task", "()"),
        ("B", "actor", "()"),
    ]
    found = Runtime().inspect(write("t.py", two + "def main(): ...\n"))
    assert [each.name for each in found] == ["main", "a", "c", "B"]


def test_every_right_has_an_option() -> None:
    """What a program may ask for can be granted in a shell, and every right is a tuple of the policy."""
    assert set(OPTIONS) == set(RIGHTS) <= set(Policy.__struct_fields__)
    assert all(getattr(Policy(), right) == () for right in RIGHTS)
