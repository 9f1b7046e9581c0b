"""An asyncio event loop without file descriptors: its selector is the host's completion queue."""

import asyncio
from asyncio import base_events, unix_events

from . import _wire


class _Completions:
    """Stands where asyncio expects a selector: waits for completions instead of sockets."""

    def select(self, timeout=None):
        return _wire.completions(None if timeout is None else max(0.0, timeout))

    def close(self):
        pass


class EventLoop(base_events.BaseEventLoop):
    """asyncio's own scheduler on top of the completion queue. There are no sockets, signals or threads."""

    def __init__(self):
        super().__init__()
        self._selector = _Completions()
        self._waiting = {}
        self.owed = set()  # what was sent without waiting for it

    def submit(self, operation, payload, error=_wire.task_failed):
        """A future for the operation's value. Cancelling it gives the operation up on the host."""
        future, ticket = self.create_future(), _wire.submit(operation, payload)
        self._waiting[ticket] = future, error
        future.add_done_callback(lambda done: self._give_up(ticket) if done.cancelled() else None)
        return future

    def _give_up(self, ticket):
        if self._waiting.pop(ticket, None) is not None:
            _wire.cancel(ticket)

    def _process_events(self, completions):
        for ticket, reply in completions:
            future, error = self._waiting.pop(ticket, (None, None))
            if future is not None and not future.done():
                self._settle(future, reply, error)

    def _settle(self, future, reply, error):
        try:
            future.set_result(_wire.value_of(reply, error))
        except Exception as raised:  # noqa: BLE001 - the error belongs to whoever awaits the future
            future.set_exception(raised)

    def _write_to_self(self):
        pass  # nothing can wake this loop from outside: there is one thread

    async def shutdown_default_executor(self, timeout=None):
        pass  # asyncio's own starts a thread for it, as soon as somebody has asked for one in vain

    def call_soon_threadsafe(self, callback, *args, context=None):
        return self.call_soon(callback, *args, context=context)


async def call(operation, payload, error=_wire.task_failed):
    """Submit an operation from `async def` code and wait for its value; other tasks of the loop go on."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, EventLoop):
        return _wire.call(operation, payload, error)
    return await loop.submit(operation, payload, error)


def at_once(operation, payload, error=_wire.task_failed):
    """As `here`, but it is sent now, whether or not it is awaited; what is on its way is waited for at the end."""
    loop = asyncio._get_running_loop()
    if loop is None:
        return _wire.call(operation, payload, error)
    if not isinstance(loop, EventLoop):
        return call(operation, payload, error)
    future = loop.submit(operation, payload, error)
    loop.owed.add(future)
    future.add_done_callback(loop.owed.discard)
    return future


def here(operation, payload, error=_wire.task_failed):
    """The value of an operation in plain code; while an event loop runs, something to await for it."""
    if asyncio._get_running_loop() is None:
        return _wire.call(operation, payload, error)
    return call(operation, payload, error)


def run(coroutine):
    """Run a coroutine to its end on a fresh loop, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        return runner.run(_and_what_is_owed(coroutine))


async def _and_what_is_owed(coroutine):
    try:
        return await coroutine
    finally:
        if owed := asyncio.get_running_loop().owed:
            await asyncio.wait(set(owed))


def install():
    """Make `asyncio.run` and `new_event_loop` of the program use this loop."""
    asyncio.SelectorEventLoop = asyncio.EventLoop = EventLoop
    unix_events._UnixDefaultEventLoopPolicy._loop_factory = EventLoop
