"""Which limits hold for what: those that are declared, over the runtime's policy, cut to its ceiling."""

from __future__ import annotations

from typing import Any

from ._actor.admission import Admission
from ._values import ActorSpec, TaskSpec
from .abc import Engine
from .errors import InvalidPolicy
from .policy import MAX_RESTARTS, Policy, format_size

_MOST_KNOWN = 1000


class Policies:
    """Answers which policy something gets. Remembers the answers, for they are asked for often."""

    def __init__(self, policy: Policy | None, ceiling: Policy | None, admission: Admission) -> None:
        self._policy, self._admission = (policy or Policy()).anchored("."), admission
        self._ceiling = ceiling and ceiling.anchored(".")
        self._known: dict[tuple[tuple[str, Any], ...], Policy] = {}

    def of(self, spec: TaskSpec | ActorSpec, engine: Engine) -> Policy:
        """The policy of a task or an actor. Raises InvalidPolicy if no sandbox on `engine` can have it."""
        declared = tuple(spec.settings.items())
        if declared not in self._known:
            if len(self._known) >= _MOST_KNOWN:  # programs declare what they like
                self._known.clear()
            self._known[declared] = self._checked(self.cut(spec.settings), engine)
        return self._known[declared]

    def of_session(self, policy: Policy | None, engine: Engine) -> Policy:
        """The policy of code that comes as messages. It fails over and over, so no number of restarts ends it."""
        cut = self._checked(self._within(policy.anchored(".") if policy else self._policy), engine)
        return cut.with_settings({"max_restarts": MAX_RESTARTS})

    def cut(self, settings: dict[str, Any]) -> Policy:
        """The same without an engine to ask."""
        return self._within(self._policy.with_settings(settings))

    def _within(self, policy: Policy) -> Policy:
        return policy if self._ceiling is None else policy.within(self._ceiling)

    def _checked(self, policy: Policy, engine: Engine) -> Policy:
        self._admission.check(policy.ram_bytes)
        if policy.ram_bytes < engine.min_ram:
            least = format_size(-(-engine.min_ram // (1 << 20)) << 20)
            raise InvalidPolicy(
                f'ram: {format_size(policy.ram_bytes)} is less than the guest needs to start; use ram="{least}" or more'
            )
        return policy
