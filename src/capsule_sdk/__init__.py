"""`capsule` as a program inside the sandbox sees it.

Everything here runs in the guest, on its own CPython, with the standard library alone. Nothing here is a
boundary: a hostile program can patch all of it, and the host checks whatever arrives.
"""

from . import http
from ._actor import actor
from ._refs import ActorStopped, MailboxFull
from ._task import task
from ._tools import ToolError, tools
from ._wire import TaskFailed

__all__ = ["ActorStopped", "MailboxFull", "TaskFailed", "ToolError", "actor", "http", "task", "tools"]


def not_here(name: str) -> str:
    """Why `capsule` has no `name`, which it may have outside."""
    return (
        f"capsule.{name} is not there inside the sandbox, which offers {', '.join(__all__)}; "
        "what starts or watches tasks belongs to the application outside"
    )


def __getattr__(name: str):
    # `from capsule import name` then asks for a module of that name, and _stdlib.Missing says the same.
    raise AttributeError(name if name.startswith("_") else not_here(name))
