"""`@task` inside the sandbox: the entry runs its function, a call to any other task goes to the host."""

import asyncio
import collections
import functools
import inspect

from . import _loop, _wire

AT_ONCE = 256  # calls that `map` keeps open, well below what the host allows


def task(function=None, /, **settings):
    """Mark a function as a task. The settings were read by the host before this program started.

    Calling a task from a task starts another sandbox: the value comes back, or TaskFailed is raised. An
    `async def` task is awaited. `the_task.map(items)` calls it once for each item, many at a time, and answers the
    values in the order of the items; of an `async def` task it is awaited too. The first failure is raised, and
    what is still at work is given up. `the_task.function` is the plain function, to be called in this sandbox.
    """
    if function is None:
        return functools.partial(task, **settings)
    name = settings.get("name") or function.__name__
    is_async = inspect.iscoroutinefunction(function)
    wrapper = functools.wraps(function)(functools.partial(_call_async if is_async else _call, name))
    wrapper.map = functools.partial(_map_async if is_async else _map, name)
    wrapper.__capsule_task__ = wrapper.function = function
    return wrapper


def _payload(name, args, kwargs):
    return {"task": name, "args": args, "kwargs": kwargs}


def _call(name, *args, **kwargs):
    return _wire.call("task", _payload(name, args, kwargs))


async def _call_async(name, *args, **kwargs):
    return await _loop.call("task", _payload(name, args, kwargs))


def _map(name, items):
    values, tickets = [], collections.deque()
    try:
        for item in items:
            if len(tickets) >= AT_ONCE:
                values.append(_wire.result(tickets.popleft()))
            tickets.append(_wire.submit("task", _payload(name, [item], {})))
        while tickets:
            values.append(_wire.result(tickets.popleft()))
    finally:
        for ticket in tickets:
            _wire.cancel(ticket)
    return values


async def _map_async(name, items):
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(item):
        async with gate:
            return await _call_async(name, item)

    try:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(one(item)) for item in items]
    except* _wire.TaskFailed as failed:
        raise failed.exceptions[0] from None
    return [call.result() for call in calls]
