"""The tables of the documents say what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import capsule
from capsule import ErrorType, Policy
from capsule._actor.outcomes import RETRIED
from capsule._actor.states import TRANSITIONS
from capsule._engine.linker import SHADOWS
from capsule._guest.actors import RESERVED_METHODS
from capsule._guest.settings import ACTOR_SETTINGS, SETTINGS
from capsule._project_file import TABLES
from capsule.cli.interrupts import NUMBERS
from capsule.cli.run import FAILED, SUCCESS, WRONG_CALL
from capsule.policy import COMPUTE_LEVELS, UNMETERED
from docs.snippets import ROOT


def rows(document: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without the head."""
    text = (ROOT / document).read_text("utf-8").split(f"\n## {heading}\n", 1)[1]
    table = re.search(r"^\|.*?(?=\n\n|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def code(cell: str) -> list[str]:
    """What stands between backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def test_every_limit_stands_in_the_readme_with_its_default() -> None:
    """In the order of the policy, with where it can be set."""
    told = {
        code(limit)[0]: (code(default)[0].strip('"'), "".join(re.findall(r"\((`.*) only\)", what)))
        for limit, default, what, _ in rows("README.md", "Limits")
    }
    policy = Policy()
    assert told == {name: (str(getattr(policy, name)), set_where(name)) for name in policy.__struct_fields__}
    assert list(told) == list(policy.__struct_fields__)


def set_where(name: str) -> str:
    """What the README says of a limit that not every declaration takes."""
    if name in SETTINGS:
        return ""
    return "`@actor` and `Policy`" if name in ACTOR_SETTINGS else "`Policy`"


def test_every_key_of_the_project_file_stands_in_the_guide() -> None:
    """Those of the workflow and of the tasks each once; of the ceiling, that they are the policy's."""
    told: dict[str, list[str]] = {}
    for table, keys, _ in rows("docs/guide.md", "The project file"):
        told.setdefault(code(table)[0].strip("[]"), []).extend(code(keys))
    assert told.pop("ceiling") == ["Policy"]
    assert TABLES["ceiling"][0] == Policy.__struct_fields__
    assert told == {table: list(keys) for table, (keys, _) in TABLES.items() if table != "ceiling"}


def test_the_levels_stand_in_the_readme() -> None:
    """What each level of compute is in fuel."""
    words = {"million": 10**6, "billion": 10**9}
    (what,) = [what for limit, _, what, _ in rows("README.md", "Limits") if limit == "`compute`"]
    told = {name: int(number) * words[word] for name, number, word in re.findall(r"`(\w+)` (\d+) (\w+)", what)}
    assert told | {"UNMETERED": UNMETERED} == COMPUTE_LEVELS
    assert "`UNMETERED` has no limit" in what


def test_every_error_type_stands_in_the_readme() -> None:
    """With whether another attempt is made."""
    told = {code(kind)[0]: again.startswith("yes") for kind, _, again in rows("README.md", "What errors look like")}
    assert told == {kind: kind in RETRIED for kind in get_args(ErrorType)}


def test_the_states_of_an_actor_stand_in_the_concepts() -> None:
    """Each with the steps that the table in the code allows, in its order."""
    table = rows("docs/concepts.md", "The states of an actor")
    told = {code(state)[0]: frozenset(code(steps)) for state, _, steps in table}
    assert told == TRANSITIONS
    assert list(told) == list(TRANSITIONS)


def test_every_name_that_a_ref_has_stands_in_the_guide() -> None:
    """What no method of an actor may be called."""
    text = (ROOT / "docs/guide.md").read_text("utf-8")
    (told,) = re.findall(r"these names are the ref's own: (.*?)\.\n", text, flags=re.DOTALL)
    assert set(code(told)) == RESERVED_METHODS


def test_every_exit_status_stands_in_the_readme() -> None:
    """All that the command ends with."""
    told = [int(status) for status, _ in rows("README.md", "Exit status")]
    assert told == [
        SUCCESS,
        FAILED,
        WRONG_CALL,
        *(128 + number for number in sorted({1, *NUMBERS})),
    ]  # Windows has no 1


def test_every_public_name_stands_in_the_guide() -> None:
    """Each once, and no other."""
    told = [name for names, _ in rows("docs/guide.md", "Public names") for name in code(names)]
    assert sorted(told) == sorted(capsule.__all__)


def test_every_shadow_of_wasi_stands_under_security() -> None:
    """Each interface that is replaced, and each item where an interface has several."""
    table = rows("docs/security.md", "WASI, and what stands in its place")
    told = " ".join(name for items, _, _ in table for name in code(items))
    for interface, items in SHADOWS.items():
        assert interface.rpartition("/")[2] in told
        if len(items) > 1 or interface == "wasi:random/random":
            assert all(item in told for item in items)


@pytest.mark.parametrize(
    "document",
    ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *[f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")]],
)
def test_no_machine_stands_in_a_document(document: str) -> None:
    """No path of somebody's machine."""
    assert not re.search(r"/(home|root|tmp|work|Users)/", (ROOT / document).read_text("utf-8"))


def test_the_rooms_are_those_that_there_are() -> None:
    """The map in the design names files and folders that exist, and every room."""
    text = (ROOT / "docs/design.md").read_text("utf-8").split("## Rooms", 1)[1].split("```")[1]
    named = re.findall(r"^  ([\w.]+/?) ", text.split("src/capsule_sdk/")[0], flags=re.MULTILINE)
    package = ROOT / "src/capsule"
    there = {_shown(path) for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(named) == there


def _shown(path: Path) -> str:
    return path.name if path.suffix else f"{path.name}/"
