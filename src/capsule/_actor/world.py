"""What all actors and messages of one runtime share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from anyio import CancelScope
from anyio.abc import TaskGroup

from .. import _backend
from .._events import Event
from .._secrets import NO_SECRETS, Secrets
from .._values import Program, TaskSpec
from ..abc import Capability, Engine
from ..policy import Policy
from .admission import Admission
from .reading import Reading
from .switchboard import Switchboard

if TYPE_CHECKING:
    from .registry import Registry


class World(msgspec.Struct, frozen=True, eq=False):
    """Made by the runtime when it opens; `tasks` owns every actor."""

    engine: Engine
    tasks: TaskGroup
    switchboard: Switchboard
    admission: Admission
    registry: Registry
    capabilities: Mapping[str, Capability]
    notify: Callable[[Event], None]
    to_json: Callable[[Any, str, Callable[[Any], Any]], str]
    """A value as JSON text: the value, what to call it in errors, and what to write for that which is no JSON.
    Raises InvalidArguments."""

    check_arguments: Callable[[TaskSpec, Sequence[Any], Mapping[str, Any]], None]
    """Raises InvalidArguments if a task or method cannot be called like this."""

    new_event: Callable[[], _backend.Event]
    """What a task waits for, on the event loop of the runtime."""

    new_scope: Callable[[], CancelScope]
    """Likewise what a part of a task is cancelled by."""

    secrets: Secrets = NO_SECRETS
    """What guests find placeholders of."""

    environment: Callable[[Policy], Mapping[str, str]] = lambda _: {}
    """What guests find in `os.environ` under a policy."""

    code_of: Callable[[Program], Sequence[str]] = lambda _: ()
    """The byte code of a program and its modules that a fresh sandbox is about to load; empty if there is none."""

    numbers: Iterator[int] = msgspec.field(default_factory=lambda: itertools.count(1))
    """Of messages."""

    most_parts: Mapping[str, int] = {}
    """How many values the payload of a capability may have, of those to which no program's values go."""

    reading: Reading = msgspec.field(default_factory=Reading)
    """By which large payloads are decoded."""
