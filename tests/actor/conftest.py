"""A runtime on a fake engine, and what it told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from capsule import Ended, Event, Printed, Retried, Runtime, Started
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

    def offer(self, operation: str, capability: Callable[..., Any]) -> None:
        """Add a host call; a runtime has no public way to do so yet."""
        self.runtime._capabilities[operation] = capability

    def assert_nothing_is_left(self) -> None:
        """Every place was given back, nobody waits, every sandbox is closed, every message has one end."""
        admission = self.runtime._admission
        assert (admission.live, admission.memory, admission.waiting) == (0, 0, 0)
        assert all(sandbox.is_closed for sandbox in self.engine.sandboxes)
        started = [event.number for event in self.events if isinstance(event, Started)]
        ended = [event.number for event in self.events if isinstance(event, Ended)]
        assert sorted(started) == sorted(ended)


@pytest.fixture
def stage(write) -> Callable[..., Stage]:
    """`stage({name: script}, {name: "max_retries=2"}, max_sandboxes=1)` declares the tasks and makes their stage."""

    def make(scripts: Mapping[str, Script], settings: Mapping[str, str] | None = None, **options: Any) -> Stage:
        declared = [
            f"@task({(settings or {}).get(name, '')})\ndef {name}(*args, **kwargs):\n    pass\n" for name in scripts
        ]
        write("tasks.py", "from capsule import task\n" + "\n".join(declared))
        return Stage(scripts, **options)

    return make
