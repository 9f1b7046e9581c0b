"""`@task` in an application: it marks a function, and whoever runs it decides where."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar, overload

from .errors import InvalidProgram, UsageError
from .policy import Policy

__all__ = ["Task", "task"]

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
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Mark a module-level function as a task, with or without settings.

    `name` is what it is called (default: the function's name), `compute` its fuel ("LOW", "MEDIUM", "HIGH" or a
    number), `ram` its memory ("64MB"), `timeout` its wall time ("30s"), `max_retries` the attempts after the first,
    `max_output` how much it may print. What is left out comes from the runtime's policy. The settings must be
    literals: they are read from the source, before anything runs. Raises InvalidPolicy for a limit that does not
    parse, and InvalidProgram for something that is not a function.
    """
    if function is None:
        return functools.partial(_make, settings=settings)
    return _make(function, settings={})


def _make(function: Callable[..., Any], settings: dict[str, Any]) -> Task[..., Any]:
    if not inspect.isfunction(function):
        raise InvalidProgram(f"@task marks functions, not {type(function).__name__}")
    given = {name: value for name, value in settings.items() if value is not None}
    Policy().with_settings({name: value for name, value in given.items() if name != "name"})
    return Task(function, given)
