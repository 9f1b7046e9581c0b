"""What `@task` and `@actor` make of a function and a class in an application: something to be given to a runtime."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from capsule import UsageError, actor, task


@task
def double(number: int) -> int:
    return 2 * number


@actor
class Counter:
    def __init__(self, start: int) -> None:
        self.start = start


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (lambda: double(2), "right: await runtime.run(double, ...)"),
        (lambda: double.map([2]), "right: async for outcome in runtime.map(double, ...)"),
        (lambda: Counter(2), "right: await runtime.spawn(Counter, ...)"),
    ],
    ids=["task", "map", "actor"],
)
def test_a_direct_call_says_what_to_write(call: Callable[[], object], right: str) -> None:
    """Outside of a sandbox there is no call of a task or an actor class, and the refusal shows the right line."""
    with pytest.raises(UsageError) as refused:
        call()
    assert right in str(refused.value)


def test_the_plain_function_and_class_remain() -> None:
    """What was decorated can be used without a sandbox, on purpose."""
    assert double.function(21) == 42
    assert Counter.cls(3).start == 3
