"""The composition root: the one file that imports every room and puts them together."""

from __future__ import annotations

import itertools
import logging
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from ._actor.admission import Admission
from ._actor.attempt import Switchboard
from ._actor.delivery import Delivery, Message
from ._actor.ref import ActorRef
from ._guest.json_text import NotJSON, to_json
from ._host.tasks import make_task_capability
from ._setup import Progress, ensure_guest
from ._source import Source
from ._task import Task
from ._values import Event, Failure, Outcome, Program, TaskSpec
from .abc import CallContext, Engine
from .errors import InvalidArguments, InvalidPolicy, RuntimeClosed, UsageError
from .policy import Policy, format_size, parse_size

__all__ = ["Runtime", "run"]

log = logging.getLogger("capsule")

Runnable = Task[..., Any] | str | os.PathLike[str]
"""A task of this application, or a file: "tasks.py" (its main) or "tasks.py:word_count"."""


@dataclass(frozen=True)
class _Open:
    """What there is only inside the `async with` block."""

    engine: Engine
    tasks: TaskGroup
    switchboard: Switchboard


class Runtime:
    """Runs tasks in sandboxes. Used as `async with Runtime() as runtime:`, on asyncio or trio.

    `policy` is what a task gets that declares nothing else, and `ceiling` what no task can exceed whatever it
    declares. `max_sandboxes` bounds how many are live at once and `max_memory` the sum of their `ram`; beyond either,
    calls wait. `on_event` hears of every message on the event loop, printed text included. `progress` hears about
    work that takes long, such as building the guest the first time (default: a line on stderr). `engine` replaces
    the real engine, for tests.

    Leaving the block ends every sandbox that still lives and waits until it is gone; no thread stays behind.
    Raises SetupError from `async with` if the guest cannot be built on this machine.
    """

    def __init__(
        self,
        *,
        policy: Policy | None = None,
        ceiling: Policy | None = None,
        max_sandboxes: int = 1000,
        max_memory: int | str = "128GB",
        on_event: Callable[[Event], None] | None = None,
        progress: Progress | None = None,
        engine: Engine | None = None,
    ) -> None:
        if max_sandboxes < 1:
            raise InvalidPolicy(f"max_sandboxes: {max_sandboxes!r} is not a whole number of 1 or more")
        self._policy, self._ceiling = policy or Policy(), ceiling
        self._admission = Admission(max_sandboxes, parse_size(max_memory, "max_memory"))
        self._on_event, self._progress = on_event, progress
        self._given_engine = engine
        self._source = Source()
        self._numbers = itertools.count(1)
        self._capabilities = {
            "task": make_task_capability(self._call_from_guest, lambda context: _caller(context).max_depth)
        }
        self._policies: dict[tuple[tuple[str, Any], ...], Policy] = {}
        self._open: _Open | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(self._given_engine or await self._make_engine())
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            switchboard = Switchboard()
            stack.callback(switchboard.close)
            tasks.start_soon(switchboard.serve, tasks)
            self._open = _Open(engine, tasks, switchboard)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._open = None
        try:
            return await self._stack.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            if error is not None and _leaves(group) == _leaves(error):
                return False  # what the block raised, as it was raised: our task group is no business of its user
            raise

    async def _make_engine(self) -> Engine:
        from ._engine.engine import WasmEngine

        guest = await ensure_guest(self._progress)
        return WasmEngine(Path(guest.file), min_ram=guest.min_ram)

    async def run(self, task: Runnable, *args: Any, **kwargs: Any) -> Any:
        """Run a task in a fresh sandbox and wait for its value.

        Raises TaskFailed, which carries the outcome, if the task did not answer; a UsageError if the call itself was
        wrong and nothing ran; RuntimeClosed outside the `async with` block. Cancelling ends the sandbox before it
        returns.
        """
        return (await self._delivery(task, args, kwargs).run()).unwrap()

    async def spawn(self, task: Runnable, *args: Any, **kwargs: Any) -> ActorRef:
        """Start a task in a fresh sandbox and go on; the ref answers `await ref.outcome()`.

        The runtime owns the sandbox and ends it when the runtime is left. Raises a UsageError if the call was wrong,
        and RuntimeClosed.
        """
        delivery = self._delivery(task, args, kwargs)
        tasks = self._opened().tasks
        scope = anyio.CancelScope()
        ref = ActorRef(delivery.message.spec.name, scope.cancel)
        tasks.start_soon(self._own, delivery, ref, scope)
        return ref

    def check(self, task: Runnable, *args: Any, **kwargs: Any) -> None:
        """Raise the UsageError that `run` would raise for a wrong call, without running anything.

        Works on a runtime that is not open; whether the guest fits into the task's memory is only known by an open one.
        """
        _, spec = self._source.resolve(task)
        self._source.check_arguments(spec, args, kwargs)
        _encode(args, kwargs, self._cut_policy(spec))

    async def map(
        self, task: Runnable, items: Iterable[Any] | AsyncIterable[Any], *, limit: int = 100
    ) -> AsyncIterator[Outcome]:
        """Run a task once for each item, at most `limit` at a time, and yield the outcomes in the items' order.

        Items are taken as they are needed; an async generator of items is closed with the loop. Leaving the loop
        early, by `break` or by cancellation, ends the sandboxes that are still at work when the iterator is closed
        (`contextlib.aclosing` closes it at once).
        """
        if limit < 1:
            raise UsageError(f"limit: {limit!r} is not a whole number of 1 or more")
        at_work: deque[ActorRef] = deque()
        try:
            async with aclosing(_each(items)) as each:
                async for item in each:
                    at_work.append(await self.spawn(task, item))
                    if len(at_work) >= limit:
                        yield await at_work[0].outcome()
                        at_work.popleft()
            while at_work:
                yield await at_work[0].outcome()
                at_work.popleft()
        finally:
            for ref in at_work:
                ref.kill()

    def _opened(self) -> _Open:
        if self._open is None:
            raise RuntimeClosed
        return self._open

    def _delivery(self, task: Runnable, args: Sequence[Any], kwargs: dict[str, Any]) -> Delivery:
        self._opened()
        program, spec = self._source.resolve(task)
        return self._make_delivery(program, spec, args, kwargs)

    def _make_delivery(
        self,
        program: Program,
        spec: TaskSpec,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        caller: Delivery | None = None,
    ) -> Delivery:
        opened = self._opened()
        self._source.check_arguments(spec, args, kwargs)
        policy = self._policy_for(spec, opened.engine)
        message = Message(
            program=program,
            spec=spec,
            policy=policy,
            arguments=_encode(args, kwargs, policy),
            number=next(self._numbers),
            depth=caller.message.depth + 1 if caller else 0,
            parent=caller.message.number if caller else None,
        )
        return Delivery(
            message, opened.engine, opened.switchboard, self._admission, self._capabilities, self._notify, caller
        )

    def _policy_for(self, spec: TaskSpec, engine: Engine) -> Policy:
        """The declared limits on top of the runtime's policy, cut to its ceiling; remembered, for it is asked often."""
        declared = tuple(spec.settings.items())
        if declared not in self._policies:
            self._policies[declared] = self._make_policy(spec, engine)
        return self._policies[declared]

    def _cut_policy(self, spec: TaskSpec) -> Policy:
        policy = self._policy.with_settings(spec.settings)
        return policy if self._ceiling is None else policy.within(self._ceiling)

    def _make_policy(self, spec: TaskSpec, engine: Engine) -> Policy:
        policy = self._cut_policy(spec)
        self._admission.check(policy.ram_bytes)
        if policy.ram_bytes < engine.min_ram:
            least = format_size(-(-engine.min_ram // (1 << 20)) << 20)
            raise InvalidPolicy(
                f'ram: {format_size(policy.ram_bytes)} is less than the guest needs to start; use ram="{least}" or more'
            )
        return policy

    async def _own(self, delivery: Delivery, ref: ActorRef, scope: anyio.CancelScope) -> None:
        outcome: Outcome | None = None
        try:
            with scope:
                outcome = await delivery.run()
        finally:  # also when the runtime is left: whoever waits for the outcome gets one
            ref.settle(outcome or delivery.cancelled())

    async def _call_from_guest(
        self, context: CallContext, spec: TaskSpec, args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        caller: Delivery = context.state
        with caller.family.child():
            delivery = self._make_delivery(context.program, spec, args, kwargs, caller)
            return (await delivery.run()).unwrap()

    def _notify(self, event: Event) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:
            log.exception("on_event raised; the runtime goes on")


def _leaves(error: BaseException) -> set[int]:
    """What an exception comes down to. A task group wraps what its block raised, and trio's rebuilds groups, too."""
    if isinstance(error, BaseExceptionGroup):
        return set().union(*(_leaves(each) for each in error.exceptions))
    return {id(error)}


def _caller(context: CallContext) -> Policy:
    caller: Delivery = context.state
    return caller.message.policy


def _encode(args: Sequence[Any], kwargs: dict[str, Any], policy: Policy) -> str:
    try:
        text = f"[{to_json(list(args), 'args')},{to_json(kwargs, 'kwargs')}]"
    except (NotJSON, RecursionError) as error:
        raise InvalidArguments(str(error)) from None
    if len(text) > policy.max_message_bytes:
        raise InvalidArguments(
            f"the arguments take {format_size(len(text))} as JSON; "
            f"max_message allows {format_size(policy.max_message_bytes)}"
        )
    return text


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    if isinstance(items, AsyncGenerator):
        async with aclosing(items):  # it was made for this loop: nobody else would close it
            async for item in items:
                yield item
    elif isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def run(
    file: str | os.PathLike[str],
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    policy: Policy | None = None,
    ceiling: Policy | None = None,
) -> dict[str, Any]:
    """Run a file once, in a runtime of its own, and answer with the envelope that capsule-run's users know.

    `file` is a path, with ":name" behind it for a task other than its main; `args` and `kwargs` go to the task. A
    wrong call is an envelope too, with `error_type` "invalid". Raises SetupError if the guest cannot be built.
    """
    name = os.fspath(file)
    try:
        async with Runtime(policy=policy, ceiling=ceiling) as runtime:
            ref = await runtime.spawn(name, *args, **(kwargs or {}))
            return (await ref.outcome()).envelope()
    except UsageError as error:
        return invalid_envelope(name, str(error))


def invalid_envelope(task_name: str, message: str) -> dict[str, Any]:
    """The envelope of a call that was wrong, so that nothing ran."""
    from ._values import Execution

    failure = Failure(error_type="invalid", message=message)
    return Outcome(success=False, error=failure, execution=Execution(task_name=task_name)).envelope()
