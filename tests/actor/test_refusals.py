"""An exception that says what the host refused makes the outcome "denied", of every kind of host call."""

from __future__ import annotations

import pytest

from capsule import Policy, Runtime
from capsule._guest.cache import CompiledGuest

SOURCE = """
from capsule import actor, task, tools
@task
def tool(): tools.nothing()
@task
def caught():
    try: tools.nothing()
    except Exception: pass
    raise ValueError("its own")
@task
def wrapped():
    try: tools.nothing()
    except Exception as error: raise RuntimeError(str(error))
@task
def child(): other()
@task
def grandchild(): child()
@task
def other(): return 1
@task
def below(): tool()
@task
def other_words():
    try: tools.nothing()
    except Exception as error:
        error.args = ("nothing was refused",)
        raise
@actor
class Kept:
    def __init__(self): self.calls = 0
    def go(self):
        self.calls += 1
        if self.calls == 1: tools.nothing()
        return self.calls
"""


@pytest.mark.parametrize(
    ("task", "error_type", "exception"),
    [
        ("tool", "denied", "ToolError"),
        ("grandchild", "task_error", "TaskFailed"),
        ("caught", "task_error", "ValueError"),
        ("wrapped", "task_error", "RuntimeError"),
        ("below", "task_error", "TaskFailed"),
        ("other_words", "task_error", "ToolError"),
    ],
)
async def test_a_refusal_that_nobody_caught(
    guest: CompiledGuest, write, task: str, error_type: str, exception: str
) -> None:
    """It counts as one if it is the host's own word, to this very message; and it is not tried again."""
    file = write("t.py", SOURCE)
    async with Runtime(policy=Policy(max_depth=1, max_retries=1)) as runtime:
        outcome = await (await runtime.spawn(f"{file}:{task}")).outcome()
    assert (outcome.error.error_type, outcome.error.exception) == (error_type, exception)
    assert outcome.execution.retries == (error_type != "denied")


async def test_a_call_that_goes_too_deep(guest: CompiledGuest, write) -> None:
    """The refusal of a sub-task says which line would allow it."""
    file = write("t.py", SOURCE)
    async with Runtime(policy=Policy(max_depth=0)) as runtime:
        outcome = await (await runtime.spawn(f"{file}:child")).outcome()
    assert outcome.error.error_type == "denied"
    assert "max_depth" in outcome.error.message


async def test_an_actor_that_was_refused_lives_on(guest: CompiledGuest, write) -> None:
    """Its method raised, as any other may: its state is as it was."""
    file = write("t.py", SOURCE)
    async with Runtime(policy=Policy(max_retries=3)) as runtime:
        kept = await runtime.spawn(f"{file}:Kept")
        with pytest.raises(Exception, match="nothing") as caught:
            await kept.go()
        assert caught.value.error_type == "denied"
        assert await kept.go() == 2
        assert kept.statistics().restarts == 0
