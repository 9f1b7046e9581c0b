"""Every error capsule raises, sorted by whose fault it is.

    CapsuleError
    ├── UsageError            the caller: the call was wrong, nothing ran
    │   ├── InvalidProgram    source that cannot become a program (path and line say where)
    │   ├── InvalidProject    a project file that cannot be read (path and line say where)
    │   ├── InvalidPackages   packages that do not exist, do not fit together, or need native code
    │   ├── InvalidJournal    a journal that cannot be read (path says where)
    │   ├── InvalidPolicy     a limit that does not parse, or that no guest could live with
    │   ├── RightsRefused     a program that declares more rights than it may be granted
    │   ├── InvalidArguments  arguments that the task cannot take, or that are not JSON
    │   ├── InvalidTool       a function that cannot be called from inside
    │   ├── UnknownMethod     an actor has no such method
    │   ├── NameTaken         an actor of that name lives already
    │   ├── ForeignRef        a ref from another runtime
    │   └── RuntimeClosed     the runtime is not open
    ├── MailboxFull           no room for a message that was not to wait
    ├── ActorStopped          the actor ended before it handled the message, or before it was sent
    ├── ActorFailed           an actor's failure, as its owner and those linked to it see it
    ├── TaskFailed            the guest: it ran and did not answer; carries the outcome
    ├── ToolError             what a tool says to the guest that called it
    ├── Denied                the policy: a right that was not granted
    └── SetupError            outside: the guest could not be built or loaded on this machine
        └── CacheUnwritable   the cache folder cannot be written

Cancellation is not here: it stays the event loop's own exception.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._rights import Excess
    from ._values import Outcome

__all__ = [
    "ActorFailed",
    "ActorStopped",
    "CacheUnwritable",
    "CapsuleError",
    "Denied",
    "ForeignRef",
    "InvalidArguments",
    "InvalidJournal",
    "InvalidPackages",
    "InvalidPolicy",
    "InvalidProgram",
    "InvalidProject",
    "InvalidTool",
    "MailboxFull",
    "NameTaken",
    "RightsRefused",
    "RuntimeClosed",
    "SetupError",
    "TaskFailed",
    "ToolError",
    "UnknownMethod",
    "UsageError",
]


def _restore(kind: type[CapsuleError], args: tuple[Any, ...], fields: dict[str, Any]) -> CapsuleError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class CapsuleError(Exception):
    """The root of everything that capsule raises on purpose. All of them survive pickling, fields included."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class UsageError(CapsuleError):
    """The call was wrong; nothing ran."""


class InvalidProgram(UsageError):
    """Source that cannot become a program.

    `path` and `line` (1-based) say where, if a place is known; `excerpt` is the source line with a caret below it.
    """

    def __init__(self, reason: str, *, path: str | None = None, line: int | None = None, excerpt: str = "") -> None:
        self.reason, self.path, self.line, self.excerpt = reason, path, line, excerpt
        place = f"{path}:{line}: " if path and line else f"{path}: " if path else ""
        super().__init__(f"{place}{reason}" + (f"\n{excerpt}" if excerpt else ""))


class InvalidProject(UsageError):
    """A project file that cannot be read; `path` and `line` (1-based) say where."""

    def __init__(self, reason: str, *, path: str, line: int) -> None:
        self.reason, self.path, self.line = reason, path, line
        super().__init__(f"{path}:{line}: {reason}")


class InvalidPackages(UsageError):
    """Packages that cannot go into a sandbox: not there, native, in conflict, or asked for by more than a name.

    `package` is the name of the one that is in the way, if it is known.
    """

    def __init__(self, reason: str, *, package: str | None = None) -> None:
        self.reason, self.package = reason, package
        super().__init__(reason)


class InvalidJournal(UsageError):
    """A journal that is not there, or cannot be read; `path` says where. It is left as it is."""

    def __init__(self, reason: str, *, path: str) -> None:
        self.reason, self.path = reason, path
        super().__init__(f"{path}: {reason}")


class InvalidPolicy(UsageError, ValueError):
    """A limit that does not parse or that no guest could live with."""


class RightsRefused(UsageError):
    """A program declares more rights than it may be granted, so nothing of it ran.

    `path` is the program's, `excess` what each of its tasks and actors wants too much, in the order of the source.
    `listing` is the message without its last line, which says what would allow it.
    """

    def __init__(self, path: str, excess: Sequence[Excess]) -> None:
        self.path, self.excess = path, tuple(excess)
        lines = [f"{path} declares more rights than it may be granted:", *map(_told, self.excess[:_MOST_TOLD])]
        if len(self.excess) > _MOST_TOLD:
            lines.append(f"  ... and {len(self.excess) - _MOST_TOLD} more")
        self.listing = "\n".join(lines)
        super().__init__(f"{self.listing}\nRuntime(ceiling=Policy({', '.join(_allowing(self.excess))})) would allow it")


_MOST_TOLD = 20


def _told(excess: Excess) -> str:
    may = f"only {_few(excess.allowed)}" if excess.allowed else "none"
    wanted = f"{excess.right}={_value(excess.right, excess.wanted)}"
    return f"  {excess.path}:{excess.line}, {excess.kind} {excess.name}: {wanted}; it may have {may}"


def _allowing(excess: Sequence[Excess]) -> Iterator[str]:
    """The ceiling's lines with what is wanted in them."""
    for right in dict.fromkeys(each.right for each in excess):
        found = [each for each in excess if each.right == right]
        items = dict.fromkeys(item for each in found for item in each.granting)
        yield f"{right}={_value(right, list(items))}"


def _value(right: str, items: Sequence[str]) -> str:
    """As it is written behind the name of `right`: a list, but for the one that is a size."""
    return json.dumps(items[0]) if right == "workspace" else _few(items)


def _few(items: Sequence[str]) -> str:
    shown = [json.dumps(item, ensure_ascii=False) for item in items[:_MOST_TOLD]]
    return f"[{', '.join(shown + ['...'] * (len(items) > _MOST_TOLD))}]"


class InvalidArguments(UsageError, TypeError):
    """Arguments that the task cannot take, or that are not JSON."""


class InvalidTool(UsageError, TypeError):
    """A function that cannot be called from inside a sandbox; the message names the parameter that is in the way."""


class UnknownMethod(UsageError, AttributeError):
    """An actor was asked for something that its class does not define as a public method."""


class NameTaken(UsageError):
    """There is a living actor of that name; `actor_name` says which."""

    def __init__(self, actor_name: str) -> None:
        self.actor_name = actor_name
        super().__init__(f"there is a living actor named {actor_name!r}; stop it first, or use another name")


class ForeignRef(UsageError):
    """A ref was given to a runtime that its actor does not belong to."""

    def __init__(self, actor_name: str) -> None:
        self.actor_name = actor_name
        super().__init__(f"{actor_name} lives in another runtime; a ref only works in the runtime that made it")


class RuntimeClosed(UsageError):
    """The runtime was used outside its `async with` block."""

    def __init__(self) -> None:
        super().__init__("the runtime is not open: use it inside `async with Runtime() as runtime:`")


class MailboxFull(CapsuleError):
    """There was no room for a message that was sent without waiting. Nothing was sent."""

    def __init__(self, actor_name: str, size: int) -> None:
        self.actor_name, self.size = actor_name, size
        super().__init__(
            f"{actor_name}: {size} messages wait; Policy(max_mailbox=...) allows more, and a plain ask waits"
        )


class ActorStopped(CapsuleError):
    """The actor ended before it handled this message, or had ended before it was sent; `reason` says why."""

    def __init__(self, actor_name: str, reason: str) -> None:
        self.actor_name, self.reason = actor_name, reason
        super().__init__(f"{actor_name} has stopped: {reason}")


class ActorFailed(CapsuleError):
    """An actor failed for good. Raised where the actor has an owner or a link: at the end of an `async with` block."""

    def __init__(self, actor_name: str, reason: str) -> None:
        self.actor_name, self.reason = actor_name, reason
        super().__init__(f"{actor_name} failed: {reason}")


class TaskFailed(CapsuleError):
    """A task ran and did not answer; `outcome` says why and what it cost."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        failure = outcome.error
        what = f"{failure.exception or failure.error_type}: {failure.message}" if failure else "did not answer"
        super().__init__(f"{outcome.execution.task_name}: {what}")

    @property
    def error_type(self) -> str:
        """The kind of failure, one of `ErrorType`."""
        return self.outcome.error.error_type if self.outcome.error else ""


class ToolError(CapsuleError):
    """Raise it in a tool to say something to the guest: its text arrives there as it is.

    Of any other exception only the message arrives, without paths of this machine.
    """


class Denied(CapsuleError):
    """A right that was not granted; the message says which policy line would allow it."""

    def __init__(self, what: str, allow: str) -> None:
        self.what, self.allow = what, allow
        super().__init__(f"{what} is not allowed; {allow} would allow it")


class SetupError(CapsuleError):
    """The guest could not be built or loaded on this machine."""


class CacheUnwritable(SetupError):
    """The cache folder cannot be written; the message names the variable that moves it."""

    def __init__(self, folder: str, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(
            f"cannot write the cache folder {folder} ({reason}); "
            "set CAPSULE_CACHE_DIR to a folder that only you can write"
        )
