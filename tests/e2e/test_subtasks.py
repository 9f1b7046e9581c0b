"""Tasks that call tasks: from plain code, from `async def` code, many at once, and no more than the policy allows."""

from __future__ import annotations

import pytest

from capsule import Policy, Runtime, TaskFailed

FAMILY = """
import asyncio, time
from capsule import task, TaskFailed

@task(compute="LOW", ram="64MB")
def double(n):
    return 2 * n

@task(compute="LOW", ram="64MB")
async def nap(seconds, value=None):
    await asyncio.sleep(seconds)
    return value

@task(compute="LOW", ram="64MB")
def fails(what, *, how="badly"):
    raise ValueError(f"{what} failed {how}")

@task
def plain():
    return [double(1), double(n=2)]

@task
async def gathered(count):
    began = time.monotonic()
    values = await asyncio.gather(*(nap(0.3, n) for n in range(count)))
    return [values == list(range(count)), time.monotonic() - began]

@task
async def grouped():
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(nap(0.05, n)) for n in range(3)]
    late = "no"
    try:
        await asyncio.wait_for(nap(30), 0.05)
    except TimeoutError:
        late = "yes"
    order = [await call for call in asyncio.as_completed([nap(0.4, "slow"), nap(0.01, "quick")])]
    return [[call.result() for call in calls], late, order]

@task
async def awaits_plain_ones():
    calls = [group_call async for group_call in starts(3)]
    later = asyncio.create_task(double(9))
    first = [await call for call in asyncio.as_completed(double(n) for n in [4])]
    ask = lambda n: double(n)
    values = await asyncio.gather(double(5), *(double(n) for n in (6, 7)), *map(double, [8]), ask(10))
    try:
        await fails("it")
    except TaskFailed as error:
        failure = error.error_type
    mapped = await double.map(range(3))
    return [await asyncio.gather(*calls), first, values, await later, failure, mapped, helper(2), await returned(3)]

async def starts(count):
    for n in range(count):
        yield double(n)

def helper(n):
    return double(n) + double.map([n])[0]

def returned(n):
    return nap(0.01, n)

@task
def wants_values_of_async_ones():
    return [nap(0.01, 5), nap.map([0.01]), asyncio.run(inside(6))]

async def inside(n):
    return await nap(0.01, n)

@task
def mapped():
    return double.map(range(5))

@task
async def mapped_async():
    return await nap.map([0.01, 0.02])

@task
def map_fails():
    return fails.map(["a", "b"])

@task
async def map_fails_awaited():
    return await fails.map(["a", "b"])

@task(compute="LOW", ram="64MB")
async def naps_or_fails(seconds):
    await asyncio.sleep(max(0, seconds))
    return 1 / (seconds >= 0)

@task
def fails_early():
    began = time.monotonic()
    try:
        naps_or_fails.map([20, 20, -1])
    except TaskFailed as error:
        return [error.error_type, time.monotonic() - began < 10]

def bad_items():
    yield 1
    raise KeyError("items")

@task
def map_of_bad_items(kind):
    return double.map({"no JSON": [1, {2}], "broken": bad_items(), "none": 5}[kind])

@task
async def map_of_bad_items_awaited(kind):
    return await double.map({"no JSON": [1, {2}], "broken": bad_items(), "none": 5}[kind])

@task
async def forgets():
    return double(4)

@task
async def wants_a_thread():
    try:
        await asyncio.to_thread(time.sleep, 0)
    except RuntimeError as error:
        return str(error)

@task
def caught():
    try:
        fails("it", how="twice")
    except TaskFailed as error:
        return [error.error_type, error.message]

@task
def loops():
    return loops()

@task
async def floods(count):
    await asyncio.gather(*(nap(5) for _ in range(count)))
"""


DECORATED = """
import asyncio, functools, inspect
from capsule import task

def timed(function):
    if inspect.iscoroutinefunction(function):
        return NotImplemented
    @functools.wraps(function)
    def inner(*args): return function(*args)
    return inner

class Counted:
    def __init__(self, function):
        self._name = "counted"
        functools.update_wrapper(self, function)
    def __call__(self, *args): return [self._name, self.__wrapped__(*args)]

ran = []

@task
def plain(x: int, y: "str" = "b") -> list:
    "What it does."
    ran.append(x)
    return [x, len(ran)]

@timed
@task
async def waits(x): return x

@Counted
@task
def counted(x): return x

@functools.lru_cache
@task
def cached(x): return x

class Holder:
    bound = functools.partialmethod(plain, 1)
    plain = plain

@task
def main():
    try:
        bound = Holder().bound()
    except Exception as error:
        bound = type(error).__name__
    return [
        waits(1), counted(2), cached(3), counted.map([4]), cached.map([5]), bound, len(ran), Holder().plain(6),
        str(inspect.signature(plain)), inspect.getdoc(plain), plain.__name__, plain.__annotations__["x"].__name__,
        inspect.iscoroutinefunction(waits), repr(plain), plain.function(7),
    ]
"""


async def test_a_task_among_decorators(runtime: Runtime, write) -> None:
    """One that is decorated again is called as before, maps, and is never run here but by its `function`."""
    value = await runtime.run(f"{write('decorated.py', DECORATED)}:main")
    counted, cached, bound, ran, held = [["counted", 2], 3, "TypeError", 0, [6, 1]]
    signature = "(x: int, y: 'str' = 'b') -> list"
    about = [signature, "What it does.", "plain", "int", False, "<task plain>", [7, 1]]
    assert value == [1, counted, cached, [4], [5], bound, ran, held, *about]


async def call(runtime: Runtime, write, task: str, *args):
    return await runtime.run(f"{write('family.py', FAMILY)}:{task}", *args)


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("plain", [2, 4]),
        ("grouped", [[0, 1, 2], "yes", ["quick", "slow"]]),
        ("awaits_plain_ones", [[0, 2, 4], [8], [10, 12, 14, 16, 20], 18, "task_error", [0, 2, 4], 8, 3]),
        ("wants_values_of_async_ones", [5, [None], 6]),
        ("mapped", [0, 2, 4, 6, 8]),
        ("mapped_async", [None, None]),
        ("caught", ["task_error", "fails: ValueError: it failed twice"]),
    ],
)
async def test_values_come_back(runtime: Runtime, write, task: str, value: object) -> None:
    """`async def` code awaits any task and asyncio's own tools take the calls; plain code has the value of any task."""
    assert await call(runtime, write, task) == value


async def test_fan_out_takes_as_long_as_one(runtime: Runtime, write) -> None:
    """Forty naps of 0.3 s at once take nowhere near twelve seconds."""
    values_are_right, seconds = await call(runtime, write, "gathered", 40)
    assert values_are_right
    assert seconds < 3


@pytest.mark.parametrize("task", ["map_fails", "map_fails_awaited"])
async def test_a_failed_map_raises(runtime: Runtime, write, task: str) -> None:
    """The first failure of a map is the map's."""
    with pytest.raises(TaskFailed, match=r"TaskFailed.* [ab] failed badly"):
        await call(runtime, write, task)


async def test_a_map_fails_early(runtime: Runtime, write) -> None:
    """A failure ends a map in plain code when it comes, and not when it is its turn."""
    assert await call(runtime, write, "fails_early") == ["task_error", True]


@pytest.mark.parametrize("task", ["map_of_bad_items", "map_of_bad_items_awaited"])
@pytest.mark.parametrize(("kind", "error"), [("no JSON", "TypeError"), ("broken", "KeyError"), ("none", "TypeError")])
async def test_items_that_are_none(runtime: Runtime, write, task: str, kind: str, error: str) -> None:
    """What is wrong with the items of a map is raised as it is, in plain code and where it is awaited."""
    with pytest.raises(TaskFailed) as failed:
        await call(runtime, write, task, kind)
    assert failed.value.outcome.error.exception == error


async def test_a_forgotten_await_is_named(runtime: Runtime, write) -> None:
    """A call that nobody awaited is what the error speaks of, and the warning names its task."""
    ref = await runtime.spawn(f"{write('family.py', FAMILY)}:forgets")
    outcome = await ref.outcome()
    assert outcome.error is not None
    assert outcome.error.message == "a coroutine that nobody awaited at result is not JSON"
    assert "coroutine 'double' was never awaited" in outcome.stderr


async def test_there_are_no_threads(runtime: Runtime, write) -> None:
    """The error of a thread that cannot be had is the program's to catch."""
    assert "thread" in await call(runtime, write, "wants_a_thread")


async def test_depth_is_bounded(runtime: Runtime, write) -> None:
    """A task that calls itself for ever is denied at the policy's depth, and the refusal says what would allow more."""
    with pytest.raises(TaskFailed, match=r"9 levels deep is not allowed; Policy\(max_depth=9\) would allow it"):
        await call(runtime, write, "loops")


async def test_the_number_of_live_subtasks_is_bounded(guest, write) -> None:
    """Beyond max_subtasks a call is denied; what was started ends with its caller."""
    async with Runtime(policy=Policy(max_subtasks=3)) as runtime:
        with pytest.raises(TaskFailed, match="more than 3 live sub-tasks"):
            await call(runtime, write, "floods", 4)
        assert await call(runtime, write, "plain") == [2, 4]


async def test_a_family_does_not_wait_for_itself(guest, write) -> None:
    """With one place in all, a task that calls others still finishes: children go ahead in their parent's lane."""
    async with Runtime(max_sandboxes=1) as runtime:
        assert await call(runtime, write, "mapped") == [0, 2, 4, 6, 8]


async def test_a_refusal_can_be_caught(runtime: Runtime, write) -> None:
    """A call that the host refuses raises TaskFailed inside, with the kind of the refusal."""
    source = FAMILY + (
        "\n@task\ndef wrong():\n    try:\n        double(1, 2)\n    except TaskFailed as error:\n"
        "        return [error.error_type, error.message]\n"
    )
    kind, message = await runtime.run(f"{write('wrong.py', source)}:wrong")
    assert kind == "invalid"
    assert message == "double() takes 1 positional argument but 2 were given; it is double(n)"


async def test_what_the_sandbox_does_not_offer(runtime: Runtime, write) -> None:
    """Importing what belongs to the application says so."""
    with pytest.raises(TaskFailed, match="belongs to the application outside"):
        await runtime.run(write("host.py", "from capsule import Runtime\ndef main(): ...\n"))


async def test_a_program_can_ask_what_the_sandbox_offers(runtime: Runtime, write) -> None:
    """A name that is not there is no attribute, as anywhere, and whoever insists on it is told why."""
    source = (
        "import capsule\ndef main():\n    found = [hasattr(capsule, 'Runtime'), getattr(capsule, 'nope', 1)]\n"
        "    for line in ('from capsule import nope', 'import capsule.nope'):\n"
        "        try:\n            exec(line)\n        except ImportError as error:\n            found.append(str(error))\n"
        "    try:\n        capsule.nope\n    except AttributeError as error:\n        return [*found, str(error)]\n"
    )
    *found, first, second, third = await runtime.run(write("asks.py", source))
    assert found == [False, 1]
    assert first == second == third
    assert first.startswith("capsule.nope is not there inside the sandbox, which offers ActorStopped")
