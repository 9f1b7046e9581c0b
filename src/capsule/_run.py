"""One file, one call, one envelope: for those who need no runtime of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ._runtime import Runtime
from ._secrets import Secret
from ._values import ErrorType, Execution, Failure, Outcome
from .errors import RightsRefused, UsageError
from .policy import Policy

__all__ = ["run"]


async def run(
    file: str | os.PathLike[str],
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    secrets: Mapping[str, Secret] | None = None,
    packages: Sequence[str] = (),
    policy: Policy | None = None,
    ceiling: Policy | None = None,
) -> dict[str, Any]:
    """Run a file once, in a runtime of its own, and answer with the envelope that capsule-run's users know.

    `file` is a path, with ":name" behind it for a task other than its main; `args` and `kwargs` go to the task.
    `packages` are packages in pure Python that it can import, beside those that the file declares; `secrets`, `policy`
    and `ceiling` are the runtime's. A wrong call is an envelope too, with `error_type` "invalid", or "denied" for a
    file that declares a right that `ceiling`, or without one `policy`, does not hold. Raises SetupError if the guest
    cannot be built.
    """
    name = os.fspath(file)
    try:
        async with Runtime(packages=packages, secrets=secrets, policy=policy, ceiling=ceiling) as runtime:
            ref = await runtime.spawn(name, *args, **(kwargs or {}))
            return (await ref.outcome()).envelope()
    except UsageError as error:
        return invalid_envelope(name, error)


def invalid_envelope(task_name: str, error: UsageError) -> dict[str, Any]:
    """The envelope of a call that was wrong, so that nothing ran."""
    kind: ErrorType = "denied" if isinstance(error, RightsRefused) else "invalid"
    failure = Failure(error_type=kind, message=str(error))
    return Outcome(success=False, error=failure, execution=Execution(task_name=task_name)).envelope()
