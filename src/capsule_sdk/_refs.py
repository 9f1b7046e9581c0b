"""Refs inside the sandbox: how a program talks to actors that it started or was given.

A ref is a number here; the host knows which actor it stands for, and refuses a number that it did not give out.
"""

from . import _loop, _wire


class ActorStopped(Exception):
    """The actor had ended, or ended before it came to the message."""

    __module__ = "capsule"


class MailboxFull(Exception):
    """There was no room for a message to this actor itself."""

    __module__ = "capsule"


_ERRORS = {"ActorStopped": ActorStopped, "MailboxFull": MailboxFull}


class Ref(_wire.Reference):
    """An actor. `ref.method(...)` asks and answers the value; while an event loop runs, it is awaited.

    `ref.tell.method(...)` sends and goes on. An actor of a task is called as it is: `ref(...)`, `ref.tell(...)`.
    """

    __slots__ = ()

    def __call__(self, *args, **kwargs):
        return _send("ask", self, None, args, kwargs)

    def __getattr__(self, method):
        if method.startswith("_"):
            raise AttributeError(method)
        return _Method("ask", self, method)

    @property
    def tell(self):
        """Sends without waiting for an answer; waits for room in the mailbox only."""
        return _Tell(self)

    def stop(self):
        """Stop an actor that this program started: it handles what it has, and ends."""
        return _operate("stop", {"ref": self})

    def __eq__(self, other):
        return type(other) is Ref and other._number == self._number

    def __hash__(self):
        return hash((Ref, self._number))

    def __repr__(self):
        return f"<actor {self._number}>"


class _Tell:
    def __init__(self, ref):
        self._ref = ref

    def __call__(self, *args, **kwargs):
        return _send("tell", self._ref, None, args, kwargs)

    def __getattr__(self, method):
        if method.startswith("_"):
            raise AttributeError(method)
        return _Method("tell", self._ref, method)


class _Method:
    def __init__(self, operation, ref, method):
        self._operation, self._ref, self._method = operation, ref, method

    def __call__(self, *args, **kwargs):
        return _send(self._operation, self._ref, self._method, args, kwargs)


def _send(operation, ref, method, args, kwargs):
    return _operate(operation, {"ref": ref, "method": method, "args": args, "kwargs": kwargs})


def _operate(operation, payload):
    """Sent at once, also in `async def` code that does not await it: a tell is no less sent there."""
    return _loop.at_once(operation, payload, _error)


def _error(answer):
    kind = _ERRORS.get(answer["exception"])
    return kind(answer["message"]) if kind else _wire.TaskFailed(answer["error_type"], answer["message"])


def spawn(name, args, kwargs):
    """Start an actor that this program declares; the answer is its ref, and it is constructed meanwhile."""
    return _wire.call("spawn", {"actor": name, "args": args, "kwargs": kwargs}, _error)


_wire.Reference.kind = Ref
