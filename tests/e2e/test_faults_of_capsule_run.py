"""Each fault of capsule-run 0.8.10 that was reproduced (FINDINGS, 31) and concerns tasks: capsule has none of them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import anyio
import pytest

from capsule import Policy, Runtime, TaskFailed, run
from capsule._guest.cache import CompiledGuest

LOOPS = "def main():\n    while True: pass"
TRIVIAL = "def main(): return 42"
TASK = "from capsule import task, TaskFailed\n"


async def outcome_of(runtime: Runtime, file: str, *args: object):
    """How a run of `file` ends."""
    return await (await runtime.spawn(file, *args)).outcome()


async def test_limits_hold_on_every_call(runtime: Runtime, write) -> None:
    """The declared limits bind the second and third call of a program as they bind the first."""
    file = write("a.py", TASK + "@task(compute=400_000_000, timeout='10s')\ndef main():\n    while True: pass")
    outcomes = [await outcome_of(runtime, file) for _ in range(3)]
    assert [outcome.error.error_type for outcome in outcomes] == ["fuel_exhausted"] * 3


async def test_grants_do_not_leak_between_programs(runtime: Runtime, write) -> None:
    """Two programs in one runtime each have their own limits, in whatever order they run."""
    small = write("small.py", TASK + "@task(ram='64MB')\ndef main(): return len(bytearray(100_000_000))")
    large = write("large.py", TASK + "@task(ram='256MB')\ndef main(): return len(bytearray(100_000_000))")
    for _ in range(2):
        assert (await outcome_of(runtime, small)).error.error_type == "memory_exhausted"
        assert (await outcome_of(runtime, large)).result == 100_000_000


async def test_a_timeout_stops_a_busy_loop(guest: CompiledGuest, write) -> None:
    """A busy loop ends at its timeout."""
    file = write("a.py", LOOPS)
    async with Runtime(policy=Policy(compute="HIGH", timeout="200ms")) as runtime:
        outcome = await outcome_of(runtime, file)
    assert outcome.error.error_type == "timeout"
    assert 200 <= outcome.execution.duration_ms < 1200  # 20 ms are promised, on a machine that does nothing else


async def test_busy_loops_do_not_freeze_a_runtime(guest: CompiledGuest, write) -> None:
    """While more guests loop than there are carriers, others are answered."""
    loops, trivial = write("loops.py", LOOPS), write("trivial.py", TRIVIAL)
    async with Runtime(policy=Policy(compute="HIGH", timeout="20s")) as runtime:
        refs = [await runtime.spawn(loops) for _ in range(6)]
        with anyio.fail_after(10):
            assert [await runtime.run(trivial) for _ in range(5)] == [42] * 5
        assert not any(ref.is_done for ref in refs)


async def test_a_guest_cannot_give_itself_more(runtime: Runtime, write) -> None:
    """Limits named in a request for a sub-task are refused; those of its declaration hold."""
    file = write(
        "a.py",
        TASK
        + """
from wit_world.imports import calls
@task(ram="64MB")
def child(): return len(bytearray(100_000_000))
@task
def main():
    calls.submit("task", '{"task":"child","args":[],"kwargs":{},"ram":"1GB","compute":"HIGH"}')
    reply = calls.next(-1.0)[1]
    try: child()
    except TaskFailed as failed: return [failed.error_type, "invalid" in reply]
""",
    )
    assert await runtime.run(file) == ["memory_exhausted", True]


async def test_files_started_cold_at_once_are_not_mixed_up(runtime: Runtime, write) -> None:
    """Many different files of one folder, started at the same moment, each run their own code."""
    files = [write(f"p{number}.py", f"def main(): return {number}") for number in range(40)]
    refs = [await runtime.spawn(file) for file in files]
    assert [await ref.result() for ref in refs] == list(range(40))


async def test_an_edited_file_is_seen(runtime: Runtime, write) -> None:
    """A live runtime runs what the file says now, also if its size and time stay the same."""
    file = write("a.py", "def main(): return 1")
    times = Path(file).stat()
    assert await runtime.run(file) == 1
    write("a.py", "def main(): return 2")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert await runtime.run(file) == 2


async def test_output_without_a_newline(runtime: Runtime, write) -> None:
    """What is printed without a line's end arrives, and hangs nothing."""
    file = write("a.py", "import sys\ndef main():\n    print('no end', end='')\n    sys.stderr.write('nor here')")
    outcome = await outcome_of(runtime, file)
    assert (outcome.stdout, outcome.stderr, outcome.success) == ("no end", "nor here", True)


async def test_a_result_of_a_megabyte(runtime: Runtime, write) -> None:
    """A large result arrives whole, and the task ran once."""
    file = write("a.py", "def main(): return 'x' * 1_000_000")
    outcome = await outcome_of(runtime, file)
    assert (len(outcome.result), outcome.execution.retries) == (1_000_000, 0)


async def test_ways_to_end_look_different(runtime: Runtime, write) -> None:
    """Fuel, exit, stack and memory are told apart."""
    ends = {
        "fuel_exhausted": TASK + "@task(compute=300_000_000, timeout='9s')\ndef main():\n    while True: pass",
        "trap": "import os\ndef main(): os._exit(1)",
        "stack_overflow": "def main():\n    x = []\n    for _ in range(100_000): x = [x]\n    return repr(x)",
        "memory_exhausted": "def main(): bytearray(10**9)",
        "timeout": TASK + "@task(timeout='200ms')\ndef main():\n    import time\n    time.sleep(9)",
        "task_error": "def main(): 1 / 0",
        "invalid": "def main(): return {1}",
    }
    for kind, source in ends.items():
        error = (await outcome_of(runtime, write("a.py", source))).error
        assert error.error_type == kind
        assert error.message


async def test_an_exception_keeps_class_and_traceback(runtime: Runtime, write) -> None:
    """The user's class, message, file, line and source line arrive; frames of ours and paths of the host do not."""
    file = write("sub/a.py", "class Odd(ValueError): pass\n\ndef f(x):\n    raise Odd(f'no {x}')\n\ndef main(): f(3)\n")
    error = (await outcome_of(runtime, file)).error
    assert (error.exception, error.message) == ("Odd", "no 3")
    assert 'File "sub/a.py", line 4, in f' in error.traceback
    assert "raise Odd" in error.traceback
    assert 'File "sub/a.py", line 6, in main' in error.traceback
    assert "capsule_sdk" not in error.traceback
    assert str(Path.cwd()) not in error.traceback


async def test_retries_are_counted_as_they_happened(runtime: Runtime, write) -> None:
    """`retries` is how many there were, not how many there may be, and main is retried too."""
    fails = write("fails.py", TASK + "@task(max_retries=2)\ndef main(): 1 / 0")
    works = write("works.py", TASK + "@task(max_retries=2)\ndef main(): return 1")
    assert (await outcome_of(runtime, fails)).execution.retries == 2
    assert (await outcome_of(runtime, works)).execution.retries == 0


async def test_a_retry_can_succeed(runtime: Runtime, write) -> None:
    """An attempt that fails now and then is tried again in a fresh sandbox, until it works."""
    source = "@task(max_retries=60)\ndef main():\n    tries.append(1)\n    if os.urandom(1)[0] > 127: 1 / 0\n    return len(tries)"
    file = write("a.py", TASK + "import os\ntries = []\n" + source)
    outcomes = [await outcome_of(runtime, file) for _ in range(8)]
    assert {outcome.result for outcome in outcomes} == {1}
    assert any(outcome.execution.retries for outcome in outcomes)
    assert all(outcome.execution.retries < 60 for outcome in outcomes)


async def test_keyword_arguments_reach_a_sub_task(runtime: Runtime, write) -> None:
    """A sub-task gets its keyword arguments, defaults and extras included."""
    source = """
@task
def child(a, *rest, b=2, **more): return [a, rest, b, more]
@task
def main(): return [child(1), child(1, 5, b=3, c=4)]
"""
    assert await runtime.run(write("a.py", TASK + source)) == [[1, [], 2, {}], [1, [5], 3, {"c": 4}]]


async def test_a_failed_sub_task_raises(runtime: Runtime, write) -> None:
    """TaskFailed is raised where the sub-task was called, can be caught, and says what happened."""
    source = """
@task
def child(): raise KeyError("lost")
@task
def main():
    try: child()
    except TaskFailed as failed: return [failed.error_type, failed.message]
"""
    assert await runtime.run(write("a.py", TASK + source)) == ["task_error", "child: KeyError: 'lost'"]


async def test_a_failed_sub_task_that_nobody_catches(runtime: Runtime, write) -> None:
    """It fails its caller too, as any exception does."""
    file = write("a.py", TASK + "@task\ndef child(): 1 / 0\n@task\ndef main(): child()")
    with pytest.raises(TaskFailed, match="division by zero") as caught:
        await runtime.run(file)
    assert caught.value.outcome.error.exception == "TaskFailed"


async def test_sub_tasks_run_side_by_side(runtime: Runtime, write) -> None:
    """Four sub-tasks of 0.2 s that are gathered take little more than one."""
    source = """
import asyncio
@task
async def child(n):
    await asyncio.sleep(0.2)
    return n
@task
async def main(): return await asyncio.gather(*(child(n) for n in range(4)))
"""
    began = time.monotonic()
    assert await runtime.run(write("a.py", TASK + source)) == [0, 1, 2, 3]
    assert time.monotonic() - began < 0.7


async def test_module_state_is_fresh(runtime: Runtime, write) -> None:
    """The top of a module runs in each sandbox: nothing is left from the call before."""
    file = write("a.py", "seen = []\ndef main():\n    seen.append(1)\n    return len(seen)")
    assert [await runtime.run(file) for _ in range(3)] == [1, 1, 1]


async def test_random_differs(runtime: Runtime, write) -> None:
    """No two sandboxes draw the same numbers, from whichever source."""
    draws = (
        "import os, random, secrets, uuid\ndef main(): return [random.random(), secrets.token_hex(), str(uuid.uuid4())]"
    )
    file = write("a.py", draws)
    columns = zip(*[await runtime.run(file) for _ in range(5)], strict=True)
    assert [len(set(column)) for column in columns] == [5, 5, 5]


async def test_time_at_the_top_of_a_module(runtime: Runtime, write) -> None:
    """A time taken at the top of a module is the time of the call."""
    file = write(
        "a.py",
        "import datetime, time\nNOW, TODAY = time.time(), datetime.date.today()\ndef main(): return [NOW, str(TODAY)]",
    )
    first, second = await runtime.run(file), await runtime.run(file)
    assert first[0] < second[0]
    assert abs(second[0] - time.time()) < 60


@pytest.mark.slow
async def test_memory_is_given_back(guest: CompiledGuest, write) -> None:
    """Two hundred sandboxes that lived at once, each with some megabytes, leave next to nothing behind."""
    file = write(
        "a.py",
        "import time\ndef main():\n    kept = bytearray(b'x') * 5_000_000\n    time.sleep(0.3)\n    return len(kept)",
    )
    async with Runtime() as runtime:
        await runtime.run(file)
        before = _private()
        outcomes = [
            outcome async for outcome in runtime.map(write("b.py", _with_argument(file)), range(200), limit=200)
        ]
        assert {outcome.result for outcome in outcomes} == {5_000_000}
        await runtime.run(file)
        assert _private() - before < 100 << 20  # they took 1.3 GB


def _with_argument(file: str) -> str:
    return Path(file).read_text().replace("main()", "main(number)")


def _private() -> int:
    """Bytes that this process alone holds: pages of the guest's snapshot belong to the system's cache of files."""
    rows = Path("/proc/self/smaps_rollup")
    if not rows.exists():
        pytest.skip("only Linux tells")
    private = (row.split() for row in rows.read_text("ascii").splitlines() if row.startswith("Private_"))
    return sum(int(row[1]) << 10 for row in private)


async def test_memory_is_limited_by_default(runtime: Runtime, write) -> None:
    """A task that names no limit has one."""
    file = write("a.py", "def main():\n    kept = []\n    while True: kept.append(bytearray(1 << 20))")
    assert (await outcome_of(runtime, file)).error.error_type == "memory_exhausted"


def test_its_own_example_of_a_policy() -> None:
    """`compute = "MEDIUM"`, which its README shows and its code refuses, is a policy."""
    assert Policy(compute="MEDIUM").fuel == Policy(compute="medium").fuel == 2_000_000_000


async def test_nan_is_invalid(runtime: Runtime, write) -> None:
    """NaN is refused in both directions, not turned into a text."""
    error = (await outcome_of(runtime, write("a.py", "def main(): return {'x': [float('nan')]}"))).error
    assert error.error_type == "invalid"
    assert "result['x'][0]" in error.message


@pytest.mark.parametrize("kind", ["timeout", "denied", "fuel_exhausted", "internal_error", "cancelled"])
async def test_an_error_type_cannot_be_faked(runtime: Runtime, write, kind: str) -> None:
    """What a guest raises is a task_error, whatever it calls itself and whatever it carries."""
    error = f"type({kind!r}, (Exception,), {{'error_type': {kind!r}, 'kind': {kind!r}, '__module__': 'capsule'}})"
    failure = (await outcome_of(runtime, write("a.py", f"def main(): raise {error}({kind!r})"))).error
    assert (failure.error_type, failure.exception) == ("task_error", kind)


async def test_a_failed_task_is_no_success(guest: CompiledGuest, write) -> None:
    """The envelope of `run` says that it failed."""
    envelope = await run(write("a.py", "def main(): 1 / 0"))
    assert (envelope["success"], envelope["result"], envelope["error"]["error_type"]) == (False, None, "task_error")
