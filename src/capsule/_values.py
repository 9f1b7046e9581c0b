"""The frozen values that travel between rooms: a program goes down, an outcome comes back."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .errors import TaskFailed
from .policy import Policy

__all__ = [
    "ActorSpec",
    "Declared",
    "ErrorType",
    "Evaluation",
    "Execution",
    "Failure",
    "HostRequest",
    "Module",
    "Outcome",
    "Packages",
    "Parameter",
    "Program",
    "Statistics",
    "TaskSpec",
    "Variable",
]

ErrorType = Literal[
    "task_error",
    "timeout",
    "fuel_exhausted",
    "memory_exhausted",
    "stack_overflow",
    "trap",
    "denied",
    "cancelled",
    "stopped",
    "invalid",
    "internal_error",
]


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a task's function, as its source declares it."""

    name: str
    kind: Literal["positional_only", "positional_or_keyword", "var_positional", "keyword_only", "var_keyword"]
    required: bool


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the host read it from the source, before anything ran."""

    name: str
    """What it is called by: `@task(name=...)`, or the function's own name."""

    function: str
    """The function in the program's module; `module:name` for one in another module that goes along."""

    line: int
    """Where its `def` stands, 1-based."""

    is_async: bool = False
    parameters: tuple[Parameter, ...] = ()
    signature: str = "()"
    """The parameters as the source spells them, for error messages."""

    settings: dict[str, Any] = {}
    """The limits that the declaration names; what is missing comes from the runtime's policy."""


class ActorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An actor as the host read it from the source: a class, and the methods that can be asked."""

    name: str
    """What it is called by: `@actor(name=...)`, or the class's own name."""

    cls: str
    """The class in the program's module; `module:name` for one in another module that goes along."""

    line: int
    """Where its `class` stands, 1-based."""

    create: TaskSpec
    """Its constructor, without `self`. The function is `__init__`."""

    methods: tuple[TaskSpec, ...] = ()
    """The public methods that the class and its bases in the same program define, without `self`."""

    settings: dict[str, Any] = {}

    def method(self, name: str) -> TaskSpec | None:
        """The method called `name`, or None."""
        return next((method for method in self.methods if method.name == name), None)


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """A module of the application that goes along into the sandbox."""

    name: str
    """Its dotted name, by which the program imports it."""

    path: str
    """The name that tracebacks show, never an absolute host path."""

    source: str
    is_package: bool = False


class Packages(msgspec.Struct, frozen=True, kw_only=True):
    """The packages that a program has: found, checked and kept on this machine."""

    key: str
    """What they are kept under."""

    names: tuple[str, ...]
    """What can be imported, by top-level name."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What is loaded into a sandbox: one module's source and what it declares."""

    path: str
    """The name that tracebacks show: relative or bare, never an absolute host path."""

    source: str
    tasks: tuple[TaskSpec, ...] = ()
    """The declared tasks, in the order of the source. A running guest can name these and nothing else."""

    actors: tuple[ActorSpec, ...] = ()
    """The declared actors, likewise."""

    modules: tuple[Module, ...] = ()
    """Modules of the application that the source imports."""

    is_file: bool = False
    """Given by its path and taken whole: nothing of it was ever run outside, so what it declares is what it asks for.
    The source of a task in an application is the application's own."""
    requirements: tuple[str, ...] = ()
    """The packages that the source declares that it needs."""

    packages: Packages | None = None
    """The packages that it gets, once they are at hand."""

    package: str = ""
    """The package that relative imports of the source start from; empty if it is in none."""

    def task(self, name: str) -> TaskSpec | None:
        """The declared task called `name`, or None."""
        return next((task for task in self.tasks if task.name == name), None)

    def actor(self, name: str) -> ActorSpec | None:
        """The declared actor called `name`, or None."""
        return next((actor for actor in self.actors if actor.name == name), None)


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A task or an actor of a program that was read and not run: what it declares, and what it would get."""

    name: str
    kind: Literal["task", "actor"]
    path: str
    """The file that declares it, as tracebacks show it."""

    line: int
    """Where its `def` or `class` stands, 1-based."""

    signature: str
    """The parameters as the source spells them; those of the constructor for an actor."""

    settings: dict[str, Any] = {}
    """What the source declares."""

    policy: Policy
    """What it would get: the declared settings over the runtime's policy, cut to what it may be granted."""

    refused: dict[str, tuple[str, ...]] = {}
    """What it declares of each right and may not be granted. The program does not start while this holds anything."""

    packages: tuple[str, ...] = ()
    """The packages that its file asks for."""


class HostRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request that a task made through the host."""

    method: str
    url: str
    status: int
    bytes: int
    duration_ms: float


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a message had no answer."""

    error_type: ErrorType
    message: str
    exception: str | None = None
    """The class of the user's exception, for `task_error`."""

    traceback: str | None = None
    """The guest's traceback: its own files and lines only."""

    line: int | None = None
    """In a session: the line of the code, 1-based, that the error came from."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """What a message cost."""

    task_name: str
    duration_ms: float = 0.0
    """Wall time from the call to the outcome, waiting and retries included."""

    retries: int = 0
    """Attempts made after the first."""

    fuel_consumed: int = 0
    """Fuel burnt, all attempts together."""

    ram_used: int = 0
    """Peak linear memory in bytes, of the attempt that used most."""

    host_requests: tuple[HostRequest, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a message ended: a result or a failure, and what it cost."""

    success: bool
    execution: Execution
    result: Any = None
    error: Failure | None = None
    stdout: str = ""
    """What the last attempt printed, up to the policy's `max_output`."""

    stderr: str = ""
    output_truncated: bool = False

    def unwrap(self) -> Any:
        """The result. Raises TaskFailed if there is none."""
        if not self.success:
            raise TaskFailed(self)
        return self.result

    def envelope(self) -> dict[str, Any]:
        """The outcome as plain data, in the shape that capsule-run's users know."""
        return {
            "success": self.success,
            "result": self.result,
            "error": msgspec.to_builtins(self.error),
            "execution": {
                **msgspec.to_builtins(self.execution),
                "host_requests": [msgspec.to_builtins(request) for request in self.execution.host_requests],
            },
        }


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What an actor has done and cost so far."""

    waiting: int = 0
    """Messages in its mailbox, and those that wait for room there."""

    answered: int = 0
    failed: int = 0
    """Messages that ended without an answer, withdrawn ones included."""

    retries: int = 0
    restarts: int = 0
    fuel_consumed: int = 0
    ram_used: int = 0
    """Peak linear memory in bytes, of the message that used most."""

    busy_ms: float = 0.0
    """Wall time spent on messages."""

    age_ms: float = 0.0
    """Wall time since it was spawned."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How a piece of code ended in a session: its value or its error, what it printed, and what it cost."""

    execution: Execution
    value: Any = None
    """The value of the last expression, if JSON can say it."""

    repr: str = ""
    """The same as Python shows it, whatever it is; empty for None."""

    stdout: str = ""
    stderr: str = ""
    output_truncated: bool = False
    error: Failure | None = None
    """`line` in it is the line of this piece of code; `task_error` leaves the session as it was."""

    names_lost: bool = False
    """A sandbox was lost, by this run or by one before it that could not say so: the names from before are gone."""

    @property
    def success(self) -> bool:
        """Whether it ran to its end."""
        return self.error is None


class Variable(msgspec.Struct, frozen=True):
    """A name in a session."""

    type: str
    repr: str
