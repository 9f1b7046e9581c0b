"""What every engine promises, as checks that run against any of them: the real one, the fake, and yours.

Each check gets a function that makes an engine whose guests know the functions of `CONTRACT_SOURCE`, and raises
AssertionError if a promise of `capsule.abc` is broken. None waits for time to pass, but for timeouts of a fraction of a
second.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from ..abc import Ending, Engine, Limits, Sandbox
from .listener import RecordingListener
from .programs import CONTRACT_SOURCE

__all__ = ["ENGINE_CHECKS", "check_engine"]

PATIENCE = 20.0
"""Seconds after which a check that waits for something fails."""

PLENTY = 60.0
"""A timeout, in seconds, that no call here reaches."""

MakeEngine = Callable[[], Engine]
Check = Callable[[MakeEngine], Awaitable[None]]


async def check_engine(make_engine: MakeEngine) -> None:
    """Run every check, each on an engine of its own that `make_engine` makes. Raises AssertionError."""
    for check in ENGINE_CHECKS:
        await check(make_engine)


class _Opened:
    """A sandbox with its history, and requests in short."""

    def __init__(self, engine: Engine, **limits: Any) -> None:
        self.engine = engine
        plenty: dict[str, Any] = {
            "fuel": 10**10,
            "ram": max(engine.min_ram, 64 << 20),
            "max_output": 1 << 20,
            "max_message": 1 << 20,
        }
        self.heard = RecordingListener()
        self.sandbox: Sandbox = engine.open(Limits(**{**plenty, **limits}), self.heard)
        self._is_loaded = False

    async def call(self, function: str, *args: Any, timeout: float = PLENTY, is_last: bool = False) -> Ending:
        request: dict[str, Any] = {"function": function, "call": [args, {}]}
        if not self._is_loaded:
            request = {"program": {"path": "contract.py", "source": CONTRACT_SOURCE}, **request}
            self._is_loaded = True
        return await self.sandbox.call(json.dumps(request), timeout=timeout, is_last=is_last)

    async def value(self, function: str, *args: Any, **options: Any) -> Any:
        return _value(await self.call(function, *args, **options))

    async def is_gone(self) -> None:
        """Wait for the end, then prove that it is told once, whatever is done to a dead sandbox."""
        await self.heard.wait_for("closed")
        self.sandbox.complete(1, '{"ok": "too late"}')
        self.sandbox.close()
        assert (await self.call("echo")).error_type == "cancelled", "a call on a closed sandbox ends as cancelled"
        await anyio.wait_all_tasks_blocked()
        assert self.heard.history[-1] == ("closed",), "nothing is heard of a sandbox after on_closed"
        assert self.heard.count("closed") == 1, "on_closed is called exactly once"


@asynccontextmanager
async def _open(make_engine: MakeEngine, **limits: int) -> AsyncIterator[_Opened]:
    with anyio.fail_after(PATIENCE):
        async with make_engine() as engine:
            opened = _Opened(engine, **limits)
            yield opened
            opened.sandbox.close()
            await opened.is_gone()


def _value(ending: Ending) -> Any:
    assert ending.error_type is None, f"an answer was expected, not {ending.error_type}: {ending.message}"
    assert ending.reply is not None, "an ending without an error has a reply"
    return json.loads(ending.reply)["ok"]


def _reply(value: Any) -> str:
    return json.dumps({"ok": value})


async def check_answer(make_engine: MakeEngine) -> None:
    """A call is answered with what the function returned; text keeps every character."""
    async with _open(make_engine) as opened:
        assert await opened.value("echo", 1, "é\U0001f40d\0", None) == [[1, "é\U0001f40d\0", None], {}]
        assert opened.heard.history == []


async def check_state_lasts(make_engine: MakeEngine) -> None:
    """State lasts from call to call of one sandbox, and no other sandbox sees it."""
    async with _open(make_engine) as opened:
        other = _Opened(opened.engine)
        assert await opened.value("keep", 1) == [1]
        assert await other.value("keep", 2) == [2]
        assert await opened.value("keep", 3) == [1, 3]


async def check_exception_is_an_answer(make_engine: MakeEngine) -> None:
    """An exception in the guest is an answer like any other: the sandbox lives on."""
    async with _open(make_engine) as opened:
        ending = await opened.call("fail", "no luck")
        assert ending.reply is not None
        error = json.loads(ending.reply)["error"]
        assert (error["kind"], error["exception"], error["message"]) == ("task_error", "ValueError", "no luck")
        assert await opened.value("echo") == [[], {}]


async def check_last_call_closes(make_engine: MakeEngine) -> None:
    """`is_last` closes the sandbox right after the answer, without another word from its owner."""
    async with _open(make_engine) as opened:
        assert await opened.value("echo", is_last=True) == [[], {}]
        await opened.is_gone()


async def check_first_failure_kills(make_engine: MakeEngine) -> None:
    """An ending without an answer leaves a dead sandbox, which closes by itself."""
    async with _open(make_engine) as opened:
        await opened.value("echo")
        ending = await opened.call("die")
        assert (ending.reply, ending.error_type) == (None, "trap")
        assert ending.message, "an ending without an answer says why"
        await opened.is_gone()


async def check_timeout(make_engine: MakeEngine) -> None:
    """A busy guest ends at its timeout, and so does one that sleeps."""
    for function, args in (("spin", ()), ("rest", (PLENTY,))):
        async with _open(make_engine) as opened:
            ending = await opened.call(function, *args, timeout=0.05)
            assert (ending.reply, ending.error_type) == (None, "timeout")
            await opened.is_gone()


async def check_fuel(make_engine: MakeEngine) -> None:
    """A guest ends when its fuel is spent, all of which it is charged for; each call has its own."""
    async with _open(make_engine, fuel=400_000_000) as opened:
        assert await opened.value("echo") == [[], {}]
        ending = await opened.call("spin")
        assert (ending.error_type, ending.fuel_consumed) == ("fuel_exhausted", 400_000_000)
        await opened.is_gone()


async def check_cancel_busy(make_engine: MakeEngine) -> None:
    """Cancelling a call ends a busy guest, raises, and leaves a dead sandbox, which closes by itself."""
    async with _open(make_engine) as opened:
        with anyio.move_on_after(0.05) as scope:
            await opened.call("spin")
        assert scope.cancelled_caught, "a cancelled call raises"
        await opened.is_gone()


async def _cancelled_call(opened: _Opened, function: str, *args: Any) -> None:
    await opened.call(function, *args)
    raise AssertionError("a cancelled call raises")


async def check_cancel_waiting(make_engine: MakeEngine) -> None:
    """Cancelling a call whose guest waits for the host ends it too; the answer that comes later is harmless."""
    async with _open(make_engine) as opened:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancelled_call, opened, "ask", "wait", None)
            await opened.heard.wait_for("submit")
            tasks.cancel_scope.cancel()
        await opened.is_gone()
        assert opened.heard.count("cancel") == 0, "the end of a guest is told by on_closed, not by on_cancel"


async def check_cancel_before_start(make_engine: MakeEngine) -> None:
    """A call that is cancelled before it could begin runs nothing, and the sandbox is closed all the same."""
    async with _open(make_engine) as opened:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await opened.call("say", ["stdout", "never"])
        assert scope.cancelled_caught
        await opened.is_gone()


async def check_host_call(make_engine: MakeEngine) -> None:
    """A host call goes out once with its JSON and comes back as its value, while the guest waits."""
    async with _open(make_engine) as opened, anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, opened, _reply({"b": [2, "ü"]}))
        assert await opened.value("ask", "look", {"a": "é"}) == {"b": [2, "ü"]}
        _, ticket, operation, payload = opened.heard.history[0]
        assert (ticket, operation, json.loads(str(payload))) == (1, "look", {"a": "é"})
        assert opened.heard.count("submit") == 1


async def _serve(opened: _Opened, *replies: str) -> None:
    for number, reply in enumerate(replies, 1):
        _, ticket, *_ = await opened.heard.wait_for("submit", number)
        opened.sandbox.complete(int(ticket), reply)


async def check_host_error(make_engine: MakeEngine) -> None:
    """An error reply is the guest's to handle: unhandled, it is its failure, and the sandbox lives on."""
    async with _open(make_engine) as opened, anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, opened, '{"error": {"error_type": "denied", "message": "not allowed"}}')
        ending = await opened.call("ask", "look", None)
        assert ending.reply is not None
        assert "not allowed" in json.loads(ending.reply)["error"]["message"]
        assert await opened.value("echo") == [[], {}]


async def check_many_host_calls(make_engine: MakeEngine) -> None:
    """Open calls are told apart by their tickets, in whatever order they are answered."""
    async with _open(make_engine) as opened, anyio.create_task_group() as tasks:

        async def serve() -> None:
            await opened.heard.wait_for("submit", 5)
            for _, ticket, _, payload in reversed(opened.heard.history):
                opened.sandbox.complete(int(ticket), _reply(int(payload) * 10))

        tasks.start_soon(serve)
        assert await opened.value("ask_many", 5) == [0, 10, 20, 30, 40]
        assert [entry[1] for entry in opened.heard.history] == [1, 2, 3, 4, 5]


async def check_give_up(make_engine: MakeEngine) -> None:
    """A host call that the guest gives up is told once; its answer never reaches the guest."""
    async with _open(make_engine) as opened, anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, opened, _reply("given up"), _reply("wanted"))
        assert await opened.value("ask_and_give_up", "first", "second") == "wanted"
        kinds = [entry[:2] for entry in opened.heard.history]
        assert kinds == [("submit", 1), ("cancel", 1), ("submit", 2)]


async def check_open_calls(make_engine: MakeEngine) -> None:
    """A guest with more open calls than it may is ended as denied."""
    async with _open(make_engine, max_open_calls=3) as opened:
        ending = await opened.call("ask_many", 4)
        assert (ending.reply, ending.error_type) == (None, "denied")
        assert "3 host calls" in ending.message, "a refusal says what the limit is"
        await opened.is_gone()
        assert [entry[1] for entry in opened.heard.history if entry[0] == "submit"] == [1, 2, 3]


async def check_open_payloads(make_engine: MakeEngine) -> None:
    """What open calls carry lies outside the guest's memory, and is held to the same size."""
    async with _open(make_engine, max_message=8 << 20) as opened:
        ending = await opened.call("ask_long", 9, (8 << 20) - 2)
        assert (ending.reply, ending.error_type) == (None, "denied")
        assert "memory" in ending.message
        await opened.is_gone()


async def check_second_answer(make_engine: MakeEngine) -> None:
    """An answer that comes twice is dropped."""
    async with _open(make_engine) as opened, anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, opened, _reply("one"), _reply("two"))
        first = await opened.value("ask", "a", None)
        opened.sandbox.complete(1, _reply("again"))
        assert [first, await opened.value("ask", "b", None)] == ["one", "two"]


async def check_output(make_engine: MakeEngine) -> None:
    """Printed text arrives in order, each stream by its name, before the call has its answer."""
    async with _open(make_engine) as opened:
        await opened.value("say", ["stdout", "one"], ["stderr", "two"], ["stdout", "three"])
        assert opened.heard.printed() == [("stdout", "one\n"), ("stderr", "two\n"), ("stdout", "three\n")]


async def check_output_cap(make_engine: MakeEngine) -> None:
    """Text beyond the cap is dropped, a character cut in two as well, and the ending says so; each call has its own."""
    async with _open(make_engine, max_output=4) as opened:
        cut = await opened.call("say", ["stdout", "abcé"], ["stderr", "more"])
        assert cut.output_truncated, "an ending says that output was dropped"
        assert opened.heard.printed() == [("stdout", "abc")]
        whole = await opened.call("say", ["stdout", "xyz"])
        assert not whole.output_truncated
        assert opened.heard.printed() == [("stdout", "abcxyz\n")]


async def check_long_result(make_engine: MakeEngine) -> None:
    """An answer of more than `max_message` bytes is no answer: "invalid", and a dead sandbox."""
    async with _open(make_engine, max_message=1000) as opened:
        assert await opened.value("answer_long", 900) == "x" * 900
        ending = await opened.call("answer_long", 1000)
        assert (ending.reply, ending.error_type) == (None, "invalid")
        assert "max_message" in ending.message
        await opened.is_gone()


async def check_long_host_call(make_engine: MakeEngine) -> None:
    """A host call of more than `max_message` bytes is not passed on, and ends the guest."""
    async with _open(make_engine, max_message=1000) as opened:
        ending = await opened.call("ask", "look", "ü" * 1000)
        assert (ending.reply, ending.error_type) == (None, "denied")
        assert "max_message" in ending.message
        await opened.is_gone()
        assert opened.heard.count("submit") == 0


async def check_close_unused(make_engine: MakeEngine) -> None:
    """A sandbox that was never called can be closed, twice even, and says that it is gone."""
    async with _open(make_engine) as opened:
        opened.sandbox.close()
        opened.sandbox.close()
        await opened.is_gone()


async def check_close_idle(make_engine: MakeEngine) -> None:
    """A sandbox can be closed between two calls."""
    async with _open(make_engine) as opened:
        await opened.value("echo")
        opened.sandbox.close()
        await opened.is_gone()


async def check_close_busy(make_engine: MakeEngine) -> None:
    """Closing a sandbox at work ends the call as cancelled, which does not raise: nobody cancelled the caller."""
    async with _open(make_engine) as opened, anyio.create_task_group() as tasks:

        async def close() -> None:
            await opened.heard.wait_for("submit")
            opened.sandbox.close()
            opened.sandbox.close()

        tasks.start_soon(close)
        ending = await opened.call("ask", "wait", None)
        assert (ending.reply, ending.error_type) == (None, "cancelled")
        await opened.is_gone()


async def check_one_call_at_a_time(make_engine: MakeEngine) -> None:
    """A second call while one is at work raises RuntimeError and disturbs nothing."""
    async with _open(make_engine) as opened, anyio.create_task_group() as tasks:

        async def disturb() -> None:
            await opened.heard.wait_for("submit")
            try:
                await opened.call("echo")
            except RuntimeError:
                opened.sandbox.complete(1, _reply("undisturbed"))
            else:
                raise AssertionError("a second call at the same time raises RuntimeError")

        tasks.start_soon(disturb)
        assert await opened.value("ask", "wait", None) == "undisturbed"


async def check_leaving(make_engine: MakeEngine) -> None:
    """Leaving the engine ends every sandbox, busy or idle, and waits for it; what is opened later is dead."""
    endings: list[Ending] = []

    async def work(opened: _Opened) -> None:
        endings.append(await opened.call("ask", "wait", None))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            async with make_engine() as engine:
                sandboxes = busy, idle, _ = [_Opened(engine) for _ in range(3)]
                await idle.value("echo")
                tasks.start_soon(work, busy)
                await busy.heard.wait_for("submit")
            assert [opened.heard.count("closed") for opened in sandboxes] == [1, 1, 1], "it waits until all are closed"
        assert [ending.error_type for ending in endings] == ["cancelled"]
        late = _Opened(engine)
        assert (await late.call("echo")).error_type == "cancelled"
        for opened in (*sandboxes, late):
            await opened.is_gone()


ENGINE_CHECKS: tuple[Check, ...] = (
    check_answer,
    check_state_lasts,
    check_exception_is_an_answer,
    check_last_call_closes,
    check_first_failure_kills,
    check_timeout,
    check_fuel,
    check_cancel_busy,
    check_cancel_waiting,
    check_cancel_before_start,
    check_host_call,
    check_host_error,
    check_many_host_calls,
    check_give_up,
    check_open_calls,
    check_open_payloads,
    check_second_answer,
    check_output,
    check_output_cap,
    check_long_result,
    check_long_host_call,
    check_close_unused,
    check_close_idle,
    check_close_busy,
    check_one_call_at_a_time,
    check_leaving,
)
"""Every check, for those who would rather run them one by one, as test cases."""
