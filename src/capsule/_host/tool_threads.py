"""Threads for tools that are plain functions. A thread cannot be stopped, so each is owned until it ends."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread

from ..errors import ToolError
from .tool_errors import endings
from .tool_log import Scrub, log_failure

MOST_THREADS = 40
"""Plain functions at work at once, those that were given up included."""

StartSoon = Callable[..., None]
"""A task group's `start_soon`: who starts a thread here waits for it."""


class Threads:
    """Runs functions in worker threads which belong to a task group, and not to those who wait for them.

    `start_soon` is that group's; leaving the group waits for every thread that still works. `most` threads run at
    once, apart from the application's own; the others wait their turn.
    """

    def __init__(self, start_soon: StartSoon, most: int = MOST_THREADS, scrub: Scrub = str) -> None:
        """`scrub` takes values of secrets out of what is logged."""
        self._start_soon, self._scrub = start_soon, scrub
        self._limiter = anyio.CapacityLimiter(most)

    async def run(self, name: str, work: Callable[[], Any], share: anyio.CapacityLimiter) -> Any:
        """Call `work` in a thread and answer its value, or raise what it raised. `name` stands in the log.

        `share` bounds the threads of one caller and its like, those that were given up included: nobody can have all.

        Cancelling returns at once. A function that had not begun never does; one that had goes on in its thread,
        which counts among the `most` until it ends, and what becomes of it is only logged.
        """
        job = _Job(name, work, self._limiter, share, self._scrub)
        self._start_soon(job.run)
        try:
            await job.done.wait()
        except BaseException:
            job.give_up()
            raise
        return job.answer()


class _Job:
    def __init__(
        self,
        name: str,
        work: Callable[[], Any],
        limiter: anyio.CapacityLimiter,
        share: anyio.CapacityLimiter,
        scrub: Scrub,
    ) -> None:
        self.name, self._work, self._limiter, self._share, self._scrub = name, work, limiter, share, scrub
        self.done = anyio.Event()
        self._scope = anyio.CancelScope()
        self._value: Any = None
        self._error: BaseException | None = ToolError(f"the tool {name!r} was given up")  # until there is an answer
        self._is_given_up = False

    async def run(self) -> None:
        """The job's life in its owner's group. From the first step of the thread on it cannot be cancelled."""
        try:
            with self._scope:
                async with self._share:
                    self._value, self._error = await anyio.to_thread.run_sync(self._attempt, limiter=self._limiter)
        except Exception as error:  # noqa: BLE001 - the system has no thread: nobody else's work has to end for that
            self._error = error
        finally:
            self.done.set()
        if self._is_given_up:
            self._let_go()

    def _attempt(self) -> tuple[Any, BaseException | None]:
        # Not raised through the thread's future, which takes no StopIteration and would end the group of the owner.
        try:
            return self._work(), None
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits for it
            return None, error

    def give_up(self) -> None:
        """Nobody waits any more. Ends the job if it still waits for its turn."""
        self._is_given_up = True
        self._scope.cancel()
        if self.done.is_set():
            self._let_go()

    def answer(self) -> Any:
        """The value of the function, or raises what it raised."""
        try:
            if self._error is not None:
                raise self._error
            return self._value
        finally:
            self._error = self._value = None  # a raised error's frames lead back here

    def _let_go(self) -> None:
        error, value, self._error, self._value = self._error, self._value, None, None
        if inspect.iscoroutine(value):
            value.close()  # it never began, and would warn that nobody awaited it
        if error is not None and not isinstance(error, ToolError):
            message = "the tool %r failed after it had been given up"
            log_failure(logging.WARNING, message, self.name, error, self._scrub)
        if error is not None and not isinstance(error, (Exception, *endings())):
            raise error
