"""One request: load the program if it comes along, do what is asked, answer with JSON text."""

import json
import os
import sys
import traceback
import types

import _capsule_probe

from . import _byte_code, _loop, _modules, _packages, _refusals, _reserve, _rights, _session, _sqlite, _wire
from ._json_text import NotJSON
from ._wire import encode as to_json

OWN = "/capsule_sdk/"
MOST_TEXT = 100_000  # characters of a message or a traceback; the host keeps fewer, when values of secrets are out
_module = None
_instance = None  # of the actor class whose sandbox this is


class _Source:
    """A loader that only knows one module's text: tracebacks and `inspect` ask it for source lines."""

    def __init__(self, source):
        self.source = source

    def get_source(self, name):
        return self.source


def handle(request):
    """Answer one request of the host."""
    is_loaded, is_task, is_last = True, False, False
    _reserve.keep()
    try:
        asked, end = _wire.read(request)
        if type(asked) is list:
            answer = _answer(_message(*asked))
        else:
            if "program" in asked:
                is_loaded, is_last = False, asked["program"].pop("is_last", False)
                _load(_cut(request, end, asked["program"].pop("texts", ())), **asked["program"])
                is_loaded = True
            is_task = "function" in asked
            answer = _evaluate(asked) if "code" in asked else _answer(_do(asked))
    except BaseException as error:  # noqa: BLE001 - whatever the program raises is its answer
        _reserve.kept.clear()
        answer = _failure(error, is_loaded)
    if is_task:
        _sqlite.let_go(for_good=is_last)
    _wire.flush()
    return answer


def _answer(value):
    if type(value) is types.CoroutineType:
        value = _loop.run(value)
    return '{"ok":' + to_json(value) + ',"pages":' + str(_capsule_probe.pages()) + "}"


def _evaluate(asked):
    found = _session.evaluate(asked["code"], asked["cell"], _module.__dict__)
    body = {"error": found["error"]} if "error" in found else {"ok": found}
    return to_json({**body, "pages": _capsule_probe.pages()})


def _do(asked):
    if "message" in asked:
        return _message(*asked["message"])
    if "variables" in asked:
        return _session.variables(_module.__dict__)
    args, kwargs = asked["call"]
    if "actor" in asked:
        return _create(asked["actor"], args, kwargs)
    function = _modules.shipped.find(_module, asked["function"])
    return getattr(function, "__capsule_task__", function)(*args, **kwargs)


def _create(name, args, kwargs):
    global _instance
    found = _modules.shipped.find(_module, name)
    _instance = getattr(found, "__capsule_class__", found)(*args, **kwargs)


def _message(method, args, kwargs):
    return getattr(_instance, method)(*args, **kwargs)


def _cut(request, at, lengths):
    """The texts behind the JSON of a request."""
    texts = []
    for length in lengths:
        texts.append(request[at : at + length])
        at += length
    return texts


def _load(texts, path, source="", package="", modules=(), packages=(), environment=None, folders=None):
    """`texts` are the source and those of the modules, and then the byte code of each, if the host has any.

    A short source may stand in the request itself.
    """
    global _module
    source, *others = texts or [source]
    code, *of_modules = others[len(modules) :] or [""]
    if environment:
        os.environ.update(environment)
    _packages.packages.offer(packages)
    _rights.folders = folders or {}
    _module = types.ModuleType("main")
    _module.__file__ = path
    sys.argv[:] = [path]
    _module.__loader__ = _Source(source)
    _module.__package__ = package
    sys.modules["main"] = _module
    _modules.shipped.ship(modules, others, of_modules, _module)
    exec(_byte_code.code_of(code, source, path), _module.__dict__)


def _failure(error, is_loaded):
    try:
        described = _describe(error)
    except BaseException as worse:  # noqa: BLE001 - a hostile __str__ or __class__ must not cost us the answer
        for each in (error, worse):  # lets go of what the program's frames hold: room to answer
            BaseException.with_traceback(each, None)
        is_full = issubclass(type(error), MemoryError) or issubclass(type(worse), MemoryError)
        kind, name = ("memory_exhausted", "MemoryError") if is_full else ("task_error", "Exception")
        described = {"kind": kind, "exception": name, "message": f"<unprintable: {type(worse).__name__}>"}
    return json.dumps({"error": described, "pages": _capsule_probe.pages(), "loaded": is_loaded})


def _describe(error):
    if isinstance(error, NotJSON):
        return {"kind": "invalid", "message": str(error)}
    refusals = [str(each) for each in _refusals.refusals_in(error)]
    kind = "memory_exhausted" if isinstance(error, MemoryError) else "denied" if refusals else "task_error"
    hint = _rights.hint(error)
    if hint:
        error.add_note(hint)  # the traceback shows it
    report = traceback.TracebackException.from_exception(error)
    _drop_own_frames(report)
    return {
        "kind": kind,
        "exception": _sayable(type(error).__name__),
        "message": _sayable(_message_of(error, hint, *refusals)),
        "traceback": _sayable("".join(report.format())[-MOST_TEXT:]),
    }


def _message_of(error, *more):
    """What it says, and those of `more` that it does not say itself."""
    text = str(error)
    rest = "".join(f"; {each}" for each in dict.fromkeys(more) if each and each not in text)[:MOST_TEXT]
    return text[: MOST_TEXT - len(rest)] + rest


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
