"""The composition root: the one file that imports every room and puts them together."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from ._actor.admission import Admission
from ._actor.delivery import Delivery, FreshHome
from ._actor.errand import Errand
from ._actor.events import EventStream
from ._actor.family import Family
from ._actor.grants import Grants
from ._actor.ref import ActorRef
from ._actor.registry import Registry
from ._actor.session import Session, check_language, evaluation_of
from ._actor.subject import SessionSubject, check_size
from ._actor.switchboard import Switchboard
from ._actor.world import World
from ._backend import event_type, scope_type
from ._codes import Codes
from ._environment import Environment
from ._events import Event
from ._host.http import Http
from ._host.tools import Toolbox, Tools
from ._items import each
from ._journal.sqlite import journal_of
from ._launcher import Launcher
from ._policies import Policies
from ._provision import Provision
from ._secrets import Secret, Secrets
from ._setup import Progress, ensure_guest, say
from ._source import Source, check_own_words
from ._task import ActorClass, Task
from ._values import Declared, Evaluation, Outcome
from ._wiring import MOST_PARTS, engine_type, leaves_of, make_capabilities, telling_why, write, write_without_refs
from .abc import Engine, Journal
from .errors import InvalidPolicy, UsageError
from .policy import Policy, parse_size

__all__ = ["Runtime"]

log = logging.getLogger("capsule")

Runnable = Task[..., Any] | str | os.PathLike[str]
"""A task of this application, or a file: "tasks.py" (its main) or "tasks.py:word_count"."""

Spawnable = Runnable | ActorClass
"""The same, or an actor class: one of this application, or of a file, "notes.py:Notes"."""


class Runtime:
    """Runs tasks in sandboxes. Used as `async with Runtime() as runtime:`, on asyncio or trio.

    `tools` are functions of the application that every guest may call by name. `secrets` are values that every guest
    may send to the hosts that each names and never sees: it finds a placeholder in `os.environ`. The variables that a
    policy names come from this process, from `env`, which wins, and from `env_file`, a `.env` file, for those that are
    set nowhere else. `packages` are packages in pure Python that every guest can import, as pip would be asked for them
    ("toolz>=1"); `script_packages=False` refuses files that declare packages of their own. `policy` is what a task gets
    that declares nothing else, and `ceiling` what no task can exceed whatever it declares: limits are cut to it, and a
    program that declares a right beyond it is refused. Without a ceiling, a file gets no right that `policy` does not
    hold. `max_sandboxes` bounds how many are live at once and `max_memory` the sum of their `ram`; beyond either, calls
    wait. `on_event` hears of every message and actor on the event loop, printed text included. `progress` hears about
    work that takes long, such as building the guest the first time (default: a line on stderr). `journal` keeps what
    happens, and costs: a path is that of a SQLite database, made if need be (default: none). `engine` replaces the real
    engine, for tests.

    Leaving the block ends every sandbox that still lives and waits until it is gone; no thread stays behind.
    Raises InvalidPackages for packages that no sandbox can have, and SetupError from `async with` if the guest cannot
    be built on this machine.
    """

    def __init__(
        self,
        *,
        tools: Toolbox = (),
        secrets: Mapping[str, Secret] | None = None,
        packages: Sequence[str] = (),
        script_packages: bool = True,
        policy: Policy | None = None,
        ceiling: Policy | None = None,
        env: Mapping[str, str] | None = None,
        env_file: str | os.PathLike[str] | None = None,
        max_sandboxes: int = 1000,
        max_memory: int | str = "128GB",
        on_event: Callable[[Event], None] | None = None,
        progress: Progress | None = None,
        journal: Journal | str | os.PathLike[str] | None = None,
        engine: Engine | None = None,
    ) -> None:
        if max_sandboxes < 1:
            raise InvalidPolicy(f"max_sandboxes: {max_sandboxes!r} is not a whole number of 1 or more")
        self._tools, self._secrets = Tools.of(tools), Secrets(secrets)
        self._tasks: TaskGroup | None = None
        self._admission = Admission(max_sandboxes, parse_size(max_memory, "max_memory"))
        self._policies = Policies(policy, ceiling, self._admission)
        self._on_event, self._progress = on_event, progress
        self._streams: WeakSet[EventStream] | None = None  # made for the first: it is asked about with every event
        self._journal = journal_of(journal)
        self._given_engine = engine
        self._provision = Provision(packages, takes_declared=script_packages)
        self._source = Source(self._policies.check)
        self._http = Http(self._start_soon)
        self._environment = Environment(env, env_file, self._secrets.environment)
        self._launcher = Launcher(self._policies, self._tools, self._environment)
        self._capabilities = make_capabilities(
            self._launcher.call_from_guest,
            self._launcher.spawn_from_guest,
            self._start_soon,
            self._http,
            self._provision.set_of,
            self._secrets,
        )
        self._is_entered = False

    async def __aenter__(self) -> Self:
        if self._is_entered:
            raise UsageError("this runtime is open already: `async with` it once, and use it inside")
        self._is_entered = True
        try:
            return await self._enter()
        except BaseException:
            self._is_entered = False
            raise

    async def _enter(self) -> Self:
        if self._given_engine is None:
            with suppress(Exception):  # it fails again below, where the journal hears of it
                engine_type()  # now, for the journal's thread would compete with it for the interpreter lock
        async with AsyncExitStack() as stack:
            if self._journal is not None:
                await stack.enter_async_context(self._journal)
            stack.push(telling_why(self._notify, self._secrets))
            engine = await stack.enter_async_context(self._given_engine or await self._make_engine())
            stack.push_async_callback(self._http.aclose)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            switchboard, registry = Switchboard(), Registry()
            stack.callback(registry.end_all)
            stack.callback(switchboard.close)
            tasks.start_soon(switchboard.serve, tasks)
            self._tasks = tasks
            self._admission.on_shortage = registry.free_one
            codes = Codes(self._launcher.compiled_beside, self._start_soon)
            self._launcher.world = World(
                engine,
                tasks,
                switchboard,
                self._admission,
                registry,
                self._capabilities,
                self._notify,
                write,
                self._source.check_arguments,
                event_type(),
                scope_type(),
                self._secrets,
                self._environment.of,
                codes.of if self._given_engine is None else lambda _: (),  # whose guest may be no Python at all
                most_parts=MOST_PARTS,
            )
            stack.callback(codes.close)
            stack.callback(self._provision.close)
            self._stack = stack.pop_all()
        try:
            await self._prepare_packages()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._launcher.world = None
        try:
            return await self._stack.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            if error is not None and leaves_of(group).keys() == leaves_of(error).keys():
                return False  # what the block raised, as it was raised: our task group is no business of its user
            raise
        finally:
            self._is_entered = False
            for stream in self._streams or ():
                stream.close()

    async def _prepare_packages(self) -> None:
        """Those that every program gets, before any runs, for slicing has to know them."""
        self._provision.use(self._launcher.compiled, self._progress or say)
        self._bare = await self._provision.prepare(SessionSubject.program)
        self._source.packages = self._provision.extra_names

    async def _make_engine(self) -> Engine:
        guest, kind = await ensure_guest(self._progress), engine_type()
        return kind(Path(guest.file), min_ram=guest.min_ram)

    async def run(self, task: Runnable, /, *args: Any, tools: Toolbox = (), **kwargs: Any) -> Any:
        """Run a task in a fresh sandbox and wait for its value.

        `tools` are functions that it and its sub-tasks may call beside the runtime's.
        Raises TaskFailed, which carries the outcome, if the task did not answer; a UsageError if the call itself was
        wrong and nothing ran; RuntimeClosed outside the `async with` block. Cancelling ends the sandbox before it
        returns.
        """
        self._opened()
        program, spec = self._source.resolve_task(task)
        check_own_words(spec, {"tools": tools})
        program = await self._provision.prepare(program)
        granted = self._tools.merged(Tools.of(tools))
        return (await self._launcher.delivery(program, spec, args, kwargs, tools=granted).run()).unwrap()

    async def spawn(
        self, what: Spawnable, /, *args: Any, name: str | None = None, tools: Toolbox = (), **kwargs: Any
    ) -> ActorRef:
        """Start an actor in a sandbox of its own and go on; the ref is how to talk to it.

        A task is called at once with the arguments, and the ref answers `await ref.outcome()`; afterwards it takes
        messages, `await ref(...)`, in the same sandbox. Without arguments a task that needs some only waits for
        messages. A task's actor that has answered and was asked nothing else gives its place to others who wait, and
        ends when nobody holds its ref. A class is constructed with the arguments, and then takes messages until it is
        stopped: `await ref.method(...)`.

        `name` is for `find`, and for events. `tools` are functions that it, its sub-tasks and the actors that it
        starts may call beside the runtime's. The runtime owns the actor and ends it when the runtime is left.
        Cancelling leaves no actor behind. Raises a UsageError if the call was wrong (InvalidProgram, InvalidArguments,
        InvalidPolicy, InvalidTool, NameTaken), and RuntimeClosed.
        """
        self._opened()
        program, spec = self._source.resolve(what)
        check_own_words(spec, {"name": name, "tools": tools})
        program = await self._provision.prepare(program)
        granted = self._tools.merged(Tools.of(tools))
        subject = self._launcher.subject(program, spec)
        await anyio.lowlevel.checkpoint_if_cancelled()
        ref = self._launcher.actor(subject, args, kwargs, name=name, tools=granted).ref()
        try:
            await anyio.lowlevel.cancel_shielded_checkpoint()
        except BaseException:  # asyncio's own cancellation knows no shield
            ref.kill()  # whoever gets no ref could never stop it
            raise
        return ref

    def session(
        self,
        language: str = "python",
        *,
        tools: Toolbox = (),
        policy: Policy | None = None,
        name: str | None = None,
    ) -> Session:
        """A live sandbox for code that comes in pieces: `await session.run("x = 1")`, then `"x + 1"`.

        `policy` holds for each run (default: the runtime's), cut to the runtime's ceiling. The runtime owns the
        session and ends it when the runtime is left; `async with` ends it before. Raises InvalidPolicy, NameTaken,
        UsageError for a language that there is no guest for, and RuntimeClosed.
        """
        subject = self._session_subject(language, policy)
        granted = self._tools.merged(Tools.of(tools))
        return Session(self._launcher.actor(subject, (), {}, name=name, tools=granted), subject)

    async def eval(
        self, code: str, *, language: str = "python", tools: Toolbox = (), policy: Policy | None = None
    ) -> Evaluation:
        """Run a piece of code in a fresh sandbox: the value of its last expression, its output, its error.

        As one run of a session. Cancelling ends the sandbox before it returns.
        """
        subject = self._session_subject(language, policy)
        world = self._opened()
        grants = Grants(world)
        delivery = Delivery(
            world,
            subject.run(code),
            FreshHome(None),
            family=Family(subject.policy),
            grants=grants,
            tools=self._tools.merged(Tools.of(tools)),
        )
        return evaluation_of(await delivery.run(), self._secrets, names_lost=False)

    def _session_subject(self, language: str, policy: Policy | None) -> SessionSubject:
        world = self._opened()
        check_language(language)
        subject = SessionSubject(self._policies.of_session(policy, world.engine), self._bare)
        self._environment.check(subject.policy, subject.name)
        return subject

    def actors(self) -> list[ActorRef]:
        """The living actors, oldest first."""
        return [actor.ref() for actor in self._opened().registry.all()]

    def find(self, name: str) -> ActorRef | None:
        """The living actor that was spawned with `name`, or None."""
        actor = self._opened().registry.find(name)
        return actor.ref() if actor else None

    def events(self, *, size: int = 10_000) -> EventStream:
        """What happens from now on, as an async iterator that ends with the runtime: actors spawned, restarted and
        stopped, messages started, retried and ended, with their costs, and what guests print.

        At most `size` events wait for a slow reader; a Missed event stands for those that were dropped.
        """
        self._opened()
        stream = EventStream(size)
        if self._streams is None:
            self._streams = WeakSet()
        self._streams.add(stream)
        return stream

    def check(self, task: Runnable, *args: Any, **kwargs: Any) -> None:
        """Raise the UsageError that `run` would raise for a wrong call, without running anything.

        Works on a runtime that is not open; whether the guest fits into the task's memory is only known by an open one.
        """
        program, spec = self._source.resolve_task(task)
        self._provision.check(program)
        self._source.check_arguments(spec, args, kwargs)
        policy = self._policies.cut(program, spec)
        self._environment.check(policy, spec.name)
        check_size(write_without_refs(args, kwargs), policy)

    def inspect(self, what: Spawnable) -> list[Declared]:
        """What a program declares and what it would get here, without running anything: the tasks, then the actors.

        All of the program that `what` belongs to; in front, a function that `what` means without its being declared.
        Works on a runtime that is not open. Raises InvalidProgram, or UsageError for what is no program.
        """
        program, specs = self._source.look(what)
        return [self._policies.declared(program, each) for each in specs]

    async def map(
        self,
        task: Runnable,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        limit: int = 100,
        tools: Toolbox = (),
    ) -> AsyncIterator[Outcome]:
        """Run a task once for each item, at most `limit` at a time, and yield the outcomes in the items' order.

        Items are taken as they are needed; an async generator of items is closed with the loop. Leaving the loop
        early, by `break` or by cancellation, ends the sandboxes that are still at work when the iterator is closed
        (`contextlib.aclosing` closes it at once).
        """
        if limit < 1:
            raise UsageError(f"limit: {limit!r} is not a whole number of 1 or more")
        granted = self._tools.merged(Tools.of(tools))
        at_work: deque[Errand] = deque()
        try:
            async with aclosing(each(items)) as taken:
                async for item in taken:
                    program, spec = self._source.resolve_task(task)
                    program = await self._provision.prepare(program)
                    delivery = self._launcher.delivery(program, spec, (item,), {}, tools=granted)
                    at_work.append(Errand(self._opened(), delivery))
                    if len(at_work) >= limit:
                        yield await at_work[0].outcome()
                        at_work.popleft()
            while at_work:
                yield await at_work[0].outcome()
                at_work.popleft()
        finally:
            for errand in at_work:
                errand.end()

    def _opened(self) -> World:
        return self._launcher.opened()

    def _start_soon(self, *work: Any) -> None:
        """For threads of tools and look-ups, which outlive their callers and not the runtime."""
        assert self._tasks is not None
        self._tasks.start_soon(*work)

    def _notify(self, event: Event) -> None:
        if self._streams is not None:
            for stream in self._streams:
                stream.put(event)
        if self._journal is not None:
            self._journal.put(event)
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:
            log.exception("on_event raised; the runtime goes on")
