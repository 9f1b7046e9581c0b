"""What a task may use: a frozen value, and how a ceiling cuts it. Its units are those of `_units`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Literal, TypeVar, get_args

import msgspec

from ._hosts import narrowed, normal_patterns
from ._mounts import Mount, anchored, normal_mounts, project_root
from ._mounts import narrowed as mounts_narrowed
from ._units import COMPUTE_LEVELS, MAX_TIMEOUT, UNMETERED, format_size, parse_compute, parse_duration, parse_size
from ._variables import normal_variables, variables_narrowed
from .errors import InvalidPolicy

__all__ = [
    "COMPUTE_LEVELS",
    "UNMETERED",
    "Mount",
    "OnFailure",
    "Policy",
    "format_size",
    "parse_compute",
    "parse_duration",
    "parse_size",
    "project_root",
]

MAX_RAM = 4 << 30
"""A 32-bit guest cannot address more."""

MAX_TEXT = 256 << 20
"""The most that the host holds of one text for a guest, whatever a program declares."""

MAX_RETRIES = 1000
T = TypeVar("T", int, float)
MAX_DEPTH = 64
MAX_SUBTASKS = 1_000_000
MAX_MAILBOX = 1_000_000
MAX_RESTARTS = 1_000_000
MIN_WINDOW = 0.001
"""Seconds of the shortest `restart_window`."""
MAX_REQUESTS = 1_000_000
MAX_REDIRECTS = 100
MAX_HOSTS = 1000
MAX_WORKSPACE = 4 << 30

OnFailure = Literal["restart", "stop", "escalate"]
"""What becomes of an actor whose sandbox is gone. As the strategies of OTP's supervisors, for one child."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """What one message to a sandbox may use. Every limit is finite by default.

    Raises InvalidPolicy when a field does not parse.
    """

    compute: int | str = "MEDIUM"
    """Fuel: a level (`"LOW"`, `"MEDIUM"`, `"HIGH"`), an exact number, or `"UNMETERED"`: no limit, so that
    `timeout` alone ends it."""

    ram: int | str = "128MB"
    """Most linear memory of the sandbox, at most 4 GB."""

    timeout: float | str = "30s"
    """Wall time of one attempt, from the start of its sandbox; time spent waiting for a free slot is not counted."""

    max_retries: int = 0
    """Attempts after the first, each in a fresh sandbox."""

    max_output: int | str = "1MB"
    """Printed text kept and passed on; what exceeds it is dropped and the outcome says so."""

    max_message: int | str = "16MB"
    """Largest JSON text of arguments, of a result, or of one host call, in either direction."""

    max_depth: int = 8
    """How deep tasks may call tasks, and start actors."""

    max_subtasks: int = 500
    """How many tasks and actors that a message or an actor has called or started, directly or through others, may be
    live at once; waiting ones count."""

    family_compute: int | str | None = None
    """Fuel of a message or an actor and of all that it calls and starts, together; None: each for itself."""

    family_ram: int | str | None = None
    """The `ram` of all live sandboxes of such a family, summed; None: bounded by `max_subtasks` alone."""

    max_mailbox: int = 1000
    """Messages that may wait for an actor."""

    idle_timeout: float | str | None = None
    """Time without a message after which an actor stops; None: never."""

    on_failure: OnFailure = "restart"
    """When the sandbox of an actor is gone and no retry helped: "restart" it with fresh state, "stop" it, or
    "escalate" to its owner."""

    max_restarts: int = 3
    """Restarts within `restart_window` beyond which a failure escalates."""

    restart_window: float | str = "5s"
    """OTP's default period; OTP allows one restart in it."""

    allowed_hosts: tuple[str, ...] = ()
    """Hosts that it may send HTTP requests to: `"api.example.com"` (that name alone), `"*.example.com"` (names below
    it), `"host:port"`, `"*"` (any public host). Private addresses only where the host or address is written out."""

    max_requests: int = 100
    """HTTP requests of a message and its sub-tasks together; each redirect that is followed is one."""

    max_response: int | str = "10MB"
    """Largest body of an HTTP response, before and after it is decompressed."""

    max_redirects: int = 10
    """How many redirects of one HTTP request are followed."""

    allowed_files: tuple[Mount, ...] = ()
    """Folders that it sees under their own paths: `"./data"` (read-only), `{"path": "./out", "mode": "read-write"}`,
    or as `mounts` are written. For what a program declares, they lie below its project root."""

    mounts: tuple[Mount, ...] = ()
    """Folders that it sees beside what it declares, `"HOST[::GUEST][:ro|:rw]"`: for those who run programs. Relative
    paths start from the current folder and stay below it."""

    workspace: int | str | None = None
    """Bytes of a private folder at `/tmp`, gone with the sandbox; each file counts as 4 KB or more. None: there is
    none."""

    env_variables: tuple[str, ...] = ()
    """Variables of the host that stand in `os.environ`: `"API_KEY"`, which has to be set, or `"MODE=default"`."""

    def __post_init__(self) -> None:
        parse_compute(self.compute)
        if parse_size(self.ram) > MAX_RAM:
            raise InvalidPolicy(f'ram: {self.ram!r} is more than a sandbox can address; the most is "4GB"')
        parse_duration(self.timeout)
        _check_text_size("max_output", self.max_output)
        _check_text_size("max_message", self.max_message)
        _check_count("max_retries", self.max_retries, MAX_RETRIES)
        _check_count("max_depth", self.max_depth, MAX_DEPTH)
        _check_count("max_subtasks", self.max_subtasks, MAX_SUBTASKS)
        _check_count("max_mailbox", self.max_mailbox, MAX_MAILBOX, least=1)
        _check_count("max_restarts", self.max_restarts, MAX_RESTARTS)
        self._check_family()
        self._check_http()
        self._check_files()
        if self.idle_timeout is not None:
            parse_duration(self.idle_timeout, "idle_timeout")
        if parse_duration(self.restart_window, "restart_window") < MIN_WINDOW:
            raise InvalidPolicy(f'restart_window: {self.restart_window!r} is too short; the shortest is "1ms"')
        if self.on_failure not in get_args(OnFailure):
            choices = ", ".join(map(repr, get_args(OnFailure)))
            raise InvalidPolicy(f"on_failure: {self.on_failure!r} is not known; use one of {choices}")

    def _check_family(self) -> None:
        if self.family_compute is not None:
            parse_compute(self.family_compute, "family_compute")
        if self.family_ram is not None:
            parse_size(self.family_ram, "family_ram")

    def _check_http(self) -> None:
        msgspec.structs.force_setattr(self, "allowed_hosts", _hosts(self.allowed_hosts))
        _check_count("max_requests", self.max_requests, MAX_REQUESTS)
        _check_text_size("max_response", self.max_response)
        _check_count("max_redirects", self.max_redirects, MAX_REDIRECTS)

    def _check_files(self) -> None:
        for field in ("allowed_files", "mounts"):
            _normalize(self, field, normal_mounts, '["./data", {"path": "./out", "mode": "read-write"}]')
        _normalize(self, "env_variables", normal_variables, '["API_KEY", "MODE=default"]')
        if self.workspace is not None and parse_size(self.workspace, "workspace") > MAX_WORKSPACE:
            most = format_size(MAX_WORKSPACE)
            raise InvalidPolicy(f"workspace: {self.workspace!r} is more than a workspace can have; the most is {most}")

    @classmethod
    def largest(cls) -> Policy:
        """The policy that allows as much as can be said of every limit: a start for ceilings that name only some.

        Of hosts it allows the public ones: what lies in a private network has to be named. So have folders and
        variables: it allows none.
        """
        return cls(
            compute=UNMETERED,
            ram=MAX_RAM,
            timeout=MAX_TIMEOUT,
            max_retries=MAX_RETRIES,
            max_output=MAX_TEXT,
            max_message=MAX_TEXT,
            max_depth=MAX_DEPTH,
            max_subtasks=MAX_SUBTASKS,
            max_mailbox=MAX_MAILBOX,
            max_restarts=MAX_RESTARTS,
            restart_window=MIN_WINDOW,
            allowed_hosts=("*",),
            max_requests=MAX_REQUESTS,
            max_response=MAX_TEXT,
            max_redirects=MAX_REDIRECTS,
            workspace=MAX_WORKSPACE,
        )

    # What follows is asked for with every message, and looked up once for each policy.

    @cached_property
    def fuel(self) -> int:
        """`compute` in units of fuel; UNMETERED is more than any."""
        return parse_compute(self.compute)

    @cached_property
    def ram_bytes(self) -> int:
        """`ram` in bytes."""
        return parse_size(self.ram)

    @cached_property
    def timeout_seconds(self) -> float:
        """`timeout` in seconds."""
        return parse_duration(self.timeout)

    @cached_property
    def max_output_bytes(self) -> int:
        """`max_output` in bytes."""
        return parse_size(self.max_output, "max_output")

    @cached_property
    def max_message_bytes(self) -> int:
        """`max_message` in bytes."""
        return parse_size(self.max_message, "max_message")

    @cached_property
    def max_response_bytes(self) -> int:
        """`max_response` in bytes."""
        return parse_size(self.max_response, "max_response")

    @cached_property
    def folders(self) -> tuple[Mount, ...]:
        """`mounts` and `allowed_files`, one for each name inside; of two that have the same, the one in `mounts`."""
        return tuple({mount.guest: mount for mount in (*self.allowed_files, *self.mounts)}.values())

    @cached_property
    def workspace_bytes(self) -> int | None:
        """`workspace` in bytes."""
        return None if self.workspace is None else parse_size(self.workspace, "workspace")

    @cached_property
    def family_fuel(self) -> int | None:
        """`family_compute` in units of fuel."""
        return None if self.family_compute is None else parse_compute(self.family_compute, "family_compute")

    @cached_property
    def family_ram_bytes(self) -> int | None:
        """`family_ram` in bytes."""
        return None if self.family_ram is None else parse_size(self.family_ram, "family_ram")

    @cached_property
    def idle_seconds(self) -> float | None:
        """`idle_timeout` in seconds."""
        return None if self.idle_timeout is None else parse_duration(self.idle_timeout, "idle_timeout")

    @cached_property
    def restart_window_seconds(self) -> float:
        """`restart_window` in seconds."""
        return parse_duration(self.restart_window, "restart_window")

    def with_settings(self, settings: dict[str, Any]) -> Policy:
        """This policy with the fields in `settings` replaced. Raises InvalidPolicy for an unknown or bad one."""
        unknown = sorted(set(settings) - set(self.__struct_fields__))
        if unknown:
            known = ", ".join(self.__struct_fields__)
            raise InvalidPolicy(f"{unknown[0]}: there is no such limit; the limits are {known}")
        return msgspec.structs.replace(self, **settings)

    def within(self, ceiling: Policy) -> Policy:
        """This policy cut to `ceiling`: of each limit, the smaller; of `restart_window` the longer."""
        return Policy(
            compute=min(self.fuel, ceiling.fuel),
            ram=min(self.ram_bytes, ceiling.ram_bytes),
            timeout=min(self.timeout_seconds, ceiling.timeout_seconds),
            max_retries=min(self.max_retries, ceiling.max_retries),
            max_output=min(self.max_output_bytes, ceiling.max_output_bytes),
            max_message=min(self.max_message_bytes, ceiling.max_message_bytes),
            max_depth=min(self.max_depth, ceiling.max_depth),
            max_subtasks=min(self.max_subtasks, ceiling.max_subtasks),
            family_compute=_least(self.family_fuel, ceiling.family_fuel),
            family_ram=_least(self.family_ram_bytes, ceiling.family_ram_bytes),
            max_mailbox=min(self.max_mailbox, ceiling.max_mailbox),
            idle_timeout=_least(self.idle_seconds, ceiling.idle_seconds),
            on_failure=self.on_failure,
            max_restarts=min(self.max_restarts, ceiling.max_restarts),
            restart_window=max(self.restart_window_seconds, ceiling.restart_window_seconds),  # longer is stricter
            allowed_hosts=narrowed(self.allowed_hosts, ceiling.allowed_hosts),
            max_requests=min(self.max_requests, ceiling.max_requests),
            max_response=min(self.max_response_bytes, ceiling.max_response_bytes),
            max_redirects=min(self.max_redirects, ceiling.max_redirects),
            allowed_files=mounts_narrowed(self.allowed_files, (*ceiling.allowed_files, *ceiling.mounts)),
            mounts=mounts_narrowed(self.mounts, (*ceiling.allowed_files, *ceiling.mounts)),
            workspace=_both(self.workspace_bytes, ceiling.workspace_bytes),
            env_variables=variables_narrowed(self.env_variables, ceiling.env_variables),
        )

    def anchored(self, root: str | os.PathLike[str], *, inside: bool = False) -> Policy:
        """The same with the real, absolute paths of its folders; relative ones start from the folder `root`.

        Raises InvalidPolicy for what is no folder, for relative paths that a link leads out of `root` and, with
        `inside`, for all that lies outside of it. Looks at the file system.
        """
        found: dict[str, Any] = {}
        for field in ("allowed_files", "mounts"):
            try:
                found[field] = anchored(getattr(self, field), root, inside=inside)
            except ValueError as error:
                raise InvalidPolicy(f"{field}: {error}") from None
        return self.with_settings(found) if any(found.values()) else self


def _least(*limits: T | None) -> T | None:
    """The smallest of those that are set."""
    return min((limit for limit in limits if limit is not None), default=None)


def _both(limit: int | None, other: int | None) -> int | None:
    """The smaller of two where None is nothing at all."""
    return None if limit is None or other is None else min(limit, other)


def _normalize(policy: Policy, field: str, normal: Callable[[Iterable[Any]], tuple[Any, ...]], example: str) -> None:
    value = getattr(policy, field)
    if not isinstance(value, list | tuple):
        raise InvalidPolicy(f"{field}: this is no list; write it as {example}")
    try:
        msgspec.structs.force_setattr(policy, field, normal(value))
    except ValueError as error:
        raise InvalidPolicy(f"{field}: {error}; write it as {example}") from None


def _hosts(value: object) -> tuple[str, ...]:
    """`allowed_hosts` in its normal form, from a list too."""
    if not isinstance(value, list | tuple) or len(value) > MAX_HOSTS:
        raise InvalidPolicy(
            f'allowed_hosts: this is no list of at most {MAX_HOSTS} hosts; write it as ["api.example.com"]'
        )
    try:
        return normal_patterns(value)
    except ValueError as error:
        raise InvalidPolicy(
            f'allowed_hosts: {error}; write it as "api.example.com", "*.example.com", "host:port" or "*"'
        ) from None


def _check_text_size(field: str, value: int | str) -> None:
    if parse_size(value, field) > MAX_TEXT:
        raise InvalidPolicy(
            f"{field}: {value!r} is more than the host holds for a guest; the most is {format_size(MAX_TEXT)}"
        )


def _check_count(field: str, value: object, most: int, least: int = 0) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidPolicy(f"{field}: {value!r} is not a whole number from {least} to {most}")
