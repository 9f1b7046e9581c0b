"""What an application sees of a runtime, on the real engine."""

from __future__ import annotations

import pytest

from capsule import InvalidProgram, Runtime, RuntimeClosed, TaskFailed, actor, task

FACTOR = 3


def scale(x: int) -> int:
    return x * FACTOR


@task(compute="LOW")
def total(data: list) -> int:
    return sum(scale(x) for x in data)


@task
def each(count: int) -> list:
    return [total([i]) for i in range(count)]


@task(max_retries=2)
def fails() -> None:
    raise ValueError("no luck")


@(declared := task)
def hidden() -> int:
    return 1


class Hidden:
    pass


Marked = actor(Hidden)


async def test_run_answers_the_value(runtime: Runtime) -> None:
    """The slice of this module that the task reaches runs in a sandbox."""
    assert await runtime.run(total, [1, 2, 3]) == 18


async def test_a_task_calls_a_task(runtime: Runtime) -> None:
    """A call to another task of the program answers its value."""
    assert await runtime.run(each, 3) == [0, 3, 6]


async def test_a_failure_carries_the_outcome(runtime: Runtime) -> None:
    """TaskFailed has the whole outcome, retries included."""
    with pytest.raises(TaskFailed) as caught:
        await runtime.run(fails)
    assert caught.value.outcome.execution.retries == 2
    assert caught.value.outcome.error.exception == "ValueError"


async def test_outside_the_block() -> None:
    """A runtime that is not open refuses to run."""
    with pytest.raises(RuntimeClosed):
        await Runtime().run(total, [1])


@pytest.mark.parametrize(("what", "words"), [(hidden, "write @task directly"), (Marked, "write @actor directly")])
def test_what_no_source_declares_is_refused_where_it_stands(what, words: str) -> None:
    """A declaration that cannot be read without running it is none; the error points at the function or class."""
    with pytest.raises(InvalidProgram, match=words) as caught:
        Runtime().inspect(what)
    with open(__file__, encoding="utf-8") as file:
        line = file.readlines()[caught.value.line - 1]
    assert line.split()[1].strip("()->:") in ("hidden", "Hidden")
