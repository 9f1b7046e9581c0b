"""`capsule ps`, `log` and `trace`: what the journal of this project says."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import to_builtins

from capsule import (
    CapsuleError,
    Ended,
    Event,
    Failure,
    InvalidJournal,
    Missed,
    Printed,
    Restarted,
    Retried,
    Spawned,
    Started,
    Stopped,
)
from capsule.journal import JournalReader, Node, Run, tree_of

from .grants import journal_file
from .run import SUCCESS, WRONG_CALL
from .screen import Screen
from .story import describe_cost
from .terminal import one_line

_WIDE = 10_000
"""Columns where nobody looks."""

_STYLES = {"running": "cyan", "failed": "red", "interrupted": "red", "cancelled": "yellow"}
_MINUTE = 60


def ps(*, limit: int, as_json: bool) -> int:
    """List the newest runs; answers the exit status."""

    def show(screen: Screen, reader: JournalReader) -> None:
        runs = reader.runs(limit)
        if as_json:
            screen.result(json.dumps([to_builtins(run) for run in runs]))
        else:
            _show_runs(screen, runs)

    return _read(show, as_json=as_json)


def log(prefix: str) -> int:
    """Tell what happened in a run, line by line; answers the exit status."""

    def show(screen: Screen, reader: JournalReader) -> None:
        run = reader.run(prefix)
        last = run.began
        for entry in reader.entries(run):
            last = entry.at
            for line in _lines(entry.event):
                screen.result(f"{entry.at - run.began:9.3f}  {one_line(line)}")
        now = time.time() if run.state == "running" else last
        screen.result(f"{(run.ended or now) - run.began:9.3f}  {one_line(_title(run))}")

    return _read(show)


def trace(prefix: str, *, as_json: bool) -> int:
    """Show a run as a tree with times and costs; answers the exit status."""

    def show(screen: Screen, reader: JournalReader) -> None:
        run = reader.run(prefix)
        nodes = tree_of(reader.entries(run))
        if as_json:
            screen.result(json.dumps({"run": to_builtins(run), "tree": to_builtins(nodes)}))
        else:
            _show_tree(screen, run, nodes)

    return _read(show, as_json=as_json)


def _read(show: Callable[[Screen, JournalReader], None], *, as_json: bool = False) -> int:
    screen = Screen(as_json=as_json)
    try:
        file = journal_file()
        if not file.exists():
            raise InvalidJournal(
                "there is no journal; `capsule run` writes one there, unless it is told --no-journal", path=str(file)
            )
        with JournalReader(file) as reader:
            show(screen, reader)
    except CapsuleError as error:
        screen.error(str(error))
        return WRONG_CALL
    return SUCCESS


# Runs.


def _show_runs(screen: Screen, runs: list[Run]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("run", "began", "took", "state", "tasks", "failed", "what", box=None, pad_edge=False)
    for run in runs:
        table.add_row(
            Text(one_line(run.key)),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.began)),
            _took(run.began, run.ended),
            Text(one_line(run.state), _STYLES.get(run.state, "")),
            str(run.tasks),
            Text(str(run.failed), "red" if run.failed else ""),
            Text(one_line(run.title)),
        )
    _show(screen, table)


def _show(screen: Screen, what: Any) -> None:
    """In colours on a terminal, plain and as wide as it is everywhere else."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(what)
        return
    console = Console(file=io.StringIO(), width=_WIDE, highlight=False)
    with console.capture() as written:
        console.print(what)
    screen.result("\n".join(line.rstrip() for line in written.get().splitlines()))


def _took(began: float | None, ended: float | None) -> str:
    if began is None or ended is None:
        return ""
    seconds = max(0.0, ended - began)
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s" if seconds < _MINUTE else f"{seconds / _MINUTE:.1f} min"


def _title(run: Run) -> str:
    words = [f"{run.tasks} {'task' if run.tasks == 1 else 'tasks'}"]
    words += [f"{run.failed} failed"] if run.failed else []
    words += [f"{run.dropped} events are missing"] if run.dropped else []
    title = f"{run.title}: " if run.title else ""
    return f"{title}run {run.key} {run.state}, {_took(run.began, run.ended) or 'not at its end'}, {', '.join(words)}"


# What happened, line by line.


def _lines(event: Event) -> Iterator[str]:
    if isinstance(event, Started):
        by = f", asked for by #{event.parent}" if event.parent else ""
        yield f"#{event.number} {event.task_name} started{by}{_in_actor(event.actor)}"
    elif isinstance(event, Printed):
        yield from (f"#{event.number} {event.stream}: {line}" for line in event.text.splitlines())
    elif isinstance(event, Retried):
        yield f"#{event.number} {event.task_name} failed, retry {event.retry}: {_why(event.error)}"
    elif isinstance(event, Ended):
        yield from _end(event)
    elif isinstance(event, Missed):
        yield f"{event.count} events are missing here"
    else:
        yield f"actor {event.actor} {event.task_name} {_turn(event)}"


def _end(event: Ended) -> Iterator[str]:
    cost = event.outcome.execution
    for request in cost.host_requests:
        told = f"{request.method} {request.url}: {request.status}, {request.bytes} bytes, {request.duration_ms:.1f} ms"
        yield f"#{event.number} {told}"
    error = event.outcome.error
    how = "done" if error is None else f"failed: {_why(error)}"
    yield f"#{event.number} {event.task_name} {how} ({describe_cost(cost)})"


def _turn(event: Spawned | Restarted | Stopped) -> str:
    if isinstance(event, Spawned):
        name = f" as {event.name!r}" if event.name else ""
        return f"spawned{name}" + (f" by actor {event.parent}" if event.parent else "")
    if isinstance(event, Restarted):
        return f"began anew, restart {event.restart}: {_why(event.error)}"
    return f"{'failed' if event.failed else 'stopped'}: {event.reason}"


def _in_actor(actor: int | None) -> str:
    return "" if actor is None else f", in actor {actor}"


def _why(error: Failure) -> str:
    return f"{error.exception or error.error_type}: {error.message}"


# The tree.


def _show_tree(screen: Screen, run: Run, nodes: list[Node]) -> None:
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(one_line(_title(run)), "bold"))
    waiting: list[tuple[Tree, Node]] = [(tree, node) for node in reversed(nodes)]
    while waiting:  # not by recursion: how deep it goes is not ours to say
        above, node = waiting.pop()
        shown = _without_frame(node)
        branch = above.add(Text(one_line(_told(shown)), _style(shown)))
        waiting.extend((branch, child) for child in reversed(shown.children))
    _show(screen, tree)


def _without_frame(node: Node) -> Node:
    """For an actor that was spawned for one task and did nothing else, that task."""
    only = node.children[0] if len(node.children) == 1 else None
    is_frame = node.kind == "actor" and only is not None and only.task_name == node.task_name
    return only if is_frame and only is not None and not (node.restarts or node.name) else node


def _told(node: Node) -> str:
    if node.kind == "actor":
        name = f" {node.name!r}" if node.name else ""
        restarts = f", {node.restarts} restarts" if node.restarts else ""
        end = f"{_took(node.began, node.ended)}, {node.reason}" if node.ended is not None else "no end"
        return f"actor {node.number} {node.task_name}{name}: {end}{restarts}"
    if node.cost is None:
        return f"{node.task_name}: no end"
    requests = len(node.cost.host_requests)
    asked = f", {requests} {'request' if requests == 1 else 'requests'}" if requests else ""
    why = f"; {_why(node.error)}" if node.error is not None else ""
    return f"{node.task_name}: {describe_cost(node.cost)}{asked}{why}"


def _style(node: Node) -> str:
    if node.success is None:
        return "yellow"
    return "" if node.success else "red"
