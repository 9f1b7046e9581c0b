"""Jobs that a test steps by hand, for carriers without wasmtime."""

from __future__ import annotations

import threading
from collections.abc import Callable

from capsule._engine.carrier import NEVER, Job, Step

PATIENCE = 10.0


class FakeJob(Job):
    """Does what `steps` say, one for each slice, and writes down everything in a shared history.

    A step is a Step, an exception to raise, or a callable that answers a Step. `timeout` and `wake_at` are as in Job.
    """

    def __init__(self, name: str, history: list[tuple], *steps, is_warm: bool = False, **times: float) -> None:
        super().__init__(times.get("timeout", NEVER), is_warm=is_warm)
        self.name, self.history, self.steps = name, history, list(steps)
        self.sleeps_until = times.get("wake_at", NEVER)
        self.ended = threading.Event()

    def step(self) -> Step:
        self.history.append(("step", self.name))
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        answer = step() if callable(step) else step
        if answer is Step.WAITING:
            self.wake_at = self.sleeps_until
        if answer is Step.DONE:
            self.ended.set()
        return answer

    def stop(self, reason: str) -> None:
        self.history.append(("stop", self.name, reason))
        self.ended.set()

    def crash(self, error: BaseException) -> None:
        self.history.append(("crash", self.name, type(error).__name__))
        self.ended.set()

    def wait(self) -> None:
        """Wait until it is done, as carriers see it."""
        assert self.ended.wait(PATIENCE), f"{self.name} never ended: {self.history}"


class Gate:
    """A step that says when it is in, and waits there until it is let through."""

    def __init__(self, answer: Step = Step.DONE, then: Callable[[], None] = lambda: None) -> None:
        self.answer, self.then = answer, then
        self.entered, self.opened = threading.Event(), threading.Event()
        self.thread = ""

    def __call__(self) -> Step:
        self.thread = threading.current_thread().name
        self.entered.set()
        assert self.opened.wait(PATIENCE)
        self.then()
        return self.answer

    def reached(self) -> None:
        """Wait until a carrier is inside."""
        assert self.entered.wait(PATIENCE)

    def pass_through(self) -> None:
        """Wait for a carrier, and let it go."""
        self.reached()
        self.opened.set()
