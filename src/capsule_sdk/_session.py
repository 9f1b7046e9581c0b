"""Code as a message: a piece of Python runs in a namespace that lasts, as a cell of a notebook does.

What is used here is taken at import time, so a program that rebinds `repr` or `len` in its own namespace is no matter.
"""

import ast
import inspect
import linecache
import types

from . import _loop, _wire
from ._json_text import NotJSON, to_json

MOST_REPR = 4_000  # characters of a value as Python shows it
MOST_SHORT_REPR = 200
MOST_NAMES = 500
_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_compile, _eval, _repr, _type, _isinstance = compile, eval, repr, type, isinstance


def evaluate(code, number, namespace):
    """Run `code`: `{"value"?, "repr"?}` of its last expression, or `{"error": {...}}` with the line of this cell.

    `value` is missing if JSON cannot say it. Names that were bound stay bound, also when the code failed half way.
    """
    from . import _program  # which imports this

    name = f"cell-{number}"
    linecache.cache[name] = len(code), None, code.splitlines(keepends=True), name  # None: it never goes stale
    try:
        value = _run(code, name, namespace)
    except BaseException as error:  # noqa: BLE001 - whatever the code raises is its answer
        try:
            described = _program._describe(error)
        except BaseException as worse:  # noqa: BLE001 - a hostile __str__ must not cost us the answer
            described = {"kind": "task_error", "exception": "Exception", "message": f"<unprintable: {_name(worse)}>"}
        return {"error": {**described, "line": _line_of(error, name)}}
    if value is None:
        return {}
    namespace["_"] = value
    found = {"repr": _shown(value, MOST_REPR)}
    return {**found, "value": value} if _is_json(value) else found


def variables(namespace):
    """The names that code has bound: `{name: {"type", "repr"}}`, without modules and private ones."""
    found = {}
    for name, value in list(namespace.items()):
        if len(found) >= MOST_NAMES:
            break
        if _type(name) is str and not name.startswith("_") and _type(value) is not types.ModuleType:
            found[name] = {"type": _name(value), "repr": _shown(value, MOST_SHORT_REPR)}
    return found


def _run(code, name, namespace):
    tree = _compile(code, name, "exec", ast.PyCF_ONLY_AST | _FLAGS, dont_inherit=True)
    last = None
    if tree.body and _type(tree.body[-1]) is ast.Expr and not code.rstrip().endswith(";"):
        last = ast.Expression(tree.body.pop().value)
    _execute(tree, name, "exec", namespace)
    return None if last is None else _execute(last, name, "eval", namespace)


def _execute(tree, name, mode, namespace):
    code = _compile(tree, name, mode, _FLAGS, dont_inherit=True)
    value = _eval(code, namespace)
    return _loop.run(value) if code.co_flags & inspect.CO_COROUTINE else value


def _line_of(error, name):
    if _isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == name:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _is_json(value):
    try:
        to_json(value, default=_wire.written)
    except (NotJSON, RecursionError):
        return False
    return True


def _name(thing):
    return _type(thing).__name__


def _shown(value, most):
    try:
        text = _repr(value)
    except Exception as error:  # noqa: BLE001 - a broken __repr__ is no failure of the code
        text = f"<unprintable: {_name(error)}>"
    text = text if len(text) <= most else text[: most - 3] + "..."
    return text.encode("utf-8", "backslashreplace").decode()
