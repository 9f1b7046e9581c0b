"""One program, written twice: as source for a real guest and as scripts for the fake engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio.lowlevel

from .guest import FakeGuest, Script

__all__ = ["CONTRACT_SCRIPTS", "CONTRACT_SOURCE"]

CONTRACT_SOURCE = """\
import os, sys, time
from capsule_sdk import _wire

kept = []

def echo(*args, **kwargs):
    return [list(args), kwargs]

def keep(value):
    kept.append(value)
    return kept

def fail(text):
    raise ValueError(text)

def die():
    os._exit(3)

def spin():
    while True:
        pass

def rest(seconds):
    time.sleep(seconds)
    return "rested"

def say(*lines):
    for stream, text in lines:
        print(text, file=getattr(sys, stream))

def answer_long(size):
    return "x" * size

def ask(operation, payload):
    return _wire.call(operation, payload)

def ask_and_give_up(operation, then):
    _wire.cancel(_wire.submit(operation, None))
    return _wire.call(then, None)

def leave(operation):
    return _wire.submit(operation, None)

def collect(ticket):
    _wire.submit("collecting", None)
    return _wire.result(ticket)

def ask_long(count, size):
    for _ in range(count):
        _wire.submit("long", "x" * size)

def ask_many(count):
    tickets = [_wire.submit("many", number) for number in range(count)]
    found = {}
    while len(found) < count:
        found.update(_wire.completions(None))
    return [_wire.value_of(found[ticket]) for ticket in tickets]
"""
"""For an engine whose guest is capsule's Python guest."""

_SLICE = 100_000  # fuel that a fake busy loop burns before it looks around


async def _echo(guest: FakeGuest) -> Any:
    return [guest.args, guest.kwargs]


async def _keep(guest: FakeGuest) -> Any:
    guest.state.setdefault("kept", []).append(guest.args[0])
    return guest.state["kept"]


async def _fail(guest: FakeGuest) -> Any:
    raise ValueError(guest.args[0])


async def _die(guest: FakeGuest) -> Any:
    guest.end("trap")


async def _spin(guest: FakeGuest) -> Any:
    while True:
        guest.burn(_SLICE)
        await anyio.lowlevel.checkpoint()


async def _rest(guest: FakeGuest) -> Any:
    await guest.sleep(guest.args[0])
    return "rested"


async def _say(guest: FakeGuest) -> Any:
    for stream, text in guest.args:
        guest.print(text + "\n", stream)


async def _answer_long(guest: FakeGuest) -> Any:
    return "x" * int(guest.args[0])


async def _ask(guest: FakeGuest) -> Any:
    return await guest.host_call(*guest.args)


async def _ask_and_give_up(guest: FakeGuest) -> Any:
    operation, then = guest.args
    guest.give_up(guest.submit(operation))
    return await guest.host_call(then)


async def _leave(guest: FakeGuest) -> Any:
    return guest.submit(guest.args[0])


async def _collect(guest: FakeGuest) -> Any:
    guest.submit("collecting")
    return await guest.wait(guest.args[0])


async def _ask_long(guest: FakeGuest) -> Any:
    count, size = guest.args
    for _ in range(count):
        guest.submit("long", "x" * size)


async def _ask_many(guest: FakeGuest) -> Any:
    tickets = [guest.submit("many", number) for number in range(guest.args[0])]
    return [await guest.wait(ticket) for ticket in tickets]


CONTRACT_SCRIPTS: Mapping[str, Script] = {
    "echo": _echo,
    "keep": _keep,
    "fail": _fail,
    "die": _die,
    "spin": _spin,
    "rest": _rest,
    "say": _say,
    "answer_long": _answer_long,
    "ask": _ask,
    "ask_and_give_up": _ask_and_give_up,
    "leave": _leave,
    "collect": _collect,
    "ask_long": _ask_long,
    "ask_many": _ask_many,
}
"""The same for a FakeEngine."""
