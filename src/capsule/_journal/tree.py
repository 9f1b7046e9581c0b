"""What happened in a run as a tree: who started whom, how long it took and what it cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from .._values import Ended, Execution, Failure, Restarted, Spawned, Started, Statistics, Stopped
from .reading import Entry


class Node(msgspec.Struct, kw_only=True):
    """A message or an actor, with what stands below it."""

    kind: Literal["message", "actor"]
    number: int
    """Its number in the run; messages and actors count apart."""

    task_name: str
    name: str | None = None
    """The name that an actor was spawned with."""

    actor: int | None = None
    """The number of the actor that handled a message."""

    began: float | None = None
    """When, in seconds since 1970. None if it never began, or its beginning is missing."""

    ended: float | None = None
    """None if it was at work to the last."""

    success: bool | None = None
    """Whether a message had its answer, or an actor ended without failing; None before that."""

    error: Failure | None = None
    """Why a message had no answer."""

    reason: str = ""
    """Why an actor ended."""

    restarts: int = 0
    cost: Execution | None = None
    """Of a message."""

    statistics: Statistics | None = None
    """Of an actor."""

    children: list[Node] = []


def tree_of(entries: Iterable[Entry]) -> list[Node]:
    """The messages and actors that nobody in the run asked for, each with what came of it.

    A message stands below the message that asked for it, else below its actor; an actor below the one that started it.
    What has its parent's beginning missing stands at the top.
    """
    roots: list[Node] = []
    messages: dict[int, Node] = {}
    actors: dict[int, Node] = {}

    def place(node: Node, *parents: Node | None) -> Node:
        # A parent was there before its child, so whatever a damaged journal says, this is a tree.
        parent = next((each for each in parents if each is not None), None)
        (roots if parent is None else parent.children).append(node)
        return node

    for entry in entries:
        event = entry.event
        if isinstance(event, Spawned):
            node = Node(
                kind="actor",
                number=event.actor,
                task_name=event.task_name,
                name=event.name,
                began=entry.at,
                children=[],
            )
            actors[event.actor] = place(node, actors.get(event.parent or 0))
        elif isinstance(event, Started):
            node = _message(event, entry.at)
            messages[event.number] = place(node, messages.get(event.parent or 0), actors.get(event.actor or 0))
        elif isinstance(event, Ended):
            ended = messages.get(event.number) or place(_message(event, None))
            messages[event.number] = ended
            outcome = event.outcome
            ended.ended, ended.success, ended.error, ended.cost = (
                entry.at, outcome.success, outcome.error, outcome.execution,
            )  # fmt: skip
        elif isinstance(event, Restarted) and event.actor in actors:
            actors[event.actor].restarts = event.restart
        elif isinstance(event, Stopped):
            _stop(actors.get(event.actor), event, entry.at)
    return roots


def _message(event: Started | Ended, began: float | None) -> Node:
    actor = event.actor if isinstance(event, Started) else None
    return Node(kind="message", number=event.number, task_name=event.task_name, actor=actor, began=began, children=[])


def _stop(node: Node | None, event: Stopped, at: float) -> None:
    if node is not None:
        node.ended, node.success, node.reason, node.statistics = at, not event.failed, event.reason, event.statistics
