"""What turns a program and its arguments into something that lives: an actor, or the delivery of one message.

The runtime asks for its users, and the capabilities ask for the guests, who name only what their program declares.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ._actor.actor import Actor
from ._actor.admission import Admission
from ._actor.delivery import Delivery, FreshHome
from ._actor.family import Family
from ._actor.grants import Grants
from ._actor.inside import delivery_of
from ._actor.ref import ActorRef
from ._actor.subject import ActorSubject, Subject, TaskSubject, task_call
from ._actor.world import World
from ._environment import Environment
from ._host.tools import Tools
from ._policies import Policies
from ._provision import COMPILER
from ._secrets import NO_SECRETS
from ._values import ActorSpec, Program, TaskSpec
from .abc import CallContext
from .errors import RuntimeClosed
from .policy import Policy

__all__ = ["Launcher"]

_COMPILING = Policy(compute="HIGH", ram="128MB", timeout="60s", max_message="64MB")
"""For a sandbox that compiles packages, whatever the programs that need them may use."""

_BESIDE = Policy(compute="HIGH", ram="128MB", timeout="10s", max_message="16MB")
"""For one that compiles a program."""


_MOST_KNOWN = 100


def _subject(world: World, program: Program, spec: TaskSpec | ActorSpec, policy: Policy) -> Subject:
    kind: Any = ActorSubject if isinstance(spec, ActorSpec) else TaskSubject
    made: Subject = kind(world, program, spec, policy)
    return made


class Launcher:
    """Starts things in one runtime, while it is open. `tools` are those of the runtime."""

    def __init__(self, policies: Policies, tools: Tools, environment: Environment) -> None:
        self.world: World | None = None
        self._policies, self._tools, self._environment = policies, tools, environment
        self._subjects: dict[int, tuple[tuple[object, ...], Subject]] = {}

    def opened(self) -> World:
        """Raises RuntimeClosed outside the runtime's block."""
        if self.world is None:
            raise RuntimeClosed
        return self.world

    def subject(self, program: Program, spec: TaskSpec | ActorSpec) -> Subject:
        """What an actor is about, with the policy that it gets."""
        world = self.opened()
        policy = self._policies.of(program, spec, world.engine)
        self._environment.check(policy, spec.name)
        about = (world, program, spec, policy)
        known = self._subjects.get(id(spec))
        if known is None or any(one is not other for one, other in zip(known[0], about, strict=True)):
            known = about, _subject(*about)
            if len(self._subjects) >= _MOST_KNOWN:  # files are read anew each time
                self._subjects.clear()
            self._subjects[id(spec)] = known
        return known[1]

    def actor(
        self,
        subject: Subject,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        *,
        name: str | None = None,
        caller: Delivery | None = None,
        tools: Tools | None = None,
    ) -> Actor:
        """Start an actor; the runtime's task group runs it. Raises a UsageError before anything is started."""
        world = self.opened()
        world.registry.sweep()
        world.registry.check_name(name)
        grants = Grants(world)
        first = subject.first(args, kwargs, grants)
        ram = subject.policy.ram_bytes
        if caller is not None:
            caller.family.enter(ram, len(first.body) if first else 0)
        actor = Actor(
            world,
            subject,
            first,
            grants=grants,
            name=name,
            caller=caller,
            tools=self._granted(caller, tools),
        )
        world.registry.add(actor)
        if caller is not None:
            caller.children.add(actor)
        actor.task = world.tasks.start_soon(actor.run)
        return actor

    def delivery(
        self,
        program: Program,
        spec: TaskSpec,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        *,
        caller: Delivery | None = None,
        tools: Tools | None = None,
    ) -> Delivery:
        """One message to a fresh sandbox, not begun yet. Raises a UsageError."""
        world = self.opened()
        policy = self._policies.of(program, spec, world.engine)
        self._environment.check(policy, spec.name)
        grants = Grants(world)
        call = task_call(world, program, spec, policy, args, kwargs, grants)
        if caller is not None and isinstance(args, list):
            args.clear()  # written down: what a guest sent may take many times its text while it waits
            kwargs.clear()
        return Delivery(
            world,
            call,
            FreshHome(caller.children.place if caller else None),
            family=caller.family if caller else Family(policy),
            grants=grants,
            caller=caller,
            depth=caller.depth + 1 if caller else 0,
            tools=self._granted(caller, tools),
        )

    async def call_from_guest(
        self, context: CallContext, spec: TaskSpec, args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        """A guest calls a task of its program: the value, or TaskFailed."""
        caller = delivery_of(context)
        policy = self._policies.of(context.program, spec, self.opened().engine)
        with caller.family.child(policy.ram_bytes):
            return (await self.delivery(context.program, spec, args, kwargs, caller=caller).run()).unwrap()

    def spawn_from_guest(
        self, context: CallContext, spec: ActorSpec, args: list[Any], kwargs: dict[str, Any]
    ) -> ActorRef:
        """A guest starts an actor of its program."""
        return self.actor(self.subject(context.program, spec), args, kwargs, caller=delivery_of(context)).ref()

    async def compiled(self, files: list[tuple[str, str]]) -> list[Any] | None:
        """Byte code of packages' files (path, base64 of the source) and what they import, made by a sandbox; None if it
        did not answer.
        """
        world = self.opened()
        found = await self._compiled(world, world.admission, COMPILER.tasks[0], _COMPILING, files)
        return found if isinstance(found, list) else None

    async def compiled_beside(self, files: list[tuple[str, str]]) -> Any:
        """What a sandbox says is the byte code of a program's files (path, source); None if it failed.

        It takes no place from anybody, and must be the only one.
        """
        if self.world is None:
            return None
        admission = Admission(1, _BESIDE.ram_bytes)
        return await self._compiled(self.world, admission, COMPILER.tasks[1], _BESIDE, files)

    async def _compiled(
        self, world: World, admission: Admission, spec: TaskSpec, policy: Policy, files: list[tuple[str, str]]
    ) -> Any:
        """In a world of its own: no listener asked for it, and nothing of the host is there for what it compiles."""
        world = replace(
            world,
            admission=admission,
            notify=lambda _: None,
            numbers=itertools.count(1),
            capabilities={},
            secrets=NO_SECRETS,
            environment=lambda _: {},
            code_of=lambda _: (),
        )
        grants = Grants(world)
        call = task_call(world, COMPILER, spec, policy, [files], {}, grants)
        return (await Delivery(world, call, FreshHome(None), family=Family(policy), grants=grants).run()).result

    def _granted(self, caller: Delivery | None, tools: Tools | None) -> object:
        if caller is not None:
            return caller.tools
        return self._tools if tools is None else tools
