"""What happened: journals that a runtime writes, and how to read them.

    async with Runtime(journal=".capsule/trace.db") as runtime: ...

    with JournalReader(".capsule/trace.db") as reader:
        for entry in reader.entries(reader.run("last")): ...

`capsule ps`, `capsule log` and `capsule trace` read the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._journal.sqlite import SqliteJournal

if TYPE_CHECKING:
    from ._journal.reading import Entry, JournalReader, Run, RunState
    from ._journal.tree import Node, tree_of

__all__ = ["Entry", "JournalReader", "Node", "Run", "RunState", "SqliteJournal", "tree_of"]


def __getattr__(name: str) -> Any:
    """What reads is loaded when it is first used: most processes only write."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._journal import reading, tree

    return getattr(tree if name in {"Node", "tree_of"} else reading, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
