"""Byte code of programs that run again: when it is made and kept, and that nobody can tell but by the costs."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule import Ended, Event, Runtime, Spawned, Started, TaskFailed, task
from capsule._codes import MOST_CODE, MOST_GROWTH, MOST_PROGRAMS, MOST_SOURCE, Codes, _code_in
from capsule._guest.cache import CompiledGuest
from capsule._values import Module, Program
from codes import LONG, codes_of, made, outcome_of, run_until_made, said

# When it is made, and what is kept. The sandbox is a function here.


class Compiler:
    """Answers `answer`, once what it is `held` by is set: a tuple as a sandbox says it, in base64. `asked` keeps what it
    was asked.
    """

    def __init__(self, answer: Any = ("code",)) -> None:
        self.asked: list[list[tuple[str, str]]] = []
        self.answer = answer
        self.held: anyio.Event | None = None

    async def __call__(self, files: list[tuple[str, str]]) -> Any:
        self.asked.append(files)
        if self.held is not None:
            await self.held.wait()
        if not isinstance(self.answer, tuple):
            return self.answer
        return [text and base64.b64encode(text.encode("latin-1")).decode() for text in self.answer]


@asynccontextmanager
async def keeping(compiler: Compiler) -> AsyncIterator[Codes]:
    async with anyio.create_task_group() as tasks:
        yield Codes(compiler, tasks.start_soon)
        tasks.cancel_scope.cancel()


def long(source: str, path: str = "a.py", *modules: Module) -> Program:
    return Program(path=path, source=source + LONG, modules=modules)


async def asks(codes: Codes, program: Program, times: int = 1) -> list[tuple[str, ...]]:
    found = []
    for _ in range(times):
        found.append(tuple(codes.of(program)))
        await anyio.wait_all_tasks_blocked()
    return found


async def test_a_program_that_runs_once_costs_nothing() -> None:
    """No sandbox before the second run, or for a short program the fourth; then one, and each further run has it."""
    compiler = Compiler()
    async with keeping(compiler) as codes:
        assert await asks(codes, long("x"), 2) == [(), ()]
        assert await asks(codes, long("x"), 2) == [("code",)] * 2
        assert await asks(codes, Program(path="a.py", source="x"), 5) == [()] * 4 + [("code",)]
    assert compiler.asked == [[("a.py", "x" + LONG)], [("a.py", "x")]]


async def test_it_is_kept_under_all_that_went_in() -> None:
    """Another text, another path, or another module or place of one is another program."""
    compiler = Compiler(("code", "more"))
    module = Module(name="b", path="b.py", source="y")
    async with keeping(compiler) as codes:
        await asks(codes, long("x", "a.py", module), 2)
        assert await asks(codes, long("x", "a.py", module)) == [("code", "more")]
        others = [
            long("x"),
            long("xx", "a.py", module),
            long("x", "other.py", module),
            long("x", "a.py", Module(name="b", path="b.py", source="z")),
            long("x", "a.py", Module(name="b", path="c.py", source="y")),
            long("x", "a.py", module, module),
        ]
        assert [await asks(codes, other) for other in others] == [[()]] * len(others)


async def test_no_two_programs_are_one_by_where_their_texts_begin() -> None:
    """What stands in a path or a source cannot pass for the end of it."""
    compiler = Compiler(("code", "more"))
    async with keeping(compiler) as codes:
        await asks(codes, Program(path="a", source="b", modules=(Module(name="m", path="c", source="d"),)), 5)
        (found,) = await asks(codes, Program(path="a1:b1:c1:d", source=LONG))
        assert (found, len(codes._known)) == ((), 2)


@pytest.mark.parametrize(
    "answer",
    [None, "code", [], [None], [1], ["é"], ["co de"], ["cod"], ["code"] * 2, ["x" * (MOST_GROWTH * 1000)], {"code": 1}],
    ids=lambda answer: repr(answer)[:20],
)
async def test_an_answer_that_is_no_code(answer: Any) -> None:
    """There is none then, and the sandbox is not asked again: a source may be there to keep it busy."""
    compiler = Compiler(answer)
    async with keeping(compiler) as codes:
        assert await asks(codes, long("x"), 6) == [()] * 6
    assert len(compiler.asked) == 1


@given(st.binary(max_size=300))
def test_code_arrives_as_it_was_made(code: bytes) -> None:
    """Whatever bytes a sandbox answered, the next ones read the same."""
    text = _code_in(base64.b64encode(code).decode(), "")
    assert text.isascii()
    assert binascii.a2b_qp(text) == code


async def test_a_module_without_code_stays_a_source() -> None:
    """The others have theirs."""
    compiler = Compiler(("code", None))
    async with keeping(compiler) as codes:
        found = await asks(codes, long("x", "a.py", Module(name="b", path="b.py", source="(")), 3)
    assert found[-1] == ("code", "")


async def test_what_is_too_large_together() -> None:
    """Nothing of it is kept."""
    compiler = Compiler(("x" * (MOST_CODE - 1), "xx"))
    async with keeping(compiler) as codes:
        found = await asks(codes, long("x" * (MOST_CODE // 4), "a.py", Module(name="b", path="b.py", source="y")), 3)
    assert (found[-1], codes._size) == ((), 0)


async def test_one_at_a_time() -> None:
    """While one program is compiled no other is; later it is made after all."""
    compiler = Compiler()
    async with keeping(compiler) as codes:
        compiler.held = anyio.Event()
        await asks(codes, long("x"), 3)
        await asks(codes, long("y"), 3)
        assert len(compiler.asked) == 1
        compiler.held.set()
        assert await asks(codes, long("x"), 1) == [()]
        assert await asks(codes, long("y"), 2) == [(), ("code",)]
    assert len(compiler.asked) == 2


async def test_the_number_of_programs_is_bounded() -> None:
    """Those that were not asked for longest are forgotten, with their code or without."""
    compiler = Compiler()
    async with keeping(compiler) as codes:
        await asks(codes, long("first"), 2)
        await asks(codes, long("second"), 2)
        for number in range(MOST_PROGRAMS - 1):
            codes.of(long("first"))
            codes.of(long(f"{number} once"))
        assert len(codes._known) == MOST_PROGRAMS
        assert await asks(codes, long("first")) == [("code",)]
        assert await asks(codes, long("second")) == [()]


async def test_the_bytes_are_bounded() -> None:
    """Code is forgotten from the oldest on, and counted right when it is."""
    compiler = Compiler(("x" * MOST_CODE,))
    async with keeping(compiler) as codes:
        for number in range(70):
            await asks(codes, long(f"{number:0200000}"), 2)
        sizes = [known.size for known in codes._known.values()]
        assert (len(sizes), sum(sizes), codes._size) == (64, 64 * MOST_CODE, 64 * MOST_CODE)


async def test_what_is_not_compiled() -> None:
    """A session has no program; a source beyond the cap is nothing to keep; a runtime that is left begins nothing."""
    compiler = Compiler()
    async with keeping(compiler) as codes:
        await asks(codes, Program(path="session", source=""), 5)
        await asks(codes, long("#" * MOST_SOURCE), 3)
        assert not codes._known
        codes.close()
        assert await asks(codes, long("x"), 3) == [()] * 3
    assert compiler.asked == []


# The same in real sandboxes.

INSPECT = """
import inspect, linecache, sys
def helper(x, *, y=2):
    "What it does."
    return [x, y]
class Thing:
    "A thing."
    def method(self): return self
def main():
    code = helper.__code__
    return [
        inspect.getsource(helper), inspect.getsource(Thing), inspect.getsource(sys.modules["main"]),
        inspect.getsourcefile(helper), str(inspect.signature(helper)), inspect.getdoc(Thing), __file__, __name__,
        __package__, __spec__, __doc__, type(__loader__).__name__, linecache.getline(__file__, 3), sorted(globals()),
        code.co_filename, code.co_firstlineno, code.co_qualname, list(code.co_lines()), list(code.co_positions()),
        code.co_flags, code.co_code.hex(), list(code.co_names), repr(code.co_consts), sys._getframe().f_lineno,
        [frame.function for frame in inspect.stack()], Thing.__firstlineno__, helper.__module__, sys.modules["main"].helper is helper,
    ]
"""
CHAINED = """
def inner(x):
    return {"a": 1}[x] + (1 / 0 if x else
                          2)
def main():
    try:
        inner("b")
    except KeyError as error:
        raise ValueError("outer") from error
"""
GROUP = "def main():\n    raise ExceptionGroup('all', [ValueError(1), TypeError('two')])"
SAME = {
    "what inspect sees": INSPECT,
    "a chain of errors": CHAINED,
    "an error while it loads": "x = 1\ny = [1][\n  x]\ndef main(): pass",
    "a group": GROUP,
    "no JSON": "def main(): return object()",
    "no function": "main = None\ndef other(): pass\ndef main(): return undefined_name",
    "a coroutine": "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    return [x async for x in later()]\nasync def later():\n    yield 1",
    "a future": "from __future__ import annotations\ndef f(x: nothing): pass\ndef main(): return f.__annotations__",
    "another encoding": '# -*- coding: latin-1 -*-\ndef main(): return ["é\U0001f40d", "\\ud800" < "x", __file__]',
    "constants": "A = 'some text!'\ndef main():\n    same = 'some text!'\n    return [same is A, (1, 2.5, -0.0, 1j, b'x', ..., None, frozenset({1})).__repr__(), str(10**30)]",
    "deep code": "f = " + "lambda: " * 8 + "1\ndef main(): return f().__name__",
    "output": "import sys\nprint('loading')\ndef main():\n    print('out')\n    print('err', file=sys.stderr)",
    "its own text": "import sys\ndef main(): return __loader__.get_source('main')[:20]",
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
async def test_nobody_can_tell(source: str, runtime: Runtime, write) -> None:
    """Value, error, traceback, output and all that a program can see of itself are those of the first run."""
    name = write("again.py", source + LONG)
    first = await run_until_made(runtime, name)
    again = await outcome_of(runtime, name)
    assert said(again) == said(first)
    assert again.execution.fuel_consumed < first.execution.fuel_consumed
    assert again.execution.ram_used <= first.execution.ram_used


REFUSED = {
    "a late syntax error": ("def main(): pass\nreturn 1", "'return' outside function"),
    "a warning": ("def main(): return '\\d' is 1", ""),
    "too deep": ("x = lambda: " + "[" * 60 + "1" + " for _ in ()]" * 60 + "\ndef main(): pass", ""),
}


@pytest.mark.parametrize(("source", "message"), REFUSED.values(), ids=REFUSED)
async def test_what_the_compiler_complains_of_is_told_by_each_run(
    source: str, message: str, runtime: Runtime, write
) -> None:
    """There is no byte code then, and errors and warnings are as they were."""
    module = write("broken.py", source + LONG)
    name = write("main.py", f"def main():\n    import broken\n    return broken.main()\n{LONG}")
    first = await run_until_made(runtime, name)
    assert said(await outcome_of(runtime, name)) == said(first)
    assert message in (first.error.message if first.error else "")
    if not message and first.error is None:
        assert "SyntaxWarning" in first.stderr
    assert module == "broken.py"


async def test_modules_of_a_program(runtime: Runtime, write) -> None:
    """Those that are imported are compiled no more either; one that is broken fails where it always did."""
    write(
        "helper.py",
        "import inspect\ndef helped(x):\n    if x: return inspect.getsource(helped)\n    raise KeyError(x)" + LONG,
    )
    write("late.py", "def f(): return __file__" + LONG)
    name = write(
        "main.py",
        "import helper\ndef main(x):\n    import late, importlib\n"
        "    return [helper.helped(x), late.f(), helper.__file__, helper.__spec__.origin]",
    )
    first = await outcome_of(runtime, name, 1), await outcome_of(runtime, name, 0)
    await made(runtime)
    again = await outcome_of(runtime, name, 1), await outcome_of(runtime, name, 0)
    assert [said(each) for each in again] == [said(each) for each in first]
    assert all(one.execution.fuel_consumed < two.execution.fuel_consumed for one, two in zip(again, first, strict=True))


@task
def halved(number: int) -> float:
    """Of the application, with a text that makes it long enough. It is said to be worth a sandbox of its own after two
    runs if it has more than five hundred characters, which takes some more words than one would think, and since no
    one will ever read them they may as well be these, and these, and those that follow until there are enough of them.
    This should do, or nearly so: the slice has the imports and the function and nothing else, so all of it is here.
    """
    if number % 2:
        raise ValueError(number)
    return number / 2


async def test_a_task_of_an_application(runtime: Runtime) -> None:
    """What is sent as a slice gains as files do, on its own lines, by `map` too."""
    first = [said(outcome) async for outcome in runtime.map(halved, range(4), limit=1)]
    await made(runtime)
    later = [outcome async for outcome in runtime.map(halved, range(4))]
    assert [said(outcome) for outcome in later] == first
    assert first[1][2].traceback.count("raise ValueError(number)") == 1
    assert [tuple(map(bool, known.code)) for known in codes_of(runtime)._known.values()] == [(True,)]


FAMILY = """
from capsule import actor, task
@task
def child(x): return x + 1
@task
def main(x): return [child(x), *child.map(range(3))]
@actor
class Counter:
    def __init__(self): self.count = 0
    def add(self):
        self.count += 1
        return self.count
    def lose(self):
        import os
        os._exit(3)
"""


async def test_subtasks_and_actors(guest: CompiledGuest, write) -> None:
    """A program is one program, whoever starts a sandbox for it: a guest, a constructor, a restart."""
    fuel: dict[str, list[int]] = {}

    def hear(event: Event) -> None:
        if isinstance(event, Ended):
            fuel.setdefault(event.task_name, []).append(event.outcome.execution.fuel_consumed)

    name = write("family.py", FAMILY + LONG)
    async with Runtime(on_event=hear) as runtime:
        assert await runtime.run(name, 1) == [2, 1, 2, 3]
        await made(runtime)
        assert await runtime.run(name, 1) == [2, 1, 2, 3]
        async with await runtime.spawn("family.py:Counter") as counter:
            assert [await counter.add(), await counter.add()] == [1, 2]
            with pytest.raises(TaskFailed):
                await counter.lose()
            assert await counter.add() == 1
    first, later = fuel["main"]
    assert later < first
    assert max(fuel["child"][-4:]) < fuel["child"][0]
    assert len(fuel["Counter"]) == 2
    assert max(fuel["Counter"]) < fuel["child"][0]


async def test_nobody_hears_of_it(guest: CompiledGuest, write) -> None:
    """No event and no number of a message or an actor is spent on it."""
    events: list[Event] = []
    async with Runtime(on_event=events.append) as runtime:
        name = write("again.py", "def main(): return 1" + LONG)
        for _ in range(4):
            await outcome_of(runtime, name)
            await made(runtime)
        assert codes_of(runtime)._size > 0
    assert [event.number for event in events if isinstance(event, Started)] == [1, 2, 3, 4]
    assert [event.actor for event in events if isinstance(event, Spawned)] == [1, 2, 3, 4]


@pytest.mark.parametrize("number", [1, 10])
async def test_in_a_full_runtime(guest: CompiledGuest, write, number: int) -> None:
    """It is made all the same, in a sandbox that takes no place from anybody."""
    name = write("again.py", "import time\ndef main(s): time.sleep(s); return 1" + LONG)
    async with Runtime(max_sandboxes=number) as runtime:
        async with anyio.create_task_group() as tasks:
            for _ in range(number):
                tasks.start_soon(runtime.run, name, 0.2)
        await runtime.run(name, 0)
        with anyio.fail_after(30):
            await made(runtime)
        assert codes_of(runtime)._size > 0
    assert (runtime._admission.live, runtime._admission.memory) == (0, 0)


async def test_leaving_ends_it(guest: CompiledGuest, write) -> None:
    """The runtime is left while something is compiled: no place stays taken, and it can be entered again."""
    large = "\n".join(f"def f{n}(a, b=[{n}], **c):\n    return [x for x in a if x not in b]" for n in range(200))
    name = write("large.py", large + "\ndef main(): return 1")
    runtime = Runtime()
    for _ in range(2):
        with anyio.fail_after(60):
            async with runtime:
                assert [await runtime.run(name) for _ in range(2)] == [1, 1]
        assert (runtime._admission.live, runtime._admission.memory) == (0, 0)


async def test_a_limit_that_loading_alone_uses_up(guest: CompiledGuest, write) -> None:
    """A run that had enough fuel has enough when byte code is there; one that had not may have."""
    body = "\n".join(f"def f{number}(a, b={number}): return [x for x in a if x != b]" for number in range(100))
    async with Runtime() as runtime:
        plain = await run_until_made(runtime, write("plain.py", body + "\ndef main(): return 1"))
        needed, less = plain.execution.fuel_consumed, (await outcome_of(runtime, "plain.py")).execution.fuel_consumed
    head = "from capsule import task\n@task(compute={})\ndef main(): return 1\n"
    async with Runtime() as runtime:
        enough = write("enough.py", head.format(math.ceil(needed * 1.3)) + body)
        scarce = write("scarce.py", head.format((needed + less) // 2) + body)
        for name, ends in ((enough, [None] * 3), (scarce, ["fuel_exhausted"] * 2 + [None])):
            found = []
            for _ in range(3):
                outcome = await outcome_of(runtime, name)
                await made(runtime)
                found.append(outcome.error.error_type if outcome.error else None)
            assert found == ends
