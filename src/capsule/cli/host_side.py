"""`--mount`, `--env` and `--env-file`: what of this machine a person lets programs see."""

from __future__ import annotations

from dataclasses import dataclass, field

from capsule import Policy
from capsule.policy import project_root


@dataclass(frozen=True, kw_only=True)
class HostSide:
    """What was given on the command line."""

    mounts: list[str] = field(default_factory=list)
    """`HOST[::GUEST][:ro|:rw]`, below the root of the program's project."""

    env: list[str] = field(default_factory=list)
    """`NAME`, or `NAME=value`."""

    env_file: str | None = None

    def applied(self, target: str, policy: Policy, ceiling: Policy) -> tuple[Policy, Policy]:
        """`policy` and `ceiling` with what was given: folders are seen by every task and actor, and may be declared;
        variables may be declared. Raises InvalidPolicy.
        """
        root = project_root(target.rpartition(":")[0] if ".py:" in target else target)
        mounts = Policy(mounts=tuple(self.mounts)).anchored(root, inside=True).mounts  # type: ignore[arg-type]
        names = tuple(dict.fromkeys(each.partition("=")[0] for each in self.env))
        return (
            policy.with_settings({"mounts": (*policy.mounts, *mounts)}),
            ceiling.with_settings(
                {
                    "allowed_files": (*ceiling.allowed_files, *mounts),
                    "mounts": (*ceiling.mounts, *mounts),
                    "env_variables": (*ceiling.env_variables, *names),
                }
            ),
        )

    def values(self) -> dict[str, str]:
        """The values that were given, by name."""
        return {name: value for name, equals, value in (each.partition("=") for each in self.env) if equals}
