"""What an actor is an actor of: a task, a class, or a session. Each knows how to put a request into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as _text
from typing import Any, Protocol

from .._values import ActorSpec, Program, TaskSpec
from ..errors import InvalidArguments, UnknownMethod
from ..policy import Policy, format_size
from .call import Call
from .grants import Grants
from .world import World

_MOST_METHODS = 20  # that an error lists
_MOST_NAME = 100  # characters that it repeats


class Subject(Protocol):
    """The requests that an actor takes."""

    name: str
    policy: Policy
    program: Program
    keeps_state: bool
    """Whether a message that raised must leave the sandbox alone; if not, it may be tried again in a fresh one."""

    def first(self, args: Sequence[Any], kwargs: Mapping[str, Any], grants: Grants) -> Call | None:
        """The request that a spawn with these arguments makes, if any. Raises InvalidArguments."""

    def call(self, method: str | None, args: Sequence[Any], kwargs: Mapping[str, Any], grants: Grants) -> Call:
        """The request of an ask or tell; `method` is None for `ref(...)`. Raises UnknownMethod, InvalidArguments."""

    def check_method(self, method: str) -> None:
        """Raises UnknownMethod."""


class TaskSubject:
    """A task. Its first message is the call that it was spawned with, if there were arguments or it needs none."""

    keeps_state = False

    def __init__(self, world: World, program: Program, spec: TaskSpec, policy: Policy) -> None:
        self.name, self.program, self.policy = spec.name, program, policy
        self._world, self._spec = world, spec

    def first(self, args: Sequence[Any], kwargs: Mapping[str, Any], grants: Grants) -> Call | None:
        """The call itself; None if it was spawned to wait for its messages."""
        if not args and not kwargs and any(parameter.required for parameter in self._spec.parameters):
            return None
        return self.call(None, args, kwargs, grants)

    def call(self, method: str | None, args: Sequence[Any], kwargs: Mapping[str, Any], grants: Grants) -> Call:
        """One call of the task."""
        if method is not None:
            self.check_method(method)
        return task_call(self._world, self.program, self._spec, self.policy, args, kwargs, grants)

    def check_method(self, method: str) -> None:
        """A task has none."""
        raise UnknownMethod(f"{self.name} is a task and has no method {method!r}; ask it with `await ref(...)`")


class ActorSubject:
    """A class. Its first message is the constructor."""

    keeps_state = True

    def __init__(self, world: World, program: Program, spec: ActorSpec, policy: Policy) -> None:
        self.name, self.program, self.policy = spec.name, program, policy
        self._world, self._spec = world, spec
        self._methods = {method.name: method for method in spec.methods}
        # What events call a call of each method, and how its request begins: a list, which a guest reads twice as fast.
        self._heads = {method: (f"{self.name}.{method}", f"[{_text(method)},") for method in self._methods}
        names = [method.name for method in spec.methods[:_MOST_METHODS]]
        self._known = ", ".join(names + ["..."] * (len(spec.methods) > _MOST_METHODS)) or "none"

    def first(self, args: Sequence[Any], kwargs: Mapping[str, Any], grants: Grants) -> Call:
        """The constructor's call."""
        call = self._arguments(self._spec.create, args, kwargs, grants)
        return self._call(self.name, f'{{"actor":{_text(self._spec.cls)},"call":{call}}}')

    def call(self, method: str | None, args: Sequence[Any], kwargs: Mapping[str, Any], grants: Grants) -> Call:
        """One call of a method."""
        if method is None:
            raise UnknownMethod(f"{self.name} is an actor; ask one of its methods: {self._known}")
        spec = self._methods.get(method)
        if spec is None:
            raise self._unknown(method)
        name, head = self._heads[method]
        return self._call(name, head + self._arguments(spec, args, kwargs, grants)[1:])

    def check_method(self, method: str) -> None:
        """It has those that its source defines."""
        if method not in self._methods:
            raise self._unknown(method)

    def _unknown(self, method: str) -> UnknownMethod:
        return UnknownMethod(f"{self.name} has no method {method[:_MOST_NAME]!r}; its methods are {self._known}")

    def _arguments(self, spec: TaskSpec, args: Sequence[Any], kwargs: Mapping[str, Any], grants: Grants) -> str:
        self._world.check_arguments(spec, args, kwargs)
        return write_arguments(args, kwargs, self.policy, grants)

    def _call(self, name: str, body: str) -> Call:
        return Call(program=self.program, name=name, policy=self.policy, body=body)


class SessionSubject:
    """A session: code that comes as messages."""

    name = "session"
    keeps_state = True
    program = Program(path="session", source="")

    def __init__(self, policy: Policy, program: Program = program) -> None:
        """`program` is what is loaded before any code comes, and the packages that it has."""
        self.policy, self.program = policy, program
        self._cells = 0

    def first(self, args: Sequence[Any], kwargs: Mapping[str, Any], grants: Grants) -> None:
        """Nothing to say until code comes."""

    def call(self, method: str | None, args: Sequence[Any], kwargs: Mapping[str, Any], grants: Grants) -> Call:
        """Nothing that a ref could say, in whoever's hands it is."""
        raise UnknownMethod("a session takes code from its Session alone; its ref is for its state and its end")

    def check_method(self, method: str) -> None:
        """As `call`."""
        raise UnknownMethod(f"a session has no method {method!r}; give it code with `await session.run(...)`")

    def run(self, code: str) -> Call:
        """One piece of code. Raises InvalidArguments if it is no text, or too long."""
        if not isinstance(code, str):
            raise InvalidArguments(f"code is text, not {type(code).__name__}")
        self._cells += 1
        return self._call(f'{{"code":{_text(code)},"cell":{self._cells}}}')

    def variables(self) -> Call:
        """The names that the code has made."""
        return self._call('{"variables":true}')

    def _call(self, body: str) -> Call:
        check_size(body, self.policy)
        return Call(program=self.program, name=self.name, policy=self.policy, body=body)


def task_call(
    world: World,
    program: Program,
    spec: TaskSpec,
    policy: Policy,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    grants: Grants,
) -> Call:
    """One call of a task. Raises InvalidArguments."""
    world.check_arguments(spec, args, kwargs)
    body = f'{{"function":{_text(spec.function)},"call":{write_arguments(args, kwargs, policy, grants)}}}'
    return Call(program=program, name=spec.name, policy=policy, body=body)


def write_arguments(args: Sequence[Any], kwargs: Mapping[str, Any], policy: Policy, grants: Grants) -> str:
    """`[args, kwargs]` as JSON text. Raises InvalidArguments if it is none, or larger than `max_message`."""
    return grants.sent(lambda: _arguments(args, kwargs, policy, grants))


def _arguments(args: Sequence[Any], kwargs: Mapping[str, Any], policy: Policy, grants: Grants) -> str:
    named = grants.write(dict(kwargs), "kwargs") if kwargs else "{}"
    text = f"[{grants.write(list(args), 'args')},{named}]"
    check_size(text, policy)
    return text


def check_size(text: str, policy: Policy) -> None:
    """Raises InvalidArguments if `text` is larger than `max_message`."""
    if len(text) > policy.max_message_bytes:
        raise InvalidArguments(
            f"the arguments take {format_size(len(text))} as JSON; "
            f"max_message allows {format_size(policy.max_message_bytes)}"
        )
