"""What happened in a run as a tree: who started whom, how long it took and what it cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from .._events import Ended, Event, Requested, Restarted, Spawned, Started, Stopped
from .._values import Execution, Failure, HostRequest, Statistics
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
    """How often an actor began anew and then had something to do."""

    requests: list[HostRequest] = []
    """The HTTP requests of a message, as they ended."""

    cost: Execution | None = None
    """Of a message that has ended."""

    statistics: Statistics | None = None
    """Of an actor."""

    children: list[Node] = []


def tree_of(entries: Iterable[Entry]) -> list[Node]:
    """The messages and actors that nobody in the run asked for, each with what came of it.

    A message stands below the message that asked for it, else below its actor; an actor below the one that started it.
    What has its parent's beginning missing stands at the top.
    """
    tree = _Tree()
    for entry in entries:
        tree.add(entry.event, entry.at)
    return tree.roots


class _Tree:
    """Grows entry by entry."""

    def __init__(self) -> None:
        self.roots: list[Node] = []
        self._messages: dict[int, Node] = {}
        self._actors: dict[int, Node] = {}
        self._about_to_begin: dict[int, int] = {}
        """The last restart of actors that have had nothing to do since."""

    def add(self, event: Event, at: float) -> None:
        """What happened next."""
        if isinstance(event, Spawned):
            node = Node(kind="actor", number=event.actor, task_name=event.task_name, name=event.name, began=at)
            self._place(node, self._actors.get(event.parent or 0))
            self._actors[event.actor] = node
        elif isinstance(event, Started):
            self._start(event, at)
        elif isinstance(event, Requested):
            self._message(event).requests.append(event.request)
        elif isinstance(event, Ended):
            node, outcome = self._message(event), event.outcome
            node.ended, node.success, node.error, node.cost = at, outcome.success, outcome.error, outcome.execution
        elif isinstance(event, Restarted):
            self._about_to_begin[event.actor] = event.restart
        elif isinstance(event, Stopped) and event.actor in self._actors:
            node = self._actors[event.actor]
            node.ended, node.success, node.reason, node.statistics = (
                at,
                not event.failed,
                event.reason,
                event.statistics,
            )

    def _start(self, event: Started, at: float) -> None:
        actor = self._actors.get(event.actor or 0)
        node = Node(kind="message", number=event.number, task_name=event.task_name, actor=event.actor, began=at)
        self._place(node, self._messages.get(event.parent or 0), actor)
        self._messages[event.number] = node
        if actor is not None:
            actor.restarts = self._about_to_begin.pop(actor.number, actor.restarts)

    def _message(self, event: Requested | Ended) -> Node:
        """The message of an event; a new one if its beginning is missing."""
        node = self._messages.get(event.number)
        if node is None:
            node = self._messages[event.number] = Node(kind="message", number=event.number, task_name=event.task_name)
            self._place(node)
        return node

    def _place(self, node: Node, *parents: Node | None) -> None:
        # A parent was there before its child, so whatever a damaged journal says, this is a tree.
        parent = next((each for each in parents if each is not None), None)
        (self.roots if parent is None else parent.children).append(node)
