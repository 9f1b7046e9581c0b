"""One request: load the program if it comes along, call its function, answer with JSON text."""

import inspect
import json
import sys
import traceback
import types

import _capsule_probe

from . import _loop, _wire
from ._json_text import NotJSON, to_json

OWN = "/capsule_sdk/"
MOST_TEXT = 32_000  # characters of a message or a traceback; the host has a cap of its own
_module = None


class _Source:
    """A loader that only knows one module's text: tracebacks and `inspect` ask it for source lines."""

    def __init__(self, source):
        self.source = source

    def get_source(self, name):
        return self.source


def handle(request):
    """Answer one request of the host."""
    try:
        asked = json.loads(request)
        if "program" in asked:
            _load(**asked["program"])
        args, kwargs = asked["call"]
        value = _call(asked["function"], args, kwargs)
        answer = '{"ok":' + to_json(value) + ',"pages":' + str(_capsule_probe.pages()) + "}"
        value = None
    except BaseException as error:  # noqa: BLE001 - whatever the program raises is its answer
        answer = _failure(error)
    _wire.flush()
    return answer


def _load(path, source):
    global _module
    _module = types.ModuleType("main")
    _module.__file__ = path
    _module.__loader__ = _Source(source)
    sys.modules["main"] = _module
    exec(compile(source, path, "exec", dont_inherit=True), _module.__dict__)


def _call(name, args, kwargs):
    function = getattr(_module, name)
    function = getattr(function, "__capsule_task__", function)
    value = function(*args, **kwargs)
    if inspect.iscoroutine(value):
        value = _loop.run(value)
    return value


def _failure(error):
    try:
        described = _describe(error)
    except BaseException as worse:  # noqa: BLE001 - a hostile __str__ or __class__ must not cost us the answer
        for each in (error, worse):  # lets go of what the program's frames hold: room to answer
            BaseException.with_traceback(each, None)
        is_full = issubclass(type(error), MemoryError) or issubclass(type(worse), MemoryError)
        kind, name = ("memory_exhausted", "MemoryError") if is_full else ("task_error", "Exception")
        described = {"kind": kind, "exception": name, "message": f"<unprintable: {type(worse).__name__}>"}
    return json.dumps({"error": described, "pages": _capsule_probe.pages()})


def _describe(error):
    if isinstance(error, NotJSON):
        return {"kind": "invalid", "message": str(error)}
    kind = "memory_exhausted" if isinstance(error, MemoryError) else "task_error"
    report = traceback.TracebackException.from_exception(error)
    _drop_own_frames(report)
    return {
        "kind": kind,
        "exception": _sayable(type(error).__name__),
        "message": _sayable(str(error)[:MOST_TEXT]),
        "traceback": _sayable("".join(report.format())[-MOST_TEXT:]),
    }


def _sayable(text):
    """`text` without what UTF-8 cannot say (lone surrogates), which the host would not read."""
    return text.encode("utf-8", "backslashreplace").decode()


def _drop_own_frames(report, seen=()):
    """Keep the program's own frames, in the error and in everything that led to it."""
    if report is None or id(report) in seen:
        return
    seen = (*seen, id(report))
    report.stack[:] = [frame for frame in report.stack if OWN not in frame.filename]
    for other in (report.__cause__, report.__context__, *(report.exceptions or ())):
        _drop_own_frames(other, seen)
