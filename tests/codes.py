"""Programs that run again: how tests wait for their byte code and see whether it is used."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel

from capsule import Outcome, Runtime
from capsule._codes import Codes

LONG = "\n# " + "so that it is worth a sandbox after two runs " * 12
"""Makes a program long enough for byte code after two runs."""


def codes_of(runtime: Runtime) -> Codes:
    """The byte code that an open runtime keeps."""
    found = runtime._opened().code_of.__self__
    assert isinstance(found, Codes)
    return found


async def made(runtime: Runtime) -> None:
    """Wait until nothing is being compiled."""
    with anyio.fail_after(30):
        while codes_of(runtime)._is_busy:
            await anyio.lowlevel.checkpoint()


async def outcome_of(runtime: Runtime, name: str, *args: Any) -> Outcome:
    """How a run of `name` ended."""
    return await (await runtime.spawn(name, *args)).outcome()


async def run_until_made(runtime: Runtime, name: str, *args: Any) -> Outcome:
    """Run `name` from source as often as it takes for its byte code to be made, and answer the first outcome."""
    first = await outcome_of(runtime, name, *args)
    await outcome_of(runtime, name, *args)
    await made(runtime)
    return first


def said(outcome: Outcome) -> tuple[Any, ...]:
    """All that an outcome says but its costs."""
    return outcome.success, outcome.result, outcome.error, outcome.stdout, outcome.stderr
