"""Which limits and rights hold for what: those that are declared, over the runtime's policy, below its ceiling.

Limits are cut to the ceiling. A program that declares a right beyond it is refused before any of it runs.
"""

from __future__ import annotations

from ._actor.admission import Admission
from ._mounts import WORKSPACE
from ._rights import excess_of, path_of, rights_of, specs_of
from ._values import ActorSpec, Declared, Program, TaskSpec
from .abc import Engine
from .errors import InvalidPolicy, RightsRefused
from .policy import MAX_RESTARTS, Policy, format_size

_MOST_KNOWN = 1000


class Policies:
    """Answers which policy something gets. Remembers the answers, for they are asked for often."""

    def __init__(self, policy: Policy | None, ceiling: Policy | None, admission: Admission) -> None:
        self._policy, self._admission = (policy or Policy()).anchored("."), admission
        self._ceiling = ceiling and ceiling.anchored(".")
        self._rights_of_files = rights_of(self._policy)
        self._known: dict[tuple[object, ...], Policy] = {}

    def bound(self, program: Program) -> Policy | None:
        """What `program` may be granted at most; None: whatever it declares.

        The runtime's ceiling. Without one, a file gets no right that the runtime's policy does not hold: it may be a
        stranger's, and only asks. An application's own source has been run with all rights already.
        """
        if self._ceiling is None and program.is_file:
            return self._rights_of_files
        return self._ceiling

    def check(self, program: Program) -> None:
        """Raises RightsRefused if anything that `program` declares wants more than it may be granted."""
        bound = self.bound(program)
        if bound is None:
            return
        excess = [each for spec in specs_of(program) for each in excess_of(program, spec, bound)]
        if excess:
            raise RightsRefused(program.path, excess)

    def of(self, program: Program, spec: TaskSpec | ActorSpec, engine: Engine) -> Policy:
        """The policy of a task or an actor. Raises InvalidPolicy if no sandbox on `engine` can have it."""
        declared = (program.is_file, *spec.settings.items())
        if declared not in self._known:
            if len(self._known) >= _MOST_KNOWN:  # programs declare what they like
                self._known.clear()
            self._known[declared] = self._checked(self.cut(program, spec), engine)
        return self._known[declared]

    def of_session(self, policy: Policy | None, engine: Engine) -> Policy:
        """The policy of code that comes as messages. It fails over and over, so no number of restarts ends it."""
        wanted = policy.anchored(".") if policy else self._policy
        cut = self._checked(wanted if self._ceiling is None else wanted.within(self._ceiling), engine)
        return cut.with_settings({"max_restarts": MAX_RESTARTS})

    def cut(self, program: Program, spec: TaskSpec | ActorSpec) -> Policy:
        """The same as `of` without an engine to ask.

        Of rights, too, nothing is left beyond the bound, whoever forgot to check.
        """
        bound = self.bound(program)
        policy = self._policy.with_settings(spec.settings)
        return policy if bound is None else policy.within(bound)

    def declared(self, program: Program, spec: TaskSpec | ActorSpec) -> Declared:
        """What a program's task or actor declares, and would get."""
        bound = self.bound(program)
        return Declared(
            name=spec.name,
            kind="actor" if isinstance(spec, ActorSpec) else "task",
            path=path_of(program, spec),
            line=spec.line,
            signature=spec.create.signature if isinstance(spec, ActorSpec) else spec.signature,
            settings=dict(spec.settings),  # a program that was read before is not read again
            policy=self.cut(program, spec),
            refused={each.right: each.wanted for each in excess_of(program, spec, bound)} if bound else {},
            packages=program.requirements,
        )

    def _checked(self, policy: Policy, engine: Engine) -> Policy:
        self._admission.check(policy.ram_bytes)
        if policy.workspace is not None and any(mount.guest == WORKSPACE for mount in policy.folders):
            raise InvalidPolicy(
                f"workspace: it is called {WORKSPACE} inside, and so is one of the folders; leave one of them out, or "
                "mount the folder under another name, HOST::/NAME"
            )
        if policy.ram_bytes < engine.min_ram:
            least = format_size(-(-engine.min_ram // (1 << 20)) << 20)
            raise InvalidPolicy(
                f'ram: {format_size(policy.ram_bytes)} is less than the guest needs to start; use ram="{least}" or more'
            )
        return policy
