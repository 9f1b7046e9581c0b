"""`@task` inside the sandbox: the entry runs its function, a call to any other task goes to the host."""

import functools
import inspect

from . import _loop, _wire


def task(function=None, /, **settings):
    """Mark a function as a task. The settings were read by the host before this program started.

    Calling a task from a task starts another sandbox: the value comes back, or TaskFailed is raised. An
    `async def` task is awaited.
    """
    if function is None:
        return functools.partial(task, **settings)
    name = settings.get("name") or function.__name__
    call = _call_async if inspect.iscoroutinefunction(function) else _call
    wrapper = functools.wraps(function)(functools.partial(call, name))
    wrapper.__capsule_task__ = function
    return wrapper


def _payload(name, args, kwargs):
    return {"task": name, "args": args, "kwargs": kwargs}


def _call(name, *args, **kwargs):
    return _wire.call("task", _payload(name, args, kwargs))


async def _call_async(name, *args, **kwargs):
    return await _loop.call("task", _payload(name, args, kwargs))
