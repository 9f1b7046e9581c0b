"""`capsule.tools` inside the sandbox: functions of the application that this program was given."""

import asyncio

from . import _loop, _wire


class ToolError(Exception):
    """A tool did not answer: it failed, refused the arguments, or was not granted.

    `message` is what the tool or the host says, `error_type` its kind: "tool_error", "invalid", "denied" and others.
    """

    __module__ = "capsule"

    def __init__(self, error_type, message):
        super().__init__(message)
        self.error_type, self.message = error_type, message

    def __reduce__(self):
        return ToolError, (self.error_type, self.message)


class Tools:
    """`tools.search("x")` calls the tool `search` and answers its value; while an event loop runs, it is awaited.

    Only the host knows which tools there are: a name that was not granted is refused when it is called.
    """

    __slots__ = ()

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _Tool(name)

    def __dir__(self):
        return []

    def __repr__(self):
        return "<the tools of this sandbox>"


class _Tool:
    __slots__ = ("__name__",)

    def __init__(self, name):
        self.__name__ = name

    def __call__(self, /, *args, **kwargs):
        payload = {"tool": self.__name__, "args": args, "kwargs": kwargs}
        if asyncio._get_running_loop() is None:
            return _wire.call("tool", payload, _error)
        waiting = _loop.call("tool", payload, _error)
        waiting.__qualname__ = f"tools.{self.__name__}"  # what a warning calls it if it is never awaited
        return waiting

    def __repr__(self):
        return f"<tool {self.__name__}>"


def _error(answer):
    return ToolError(answer["error_type"], answer["message"])


tools = Tools()
