"""A guest that is a Python coroutine: what a script of the fake engine sees of its sandbox."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

import anyio

from .._values import ErrorType

if TYPE_CHECKING:
    from .sandbox import FakeSandbox

__all__ = ["FakeGuest", "GuestEnd", "HostError", "Script"]


class GuestEnd(BaseException):
    """Ends a fake guest without an answer. Not an Exception, so that no script catches it by accident."""

    def __init__(self, error_type: ErrorType, message: str) -> None:
        super().__init__(error_type, message)
        self.error_type, self.message = error_type, message


class HostError(Exception):
    """The host answered a call of a fake guest with an error; the text is the host's."""

    def __init__(self, error_type: str, message: str, exception: str = "") -> None:
        super().__init__(message)
        self.error_type, self.message, self.exception = error_type, message, exception


class FakeGuest:
    """One call into a fake sandbox, handed to the script of the function that was called.

    What the script returns is the answer, an exception it raises is a `task_error` (MemoryError: `memory_exhausted`)
    and leaves the sandbox alive, as in a real one.
    """

    def __init__(self, sandbox: FakeSandbox, args: list[Any], kwargs: dict[str, Any]) -> None:
        self._sandbox = sandbox
        self.args, self.kwargs = args, kwargs
        self.state: dict[str, Any] = sandbox.state
        """Lasts as long as the sandbox: the globals of a real program."""

    async def host_call(self, operation: str, payload: Any = None) -> Any:
        """Ask the host and wait for the value. Raises HostError. Cancelling gives the call up."""
        ticket = self.submit(operation, payload)
        try:
            return await self.wait(ticket)
        except anyio.get_cancelled_exc_class():
            self.give_up(ticket)
            raise

    def submit(self, operation: str, payload: Any = None) -> int:
        """Hand an operation to the host without waiting; the answer is its ticket."""
        return self._sandbox.submit(operation, json.dumps(payload, allow_nan=False))

    async def wait(self, ticket: int) -> Any:
        """Wait for the value of an operation. Raises HostError for one that failed."""
        answer = json.loads(await self._sandbox.answer_to(ticket))
        if "error" in answer:
            error = answer["error"]
            raise HostError(error["error_type"], error["message"], error.get("exception", ""))
        return answer["ok"]

    def give_up(self, ticket: int) -> None:
        """Give an operation up: its value never comes."""
        self._sandbox.give_up(ticket)

    def print(self, text: str, stream: str = "stdout") -> None:
        """Print `text` as it is on "stdout" or "stderr"; what exceeds `max_output` is dropped."""
        self._sandbox.print_text(text, stream)

    async def sleep(self, seconds: float) -> None:
        """Wait on the engine's clock."""
        await self._sandbox.clock.sleep(seconds)

    def burn(self, fuel: int) -> None:
        """Use up fuel; beyond the limit the guest ends as `fuel_exhausted`."""
        self._sandbox.burn(fuel)

    def use_ram(self, size: int) -> None:
        """Have `size` bytes of memory in use. Raises MemoryError beyond the limit; the peak is reported."""
        self._sandbox.use_ram(size)

    async def hang(self) -> NoReturn:
        """Never come back, as a busy loop does."""
        while True:
            await anyio.sleep_forever()

    def end(self, error_type: ErrorType, message: str = "") -> NoReturn:
        """End here without an answer, for example as a "trap"; the sandbox is dead."""
        raise GuestEnd(error_type, message or f"the script ended as {error_type}")


Script = Callable[[FakeGuest], Awaitable[Any]]
"""What a fake guest does when its function is called."""
