"""`capsule ps`, `log` and `trace`: what the journal of this project says."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import to_builtins

from capsule import CapsuleError, InvalidJournal, Left
from capsule.journal import Entry, JournalReader, Node, Run, tree_of

from .grants import journal_file
from .lines import Lines, count, missing, not_begun_anew, reason, traceback_of, why
from .run import SUCCESS, WRONG_CALL
from .screen import Screen
from .story import describe_cost
from .terminal import one_line

_WIDE = 10_000
"""Columns where nobody looks."""

_STYLES = {"running": "cyan", "failed": "red", "interrupted": "red", "cancelled": "yellow"}
_MINUTE = 60

_DEEPEST = 400
"""Messages and actors below one another in a JSON text."""


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
        idle = not_begun_anew(reader.entries(run))
        lines, last = Lines(), run.began

        def tell(at: float, line: str) -> None:
            screen.result(f"{at - run.began:9.3f}  {one_line(line)}".rstrip())

        for entry in reader.entries(run):
            last = entry.at
            for line in () if entry.number in idle else lines.of(entry.event):
                tell(entry.at, line)
            for line in traceback_of(entry.event):
                screen.result(f"{'':13}{one_line(line)}".rstrip())
        for line in lines.rest():
            tell(last, line)
        tell(run.ended or _now(run) or last, _title(run))

    return _read(show)


def trace(prefix: str, *, as_json: bool) -> int:
    """Show a run as a tree with times and costs; answers the exit status."""

    def show(screen: Screen, reader: JournalReader) -> None:
        run = reader.run(prefix)
        left: list[Left] = []
        nodes = tree_of(_without_leaving(reader.entries(run), left))
        if as_json:
            _check_depth(nodes)
            error = to_builtins(left[-1]) if left else None
            screen.result(json.dumps({"run": to_builtins(run), "error": error, "tree": to_builtins(nodes)}))
        else:
            _show_tree(screen, run, nodes, left)

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
        screen.error(one_line(str(error)))
        return WRONG_CALL
    except (OverflowError, RecursionError):  # a stranger may have made it
        screen.error(f"{one_line(str(file))}: it holds a number that is too large, or a tree that is too deep")
        return WRONG_CALL
    return SUCCESS


def _check_depth(nodes: list[Node]) -> None:
    """Raises RecursionError for a deeper tree than can be written: how much that is hangs on Python's release and on
    the machine's stack, and who finds the end of that is killed.
    """
    depth = 0
    while nodes:
        if (depth := depth + 1) > _DEEPEST:
            raise RecursionError
        nodes = [child for node in nodes for child in node.children]


# Runs.


def _show_runs(screen: Screen, runs: list[Run]) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    whole = [Column(name, no_wrap=True) for name in ("run", "began", "took", "state", "tasks", "failed")]
    table = Table(*whole, "what", box=None, pad_edge=False)
    for run in runs:
        table.add_row(
            Text(one_line(run.key)),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.began)),
            _took(run.began, run.ended or _now(run)),
            Text(one_line(run.state), _STYLES.get(run.state, "")),
            str(run.tasks),
            Text(str(run.failed), "red" if run.failed else ""),
            Text(one_line(run.title), no_wrap=True, overflow="ellipsis"),  # the one that is cut
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
    words = [count(run.tasks, "task")]
    words += [f"{run.failed} failed"] if run.failed else []
    words += [missing(run.dropped)] if run.dropped else []
    title = f"{run.title}: " if run.title else ""
    took = _took(run.began, run.ended) or _so_far(run.began, _now(run)) or "not at its end"
    return f"{title}run {run.key} {run.state}, {took}, {', '.join(words)}"


def _now(run: Run) -> float | None:
    """The time that a run has come to, if it is at work."""
    return time.time() if run.state == "running" else None


def _so_far(began: float | None, now: float | None) -> str:
    took = _took(began, now)
    return took and f"{took} so far"


# The tree.


def _without_leaving(entries: Iterable[Entry], left: list[Left]) -> Iterator[Entry]:
    """All entries but why the block was left, which goes into `left`: that is of the run and no part of the tree."""
    for entry in entries:
        if isinstance(entry.event, Left):
            left.append(entry.event)
        else:
            yield entry


def _show_tree(screen: Screen, run: Run, nodes: list[Node], left: list[Left]) -> None:
    from rich.text import Text
    from rich.tree import Tree

    now = _now(run)
    tree = Tree(Text(one_line(_title(run)), "bold"))
    waiting: list[tuple[Tree, Node]] = [(tree, node) for node in reversed(nodes)]
    while waiting:  # not by recursion: how deep it goes is not ours to say
        above, node = waiting.pop()
        shown = _without_frame(node)
        branch = above.add(Text(one_line(_told(shown, now)), _style(shown)))
        waiting.extend((branch, child) for child in reversed(shown.children))
    for each in left:
        tree.add(Text(one_line(reason(each)), "red"))
    _show(screen, tree)


def _without_frame(node: Node) -> Node:
    """For an actor that was spawned for one task and did nothing else, that task."""
    only = node.children[0] if len(node.children) == 1 else None
    is_frame = node.kind == "actor" and only is not None and only.task_name == node.task_name
    return only if is_frame and only is not None and not (node.restarts or node.name) else node


def _told(node: Node, now: float | None) -> str:
    no_end = _so_far(node.began, now) or "no end"
    if node.kind == "actor":
        name = f" {node.name!r}" if node.name else ""
        restarts = f", {count(node.restarts, 'restart')}" if node.restarts else ""
        end = f"{_took(node.began, node.ended)}, {node.reason}" if node.ended is not None else no_end
        return f"actor {node.number} {node.task_name}{name}: {end}{restarts}"
    asked = f", {count(len(node.requests), 'request')}" if node.requests else ""
    if node.cost is None:
        return f"{node.task_name}: {no_end}{asked}"
    failed = f"; {why(node.error)}" if node.error is not None else ""
    return f"{node.task_name}: {describe_cost(node.cost)}{asked}{failed}"


def _style(node: Node) -> str:
    if node.success is None:
        return "yellow"
    return "" if node.success else "red"
