"""capsule: untrusted code as thousands of small actors in one Python process.

    errors, policy     words that everything shares
    abc, testing       the seams, and their fakes with the contract checks
    _task, _runtime    what an application uses; _runtime puts the rooms together
    _guest             source -> program; the guest built and cached
    _engine            the only room that knows wasmtime
    _actor             messages and those who handle them: admitted, attempted, answered, supervised
    _packages          packages for guests: what may be asked for, found, checked and kept
    _host              what the host does for a guest
    _journal           what happened, in SQLite
    cli                the `capsule` command

Names are loaded when they are first used: `import capsule` loads no engine.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which takes longer to load than all of this
    from typing import Any

    from ._actor.bonds import Monitor as Monitor
    from ._actor.events import EventStream as EventStream
    from ._actor.ref import ActorRef as ActorRef
    from ._actor.session import Session as Session
    from ._actor.states import ActorState as ActorState
    from ._events import Ended as Ended
    from ._events import Event as Event
    from ._events import Left as Left
    from ._events import Missed as Missed
    from ._events import Printed as Printed
    from ._events import Requested as Requested
    from ._events import Restarted as Restarted
    from ._events import Retried as Retried
    from ._events import Spawned as Spawned
    from ._events import Started as Started
    from ._events import Stopped as Stopped
    from ._host.tool import Tool as Tool
    from ._run import run as run
    from ._runtime import Runtime as Runtime
    from ._secrets import Secret as Secret
    from ._task import ActorClass as ActorClass
    from ._task import Task as Task
    from ._task import actor as actor
    from ._task import task as task
    from ._task import tools as tools
    from ._values import Declared as Declared
    from ._values import ErrorType as ErrorType
    from ._values import Evaluation as Evaluation
    from ._values import Execution as Execution
    from ._values import Failure as Failure
    from ._values import HostRequest as HostRequest
    from ._values import Outcome as Outcome
    from ._values import Statistics as Statistics
    from ._values import Variable as Variable
    from .errors import ActorFailed as ActorFailed
    from .errors import ActorStopped as ActorStopped
    from .errors import CacheUnwritable as CacheUnwritable
    from .errors import CapsuleError as CapsuleError
    from .errors import Denied as Denied
    from .errors import ForeignRef as ForeignRef
    from .errors import InvalidArguments as InvalidArguments
    from .errors import InvalidJournal as InvalidJournal
    from .errors import InvalidPackages as InvalidPackages
    from .errors import InvalidPolicy as InvalidPolicy
    from .errors import InvalidProgram as InvalidProgram
    from .errors import InvalidProject as InvalidProject
    from .errors import InvalidTool as InvalidTool
    from .errors import MailboxFull as MailboxFull
    from .errors import NameTaken as NameTaken
    from .errors import RightsRefused as RightsRefused
    from .errors import RuntimeClosed as RuntimeClosed
    from .errors import SetupError as SetupError
    from .errors import TaskFailed as TaskFailed
    from .errors import ToolError as ToolError
    from .errors import UnknownMethod as UnknownMethod
    from .errors import UsageError as UsageError
    from .policy import Policy as Policy

__version__ = "0.1.0"

_HOMES = {
    "_actor.bonds": ("Monitor",),
    "_actor.events": ("EventStream",),
    "_actor.ref": ("ActorRef",),
    "_actor.session": ("Session",),
    "_actor.states": ("ActorState",),
    "_events": (
        *("Ended", "Event", "Left", "Missed", "Printed", "Requested", "Restarted", "Retried", "Spawned", "Started"),
        "Stopped",
    ),
    "_host.tool": ("Tool",),
    "_run": ("run",),
    "_runtime": ("Runtime",),
    "_secrets": ("Secret",),
    "_task": ("ActorClass", "Task", "actor", "task", "tools"),
    "_values": (
        *("Declared", "ErrorType", "Evaluation", "Execution", "Failure", "HostRequest", "Outcome", "Statistics"),
        "Variable",
    ),
    "errors": (
        *("ActorFailed", "ActorStopped", "CacheUnwritable", "CapsuleError", "Denied", "ForeignRef"),
        *("InvalidArguments", "InvalidJournal", "InvalidPackages", "InvalidPolicy", "InvalidProgram", "InvalidProject"),
        *("InvalidTool", "MailboxFull", "NameTaken", "RightsRefused", "RuntimeClosed", "SetupError", "TaskFailed"),
        *("ToolError", "UnknownMethod", "UsageError"),
    ),
    "policy": ("Policy",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605 - derived, so that it cannot drift from what can be loaded


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'capsule' has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    # Tracebacks and repr say capsule.X, the name that users can import. What has fields stays where their types are
    # looked up.
    if callable(value) and not hasattr(value, "__struct_fields__"):
        value.__module__ = __name__
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
