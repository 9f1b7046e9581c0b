"""A runtime on a fake engine, and what it told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from capsule import Ended, Event, Printed, Restarted, Retried, Runtime, Spawned, Started, Stopped
from capsule.testing import FakeClock, FakeEngine, Script


def short(event: Event) -> tuple[Any, ...]:
    """An event as a tuple that a test can write down."""
    match event:
        case Started(task_name=name):
            return ("started", name)
        case Retried(task_name=name, error=error, retry=retry):
            return ("retried", name, error.error_type, retry)
        case Printed(task_name=name, stream=stream, text=text):
            return ("printed", name, stream, text)
        case Ended(task_name=name, outcome=outcome):
            return ("ended", name, outcome.error.error_type if outcome.error else outcome.result)
        case Spawned(task_name=name, name=own):
            return ("spawned", own or name)
        case Restarted(task_name=name, error=error, restart=restart):
            return ("restarted", name, error.error_type, restart)
        case Stopped(task_name=name, name=own, failed=failed):
            return ("stopped", own or name, "failed" if failed else "ended")


class Stage:
    """Scripts on a fake engine under a runtime whose events are kept. `stage["name"]` is what the runtime runs."""

    def __init__(
        self, scripts: Mapping[str, Script], engine: Callable[..., FakeEngine] = FakeEngine, **options: Any
    ) -> None:
        self.events: list[Event] = []
        self.clock = FakeClock()
        self.engine = engine(scripts, clock=self.clock)
        self.runtime = Runtime(engine=self.engine, on_event=self.events.append, **options)

    def __getitem__(self, name: str) -> str:
        return f"tasks.py:{name}"

    @property
    def history(self) -> list[tuple[Any, ...]]:
        """The events of messages, in short."""
        return [short(event) for event in self.events if isinstance(event, (Started, Retried, Printed, Ended))]

    @property
    def life(self) -> list[tuple[Any, ...]]:
        """The events of actors, in short."""
        return [short(event) for event in self.events if isinstance(event, (Spawned, Restarted, Stopped))]

    @property
    def answers(self) -> list[Any]:
        """How the messages ended, in short: a value, or the kind of a failure."""
        return [short(event)[2] for event in self.events if isinstance(event, Ended)]

    def offer(self, operation: str, capability: Callable[..., Any]) -> None:
        """Add a host call; a runtime has no public way to do so yet."""
        self.runtime._capabilities[operation] = capability

    def assert_nothing_is_left(self) -> None:
        """Every place was given back, nobody waits, every sandbox is closed, every message and every actor has one
        end. A message that was never worked on has an end and no start.
        """
        admission = self.runtime._admission
        assert (admission.live, admission.memory, admission.waiting) == (0, 0, 0)
        assert all(sandbox.is_closed for sandbox in self.engine.sandboxes)
        started = [event.number for event in self.events if isinstance(event, Started)]
        ended = [event.number for event in self.events if isinstance(event, Ended)]
        assert len(ended) == len(set(ended))
        assert set(started) <= set(ended)
        spawned = [event.actor for event in self.events if isinstance(event, Spawned)]
        stopped = [event.actor for event in self.events if isinstance(event, Stopped)]
        assert sorted(spawned) == sorted(stopped)
        assert len(spawned) == len(set(spawned))


def declaration(name: str, methods: list[str], settings: str) -> str:
    """The source of a task, or of an actor class if there are methods."""
    if not methods:
        return f"@task({settings})\ndef {name}(*args, **kwargs):\n    pass\n"
    body = [f"    def {method}(self, *args, **kwargs):\n        pass\n" for method in methods]
    return f"@actor({settings})\nclass {name}:\n" + "".join(body)


@pytest.fixture
def stage(write) -> Callable[..., Stage]:
    """`stage({name: script}, {name: "max_retries=2"}, max_sandboxes=1)` declares the tasks and makes their stage.

    A script called "Notes.add" is a method of the actor class Notes, which has a constructor in any case.
    """

    def make(scripts: Mapping[str, Script], settings: Mapping[str, str] | None = None, **options: Any) -> Stage:
        found: dict[str, list[str]] = {}
        for name in scripts:
            owner, _, method = name.partition(".")
            methods = found.setdefault(owner, ["__init__"] if method else [])
            methods += [method] if method and method not in methods else []
        declared = [declaration(name, methods, (settings or {}).get(name, "")) for name, methods in found.items()]
        write("tasks.py", "from capsule import actor, task\n" + "\n".join(declared))
        return Stage(scripts, **options)

    return make
