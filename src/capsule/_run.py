"""One file, one call, one envelope: for those who need no runtime of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ._runtime import Runtime
from ._values import Execution, Failure, Outcome
from .errors import UsageError
from .policy import Policy

__all__ = ["run"]


async def run(
    file: str | os.PathLike[str],
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    packages: Sequence[str] = (),
    policy: Policy | None = None,
    ceiling: Policy | None = None,
) -> dict[str, Any]:
    """Run a file once, in a runtime of its own, and answer with the envelope that capsule-run's users know.

    `file` is a path, with ":name" behind it for a task other than its main; `args` and `kwargs` go to the task.
    `packages` are packages in pure Python that it can import, beside those that the file declares. A wrong call is an
    envelope too, with `error_type` "invalid". Raises SetupError if the guest cannot be built.
    """
    name = os.fspath(file)
    try:
        async with Runtime(packages=packages, policy=policy, ceiling=ceiling) as runtime:
            ref = await runtime.spawn(name, *args, **(kwargs or {}))
            return (await ref.outcome()).envelope()
    except UsageError as error:
        return invalid_envelope(name, str(error))


def invalid_envelope(task_name: str, message: str) -> dict[str, Any]:
    """The envelope of a call that was wrong, so that nothing ran."""
    failure = Failure(error_type="invalid", message=message)
    return Outcome(success=False, error=failure, execution=Execution(task_name=task_name)).envelope()
