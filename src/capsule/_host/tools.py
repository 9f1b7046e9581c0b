"""Tools: named functions of the application that a guest may call, and the capability "tool" that calls them.

What one tool is and does is loaded when there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import msgspec

from ..abc import CallContext, Capability
from ..errors import Denied, InvalidTool

if TYPE_CHECKING:
    from .tool import Tool
    from .tool_log import Scrub
    from .tool_threads import StartSoon, Threads

__all__ = ["Toolbox", "Tools", "make_tool_capability"]

if TYPE_CHECKING:
    Toolbox = Sequence[Tool | Callable[..., Any]]
else:
    Toolbox = Sequence  # without a tool, none of what makes one is loaded
"""Functions that guests may call: plain and async ones, bound methods, and Tools, which have limits of their own."""

_MOST_NAME = 60  # characters of a name that a guest made up


class Tools:
    """Tools by name. Does not change; iterating goes through the tools in the order in which they were given."""

    __slots__ = ("_by_name",)

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        """Raises InvalidTool if two of `tools` have one name and are not the same function with the same limits."""
        self._by_name: dict[str, Tool] = {}
        for tool in tools:
            if self._by_name.setdefault(tool.name, tool) != tool:
                raise InvalidTool(f"two tools are named {tool.name!r}; give one of them another: Tool(..., name=...)")

    @classmethod
    def of(cls, functions: Iterable[Callable[..., Any] | Tool]) -> Tools:
        """The tools of `functions`; one that is no Tool yet becomes one without limits. Raises InvalidTool."""
        if callable(functions) or not isinstance(functions, Iterable):
            raise InvalidTool("tools are given as a list of functions: tools=[search]")
        return cls(map(_tool, functions))

    def merged(self, other: Tools) -> Tools:
        """These and `other`. Raises InvalidTool if two of one name are not the same."""
        return Tools([*self, *other]) if len(other) else self

    def get(self, name: str) -> Tool | None:
        """The tool called `name`, or None."""
        return self._by_name.get(name)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return f"<tools {', '.join(self._by_name) or 'none'}>"


def _tool(function: Callable[..., Any] | Tool) -> Tool:
    from .tool import Tool

    return function if isinstance(function, Tool) else Tool(function)


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    tool: str
    args: list[Any]
    kwargs: dict[str, Any]


def make_tool_capability(
    tools_of: Callable[[CallContext], Tools],
    count: Callable[[CallContext], dict[str, int]],
    share: Callable[[CallContext], anyio.CapacityLimiter],
    start_soon: StartSoon,
    scrub: Scrub = str,
) -> Capability:
    """The capability on top of `tools_of`, which says what a caller may call.

    `count` answers the calls by tool that the caller's family has made; the capability adds to it, once for each
    call that fits its signature. `share` answers what bounds the threads of that family. `start_soon` is that of a
    task group which outlives every caller: it owns the threads. `scrub` takes values of secrets out of what is told
    and logged of exceptions. The capability raises Denied, InvalidArguments and ToolError; cancelling ends the call as
    Tool says.
    """
    threads: Threads | None = None

    async def call_tool(context: CallContext, payload: Any) -> Any:
        nonlocal threads
        call = msgspec.convert(payload, _Call)
        tool = tools_of(context).get(call.tool)
        if tool is None:
            _refuse_unknown(call.tool)
        work = tool.bind(call.args, call.kwargs, scrub)
        _count(tool, count(context))
        if threads is None:
            from .tool_threads import Threads

            threads = Threads(start_soon, scrub=scrub)
        return await tool.run(work, threads, share(context), scrub)

    return call_tool


def _refuse_unknown(name: str) -> NoReturn:
    is_name = name.isidentifier() and len(name) <= _MOST_NAME
    raise Denied(f"calling the tool {name[:_MOST_NAME]!r}", f"tools=[{name if is_name else '...'}]")


def _count(tool: Tool, made: dict[str, int]) -> None:
    calls = made.get(tool.name, 0) + 1
    if tool.max_calls is not None and calls > tool.max_calls:
        times = "once" if tool.max_calls == 1 else f"{tool.max_calls} times"
        raise Denied(f"calling the tool {tool.name!r} more than {times}", f"Tool(..., max_calls={calls})")
    made[tool.name] = calls
