"""The frozen values that travel between rooms: a program goes down, an outcome comes back."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .errors import TaskFailed

__all__ = [
    "Ended",
    "ErrorType",
    "Event",
    "Execution",
    "Failure",
    "HostRequest",
    "Outcome",
    "Parameter",
    "Printed",
    "Program",
    "Retried",
    "Started",
    "TaskSpec",
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
    """The function in the program's module."""

    line: int
    """Where its `def` stands, 1-based."""

    is_async: bool = False
    parameters: tuple[Parameter, ...] = ()
    signature: str = "()"
    """The parameters as the source spells them, for error messages."""

    settings: dict[str, Any] = {}
    """The limits that the declaration names; what is missing comes from the runtime's policy."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What is loaded into a sandbox: one module's source and the tasks it declares."""

    path: str
    """The name that tracebacks show: relative or bare, never an absolute host path."""

    source: str
    tasks: tuple[TaskSpec, ...] = ()
    """The declared tasks, in the order of the source. A running guest can name these and nothing else."""

    def task(self, name: str) -> TaskSpec | None:
        """The declared task called `name`, or None."""
        return next((task for task in self.tasks if task.name == name), None)


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


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A message is on its way; `number` is its own within the runtime, `parent` that of the task that called it."""

    number: int
    task_name: str
    parent: int | None = None


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt failed with `error`, and attempt number `retry` after the first begins."""

    number: int
    task_name: str
    error: Failure
    retry: int


class Printed(msgspec.Struct, frozen=True, kw_only=True):
    """A task printed `text` on "stdout" or "stderr"."""

    number: int
    task_name: str
    stream: str
    text: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A message has its outcome."""

    number: int
    task_name: str
    outcome: Outcome


Event = Started | Retried | Printed | Ended
"""What a runtime tells whoever listens."""
