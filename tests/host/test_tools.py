"""The capability "tool": what a guest may call, how often, for how long, and what it hears when that fails."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import threading
from typing import Any

import anyio
import msgspec
import pytest

from capsule import Denied, InvalidArguments, ToolError
from capsule._host.tool import Tool
from capsule._host.tool_threads import MOST_THREADS, Threads
from capsule._host.tools import Tools, make_tool_capability
from host.jobs import CONTEXT, Desk, Held, desk, stray


class Database:
    """Answers in every way in which a callable can."""

    def plain(self, key: str) -> str:
        return key + "!"

    async def awaited(self, key: str) -> str:
        await anyio.lowlevel.checkpoint()
        return key + "!"

    @staticmethod
    def static(key: str) -> str:
        return key + "!"

    @classmethod
    async def of_class(cls, key: str) -> str:
        return key + "!"

    async def __call__(self, key: str) -> str:
        return key + "!"


def wrapping(function: Any) -> Any:
    """A plain function around an async one, which answers its coroutine."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


DB = Database()


@pytest.mark.parametrize(
    "tool",
    [
        DB.plain,
        DB.awaited,
        Database.static,
        Database.of_class,
        wrapping(DB.awaited),
        functools.partial(DB.plain),
        functools.partial(DB.awaited),
        Tool(DB, name="called"),
        Tool(lambda key: key + "!", name="nameless"),
        Tool(DB.plain, timeout=20, max_calls=1),
        Tool(DB.awaited, timeout="20s"),
    ],
    ids=lambda tool: (tool if isinstance(tool, Tool) else Tool(tool)).signature,
)
async def test_every_callable(tool: Any) -> None:
    """Functions, methods, partials and objects, plain and async, answer the same."""
    async with desk(tool) as opened:
        name = next(iter(Tools.of([tool]))).name
        assert await opened.call(name, "a") == "a!"


async def test_where_they_run() -> None:
    """An async function runs on the event loop's thread, a plain one on another."""

    async def here() -> int:
        return threading.get_ident()

    def elsewhere() -> int:
        return threading.get_ident()

    async with desk(here, elsewhere) as opened:
        assert await opened.call("here") == threading.get_ident() != await opened.call("elsewhere")


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (None, msgspec.ValidationError),
        ([], msgspec.ValidationError),
        ({"tool": "plain", "args": []}, msgspec.ValidationError),
        ({"tool": 1, "args": [], "kwargs": {}}, msgspec.ValidationError),
        ({"tool": "plain", "args": {}, "kwargs": {}}, msgspec.ValidationError),
        ({"tool": "plain", "args": [], "kwargs": {}, "timeout": 5}, msgspec.ValidationError),
        ({"tool": "plain", "args": [], "kwargs": {}}, InvalidArguments),
        ({"tool": "plain", "args": [1], "kwargs": {}}, InvalidArguments),
        ({"tool": "nope", "args": [], "kwargs": {}}, Denied),
        ({"tool": "", "args": [], "kwargs": {}}, Denied),
        ({"tool": "__class__", "args": [], "kwargs": {}}, Denied),
    ],
)
async def test_payloads(payload: Any, kind: type[Exception]) -> None:
    """Whatever a guest sends instead of a call is refused, and counts for nothing."""
    async with desk(DB.plain) as opened:
        with pytest.raises(kind):
            await opened.send(payload)
        assert opened.made == {}


async def test_an_unknown_tool() -> None:
    """The refusal names what was asked for and nothing that is there; a name that is none is not repeated as one."""
    async with desk(DB.plain) as opened:
        assert '"denied","message":"calling the tool \'nope\' is not allowed; tools=[nope] would allow it"' in (
            await opened.heard("nope")
        )
        long = await opened.heard("x" * 100_000)
        assert "tools=[...]" in long
        assert len(long) < 500
        assert "\\\\ud800" in await opened.heard("\ud800")


async def test_each_caller_has_its_own() -> None:
    """Who calls decides which tools there are."""
    granted = {"first": Tools.of([DB.plain]), "second": Tools()}
    async with anyio.create_task_group() as group:
        capability = make_tool_capability(
            lambda context: granted[context.task_name],
            lambda _: {},
            lambda _: anyio.CapacityLimiter(8),
            group.start_soon,
        )
        call = {"tool": "plain", "args": ["a"], "kwargs": {}}
        first, second = (msgspec.structs.replace(CONTEXT, task_name=name) for name in granted)
        assert await capability(first, call) == "a!"
        with pytest.raises(Denied):
            await capability(second, call)


def fails(error: BaseException) -> list[Any]:
    """A plain and an async tool that raise `error`."""

    def plain() -> None:
        raise error

    async def awaited() -> None:
        raise error

    return [plain, awaited]


@pytest.mark.parametrize("name", ["plain", "awaited"])
@pytest.mark.parametrize(
    ("error", "message", "is_logged"),
    [
        (ToolError("see /etc/hosts"), "see /etc/hosts", False),
        (ExceptionGroup("g", [ToolError("said")]), "said", False),
        (ValueError("no /etc/hosts"), "no <path>", True),
        (FileNotFoundError(2, "No such file", "/home/ada"), "No such file", True),
        (Denied("this", "that"), "this is not allowed; that would allow it", True),
        (InvalidArguments("of its own"), "of its own", True),
        (TimeoutError(), "TimeoutError", True),
        (StopIteration(), "coroutine raised StopIteration", True),
        (RecursionError("deep"), "deep", True),
        (msgspec.ValidationError("of its own"), "of its own", True),
    ],
    ids=repr,
)
async def test_what_a_tool_raises(
    name: str, error: Exception, message: str, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The guest hears a ToolError; the host's log has the whole error, unless the tool meant it for the guest."""
    async with desk(*fails(error)) as opened:
        with caplog.at_level(logging.WARNING, "capsule"), pytest.raises(ToolError) as caught:
            await opened.call(name)
        assert str(caught.value) == message
        assert '"error_type":"tool_error"' in await opened.heard(name)
    logged = [record for record in caplog.records if record.name == "capsule"]
    assert bool(logged) is is_logged
    assert all(record.levelno == logging.WARNING and record.exc_info for record in logged)


class Fatal(BaseException):
    """Nobody's to catch."""


@pytest.mark.parametrize("name", ["plain", "awaited"])
async def test_what_is_no_exception(name: str) -> None:
    """What is not an Exception passes through as it is."""
    error = Fatal()
    async with desk(*fails(error)) as opened:
        with pytest.raises(Fatal) as caught:
            await opened.call(name)
    assert caught.value is error


async def ending(kind: str) -> BaseException:
    """What a tool may raise that ends more than a tool elsewhere."""
    if kind == "cancellation":
        return await stray()
    return SystemExit(3) if kind == "exit" else asyncio.CancelledError()


ENDINGS = ["exit", "cancellation", "cancellation of asyncio's"]


@pytest.mark.parametrize("name", ["plain", "awaited"])
@pytest.mark.parametrize("kind", ENDINGS)
async def test_what_would_end_more_than_a_tool(kind: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A tool that exits, or raises a cancellation that is not its caller's, has failed; nothing else ends."""
    error = await ending(kind)
    async with desk(*fails(error)) as opened:
        with caplog.at_level(logging.WARNING, "capsule"), pytest.raises(ToolError) as caught:
            await opened.call(name)
        assert str(caught.value) == f"the tool {name!r} raised {type(error).__name__}"
        await anyio.lowlevel.checkpoint()
    assert f"the tool {name!r} failed" in caplog.text


@pytest.mark.parametrize("kind", ENDINGS)
async def test_what_would_end_more_comes_too_late(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The same from a thread that nobody waits for is logged, and its owner goes on."""
    held, error = Held(), await ending(kind)

    def late() -> None:
        held()
        raise error

    with caplog.at_level(logging.WARNING, "capsule"):
        async with desk(late) as opened:
            async with anyio.create_task_group() as group:
                group.start_soon(opened.call, "late")
                await held.wait_begun()
                group.cancel_scope.cancel()
            held.released.set()
    assert "the tool 'late' failed after it had been given up" in caplog.text


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_wrong_answer(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A tool that breaks its own word: the guest hears that it failed, the host's log says how."""

    async def awaited() -> int:
        return "secret"

    def plain() -> int:
        return "secret"

    async with desk(Tool(awaited if is_async else plain, name="count")) as opened:
        with caplog.at_level(logging.ERROR, "capsule"), pytest.raises(ToolError) as caught:
            await opened.call("count")
    assert str(caught.value) == "the tool 'count' failed"
    assert "count() -> int answered a str: Expected `int`, got `str`" in caplog.text


class Picky(msgspec.Struct):
    """Breaks over some values in a way that msgspec does not expect."""

    name: str

    def __post_init__(self) -> None:
        raise KeyError("/home/ada")


async def test_types_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the application's own types is seen as one of the tool."""

    def pick(it: Picky) -> None: ...

    pick.__annotations__ = {"it": Picky}
    async with desk(pick) as opened:
        with pytest.raises(ToolError, match=r"^'<path>'$"):
            await opened.call("pick", {"name": "a"})
    assert "KeyError" in caplog.text


# How often.


async def test_max_calls() -> None:
    """So many calls that fit; the next is refused with the line that would allow it. Each tool is counted alone."""

    async def few(x: int) -> int:
        return x

    async def other() -> None: ...

    async with desk(Tool(few, max_calls=2), other) as opened:
        for _ in range(5):
            with pytest.raises(InvalidArguments):
                await opened.call("few", "a")
        assert [await opened.call("few", number) for number in range(2)] == [0, 1]
        for _ in range(2):
            assert "calling the tool 'few' more than 2 times is not allowed; Tool(..., max_calls=3) would" in (
                await opened.heard("few", 3)
            )
        await opened.call("other")
        assert opened.made == {"few": 2, "other": 1}
        opened.made.clear()
        assert await opened.call("few", 4) == 4


async def test_max_calls_at_once() -> None:
    """Calls at the same time cannot slip through together, and one that failed has been made."""
    reached = 0

    async def once() -> None:
        nonlocal reached
        reached += 1
        await anyio.lowlevel.checkpoint()
        raise ToolError("no")

    replies: list[str] = []

    async def one(opened: Desk) -> None:
        replies.append(await opened.heard("once"))

    async with desk(Tool(once, max_calls=1)) as opened, anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(one, opened)
    assert reached == 1
    assert sum("more than once" in reply for reply in replies) == 9


# For how long.


@pytest.mark.parametrize(("timeout", "spelled"), [("10ms", "10ms"), (" 0.01s ", "0.01s"), (0.01, "0.01s")])
async def test_timeout_of_an_async_tool(timeout: float | str, spelled: str) -> None:
    """It is cancelled, and the guest hears of the limit as it was written."""
    ended = []

    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("slow")

    async with desk(Tool(slow, timeout=timeout)) as opened:
        with pytest.raises(ToolError) as caught:
            await opened.call("slow")
        assert str(caught.value) == f"the tool 'slow' took longer than its timeout of {spelled}"
        assert ended == ["slow"]


async def test_timeout_of_a_plain_tool() -> None:
    """The guest is answered while the thread still works, and leaving waits for the thread."""
    held = Held()
    async with desk(Tool(held, name="held", timeout="10ms")) as opened:
        with pytest.raises(ToolError, match="took longer than its timeout of 10ms"):
            await opened.call("held")
        assert held.ended == 0
        held.released.set()
    assert held.ended == held.calls


async def test_a_timeout_of_the_tools_own() -> None:
    """A TimeoutError from inside the tool is not taken for the tool's limit."""

    async def gives_up() -> None:
        with anyio.fail_after(0):
            await anyio.sleep_forever()

    async with desk(Tool(gives_up, timeout="20s")) as opened:
        with pytest.raises(ToolError, match=r"^TimeoutError$"):
            await opened.call("gives_up")


# Given up.


async def test_an_async_tool_is_cancelled_with_its_caller() -> None:
    """When the caller ends, so does the tool, before the caller is gone."""
    history = []

    async def slow() -> None:
        history.append("begun")
        try:
            await anyio.sleep_forever()
        finally:
            history.append("ended")

    async with desk(slow) as opened:
        async with anyio.create_task_group() as group:
            group.start_soon(opened.call, "slow")
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        history.append("caller gone")
    assert history == ["begun", "ended", "caller gone"]


async def test_a_thread_is_given_up_with_its_caller() -> None:
    """The caller ends at once, the thread goes on, and whoever owns it waits."""
    held, history = Held(), []
    async with desk(Tool(held, name="held")) as opened:
        async with anyio.create_task_group() as group:
            group.start_soon(opened.call, "held")
            await held.wait_begun()
            group.cancel_scope.cancel()
        history.append(("caller gone", held.ended))
        held.released.set()
    history.append(("left", held.ended))
    assert history == [("caller gone", 0), ("left", 1)]


async def test_leaving_in_a_hurry_waits_for_threads() -> None:
    """Cancelling the owner does not abandon a thread."""
    held = Held()
    async with anyio.create_task_group() as owner:
        opened = Desk(Tools.of([Tool(held, name="held")]), owner.start_soon)
        owner.start_soon(opened.call, "held")
        await held.wait_begun()
        threading.Timer(0.05, held.released.set).start()
        owner.cancel_scope.cancel()
    assert held.ended == 1


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_what_comes_too_late(is_coroutine: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An error of a thread that nobody waits for is logged; a coroutine of its is closed without a warning."""
    held, made = Held(), []

    def late() -> Any:
        held()
        if not is_coroutine:
            raise ValueError("too late")
        made.append(DB.awaited("a"))
        return made[0]

    with caplog.at_level(logging.WARNING, "capsule"):
        async with desk(late) as opened:
            async with anyio.create_task_group() as group:
                group.start_soon(opened.call, "late")
                await held.wait_begun()
                group.cancel_scope.cancel()
            held.released.set()
    assert [inspect.getcoroutinestate(each) for each in made] == ["CORO_CLOSED"] * is_coroutine
    assert ("the tool 'late' failed after it had been given up" in caplog.text) is not is_coroutine
    assert ("ValueError: too late" in caplog.text) is not is_coroutine


async def test_a_call_that_waits_for_a_thread_can_be_given_up() -> None:
    """One that had not begun never does, and leaves its place in the queue."""
    first, second, answers = Held(), Held(), []
    async with anyio.create_task_group() as owner:
        threads = Threads(owner.start_soon, most=1)

        async def run(held: Held) -> None:
            answers.append(await threads.run("held", held, anyio.CapacityLimiter(1)))

        owner.start_soon(run, first)
        await first.wait_begun()
        with anyio.move_on_after(0.02):
            await run(second)
        second.released.set()
        first.released.set()
        await run(second)
    assert answers == ["done", "done"]
    assert (first.calls, second.calls) == (1, 1)


async def test_threads_are_our_own() -> None:
    """Plain tools work side by side, up to a limit that is not the application's."""
    held, most = Held(), 0
    application = anyio.to_thread.current_default_thread_limiter()
    async with desk(Tool(held, name="held")) as opened, anyio.create_task_group() as group:
        for _ in range(MOST_THREADS + 5):
            group.start_soon(opened.call, "held")
        for _ in range(MOST_THREADS):
            await held.wait_begun()
        await anyio.wait_all_tasks_blocked()
        most, borrowed = held.calls, application.borrowed_tokens
        held.released.set()
    assert (most, borrowed) == (MOST_THREADS, 0)
    assert held.ended == MOST_THREADS + 5


async def test_one_family_cannot_have_all_threads() -> None:
    """Calls that were given up keep their threads, and the share of their family, until they end."""
    held = Held()
    async with anyio.create_task_group() as owner:
        threads, greedy, other = Threads(owner.start_soon, most=3), anyio.CapacityLimiter(2), anyio.CapacityLimiter(2)
        for _ in range(5):
            with anyio.move_on_after(0.02):
                await threads.run("held", held, greedy)
        assert held.calls == 2
        assert await threads.run("quick", lambda: "quick", other) == "quick"
        held.released.set()
    assert held.ended == 2


async def test_two_at_once() -> None:
    """Async tools of one caller work at the same time: each waits for what the other does."""
    ready = [anyio.Event(), anyio.Event()]

    async def meet(me: int) -> int:
        ready[me].set()
        await ready[1 - me].wait()
        return me

    async with desk(meet) as opened, anyio.create_task_group() as group:
        with anyio.fail_after(20):
            group.start_soon(opened.call, "meet", 0)
            assert await opened.call("meet", 1) == 1
