"""One tool: a function of the application, its limits, and how it is called for a guest."""

from __future__ import annotations

import inspect
import keyword
import logging
import math
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any, NoReturn

import anyio

from ..errors import InvalidArguments, InvalidPolicy, InvalidTool, ToolError
from ..policy import parse_duration
from .tool_errors import cause_of, endings, told
from .tool_log import Scrub, log_failure
from .tool_shape import Shape, WrongAnswer
from .tool_threads import Threads

__all__ = ["Tool"]

_MOST_WARNINGS = 100  # of one tool, with a traceback each; after that at debug level, for a guest can go on for ever


class Tool:
    """A function that guests may call by name, with limits of its own. Does not change once made.

    `name` is what it is called inside (default: the function's name). `timeout` is the wall time of one call, in
    seconds or as "5s" (default: none of its own). `max_calls` is how many calls one message and all of its sub-tasks
    may make together (default: any number).

    An async function is awaited on the event loop, and cancelled when its caller ends or its time is up. A plain one
    runs in a worker thread, which cannot be stopped: its caller is answered at once, the thread goes on and counts
    among the 40 that the runtime has for tools (8 for one message or actor and its sub-tasks), and leaving the
    runtime waits for it.

    Arguments become the types that the hints say, as strictly as msgspec decodes JSON, and what the function answers
    is cut to the shape of its hint. Without a hint, any JSON will do. A ToolError that it raises arrives inside with
    its text; of any other exception only the message does, without paths of this machine.

    Raises InvalidTool for what no guest could call: no usable name, a hint that JSON cannot become, a generator, a
    class. Raises InvalidPolicy for a `timeout` or `max_calls` that does not parse.
    """

    __slots__ = ("_failures", "_function", "_is_async", "_max_calls", "_name", "_shape", "_timeout", "_timeout_text")

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        timeout: float | str | None = None,
        max_calls: int | None = None,
    ) -> None:
        self._name = _check_name(function, name)
        _check_kind(function, self._name)
        self._function, self._failures = function, 0
        self._timeout = None if timeout is None else parse_duration(timeout, f"timeout of the tool {self._name!r}")
        self._timeout_text = timeout.strip() if isinstance(timeout, str) else f"{self._timeout}s"
        self._max_calls = _check_count(max_calls, self._name)
        self._is_async = _is_async(function)
        self._shape = Shape(self._name, function)

    @property
    def name(self) -> str:
        """What guests call it by."""
        return self._name

    @property
    def function(self) -> Callable[..., Any]:
        """The function behind it."""
        return self._function

    @property
    def timeout(self) -> float | None:
        """Wall time of one call in seconds; None: no limit of its own."""
        return self._timeout

    @property
    def max_calls(self) -> int | None:
        """Calls that one message and all of its sub-tasks may make; None: any number."""
        return self._max_calls

    @property
    def signature(self) -> str:
        """How a guest reads it, such as `search(query: str, limit: int = 10) -> list[str]`."""
        return self._shape.text

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function here and now, without a guest: no conversion, no limit."""
        return self._function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Tool)
            and _is_same(self._function, other._function)
            and (self._name, self._timeout, self._max_calls) == (other._name, other._timeout, other._max_calls)
        )

    def __hash__(self) -> int:
        return hash((Tool, self._name, self._timeout, self._max_calls))

    def __repr__(self) -> str:
        return f"<tool {self.signature}>"

    # For the capability.

    def bind(self, args: list[Any], kwargs: dict[str, Any], scrub: Scrub) -> Callable[[], Any]:
        """The function with a guest's arguments in it. Raises InvalidArguments for a call that does not fit.

        Raises ToolError if the program's own types failed over them.
        """
        try:
            given, named = self._shape.bind(args, kwargs)
        except (InvalidArguments, RecursionError):
            raise
        except Exception as error:  # noqa: BLE001 - the program's own types may raise anything
            raise self._seen_inside(error, scrub) from None
        return partial(self._function, *given, **named)

    async def run(self, work: Callable[[], Any], threads: Threads, share: anyio.CapacityLimiter, scrub: Scrub) -> Any:
        """Run what `bind` answered, within the tool's timeout, and answer JSON values.

        Raises ToolError for whatever goes wrong; the host's log has the whole of it, as `scrub` leaves it. Cancelling
        ends an async function and leaves the thread of a plain one to `threads`.
        """
        with anyio.move_on_after(self._timeout) as scope:
            try:
                value = work() if self._is_async else await threads.run(self._name, work, share)
                if inspect.isawaitable(value):
                    value = await value
                return self._shape.check_answer(value)
            except WrongAnswer as error:
                log_failure(logging.ERROR, "the tool %r answered what it does not declare", self._name, error, scrub)
                raise self._failed("failed") from None
            except Exception as error:  # noqa: BLE001 - and so may the tool
                raise self._seen_inside(error, scrub) from None
            except endings() as error:
                if isinstance(error, anyio.get_cancelled_exc_class()) and _is_cancelled():
                    raise
                raise self._seen_inside(error, scrub) from None
        assert scope.cancelled_caught
        raise self._failed(f"took longer than its timeout of {self._timeout_text}")

    def _failed(self, how: str) -> ToolError:
        return ToolError(f"the tool {self._name!r} {how}")

    def _seen_inside(self, error: BaseException, scrub: Scrub) -> ToolError:
        seen = told(error, scrub) if isinstance(error, Exception) else self._failed(f"raised {type(error).__name__}")
        if not isinstance(error, Exception) or not isinstance(cause_of(error), ToolError):
            self._failures += 1
            level = logging.WARNING if self._failures <= _MOST_WARNINGS else logging.DEBUG
            log_failure(level, "the tool %r failed", self._name, error, scrub)
        return seen


def _is_cancelled() -> bool:
    """Whether a cancellation that arrives here is meant for us. One that is not comes from something that the tool
    waited for, and raised on it would end the task group of the runtime without a word.
    """
    return anyio.current_effective_deadline() == -math.inf


# What can be a tool.


def _check_name(function: Any, name: str | None) -> str:
    if not callable(function):
        raise InvalidTool(f"a tool is a function, not {type(function).__name__}")
    if isinstance(function, Tool):
        raise InvalidTool(f"{function!r} is a Tool already; make another from its function: Tool(tool.function, ...)")
    if name is None:
        inner = function
        while isinstance(inner, partial):
            inner = inner.func
        name = getattr(inner, "__name__", None)
        if name is None or name == "<lambda>":
            raise InvalidTool("a function without a name needs one to become a tool: Tool(..., name=...)")
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise InvalidTool(f"{name!r} cannot be the name of a tool: an identifier without a leading underscore can")
    return name


def _check_kind(function: Any, name: str) -> None:
    if inspect.isclass(function):
        raise InvalidTool(f"the tool {name!r} is a class; give a function that answers JSON values")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidTool(f"the tool {name!r} is a generator; an answer comes as a whole, such as a list")
    if _never_returns(function):
        raise InvalidTool(f"the tool {name!r}, a {type(function).__name__}, cannot be called in the application")


def _never_returns(function: Any) -> bool:
    """Whether calling the object is declared to raise always, as it is of a task."""
    try:
        answer = type(function).__call__.__annotations__.get("return")
    except (AttributeError, NameError):  # no annotations, or one that names what is not there
        return False
    return answer is NoReturn or answer == "NoReturn"


def _check_count(max_calls: Any, name: str) -> int | None:
    if max_calls is None or (isinstance(max_calls, int) and not isinstance(max_calls, bool) and max_calls > 0):
        return max_calls
    raise InvalidPolicy(f"max_calls of the tool {name!r}: {max_calls!r} is not a whole number above zero")


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two callables are one object; each access makes a bound method anew, so those are compared."""
    return one is other or (isinstance(one, MethodType) and isinstance(other, MethodType) and one == other)
