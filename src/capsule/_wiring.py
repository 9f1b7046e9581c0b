"""Where rooms of one level meet: the capabilities on top of what actors know of their callers, and JSON with refs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from ._actor.inside import InsideActors, Spawn, delivery_of
from ._actor.ref import ActorRef
from ._events import Event, Left
from ._guest.json_text import NotJSON, to_json
from ._host.actors import make_actor_capabilities
from ._host.http import Http, make_http_capability
from ._host.packages import Readable, make_package_capability
from ._host.tasks import make_task_capability
from ._host.tools import Tools, make_tool_capability
from ._secrets import Secrets
from ._values import TaskSpec
from .abc import CallContext, Capability
from .errors import InvalidArguments

if TYPE_CHECKING:
    from ._actor.requests import Requests
    from ._engine.engine import WasmEngine

MOST_PARTS = {"http": 100_000, "package": 1000}
"""Values in the payload of an operation to which no program's values go. All commas of a URL and of headers count, and
they have 80,000 characters at most; a body, which is base64, has none.
"""

CallTask = Callable[[CallContext, TaskSpec, list[Any], dict[str, Any]], Awaitable[Any]]


def make_capabilities(
    call_task: CallTask,
    spawn: Spawn,
    start_soon: Callable[..., None],
    http: Http,
    packages_of: Callable[[CallContext], Readable | None],
    secrets: Secrets,
) -> dict[str, Capability]:
    """All that the host does for guests, by name. `start_soon` is of a task group that outlives every caller."""
    return {
        "http": make_http_capability(http, _requests_of),
        "package": make_package_capability(packages_of, _room_for_modules),
        "task": make_task_capability(call_task, _max_depth),
        "tool": make_tool_capability(_tools_of, _tool_calls_of, _tool_share_of, start_soon, secrets.scrub_report),
        **make_actor_capabilities(InsideActors(spawn)),
    }


def write(value: Any, name: str, default: Callable[[Any], Any]) -> str:
    """`value` as JSON text. Raises InvalidArguments, which names the place below `name`."""
    try:
        return to_json(value, name, default)
    except (NotJSON, RecursionError) as error:
        raise InvalidArguments(str(error)) from None


def write_without_refs(args: Sequence[Any], kwargs: dict[str, Any]) -> str:
    """The arguments of a call that is not sent, for its size."""
    return f"[{write(list(args), 'args', _name_of)},{write(kwargs, 'kwargs', _name_of)}]"


def _name_of(thing: Any) -> str:
    """What stands for a ref where nothing is sent."""
    if not isinstance(thing, ActorRef):
        raise TypeError(type(thing).__name__)
    return thing.name


def _requests_of(context: CallContext) -> Requests:
    return delivery_of(context).requests


def _room_for_modules(context: CallContext) -> int:
    """Bytes that a guest can take at once: a part of what its memory has left, for code takes more."""
    delivery = delivery_of(context)
    policy = delivery.call.policy
    return min((policy.ram_bytes - delivery.world.engine.min_ram) // 16, policy.max_message_bytes // 4)


def _max_depth(context: CallContext) -> int:
    return delivery_of(context).call.policy.max_depth


def _tools_of(context: CallContext) -> Tools:
    tools = delivery_of(context).tools
    assert isinstance(tools, Tools)
    return tools


def _tool_calls_of(context: CallContext) -> dict[str, int]:
    return delivery_of(context).tool_calls


def _tool_share_of(context: CallContext) -> anyio.CapacityLimiter:
    return delivery_of(context).family.tool_threads


def telling_why(notify: Callable[[Event], None], secrets: Secrets) -> Callable[..., None]:
    """What is called when a runtime is left, as `__exit__` is: it tells of the exception, if that is why."""

    def tell(_: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception):
            leaf = next(iter(leaves_of(error).values()))
            is_ours = type(leaf).__module__.partition(".")[0] == __package__
            notify(Left(exception=type(leaf).__name__, message=secrets.scrub(str(leaf)) if is_ours else ""))

    return tell


def leaves_of(error: BaseException) -> dict[int, BaseException]:
    """What an exception comes down to, by its id. A task group wraps what its block raised, and trio's rebuilds groups,
    too.
    """
    if isinstance(error, BaseExceptionGroup):
        return {key: leaf for each in error.exceptions for key, leaf in leaves_of(each).items()}
    return {id(error): error}


def engine_type() -> type[WasmEngine]:
    """The real engine. Raises SetupError, and what else comes of a library that cannot be loaded."""
    from ._engine.engine import WasmEngine  # not to check or to inspect

    return WasmEngine
