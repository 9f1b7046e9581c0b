"""Folders and variables that a program declares beyond what it may be granted: it does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsule import InvalidProgram, Policy, RightsRefused, Runtime, Started
from capsule._guest.cache import CompiledGuest

SOURCE = """
import os
from capsule import task
def seen():
    return [name for name in ("data", "data/sub", "other", "x") if os.path.isdir(name)], "CAPSULE_TEST_A" in os.environ
@task({settings})
def main():
    return seen()
"""
READS, WRITES = {"allowed_files": ["data"]}, {"allowed_files": ["data:rw"]}
MOUNTED, NAMED = {"mounts": ["data"]}, {"env_variables": ["CAPSULE_TEST_A"]}


@pytest.fixture(autouse=True)
def folder(guest: CompiledGuest, write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("capsule.toml", "")
    for name in ("data/sub/x.txt", "other/x.txt"):
        write(name, "x")
    Path("inner").symlink_to("other")
    Path("outer").symlink_to("/etc")
    monkeypatch.setenv("CAPSULE_TEST_A", "a")


@pytest.mark.parametrize(
    ("settings", "ceiling", "refused", "neighbour"),
    [
        ("allowed_files=['data']", {}, "allowed_files", ""),
        ("allowed_files=['other']", READS, "allowed_files", "allowed_files=['data']"),
        ("allowed_files=['.']", READS, "allowed_files", "allowed_files=['data/sub']"),
        ("allowed_files=['data:rw']", READS, "allowed_files", "allowed_files=['data:ro']"),
        ("allowed_files=[{'path': 'data/sub', 'mode': 'rw'}]", READS, "allowed_files", "allowed_files=['data/sub']"),
        ("allowed_files=['inner']", WRITES, "allowed_files", "allowed_files=['data:rw']"),
        ("allowed_files=['data2']", READS, None, "allowed_files=['data']"),
        ("allowed_files=['data::/x', 'other::/data']", MOUNTED, "allowed_files", "allowed_files=['data::/x']"),
        ("allowed_files=['data:rw']", MOUNTED, "allowed_files", "allowed_files=['data']"),
        ("allowed_files=['outer']", READS, None, "allowed_files=['data']"),
        ("allowed_files=['../data']", READS, None, "allowed_files=['data']"),
        ("allowed_files=['/etc']", READS, None, "allowed_files=['data']"),
        ("mounts=['data']", READS, None, "allowed_files=['data']"),
        ("env_variables=['CAPSULE_TEST_A']", {}, "env_variables", ""),
        ("env_variables=['CAPSULE_TEST_A=mine']", {}, "env_variables", ""),
        ("env_variables=['PATH']", NAMED, "env_variables", "env_variables=['CAPSULE_TEST_A']"),
        ("env_variables=['capsule_test_a=x']", NAMED, "env_variables", "env_variables=['CAPSULE_TEST_A=x']"),
    ],
)
async def test_more_than_it_may_have(
    write, settings: str, ceiling: dict[str, object], refused: str | None, neighbour: str
) -> None:
    """Nothing begins, and the list says which right it was; None: it is no declaration. The neighbour runs."""
    events: list[object] = []
    hostile, harmless = (
        write(f"{name}.py", SOURCE.format(settings=text))
        for name, text in (("hostile", settings), ("harmless", neighbour))
    )
    async with Runtime(ceiling=Policy.largest().with_settings(ceiling), on_event=events.append) as runtime:
        with pytest.raises(RightsRefused if refused else InvalidProgram) as caught:
            await runtime.run(hostile)
        if refused:
            assert {each.right for each in caught.value.excess} == {refused}
        assert not any(isinstance(event, Started) for event in events)
        names, has_variable = await runtime.run(harmless)
    assert has_variable == ("env_variables" in neighbour)
    assert bool(names) == ("allowed_files" in neighbour)


async def test_what_its_caller_has(write) -> None:
    """A sub-task sees what is declared for it, and nothing of its caller's."""
    source = SOURCE.replace("def main", "def sub").format(settings="") + (
        "@task(allowed_files=['data'], env_variables=['CAPSULE_TEST_A'])\ndef main():\n    return sub(), seen()\n"
    )
    policy = Policy.largest().with_settings({**READS, **NAMED})
    async with Runtime(ceiling=policy) as runtime:
        assert await runtime.run(write("t.py", source)) == [[[], False], [["data", "data/sub"], True]]


async def test_without_a_ceiling(write) -> None:
    """A file gets nothing that the runtime's policy does not hold; what the policy mounts, every task sees."""
    async with Runtime() as runtime:
        with pytest.raises(RightsRefused):
            await runtime.run(write("a.py", SOURCE.format(settings="allowed_files=['data']")))
    async with Runtime(policy=Policy.largest().with_settings(MOUNTED)) as runtime:
        assert await runtime.run(write("b.py", SOURCE.format(settings=""))) == [["data", "data/sub"], False]
        assert await runtime.run(write("c.py", SOURCE.format(settings="allowed_files=['data']"))) == [
            ["data", "data/sub"],
            False,
        ]
