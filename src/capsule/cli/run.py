"""`capsule run`: one file, one outcome, one exit status."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from capsule import CapsuleError, Event, InvalidArguments, Outcome, Printed, RightsRefused, Runtime, UsageError
from capsule.abc import Journal

from .grants import Grants, Scope, journal_file, scope_of, what_would_allow
from .interrupts import INTERRUPTS
from .logs import logs_on
from .readings import Readings
from .screen import Phases, Screen

SUCCESS, FAILED, WRONG_CALL = 0, 1, 2


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for on the command line."""

    target: str | None
    """None: the entrypoint of the project."""

    args: list[str] = []
    args_json: str | None = None
    args_file: str | None = None
    as_json: bool = False
    verbose: bool = False
    packages: list[str] = []
    requirements: str | None = None
    has_journal: bool = True
    grants: Grants = Grants()
    argv: list[str] = []
    """The words of the command line behind the program's name, to say what to change in them."""


def run(call: Call) -> int:
    """Run the file; answers the exit status. Ctrl-C and SIGTERM end the guest at once."""
    screen = Screen(as_json=call.as_json)
    try:
        given = arguments(call)  # may wait for standard input, so not on the event loop
        with logs_on(screen):
            scope = scope_of(call.target, call.grants)
            readings = Readings(scope.target)
            with readings.known():
                outcome = INTERRUPTS.run(_outcome, call, screen, scope, *given)
    except RightsRefused as error:
        message = f"{error.listing}\n{what_would_allow(error, call.argv)}"
        return _refuse(call, screen, message, "denied", WRONG_CALL)
    except UsageError as error:
        return _refuse(call, screen, str(error), "invalid", WRONG_CALL)
    except CapsuleError as error:
        return _refuse(call, screen, str(error), "internal_error", FAILED)
    except KeyboardInterrupt:
        return _refuse(call, screen, "interrupted", "cancelled", INTERRUPTS.status)
    _show(call, screen, outcome)
    readings.keep()
    return SUCCESS if outcome.success and not screen.has_lost else FAILED


async def _outcome(call: Call, screen: Screen, scope: Scope, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
    async with AsyncExitStack() as stack:
        with Phases(screen) as phases:
            runtime = Runtime(
                packages=_packages(call),
                policy=scope.policy,
                ceiling=scope.ceiling,
                env=call.grants.values,
                env_file=call.grants.env_file,
                on_event=_listener(call, screen, phases),
                progress=phases,
                journal=_journal(scope.target) if call.has_journal else None,
            )
            runtime.check(scope.target, *args, **kwargs)  # a wrong call should not wait until the guest is built
            await stack.enter_async_context(runtime)
            _collect_from_now_on()
            ref = await runtime.spawn(scope.target, *args, **kwargs)
        stack.callback(phases.end)
        return await ref.outcome()


def _listener(call: Call, screen: Screen, phases: Phases) -> Callable[[Event], None]:
    tell: Callable[[Event], None] | None = None
    if call.verbose:
        from .story import Story

        tell = Story(screen).tell

    def on_event(event: Event) -> None:
        if isinstance(event, Printed):
            phases.end()
            screen.printed(event.stream, event.text)
        elif tell is not None:
            tell(event)

    return on_event


def _collect_from_now_on() -> None:
    """The collector was off while modules were loaded. What there is now stays: nobody need look at it again."""
    gc.freeze()
    gc.enable()


def _journal(target: str) -> Journal:
    from capsule.journal import SqliteJournal

    return SqliteJournal(journal_file(), title=target)


def arguments(call: Call) -> tuple[list[Any], dict[str, Any]]:
    """The task's arguments from whichever of the three ways was used. Raises InvalidArguments."""
    ways = {
        "ARGS": bool(call.args),
        "--args-json": call.args_json is not None,
        "--args-file": call.args_file is not None,
    }
    used = [way for way, is_used in ways.items() if is_used]
    if len(used) > 1:
        raise InvalidArguments(f"give the task's arguments one way, not by {' and '.join(used)}")
    if call.args_json is not None:
        return _typed(call.args_json, "--args-json")
    if call.args_file is not None:
        return _typed(_read(call.args_file), f"--args-file {call.args_file}")
    for number, word in enumerate(call.args, 1):
        if not word.isascii() and not _is_text(word):
            raise InvalidArguments(f"argument {number} has bytes that are not UTF-8: {word!a}")
    return list(call.args), {}


def _is_text(word: str) -> bool:
    """Whether a word of the command line is text, and not bytes that Python could not read."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _packages(call: Call) -> list[str]:
    """Those of the command line; the file declares its own."""
    if call.requirements is None:
        return call.packages
    from capsule.packages import read_requirements

    return [*call.packages, *read_requirements(call.requirements)]


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidArguments(f"--args-file {name}: {reason}") from None


def _typed(text: str, source: str) -> tuple[list[Any], dict[str, Any]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArguments(f"{source}: not JSON: {error}") from None
    if isinstance(value, list):
        return value, {}
    if isinstance(value, dict):
        return [], value
    raise InvalidArguments(f"{source}: a JSON array or object is expected, such as '[1, \"two\"]' or '{{\"n\": 1}}'")


def _refuse(call: Call, screen: Screen, message: str, error_type: str, status: int) -> int:
    if call.as_json:
        error = {"error_type": error_type, "message": message}
        screen.result(json.dumps({"success": False, "result": None, "error": error, "execution": _nothing(call)}))
    else:
        screen.error(message)
    return status


def _nothing(call: Call) -> dict[str, Any]:
    from capsule import Execution

    return dict(msgspec.to_builtins(Execution(task_name=call.target or "")))


def _show(call: Call, screen: Screen, outcome: Outcome) -> None:
    if outcome.output_truncated:
        screen.note("capsule: the task printed more than max_output allows; the rest was dropped", "yellow")
    if call.as_json:
        screen.result(json.dumps(outcome.envelope()))
    elif outcome.success:
        _show_result(screen, outcome.result)
    else:
        _show_failure(screen, outcome)
    screen.settle()


def _show_result(screen: Screen, result: Any) -> None:
    if isinstance(result, str):
        screen.result(result)
    elif result is not None:
        screen.result(json.dumps(result, ensure_ascii=False))


def _show_failure(screen: Screen, outcome: Outcome) -> None:
    from .terminal import one_line, unlike_ours

    failure = outcome.error
    assert failure is not None
    task = f"task {outcome.execution.task_name}"
    if failure.traceback:
        screen.note(unlike_ours(failure.traceback.rstrip("\n")))
        screen.error(one_line(f"{task} failed with {failure.exception} ({failure.error_type})"))
    else:
        screen.error(one_line(f"{task}: {failure.message} ({failure.error_type})"))
