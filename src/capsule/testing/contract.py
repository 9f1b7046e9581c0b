"""What every engine promises, as checks that run against any of them: the real one, the fake, and yours.

Each check gets a function that makes an engine whose guests know the functions of `CONTRACT_SOURCE`, and raises
AssertionError if a promise of `capsule.abc` is broken. None waits for time to pass, but for timeouts of a fraction of a
second.
"""

from __future__ import annotations

import json
from typing import Any

import anyio

from .._units import UNMETERED
from ..abc import FAMILY_SPENT, Ending, FuelAccount
from .opened import PATIENCE, PLENTY, Check, MakeEngine, Opened, open_sandbox, reply_of

__all__ = ["ENGINE_CHECKS", "check_engine"]


async def check_engine(make_engine: MakeEngine) -> None:
    """Run every check, each on an engine of its own that `make_engine` makes. Raises AssertionError."""
    for check in ENGINE_CHECKS:
        await check(make_engine)


async def check_answer(make_engine: MakeEngine) -> None:
    """A call is answered with what the function returned; text keeps every character."""
    async with open_sandbox(make_engine) as opened:
        assert await opened.value("echo", 1, "é\U0001f40d\0", None) == [[1, "é\U0001f40d\0", None], {}]
        assert opened.heard.history == []


async def check_state_lasts(make_engine: MakeEngine) -> None:
    """State lasts from call to call of one sandbox, and no other sandbox sees it."""
    async with open_sandbox(make_engine) as opened:
        other = Opened(opened.engine)
        assert await opened.value("keep", 1) == [1]
        assert await other.value("keep", 2) == [2]
        assert await opened.value("keep", 3) == [1, 3]


async def check_exception_is_an_answer(make_engine: MakeEngine) -> None:
    """An exception in the guest is an answer like any other: the sandbox lives on."""
    async with open_sandbox(make_engine) as opened:
        ending = await opened.call("fail", "no luck")
        assert ending.reply is not None
        error = json.loads(ending.reply)["error"]
        assert (error["kind"], error["exception"], error["message"]) == ("task_error", "ValueError", "no luck")
        assert await opened.value("echo") == [[], {}]


async def check_last_call_closes(make_engine: MakeEngine) -> None:
    """`is_last` closes the sandbox right after the answer, without another word from its owner."""
    async with open_sandbox(make_engine) as opened:
        assert await opened.value("echo", is_last=True) == [[], {}]
        await opened.is_gone()


async def check_first_failure_kills(make_engine: MakeEngine) -> None:
    """An ending without an answer leaves a dead sandbox, which closes by itself."""
    async with open_sandbox(make_engine) as opened:
        await opened.value("echo")
        ending = await opened.call("die")
        assert (ending.reply, ending.error_type) == (None, "trap")
        assert ending.message, "an ending without an answer says why"
        await opened.is_gone()


async def check_timeout(make_engine: MakeEngine) -> None:
    """A busy guest ends at its timeout, and so does one that sleeps."""
    for function, args in (("spin", ()), ("rest", (PLENTY,))):
        async with open_sandbox(make_engine) as opened:
            ending = await opened.call(function, *args, timeout=0.05)
            assert (ending.reply, ending.error_type) == (None, "timeout")
            await opened.is_gone()


async def check_fuel(make_engine: MakeEngine) -> None:
    """A guest ends when its call's fuel is spent, all of which it is charged for. Without a limit none is counted."""
    async with open_sandbox(make_engine, fuel=400_000_000) as opened:
        assert await opened.value("echo") == [[], {}]
        ending = await opened.call("spin")
        assert (ending.error_type, ending.fuel_consumed) == ("fuel_exhausted", 400_000_000)
        await opened.is_gone()
    async with open_sandbox(make_engine, fuel=UNMETERED) as opened:
        assert (await opened.call("spin", timeout=0.05)).fuel_consumed == 0


async def check_cancel_busy(make_engine: MakeEngine) -> None:
    """Cancelling a call ends a busy guest, raises, and leaves a dead sandbox, which closes by itself."""
    async with open_sandbox(make_engine) as opened:
        with anyio.move_on_after(0.05) as scope:
            await opened.call("spin")
        assert scope.cancelled_caught, "a cancelled call raises"
        await opened.is_gone()


async def _cancelled_call(opened: Opened, function: str, *args: Any) -> None:
    await opened.call(function, *args)
    raise AssertionError("a cancelled call raises")


async def check_cancel_waiting(make_engine: MakeEngine) -> None:
    """Cancelling a call whose guest waits for the host ends it too; the answer that comes later is harmless."""
    async with open_sandbox(make_engine) as opened:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancelled_call, opened, "ask", "wait", None)
            await opened.heard.wait_for("submit")
            tasks.cancel_scope.cancel()
        await opened.is_gone()
        assert opened.heard.count("cancel") == 0, "the end of a guest is told by on_closed, not by on_cancel"


async def check_cancel_before_start(make_engine: MakeEngine) -> None:
    """A call that is cancelled before it could begin runs nothing, and the sandbox is closed all the same."""
    async with open_sandbox(make_engine) as opened:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await opened.call("say", ["stdout", "never"])
        assert scope.cancelled_caught
        await opened.is_gone()


async def check_host_call(make_engine: MakeEngine) -> None:
    """A host call goes out once with its JSON and comes back as its value, while the guest waits."""
    async with open_sandbox(make_engine) as opened, anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, opened, reply_of({"b": [2, "ü"]}))
        assert await opened.value("ask", "look", {"a": "é"}) == {"b": [2, "ü"]}
        _, ticket, operation, payload = opened.heard.history[0]
        assert (ticket, operation, json.loads(str(payload))) == (1, "look", {"a": "é"})
        assert opened.heard.count("submit") == 1


async def _serve(opened: Opened, *replies: str) -> None:
    for number, reply in enumerate(replies, 1):
        _, ticket, *_ = await opened.heard.wait_for("submit", number)
        opened.sandbox.complete(int(ticket), reply)


async def check_host_error(make_engine: MakeEngine) -> None:
    """An error reply is the guest's to handle: unhandled, it is its failure, and the sandbox lives on."""
    async with open_sandbox(make_engine) as opened, anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, opened, '{"error": {"error_type": "denied", "message": "not allowed"}}')
        ending = await opened.call("ask", "look", None)
        assert ending.reply is not None
        assert "not allowed" in json.loads(ending.reply)["error"]["message"]
        assert await opened.value("echo") == [[], {}]


async def check_many_host_calls(make_engine: MakeEngine) -> None:
    """Open calls are told apart by their tickets, in whatever order they are answered."""
    async with open_sandbox(make_engine) as opened, anyio.create_task_group() as tasks:

        async def serve() -> None:
            await opened.heard.wait_for("submit", 5)
            for _, ticket, _, payload in reversed(opened.heard.history):
                opened.sandbox.complete(int(ticket), reply_of(int(payload) * 10))

        tasks.start_soon(serve)
        assert await opened.value("ask_many", 5) == [0, 10, 20, 30, 40]
        assert [entry[1] for entry in opened.heard.history] == [1, 2, 3, 4, 5]


async def check_give_up(make_engine: MakeEngine) -> None:
    """A host call that the guest gives up is told once; its answer never reaches the guest."""
    async with open_sandbox(make_engine) as opened, anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, opened, reply_of("given up"), reply_of("wanted"))
        assert await opened.value("ask_and_give_up", "first", "second") == "wanted"
        kinds = [entry[:2] for entry in opened.heard.history]
        assert kinds == [("submit", 1), ("cancel", 1), ("submit", 2)]


async def check_open_calls(make_engine: MakeEngine) -> None:
    """A guest with more open calls than it may is ended as denied."""
    async with open_sandbox(make_engine, max_open_calls=3) as opened:
        ending = await opened.call("ask_many", 4)
        assert (ending.reply, ending.error_type) == (None, "denied")
        assert "3 host calls" in ending.message, "a refusal says what the limit is"
        await opened.is_gone()
        assert [entry[1] for entry in opened.heard.history if entry[0] == "submit"] == [1, 2, 3]


async def check_open_payloads(make_engine: MakeEngine) -> None:
    """What open calls carry lies outside the guest's memory, and is held to the same size."""
    async with open_sandbox(make_engine, max_message=8 << 20) as opened:
        ending = await opened.call("ask_long", 9, (8 << 20) - 2)
        assert (ending.reply, ending.error_type) == (None, "denied")
        assert "memory" in ending.message
        await opened.is_gone()


async def check_second_answer(make_engine: MakeEngine) -> None:
    """An answer that comes twice is dropped."""
    async with open_sandbox(make_engine) as opened, anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, opened, reply_of("one"), reply_of("two"))
        first = await opened.value("ask", "a", None)
        opened.sandbox.complete(1, reply_of("again"))
        assert [first, await opened.value("ask", "b", None)] == ["one", "two"]


async def check_left_open(make_engine: MakeEngine) -> None:
    """An answer to what an earlier call left open reaches no later call, whenever it comes."""
    for is_late in (False, True):
        async with open_sandbox(make_engine) as opened, anyio.create_task_group() as tasks:
            left = await opened.value("leave", "old")
            if is_late:
                tasks.start_soon(_answer_at, opened, 2, left)
            else:
                opened.sandbox.complete(left, reply_of("stale"))
            ending = await opened.call("collect", left, timeout=0.2)
            assert (ending.reply, ending.error_type) == (None, "timeout"), "what was left open is never delivered"
            assert opened.heard.count("cancel") == 0, "the end of a call is no giving up: its owner knows of it"
            await opened.is_gone()


async def _answer_at(opened: Opened, submission: int, ticket: int) -> None:
    await opened.heard.wait_for("submit", submission)
    opened.sandbox.complete(ticket, reply_of("stale"))


async def check_left_open_counts(make_engine: MakeEngine) -> None:
    """What an earlier call left open counts as open until the host has answered it."""
    async with open_sandbox(make_engine, max_open_calls=1) as opened, anyio.create_task_group() as tasks:
        opened.sandbox.complete(await opened.value("leave", "old"), reply_of("stale"))
        tasks.start_soon(_answer_at, opened, 2, 2)
        assert await opened.value("ask", "new", None) == "stale"
        await opened.value("leave", "old")
        assert (await opened.call("leave", "new")).error_type == "denied"
        await opened.is_gone()


async def check_fuel_account(make_engine: MakeEngine) -> None:
    """Sandboxes with one account burn it together: empty, it ends whoever burns on and whoever begins."""
    account = FuelAccount(600_000_000)
    async with open_sandbox(make_engine, account=account) as opened:
        idle, other = Opened(opened.engine, account=account), Opened(opened.engine)
        endings = [await idle.call("echo")]
        spent: list[Ending] = []
        async with anyio.create_task_group() as tasks:
            for each in (opened, Opened(opened.engine, account=account)):
                tasks.start_soon(_spin, each, spent)
        endings += [*spent, await idle.call("echo")]
        assert [ending.error_type for ending in endings] == [None, *["fuel_exhausted"] * 3]
        assert {ending.message for ending in endings[1:]} == {FAMILY_SPENT}
        assert (endings[-1].fuel_consumed, account.is_empty) == (0, True)
        assert sum(ending.fuel_consumed for ending in endings) == 600_000_000 - account.left, (
            "each unit is charged once"
        )
        await idle.is_gone()
        assert await other.value("echo") == [[], {}], "a sandbox without the account is not touched"


async def _spin(opened: Opened, endings: list[Ending]) -> None:
    endings.append(await opened.call("spin"))


async def check_output(make_engine: MakeEngine) -> None:
    """Printed text arrives in order, each stream by its name, before the call has its answer."""
    async with open_sandbox(make_engine) as opened:
        await opened.value("say", ["stdout", "one"], ["stderr", "two"], ["stdout", "three"])
        assert opened.heard.printed() == [("stdout", "one\n"), ("stderr", "two\n"), ("stdout", "three\n")]


async def check_output_cap(make_engine: MakeEngine) -> None:
    """Text beyond the cap is dropped, a character cut in two as well, and the ending says so; each call has its own."""
    async with open_sandbox(make_engine, max_output=4) as opened:
        cut = await opened.call("say", ["stdout", "abcé"], ["stderr", "more"])
        assert cut.output_truncated, "an ending says that output was dropped"
        assert opened.heard.printed() == [("stdout", "abc")]
        whole = await opened.call("say", ["stdout", "xyz"])
        assert not whole.output_truncated
        assert opened.heard.printed() == [("stdout", "abcxyz\n")]


async def check_long_result(make_engine: MakeEngine) -> None:
    """An answer of more than `max_message` bytes is not taken: "invalid" stands for it, and the sandbox lives on."""
    async with open_sandbox(make_engine, max_message=1000) as opened:
        assert await opened.value("answer_long", 900) == "x" * 900
        ending = await opened.call("answer_long", 1000)
        assert ending.error_type is None
        error = json.loads(ending.reply or "")["error"]
        assert error["kind"] == "invalid"
        assert "max_message" in error["message"]
        assert await opened.value("answer_long", 900) == "x" * 900


async def check_long_host_call(make_engine: MakeEngine) -> None:
    """A host call of more than `max_message` bytes is not passed on, and ends the guest."""
    async with open_sandbox(make_engine, max_message=1000) as opened:
        ending = await opened.call("ask", "look", "ü" * 1000)
        assert (ending.reply, ending.error_type) == (None, "denied")
        assert "max_message" in ending.message
        await opened.is_gone()
        assert opened.heard.count("submit") == 0


async def check_close_unused(make_engine: MakeEngine) -> None:
    """A sandbox that was never called can be closed, twice even, and says that it is gone."""
    async with open_sandbox(make_engine) as opened:
        opened.sandbox.close()
        opened.sandbox.close()
        await opened.is_gone()


async def check_close_idle(make_engine: MakeEngine) -> None:
    """A sandbox can be closed between two calls."""
    async with open_sandbox(make_engine) as opened:
        await opened.value("echo")
        opened.sandbox.close()
        await opened.is_gone()


async def check_close_busy(make_engine: MakeEngine) -> None:
    """Closing a sandbox at work ends the call as cancelled, which does not raise: nobody cancelled the caller."""
    async with open_sandbox(make_engine) as opened, anyio.create_task_group() as tasks:

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
    async with open_sandbox(make_engine) as opened, anyio.create_task_group() as tasks:

        async def disturb() -> None:
            await opened.heard.wait_for("submit")
            try:
                await opened.call("echo")
            except RuntimeError:
                opened.sandbox.complete(1, reply_of("undisturbed"))
            else:
                raise AssertionError("a second call at the same time raises RuntimeError")

        tasks.start_soon(disturb)
        assert await opened.value("ask", "wait", None) == "undisturbed"


async def check_leaving(make_engine: MakeEngine) -> None:
    """Leaving the engine ends every sandbox, busy or idle, and waits for it; what is opened later is dead."""
    endings: list[Ending] = []

    async def work(opened: Opened) -> None:
        endings.append(await opened.call("ask", "wait", None))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            async with make_engine() as engine:
                sandboxes = busy, idle, _ = [Opened(engine) for _ in range(3)]
                await idle.value("echo")
                tasks.start_soon(work, busy)
                await busy.heard.wait_for("submit")
            assert [opened.heard.count("closed") for opened in sandboxes] == [1, 1, 1], "it waits until all are closed"
        assert [ending.error_type for ending in endings] == ["cancelled"]
        late = Opened(engine)
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
    check_left_open,
    check_left_open_counts,
    check_fuel_account,
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
