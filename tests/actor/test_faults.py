"""An engine that breaks at one named point, and what is left of the message and of the others."""

from __future__ import annotations

import anyio
import pytest

from capsule.testing import FakeEngine, FakeGuest, FakeSandbox


async def quick(guest: FakeGuest) -> str:
    return "quick"


class DiesInOpen(FakeEngine):
    """Opens no sandbox the first time."""

    def open(self, limits, listener):
        if not hasattr(self, "is_warm"):
            self.is_warm = True
            raise MemoryError("no room")
        return super().open(limits, listener)


class DiesInCall(FakeEngine):
    """The first call raises instead of answering, and nothing is closed."""

    def open(self, limits, listener) -> FakeSandbox:
        sandbox = super().open(limits, listener)
        if len(self.sandboxes) == 1:
            sandbox.call = self._die
        return sandbox

    async def _die(self, request, **_):
        raise OSError("the engine broke")


class ClosesLate(FakeEngine):
    """Sandboxes answer at once and are gone only when `let_go` is called, as one that takes long to unmap."""

    def open(self, limits, listener) -> FakeSandbox:
        self.late = getattr(self, "late", [])
        sandbox = super().open(limits, listener)
        heard = sandbox._listener

        class Late:
            on_submit, on_cancel, on_output = heard.on_submit, heard.on_cancel, heard.on_output
            on_closed = staticmethod(lambda: self.late.append(heard.on_closed))

        sandbox._listener = Late
        return sandbox

    def let_go(self) -> None:
        while self.late:
            self.late.pop()()


@pytest.mark.parametrize("engine", [DiesInOpen, DiesInCall])
async def test_a_broken_engine_costs_one_attempt(stage, engine, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the engine raises is the outcome of that message, in the log, and no concern of the others."""
    play = stage({"quick": quick}, engine=engine, max_sandboxes=1)
    async with play.runtime as runtime:
        broken, other = await runtime.spawn(play["quick"]), await runtime.spawn(play["quick"])
        outcomes = [await broken.outcome(), await other.outcome()]
        failed = [outcome.error.error_type for outcome in outcomes if outcome.error]
        assert (failed, sum(outcome.success for outcome in outcomes)) == (["internal_error"], 1)
    assert "Traceback" in caplog.text
    play.assert_nothing_is_left()


@pytest.mark.parametrize("engine", [DiesInOpen, DiesInCall])
async def test_a_broken_engine_is_tried_again(stage, engine) -> None:
    """A broken attempt counts as one, if there are more."""
    play = stage({"quick": quick}, {"quick": "max_retries=1"}, engine=engine)
    async with play.runtime as runtime:
        assert await runtime.run(play["quick"]) == "quick"
    assert play.history == [
        ("started", "quick"),
        ("retried", "quick", "internal_error", 1),
        ("ended", "quick", "quick"),
    ]


async def test_a_place_is_free_when_the_sandbox_is_gone(stage) -> None:
    """The answer does not wait for the memory, but the next sandbox does."""
    play = stage({"quick": quick}, engine=ClosesLate, max_sandboxes=1)
    async with play.runtime as runtime:
        assert await runtime.run(play["quick"]) == "quick"
        ref = await runtime.spawn(play["quick"])
        await anyio.wait_all_tasks_blocked()
        assert (ref.is_done, runtime._admission.live, runtime._admission.waiting) == (False, 1, 1)
        play.engine.let_go()
        assert await ref.result() == "quick"
        ref.kill()
        await anyio.wait_all_tasks_blocked()
        assert ref.state == "stopping"
        play.engine.let_go()
        await ref.wait_stopped()
    play.assert_nothing_is_left()
