"""`@task` inside the sandbox: the entry runs its function, a call to any other task goes to the host."""

import asyncio
import inspect
import sys
import types

from . import _loop, _wire

AT_ONCE = 256  # calls that `map` keeps open, well below what the host allows
_IS_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_SEEN_THROUGH = "<genexpr>", "<lambda>"

_OWN = {"function", "__get__", "__code__"}
"""Not to be had of the function: the first is not there before `__init__`, as when unpickled; with the others,
`functools` and `inspect` would take the task for its function, and run it here."""


class Task:
    """A function marked with `@task`: calling it calls another sandbox. Made in every fresh sandbox, so it is lean."""

    def __init__(self, function, settings):
        self.__capsule_task__ = self.__wrapped__ = self.function = function
        self.__doc__, self.__module__ = function.__doc__, function.__module__
        self.__name = settings.get("name") or function.__name__
        if type(function) is types.FunctionType and not function.__dict__:
            self.__is_async = function.__code__.co_flags & inspect.CO_COROUTINE != 0
        else:
            self.__is_async = inspect.iscoroutinefunction(function)
        self.map = self._map  # where `functools.wraps` finds it, for decorators above this one

    def __call__(self, /, *args, **kwargs):
        payload = _payload(self.__name, args, kwargs)
        if not _is_awaited(self.__is_async):
            return _wire.call("task", payload)
        waiting = _loop.call("task", payload)
        waiting.__qualname__ = self.__name  # what a warning calls it if it is never awaited
        return waiting

    def _map(self, items):
        """The values of one call for each item, in the order of the items."""
        return _map_awaited(self.__name, items) if _is_awaited(self.__is_async) else _map_here(self.__name, items)

    def __getattr__(self, name):
        if name in _OWN:
            raise AttributeError(name)
        return getattr(self.function, name)

    def __repr__(self):
        return f"<task {self.__name}>"


def task(function=None, /, **settings):
    """Mark a function as a task. The settings were read by the host before this program started.

    Calling a task from a task starts another sandbox: the value comes back, or TaskFailed is raised. In `async def`
    code the call is awaited, and so is one of an `async def` task wherever an event loop runs. `the_task.map(items)`
    calls it once for each item, many at a time, and answers the values in the order of the items; it is awaited
    where a call is. The failure that comes first is raised, and what is still at work is given up.
    `the_task.function` is the plain function, to be called in this sandbox.
    """
    return (lambda function: Task(function, settings)) if function is None else Task(function, settings)


def _payload(name, args, kwargs):
    return {"task": name, "args": args, "kwargs": kwargs}


def _is_awaited(is_async):
    """Whether whoever called a task awaits what it answers: `async def` code does, plain code wants the value."""
    return asyncio._get_running_loop() is not None and (is_async or _is_in_async_code(sys._getframe(2)))


def _is_in_async_code(frame):
    """Whether a frame is of `async def` code; generators, lambdas and asyncio belong to whoever runs them."""
    while frame is not None and not frame.f_code.co_flags & _IS_ASYNC:
        if frame.f_code.co_name not in _SEEN_THROUGH and not _is_of_asyncio(frame):
            return False
        frame = frame.f_back
    return frame is not None


def _is_of_asyncio(frame):
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "asyncio"


def _map_here(name, items):
    values, tickets = {}, {}

    def take():
        ticket, reply = _wire.first_of(tickets)
        number = tickets.pop(ticket)
        values[number] = _wire.value_of(reply)

    try:
        for number, item in enumerate(items):
            if len(tickets) >= AT_ONCE:
                take()
            tickets[_wire.submit("task", _payload(name, [item], {}))] = number
        while tickets:
            take()
    finally:
        for ticket in tickets:
            _wire.cancel(ticket)
    return [values[number] for number in range(len(values))]


async def _map_awaited(name, items):
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(item):
        async with gate:
            return await _loop.call("task", _payload(name, [item], {}))

    try:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(one(item)) for item in items]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [call.result() for call in calls]
