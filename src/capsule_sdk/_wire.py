"""The guest's end of the completion queue: submit an operation, wait for its completion.

Plain code waits for one ticket and keeps what else arrives; the event loop of `_loop` takes whatever comes.
"""

import json
import sys

from wit_world.imports import calls


class TaskFailed(Exception):
    """A task that this program called did not answer.

    `error_type` is the kind of failure, as in an outcome's error, and `message` says which task failed and how.
    """

    __module__ = "capsule"  # the name under which a program imports it

    def __init__(self, error_type, message):
        super().__init__(f"{message} ({error_type})")
        self.error_type, self.message = error_type, message


_arrived = {}


def submit(operation, payload):
    """Hand `payload` (anything JSON can say) to the host; the answer is a ticket."""
    flush()
    return calls.submit(operation, json.dumps(payload, allow_nan=False))


def cancel(ticket):
    """Give up an operation; its completion never comes."""
    _arrived.pop(ticket, None)
    calls.cancel(ticket)


def completions(seconds):
    """What has arrived by now, after waiting at most `seconds` (None: without end) if that is nothing."""
    if not _arrived:
        _wait(seconds)
    found = list(_arrived.items())
    _arrived.clear()
    return found


def pause(seconds):
    """Let `seconds` pass, or less: a completion that arrives meanwhile is kept for later and ends the pause."""
    _wait(seconds)


def call(operation, payload):
    """Submit, wait for that one completion, and answer its value. Raises what the host answered with."""
    return result(submit(operation, payload))


def result(ticket):
    """Wait for the completion of one ticket, and answer its value. Raises what the host answered with."""
    while ticket not in _arrived:
        _wait(None)
    return value_of(_arrived.pop(ticket))


def value_of(reply):
    """The value in a reply. Raises TaskFailed for one that holds an error, refusals of the host included."""
    answer = json.loads(reply)
    if "error" not in answer:
        return answer["ok"]
    raise TaskFailed(answer["error"]["error_type"], answer["error"]["message"])


def flush():
    """Hand over what was printed, so that whoever watches sees it before the guest waits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - the program may have put anything there
            continue


def _wait(seconds):
    flush()
    ticket, reply = calls.next(-1.0 if seconds is None else seconds)
    if ticket:
        _arrived[ticket] = reply
