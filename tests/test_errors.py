"""The errors: the tree that is drawn is the tree there is, and each message says what to do."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from capsule import Execution, Failure, Outcome, Policy, errors
from capsule._rights import Excess
from capsule.errors import (
    CacheUnwritable,
    CapsuleError,
    Denied,
    InvalidArguments,
    InvalidPolicy,
    InvalidProgram,
    InvalidProject,
    RightsRefused,
    RuntimeClosed,
    TaskFailed,
    UsageError,
)

CLASSES = {
    name: thing
    for name, thing in vars(errors).items()
    if inspect.isclass(thing) and issubclass(thing, Exception) and thing.__module__ in {errors.__name__, "capsule"}
}


def drawn() -> dict[str, str | None]:
    """Name -> name of the parent, as the drawing at the top of `errors` has it."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    (?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)", line)
        if found:
            depth = len(found["branch"]) // 4
            del path[depth:]
            parents[found["name"]] = path[-1] if path else None
            path.append(found["name"])
    return parents


def test_the_drawing_is_the_tree() -> None:
    """Every class stands in the drawing below its parent, and nothing else does."""
    there = {
        name: next((base.__name__ for base in kind.__bases__ if base in CLASSES.values()), None)
        for name, kind in CLASSES.items()
    }
    assert drawn() == there


def test_exports() -> None:
    """`__all__` names every class, in order."""
    assert errors.__all__ == sorted(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_documented(name: str) -> None:
    """Each class says in a sentence what happened."""
    assert (CLASSES[name].__doc__ or "").strip().endswith(".")


def test_usage_errors_are_pythons_own_too() -> None:
    """Who catches ValueError for a bad limit, or TypeError for bad arguments, catches ours."""
    assert issubclass(InvalidPolicy, ValueError)
    assert issubclass(InvalidArguments, TypeError)
    assert not issubclass(TaskFailed, UsageError)


def failed(**failure: str | None) -> Outcome:
    return Outcome(success=False, error=Failure(**failure), execution=Execution(task_name="count"))


MESSAGES = [
    (RuntimeClosed(), ["async with Runtime() as runtime"]),
    (CacheUnwritable("/cache", "read-only"), ["/cache", "read-only", "CAPSULE_CACHE_DIR"]),
    (Denied("reading x", 'Policy(files=["x"])'), ["reading x is not allowed", 'Policy(files=["x"]) would allow it']),
    (InvalidProgram("no task", path="a.py", line=3, excerpt="def f"), ["a.py:3: no task", "\ndef f"]),
    (InvalidProgram("no task", path="a.py"), ["a.py: no task"]),
    (InvalidProgram("no task"), ["no task"]),
    (InvalidProject("no key 'x'", path="capsule.toml", line=3), ["capsule.toml:3: no key 'x'"]),
    (
        RightsRefused(
            "a.py", [Excess("main", "task", "a.py", 2, "allowed_hosts", ("a.com", "b.com"), (), ("a.com", "b.com"))]
        ),
        [
            "a.py declares",
            'a.py:2, task main: allowed_hosts=["a.com", "b.com"]',
            "it may have none",
            "Runtime(ceiling=",
        ],
    ),
    (
        TaskFailed(failed(error_type="task_error", message="no luck", exception="ValueError")),
        ["count", "no luck", "ValueError"],
    ),
    (TaskFailed(failed(error_type="timeout", message="too long")), ["count", "timeout", "too long"]),
]
"""An error -> what its message must say: what was wrong, and what helps."""


@pytest.mark.parametrize(("error", "parts"), MESSAGES, ids=lambda value: type(value).__name__)
def test_message(error: CapsuleError, parts: list[str]) -> None:
    """The message names what was wrong and the remedy."""
    for part in parts:
        assert part in str(error)


def test_fields() -> None:
    """What a program may want to know is a field, so that nobody parses messages."""
    program = InvalidProgram("no task", path="a.py", line=3, excerpt="def f")
    assert (program.reason, program.path, program.line, program.excerpt) == ("no task", "a.py", 3, "def f")
    denied = Denied("x", "y")
    assert (denied.what, denied.allow) == ("x", "y")
    cache = CacheUnwritable("/cache", "full")
    assert (cache.folder, cache.reason) == ("/cache", "full")
    outcome = failed(error_type="timeout", message="m")
    assert (TaskFailed(outcome).outcome, TaskFailed(outcome).error_type) == (outcome, "timeout")


def test_unwrap() -> None:
    """A failed outcome raises TaskFailed, one that succeeded has its result."""
    outcome = failed(error_type="trap", message="m")
    with pytest.raises(TaskFailed) as caught:
        outcome.unwrap()
    assert caught.value.outcome is outcome
    assert Outcome(success=True, result=[1], execution=Execution(task_name="count")).unwrap() == [1]


def test_the_policy_error_names_the_remedy() -> None:
    """A limit that does not parse says how to write one."""
    for settings, remedy in (
        ({"compute": "MUCH"}, "LOW, MEDIUM, HIGH"),
        ({"ram": "much"}, '"64MB"'),
        ({"ram": "5GB"}, '"4GB"'),
        ({"timeout": "soon"}, '"30s"'),
        ({"max_retries": -1}, "from 0 to"),
    ):
        with pytest.raises(InvalidPolicy, match=re.escape(remedy)):
            Policy(**settings)


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=lambda error: type(error).__name__)
def test_pickle(error: CapsuleError) -> None:
    """An error survives a process boundary with its message and its fields."""
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
