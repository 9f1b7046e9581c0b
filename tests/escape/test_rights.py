"""Programs that try to have more rights than they may be granted, row by row: refused before they start, or without.

Each row's neighbour asks for what it may have, in the same runtime, and gets it.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from capsule import Event, InvalidProgram, Policy, Printed, RightsRefused, Runtime, Started, UsageError
from capsule._guest.cache import CompiledGuest

HEAD = "from capsule import actor, task\n"
MAIN = "def main():\n    print('begun')\n    return 'well'\n"
FETCH = "    from capsule.http import get\n    return get('http://api.example.com:9/').text()\n"
NEIGHBOUR = HEAD + "@task(allowed_hosts=['a.com'])\n" + MAIN


@dataclass(frozen=True, kw_only=True)
class Row:
    """The hostile program; `excess` is what is refused, by task, or `invalid` the words of what is no program."""

    name: str
    hostile: str
    excess: dict[str, tuple[str, ...]] = field(default_factory=dict)
    invalid: str = ""
    ceiling: tuple[str, ...] = ("a.com",)
    neighbour: str = NEIGHBOUR


def wants(host: str, ceiling: str, instead: str | None = None, shown: str | None = None) -> Row:
    """A program that declares `host`, and a neighbour that declares `instead`, under a ceiling of one line."""
    programs = [HEAD + f"@task(allowed_hosts=[{each!r}])\n" + MAIN for each in (host, instead or ceiling)]
    return Row(
        name=f"{host} under {ceiling}",
        hostile=programs[0],
        excess={"main": (shown or host,)},
        ceiling=(ceiling,),
        neighbour=programs[1],
    )


ROWS = (
    Row(name="plainly", hostile=HEAD + "@task(allowed_hosts=['b.com', 'a.com'])\n" + MAIN, excess={"main": ("b.com",)}),
    Row(
        name="in a sub-task alone",
        hostile=HEAD + "@task\n" + MAIN + "@task(allowed_hosts=['b.com'])\ndef other(): pass\n",
        excess={"other": ("b.com",)},
    ),
    Row(
        name="in an actor alone",
        hostile=HEAD + "@task\n" + MAIN + "@actor(allowed_hosts=['*'])\nclass Other: pass\n",
        excess={"Other": ("*",)},
    ),
    Row(
        name="everywhere",
        hostile=HEAD + "".join(f"@task(allowed_hosts=['h{n}.com'])\ndef t{n}(): pass\n" for n in range(50)) + MAIN,
        excess={f"t{n}": (f"h{n}.com",) for n in range(50)},
    ),
    Row(
        name="task by another name",
        hostile="from capsule import task as harmless\n@harmless(allowed_hosts=['b.com'])\n" + MAIN,
        excess={"main": ("b.com",)},
    ),
    Row(
        name="task from a module by another name",
        hostile="import capsule as c\n@c.task(allowed_hosts=['b.com'])\n" + MAIN,
        excess={"main": ("b.com",)},
    ),
    Row(
        name="task by a star",
        hostile="from capsule import *\n@task(allowed_hosts=['b.com'])\n" + MAIN,
        excess={"main": ("b.com",)},
    ),
    Row(
        name="below an if",
        hostile=HEAD + "@task\n" + MAIN + "if 0:\n    @task(allowed_hosts=['b.com'])\n    def other(): pass\n",
        excess={"other": ("b.com",)},
    ),
    Row(
        name="called by another name",
        hostile=HEAD + "@task\n" + MAIN + "@task(name='x', allowed_hosts=['b.com'])\ndef other(): pass\n",
        excess={"x": ("b.com",)},
    ),
    Row(
        name="declared twice",
        hostile=HEAD + "@task(allowed_hosts=['a.com'])\n" + MAIN + "@task(allowed_hosts=['b.com'])\n" + MAIN,
        invalid="there are two tasks 'main'",
    ),
    Row(
        name="declared once more below an if",
        hostile=HEAD + "@task\n" + MAIN + "if 1:\n    @task(allowed_hosts=['*'])\n    def main(): pass\n",
        invalid="there are two tasks 'main'",
    ),
    Row(
        name="a name for the list",
        hostile=HEAD + "HOSTS = ['b.com']\n@task(allowed_hosts=HOSTS)\n" + MAIN,
        invalid="must be written out as a literal",
    ),
    Row(
        name="a text that is put together",
        hostile=HEAD + "@task(allowed_hosts=['b.' + 'com'])\n" + MAIN,
        invalid="must be written out as a literal",
    ),
    Row(
        name="an f-string",
        hostile=HEAD + "@task(allowed_hosts=[f'b.com'])\n" + MAIN,
        invalid="must be written out as a literal",
    ),
    Row(
        name="a list that grows",
        hostile=HEAD + "@task(allowed_hosts=[*['b.com']])\n" + MAIN,
        invalid="must be written out as a literal",
    ),
    Row(
        name="a dict of settings",
        hostile=HEAD + "@task(**{'allowed_hosts': ['*']})\n" + MAIN,
        invalid="cannot be followed",
    ),
    Row(
        name="the setting in an odd alphabet",
        hostile=HEAD + "@task(ａllowed_hosts=['b.com'])\n" + MAIN,  # noqa: RUF001 - Python reads it as a plain a
        excess={"main": ("b.com",)},
    ),
    Row(
        name="a ceiling of its own",
        hostile=HEAD + "@task(ceiling={'allowed_hosts': ['*']})\n" + MAIN,
        invalid="no setting",
    ),
    Row(
        name="inside a function",
        hostile=HEAD + MAIN + "    @task(allowed_hosts=['*'])\n    def f(): pass\n",
        invalid="level",
    ),
    wants("*", "*.example.com", "x.example.com"),
    wants("*.example.com", "api.example.com"),
    wants("*.example.com", "*.api.example.com"),
    wants("*.com", "*.example.com"),
    wants("example.com", "*.example.com", "a.b.example.com"),
    wants("evilexample.com", "*.example.com", "evil.example.com"),
    wants("api.example.com.evil.com", "api.example.com", "API.Example.COM."),
    wants("a.com", "a.com:443", "a.com:443"),
    wants("a.com:80", "a.com:443"),
    wants("аpi.com", "api.com", shown="xn--pi-6kc.com"),  # noqa: RUF001 - the first letter is Cyrillic
    wants("b.com@public", "a.com", "a.com@public"),
    wants("localhost", "*", "example.com"),
    wants("LOCALHOST.", "*", "example.com", shown="localhost"),
    wants("0x7f.1", "*", "8.8.8.8", shown="127.0.0.1"),
    wants("2130706433", "*", shown="127.0.0.1"),
    wants("[::ffff:127.0.0.1]", "*", shown="127.0.0.1"),
    wants("169.254.169.254", "*"),
    wants("[::1]:80", "*:80", "a.com:80"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_it_does_not_start(guest: CompiledGuest, write, row: Row) -> None:
    """Refused with exactly what was too much; not a line of it ran, and its neighbour is well."""
    events: list[Event] = []
    hostile, neighbour = write("hostile.py", row.hostile), write("neighbour.py", row.neighbour)
    async with Runtime(ceiling=Policy(allowed_hosts=row.ceiling), on_event=events.append) as runtime:
        for start in (runtime.run, runtime.spawn, lambda file: anext(aiter(runtime.map(file, [1])))):
            with pytest.raises(UsageError) as caught:
                await start(hostile)
            if row.invalid:
                assert isinstance(caught.value, InvalidProgram)
                assert row.invalid in str(caught.value)
            else:
                assert isinstance(caught.value, RightsRefused)
                assert {each.name: each.wanted for each in caught.value.excess} == row.excess
        assert not runtime.actors()
        assert events == []
        assert await runtime.run(neighbour) == "well"
    assert any(isinstance(event, Started) for event in events)
    assert "".join(event.text for event in events if isinstance(event, Printed)) == "begun\n"


WITHOUT = {
    "task under a name that only a run would know": "from capsule import task\nmine = task\n@mine(allowed_hosts=['api.example.com'])\ndef main():\n"
    + FETCH,
    "task that is found by its name": "import capsule\n@getattr(capsule, 'task')(allowed_hosts=['api.example.com'])\ndef main():\n"
    + FETCH,
    "a second declaration above the first": HEAD
    + "@task(allowed_hosts=['a.com'])\n@task(allowed_hosts=['api.example.com'])\ndef main():\n"
    + FETCH,
    "settings that change at run time": HEAD
    + "@task(allowed_hosts=['a.com'])\ndef other():\n"
    + FETCH
    + "@task\ndef main():\n    for thing in (other, main):\n        try: thing.settings = {'allowed_hosts': ['*']}\n        except Exception: pass\n    return other()\n",
    "a task that is made at run time": HEAD
    + "@task\ndef main():\n    made = task(allowed_hosts=['*'])(fetch)\n    return getattr(made, 'function', made)()\ndef fetch():\n"
    + FETCH,
    "a source that is executed": HEAD
    + "@task\ndef main():\n    exec(SOURCE, globals())\n    return hidden()\nSOURCE = '''from capsule import task\n@task(allowed_hosts=[\"*\"])\ndef hidden():\n"
    + FETCH
    + "'''\n",
    "a policy in the request": HEAD
    + "@task\ndef main():\n    from capsule_sdk import _wire\n    body = {'method': 'GET', 'url': 'http://api.example.com:9/', 'policy': {'allowed_hosts': ['*']}}\n"
    + "    return _wire.call('http', body, lambda answer: OSError(answer['message']))\n",
}
"""Programs whose declaration the host does not see, or that say it when it is too late: they run without the right."""


WORDS = {
    "a second declaration above the first": "max_depth",  # it calls itself, in sandboxes of their own
    "a source that is executed": "'hidden', which is no task of hostile.py, is not allowed",
    "a policy in the request": "policy",
}
"""What it fails with, where that is not the request itself."""


@pytest.mark.parametrize("name", WITHOUT)
@pytest.mark.parametrize("ceiling", [None, Policy(allowed_hosts=["a.com"])], ids=["no ceiling", "a ceiling"])
async def test_it_runs_without(guest: CompiledGuest, write, name: str, ceiling: Policy | None) -> None:
    """What was not read before it ran is no declaration, so its request fails and none is made."""
    own = Policy(allowed_hosts=["a.com"])
    async with Runtime(policy=None if ceiling else own, ceiling=ceiling) as runtime:
        outcome = await (await runtime.spawn(write("hostile.py", WITHOUT[name]))).outcome()
        assert not outcome.success
        assert outcome.execution.host_requests == ()
        assert WORDS.get(name, "a request to api.example.com:9 is not allowed") in outcome.error.message
        assert await runtime.run(write("neighbour.py", NEIGHBOUR)) == "well"


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules of an application, written and imported; the first is answered."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def make(**sources: str) -> Any:
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
            made.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(next(iter(sources)))

    yield make
    for name in made:
        sys.modules.pop(name, None)


async def test_modules_that_go_along_are_asked_too(guest: CompiledGuest, application: Any) -> None:
    """A task of a sibling module is a task of the program: what it wants is refused before its caller starts."""
    module = application(
        rights_caller="from capsule import task\nimport rights_sibling\n@task\ndef main(): return rights_sibling.other()\n",
        rights_sibling="from capsule import task\n@task(allowed_hosts=['b.com'])\ndef other(): return 'well'\n",
    )
    async with Runtime(ceiling=Policy(allowed_hosts=["a.com"])) as runtime:
        with pytest.raises(RightsRefused, match=r'rights_sibling\.py:3, task other: allowed_hosts=\["b.com"\]'):
            await runtime.run(module.main)
    async with Runtime(ceiling=Policy(allowed_hosts=["b.com"])) as runtime:
        assert await runtime.run(module.main) == "well"
