"""The guest's end of the completion queue: submit an operation, wait for its completion.

Plain code waits for one ticket and keeps what else arrives; the event loop of `_loop` takes whatever comes.
"""

import contextlib
import json
import json.encoder
import sys

from wit_world.imports import calls

from ._json_text import NotJSON, to_json

MARK = "capsule:actor"  # the key of a ref on the wire
_KEY = f'"{MARK}": '  # as json.dumps writes it


class TaskFailed(Exception):
    """A task that this program called did not answer.

    `error_type` is the kind of failure, as in an outcome's error, and `message` says which task failed and how.
    """

    __module__ = "capsule"  # the name under which a program imports it

    def __init__(self, error_type, message):
        super().__init__(f"{message} ({error_type})")
        self.error_type, self.message = error_type, message


def task_failed(answer):
    """The exception for the error of a task: what a call raises that has no other way."""
    return TaskFailed(answer["error_type"], answer["message"])


class Reference:
    """What stands for an actor: a number that means something to the host only. `_refs` gives it its methods."""

    __slots__ = ("_number",)
    kind = None

    def __init__(self, number):
        self._number = number


def written(thing):
    """What stands for a ref in JSON; TypeError for anything else that JSON cannot say."""
    if isinstance(thing, Reference):
        return {MARK: thing._number}
    raise TypeError(f"a value of type {type(thing).__name__}")


class _Writer:
    """Writes refs, and counts them."""

    def __init__(self):
        self.given = 0

    def __call__(self, thing):
        found = written(thing)
        self.given += 1
        return found


_above = {}
_quick = json.encoder.c_make_encoder(
    _above, written, json.encoder.encode_basestring_ascii, None, ": ", ", ", False, False, False
)
"""What `json.dumps` makes anew at each call."""


def encode(value, name="result"):
    """`value`, called `name` in errors, as JSON text, with refs in it.

    Raises NotJSON for what JSON cannot say, and for a dict that looks like a ref: data that came from somewhere must
    not become a right of this sandbox's.
    """
    if not _above:  # else a value being written has had another one written
        try:
            text = "".join(_quick(value, 0))
            if MARK not in text:
                return text
        except (TypeError, ValueError, RecursionError):
            pass
        finally:
            _above.clear()  # it holds what it came through when an error ended it
    writer = _Writer()
    text = to_json(value, name, writer)
    if MARK in text and text.count(_KEY) != writer.given:
        raise NotJSON(f"{name}: the key {MARK!r} stands for actors; use another one")
    return text


def _revive(pairs):
    return Reference.kind(pairs[MARK]) if MARK in pairs and len(pairs) == 1 else pairs


_arrived = {}
_read = json.JSONDecoder(object_hook=_revive).scan_once
_read_plain = json.JSONDecoder().scan_once


def submit(operation, payload):
    """Hand `payload` (anything JSON can say, and refs) to the host; the answer is a ticket.

    Raises TypeError, which names the place, for what JSON cannot say.
    """
    flush()
    try:
        text = encode(payload, operation)
    except NotJSON as error:
        raise TypeError(str(error)) from None
    return calls.submit(operation, text)


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


def call(operation, payload, error=task_failed):
    """Submit, wait for that one completion, and answer its value. Raises what `error` makes of the host's error."""
    return result(submit(operation, payload), error)


def result(ticket, error=task_failed):
    """Wait for the completion of one ticket, and answer its value. Raises what `error` makes of the host's error."""
    while ticket not in _arrived:
        _wait(None)
    return value_of(_arrived.pop(ticket), error)


def first_of(tickets):
    """Wait for the first completion of one of `tickets`; answers the ticket and the reply."""
    while True:
        for ticket in _arrived:
            if ticket in tickets:
                return ticket, _arrived.pop(ticket)
        _wait(None)


def value_of(reply, error=task_failed):
    """The value in a reply. For one that holds an error, refusals included, raises what `error` makes of it."""
    answer = loads(reply)
    if "error" not in answer:
        return answer["ok"]
    raise error(answer["error"])


def loads(text):
    """The value of a JSON text of the host's, with refs where it names actors."""
    return read(text)[0]


def read(text):
    """The same for one that has other text behind it, and where that begins."""
    return (_read if MARK in text else _read_plain)(text, 0)


def flush():
    """Hand over what was printed, so that whoever watches sees it before the guest waits."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # noqa: BLE001 - the program may have put anything there
        with contextlib.suppress(Exception):
            sys.stderr.flush()


def _wait(seconds):
    flush()
    ticket, reply = calls.next(-1.0 if seconds is None else seconds)
    if ticket:
        _arrived[ticket] = reply
