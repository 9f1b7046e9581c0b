"""`capsule.http` outside a sandbox: a module whose tasks use it can be imported, and calling it helps."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import capsule.http
from capsule import Policy, Runtime, UsageError
from capsule._guest.cache import CompiledGuest
from capsule.http import Denied, RequestError, aget, get
from host.servers import serving

SDK = Path(__file__).parents[1] / "src/capsule_sdk/http.py"


def _names(body: list[ast.stmt]) -> dict[str, list[str]]:
    return {node.name: [ast.unparse(base) for base in node.bases] for node in body if isinstance(node, ast.ClassDef)}


def test_the_names_are_those_of_the_sandbox() -> None:
    """Every name, and the errors in the same tree."""
    inside = ast.parse(SDK.read_text("utf-8")).body
    (listed,) = (ast.literal_eval(n.value) for n in inside if ast.unparse(n).startswith("__all__ = "))
    assert listed == capsule.http.__all__
    for name, bases in _names(inside).items():
        if name in listed and "Error" in "".join(bases) + name:
            assert [base.__name__ for base in getattr(capsule.http, name).__bases__] == bases


@pytest.mark.parametrize("name", [name for name in capsule.http.__all__ if name.islower()])
def test_calling_it_here_says_where_it_works(name: str) -> None:
    """Of all that sends, and whatever it is given."""
    with pytest.raises(UsageError, match=rf"http\.{name} is there inside a sandbox only.*allowed_hosts"):
        getattr(capsule.http, name)("GET", "http://127.0.0.1/", json={})


def test_responses_are_not_made_here() -> None:
    """Nor their headers; errors are classes that can be named."""
    with pytest.raises(UsageError, match=r"http\.Response"):
        capsule.http.Response()
    with pytest.raises(UsageError, match=r"http\.Headers"):
        capsule.http.Headers()
    assert issubclass(Denied, RequestError)


@capsule.task(allowed_hosts=["127.0.0.1"])
async def both(base: str) -> list[str]:
    try:
        get("http://127.0.0.2/")
    except Denied as error:
        refusal = str(error)
    return [get(base).text(), (await aget(base)).text(), refusal]


async def test_a_module_that_imports_it_at_the_top(guest: CompiledGuest) -> None:
    """The same names, in a task of this very module, send requests inside."""
    with serving() as server:
        async with Runtime(ceiling=Policy(allowed_hosts=["127.0.0.1"])) as runtime:
            found = await runtime.run(both, server.url("/"))
    assert found[:2] == ["hello", "hello"]
    assert 'allowed_hosts=["127.0.0.2"]' in found[2]
