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


def __getattr__(name: str):
    if name.startswith("_"):
        raise AttributeError(name)
    # An ImportError also for `capsule.name`: it passes through `from capsule import name` with its text unchanged.
    raise ImportError(
        f"capsule.{name} is not there inside the sandbox, which offers {', '.join(__all__)}; "
        "what starts or watches tasks belongs to the application outside"
    )
