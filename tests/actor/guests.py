"""Guests that a test holds, lets go, and breaks: scripts of an actor class `Notes` and of a task `work`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from capsule.testing import FakeGuest, HostError, Script

MARK = "capsule:actor"

Broken = Callable[[FakeGuest], Any]


class Guests:
    """`add` notes an item and answers how many there are in this sandbox, `hold` does so once its gate is open."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        """Every item that any of them began to work on, in order."""
        self.made = 0
        """How often the constructor ran."""
        self.creating: list[Broken] = []
        """What the next constructors do, one each."""
        self.gates: dict[object, anyio.Event] = {}

    @property
    def scripts(self) -> dict[str, Script]:
        """For `stage`."""
        methods = {name: getattr(self, name) for name in ("add", "hold", "items", "fail", "die", "burn", "rest")}
        calls = {"call": self.call, "speak": self.speak, "begin": self.begin, "raw": self.raw, "__init__": self.create}
        return {"work": self.work, **{f"Notes.{name}": script for name, script in {**methods, **calls}.items()}}

    def gate(self, item: object) -> anyio.Event:
        return self.gates.setdefault(item, anyio.Event())

    async def create(self, guest: FakeGuest) -> None:
        self.made += 1
        guest.state["items"] = [*guest.args]
        if self.creating:
            self.creating.pop(0)(guest)

    async def work(self, guest: FakeGuest) -> object:
        """The task: does the method that is its first argument, and answers `None` if there is none."""
        if not guest.args:
            return None
        method, *guest.args = guest.args
        return await getattr(self, method)(guest)

    async def add(self, guest: FakeGuest) -> int:
        self.seen.append(guest.args[0])
        items = guest.state.setdefault("items", [])
        items.append(guest.args[0])
        return len(items)

    async def hold(self, guest: FakeGuest) -> int:
        count = await self.add(guest)
        await self.gate(guest.args[0]).wait()
        return count

    async def items(self, guest: FakeGuest) -> list[object]:
        return guest.state.get("items", [])

    async def fail(self, guest: FakeGuest) -> None:
        raise ValueError("no luck")

    async def die(self, guest: FakeGuest) -> None:
        guest.end(*guest.args)

    async def burn(self, guest: FakeGuest) -> None:
        guest.burn(guest.args[0])

    async def rest(self, guest: FakeGuest) -> None:
        await guest.sleep(guest.args[0])

    async def call(self, guest: FakeGuest) -> object:
        """A host call of the guest's: its operation and payload. Answers what the guest sees of a failure."""
        return await seen(guest.host_call(*guest.args))

    async def speak(self, guest: FakeGuest) -> object:
        """A host call about an actor: the operation, its number in this sandbox, the method, the arguments."""
        operation, number, *message = guest.args
        payload: dict[str, object] = {"ref": {MARK: number}}
        if message:
            payload |= {"method": message[0], "args": message[1:], "kwargs": {}}
        return await seen(guest.host_call(operation, payload))

    async def begin(self, guest: FakeGuest) -> object:
        """Start an actor from inside: its name and arguments. Answers its number in this sandbox."""
        name, *args = guest.args
        ref = await seen(guest.host_call("spawn", {"actor": name, "args": args, "kwargs": {}}))
        return ref[MARK] if isinstance(ref, dict) else ref

    async def raw(self, guest: FakeGuest) -> object:
        """A host call whose payload is JSON text as it is."""
        operation, text = guest.args
        return await seen(guest.wait(guest._sandbox.submit(operation, text)))


async def seen(answer: Awaitable[Any]) -> Any:
    """The value, or what a guest hears instead: the kind and the text."""
    try:
        return await answer
    except HostError as error:
        return [error.error_type, error.message]


async def settle() -> None:
    """Let everybody get as far as they come."""
    await anyio.wait_all_tasks_blocked()
    await anyio.wait_all_tasks_blocked()


class Caller:
    """An ask in a task of its own, that a test can cancel. `got` is the value, or the error."""

    def __init__(self, tasks: Any, ask: Callable[..., Any], *args: Any) -> None:
        self.scope, self.got, self.is_done = anyio.CancelScope(), None, False
        tasks.start_soon(self._run, ask, args)

    async def _run(self, ask: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.got = "cancelled"
        with self.scope:
            try:
                self.got = await ask(*args)
            except Exception as error:  # noqa: BLE001 - for the test to look at
                self.got = error
        self.is_done = True

    @property
    def kind(self) -> object:
        """The value, or the name of what was raised."""
        return type(self.got).__name__ if isinstance(self.got, Exception) else self.got
