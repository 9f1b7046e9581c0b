"""`@task` and `@actor` in an application: they mark a function or a class, and whoever runs it decides where."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar, overload

from .errors import InvalidProgram, UsageError
from .policy import OnFailure, Policy

__all__ = ["ActorClass", "Task", "actor", "task", "tools"]

P = ParamSpec("P")
R = TypeVar("R")


class Task(Generic[P, R]):
    """A function that runs in a sandbox: give it to `runtime.run`, `spawn` or `map`.

    `function` is the undecorated function, for those who want to call it here and now without a sandbox.
    """

    def __init__(self, function: Callable[P, R], settings: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.settings = settings

    @property
    def name(self) -> str:
        """What the task is called: the declared name, or the function's."""
        return str(self.settings.get("name") or self.function.__name__)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:
        name = self.function.__name__
        raise UsageError(
            f"{name} is a task and runs in a sandbox:\n"
            f"  wrong: {name}(...)\n"
            f"  right: await runtime.run({name}, ...)\n"
            f"Without a sandbox, on purpose: {name}.function(...)"
        )

    def map(self, items: Iterable[Any]) -> NoReturn:
        """For other tasks of its program, in their sandboxes. Here it raises UsageError."""
        name = self.function.__name__
        raise UsageError(
            f"{name} is a task and runs in sandboxes:\n"
            f"  wrong: {name}.map(...)\n"
            f"  right: async for outcome in runtime.map({name}, ...)"
        )

    def __repr__(self) -> str:
        return f"<task {self.name}>"


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    compute: int | str | None = None,
    ram: int | str | None = None,
    timeout: float | str | None = None,
    max_retries: int | None = None,
    max_output: int | str | None = None,
    allowed_hosts: Sequence[str] | None = None,
    allowed_files: Sequence[str | Mapping[str, str]] | None = None,
    env_variables: Sequence[str] | None = None,
    workspace: int | str | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Mark a module-level function as a task, with or without settings.

    `name` is what it is called (default: the function's name), `compute` its fuel ("LOW", "MEDIUM", "HIGH", a number,
    or "UNMETERED"), `ram` its memory ("64MB"), `timeout` its wall time ("30s"), `max_retries` the attempts after the
    first, `max_output` how much it may print, `allowed_hosts` where it may send HTTP requests, `allowed_files` the
    folders below the project root that it sees ("./data" to read; {"path": "./out", "mode": "read-write"} to write,
    too), `env_variables` the variables that it sees ("API_KEY", "MODE=default") and `workspace` the size of a private
    folder at /tmp ("10MB"). What is left out comes from the runtime's policy. The settings must be literals: they are
    read from the source, before anything runs. Raises InvalidPolicy for a limit that does not parse, and InvalidProgram
    for something that is not a function.
    """
    if function is None:
        return functools.partial(_make, settings=settings)
    return _make(function, settings={})


class ActorClass:
    """A class whose instances live in sandboxes of their own: give it to `runtime.spawn`.

    `cls` is the undecorated class, for those who want an instance here and now without a sandbox.
    """

    def __init__(self, cls: type[Any], settings: dict[str, Any]) -> None:
        functools.update_wrapper(self, cls, updated=())
        self.cls = cls
        self.settings = settings

    @property
    def name(self) -> str:
        """What the actor is called: the declared name, or the class's."""
        return str(self.settings.get("name") or self.cls.__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        name = self.cls.__name__
        raise UsageError(
            f"{name} is an actor and lives in a sandbox:\n"
            f"  wrong: {name}(...)\n"
            f"  right: await runtime.spawn({name}, ...)\n"
            f"Without a sandbox, on purpose: {name}.cls(...)"
        )

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type[Any]]:
        """So that another class can be derived from it."""
        return (self.cls,)

    def __repr__(self) -> str:
        return f"<actor class {self.name}>"


@overload
def actor(cls: type[Any], /) -> ActorClass: ...
@overload
def actor(
    *,
    name: str | None = None,
    compute: int | str | None = None,
    ram: int | str | None = None,
    timeout: float | str | None = None,
    max_retries: int | None = None,
    max_output: int | str | None = None,
    allowed_hosts: Sequence[str] | None = None,
    allowed_files: Sequence[str | Mapping[str, str]] | None = None,
    env_variables: Sequence[str] | None = None,
    workspace: int | str | None = None,
    max_mailbox: int | None = None,
    idle_timeout: float | str | None = None,
    on_failure: OnFailure | None = None,
    max_restarts: int | None = None,
    restart_window: float | str | None = None,
) -> Callable[[type[Any]], ActorClass]: ...
def actor(cls: type[Any] | None = None, /, **settings: Any) -> Any:
    """Mark a module-level class as an actor, with or without settings.

    The limits are those of `@task`, for each message. `max_mailbox` bounds the messages that wait, `idle_timeout` is
    after how long without one the actor stops (default: never), `on_failure` what becomes of it when its sandbox is
    gone ("restart", "stop" or "escalate"), and more than `max_restarts` restarts within `restart_window` escalate.
    The settings must be literals: they are read from the source, before anything runs. Raises InvalidPolicy for a
    limit that does not parse, and InvalidProgram for something that is not a class.
    """
    if cls is None:
        return functools.partial(_make_actor, settings=settings)
    return _make_actor(cls, settings={})


def _make_actor(cls: type[Any], settings: dict[str, Any]) -> ActorClass:
    if not inspect.isclass(cls):
        raise InvalidProgram(f"@actor marks classes, not {type(cls).__name__}")
    return ActorClass(cls, _checked(settings))


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that were given. Raises InvalidPolicy."""
    given = {name: value for name, value in settings.items() if value is not None}
    Policy().with_settings({name: value for name, value in given.items() if name != "name"})
    return given


def _make(function: Callable[..., Any], settings: dict[str, Any]) -> Task[..., Any]:
    if not inspect.isfunction(function):
        raise InvalidProgram(f"@task marks functions, not {type(function).__name__}")
    return Task(function, _checked(settings))


class _InsideOnly:
    """What `capsule` has inside a sandbox. Here it only lets a module import it that is shipped into one."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UsageError(
            f"tools.{name} is there inside a sandbox only; here, call the function itself, and grant it with "
            f"runtime.spawn(..., tools=[{name}])"
        )

    def __repr__(self) -> str:
        return "<tools, inside a sandbox>"


tools = _InsideOnly()
"""Inside a sandbox, `tools.search("x")` calls the tool `search` of the application."""
