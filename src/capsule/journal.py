"""What happened: journals that a runtime writes, and how to read them.

    async with Runtime(journal=".capsule/trace.db") as runtime: ...

    with JournalReader(".capsule/trace.db") as reader:
        for entry in reader.entries(reader.run("last")): ...

`capsule ps`, `capsule log` and `capsule trace` read the same.
"""

from __future__ import annotations

from ._journal.reading import Entry, JournalReader, Run, RunState
from ._journal.sqlite import SqliteJournal
from ._journal.tree import Node, tree_of

__all__ = ["Entry", "JournalReader", "Node", "Run", "RunState", "SqliteJournal", "tree_of"]
