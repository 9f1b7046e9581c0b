"""The capability "task": a guest calls another task of its own program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from .._values import TaskSpec
from ..abc import CallContext, Capability
from ..errors import Denied

Deliver = Callable[[CallContext, TaskSpec, list[Any], dict[str, Any]], Awaitable[Any]]
"""Runs a task for a caller and answers its value; raises TaskFailed or UsageError."""


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    task: str
    args: list[Any]
    kwargs: dict[str, Any]


def make_task_capability(deliver: Deliver, max_depth: Callable[[CallContext], int]) -> Capability:
    """The capability on top of `deliver`. `max_depth` says how deep the tasks of a caller may go.

    A running guest can only name a task that its source declares: what a task may use was read from that source
    before anything ran, so nothing that a guest sends can widen it.
    """

    async def call_task(context: CallContext, payload: Any) -> Any:
        call = msgspec.convert(payload, _Call)
        payload.clear()  # it may take many times its text while the task runs
        spec = context.program.task(call.task)
        if spec is None:
            raise Denied(
                f"calling {call.task!r}, which is no task of {context.program.path},", "a @task declaration of it"
            )
        depth = context.depth + 1
        if depth > max_depth(context):
            raise Denied(f"calling a task {depth} levels deep", f"Policy(max_depth={depth})")
        return await deliver(context, spec, call.args, call.kwargs)

    return call_task
