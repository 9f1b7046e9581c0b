"""Code as a message: a piece of Python runs in a namespace that lasts, as a cell of a notebook does.

`evaluate` and `variables` never raise for what the code has made: a broken `__repr__`, `__str__` or `__class__`, or a
value too deep to walk, costs its own text and nothing else. Nor does a program that changes `builtins` reach in here.
"""

import ast
import builtins
import inspect
import itertools
import json
import linecache
import traceback
import types
from sys import getprofile, getrecursionlimit, gettrace, setprofile, setrecursionlimit, settrace

from . import _loop, _reserve, _wire

MOST_REPR = 4_000  # characters of a value as Python shows it
MOST_SHORT_REPR = 200  # of a name's value, and of the name of its type
MOST_NAMES = 500
MOST_DEPTH = 500  # containers in each other; C code that walks thousands exhausts the native stack
MOST_FRAMES = 300  # Python frames of a `__repr__`, for the same reason
MOST_CELLS = 1_000  # whose source lines are kept for tracebacks
MOST_SOURCE = 2_000_000  # characters of them together
_VALUE = "__capsule_value__"  # the name that takes the value of the last expression while a cell runs
_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_CONTAINERS = frozenset(map(id, (list, tuple, dict, set, frozenset)))  # by id: a class may have a hostile hash or `==`
_SEQUENCES = frozenset(map(id, (list, tuple, str, bytes)))
_class_name = type.__dict__["__name__"].__get__  # not `__name__` itself, which a metaclass can replace
_cells = {}  # file name -> its entry in `linecache`, oldest first
__builtins__ = vars(builtins).copy()  # the functions below look here, so a changed `builtins` is no matter

WARM = (
    "import math\ntext = 'a b'\nnumbers = [1, 2, 3]",
    "def double(number):\n    return number * 2\n\n[double(number) for number in numbers]",
    "class Thing:\n    def __init__(self, name):\n        self.name = name\n\nprint(end='')\nThing(text)",
    "async def later():\n    return {'text': text}\n\nawait later()",
    "1 / 0",
    "double(None) + nothing",
    "numbers[",
)


def evaluate(code, number, namespace):
    """Run `code`: `{"value"?, "repr"?}` of its last expression, or `{"error": {...}}` with the line of this cell.

    `value` is missing if JSON cannot say it; one that is too large to be said is an error. Names that were bound stay
    bound, also when the code failed half way.
    """
    name, code = f"cell-{number}", _plain(code)
    _keep(name, code)
    try:
        return _found(_run(_compiled(code, name), namespace), namespace)
    except BaseException as error:  # noqa: BLE001 - whatever the code raises is its answer
        _reserve.kept.clear()
        return {"error": _failure(error, name)}


def variables(namespace):
    """The names that code has bound: `{name: {"type", "repr"}}`, without modules and private ones."""
    names = [name for name, value in list(namespace.items()) if _is_shown(name, value)]
    return {
        name: {
            "type": _sayable(_class_name(type(namespace[name]))[:MOST_SHORT_REPR]),
            "repr": _shown(namespace[name], MOST_SHORT_REPR),
        }
        for name in names[:MOST_NAMES]
        if name in namespace  # the `__repr__` of one may delete another
    }


def warm_up(run):
    """Walk the paths of first cells; `run(code, number)` does what a request with code does. Leaves no trace here."""
    wait, _wire._wait = _wire._wait, lambda _: None  # there is no host yet for an event loop to ask
    try:
        for _ in range(20):
            for number, code in enumerate(WARM, 1):
                run(code, number)
    finally:
        _wire._wait = wait
    for name in _cells:
        linecache.cache.pop(name, None)
    _cells.clear()


def _plain(code):
    """`code` with the line ends that Python's own parser makes of it, so that its lines can be counted."""
    return code.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _keep(name, code):
    """Let tracebacks and `inspect` show the lines of this cell; the oldest are forgotten when there are too many."""
    _cells.pop(name, None)
    _cells[name] = len(code), None, [line + "\n" for line in code.split("\n")], name  # None: never goes stale
    size = sum(entry[0] for entry in _cells.values())
    while len(_cells) > MOST_CELLS or (size > MOST_SOURCE and len(_cells) > 1):
        oldest = next(iter(_cells))
        size -= _cells.pop(oldest)[0]
        linecache.cache.pop(oldest, None)
    linecache.cache[name] = _cells[name]


def _compiled(code, name):
    """The whole cell as one code object, so that it has one event loop, and all its errors come before it begins."""
    try:
        tree = compile(code, name, "exec", _FLAGS | ast.PyCF_ONLY_AST, dont_inherit=True)
        last = tree.body[-1] if tree.body else None
        if type(last) is ast.Expr and not _is_quiet(code, last):
            target = ast.copy_location(ast.Name(_VALUE, ast.Store()), last)
            tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
        return compile(tree, name, "exec", _FLAGS, dont_inherit=True)
    except MemoryError as error:
        if error.args:  # the parser's word for code that is nested too deeply; more memory would not help
            raise RecursionError(*error.args) from None
        raise


def _is_quiet(code, last):
    """Whether a semicolon follows the last statement, which then has no value."""
    first, *rest = code.split("\n")[last.end_lineno - 1 :]
    tail = first.encode()[last.end_col_offset :].decode()
    return "\n".join([tail, *rest]).lstrip(" \t\f\n\\").startswith(";")


def _run(program, namespace):
    namespace.setdefault("__builtins__", vars(builtins))  # `eval` would put the copy of this module there
    try:
        value = eval(program, namespace)  # noqa: S307 - the sandbox is what holds it
        if program.co_flags & inspect.CO_COROUTINE:
            _loop.run(value)
        return namespace.get(_VALUE)
    finally:
        namespace.pop(_VALUE, None)
        if gettrace() is not None:  # ends with its cell, or it would watch what is capsule's
            settrace(None)
        if getprofile() is not None:
            setprofile(None)


def _found(value, namespace):
    if value is None:
        return {}
    namespace["_"] = value
    found = {"repr": _shown(value, MOST_REPR)}
    return {**found, "value": value} if _is_json(value) else found


def _failure(error, name):
    linecache.cache.update(_cells)  # code may have cleared it
    line = None
    try:
        line = _line_of(error, name)
        _cut_to_cells(error)
        return {**_described(error), "line": line}
    except BaseException as worse:  # noqa: BLE001 - a hostile exception must not cost us the answer
        return {**_described_plainly(error, worse), "line": line}


def _described(error):
    from . import _program  # which imports this

    return _program._describe(error)


def _described_plainly(error, worse):
    """What can be said without a word of the error's own code."""
    text = _traceback_of(error)
    for each in (error, worse):  # lets go of what the program's frames hold: room to answer
        BaseException.with_traceback(each, None)
    is_full = issubclass(type(error), MemoryError) or issubclass(type(worse), MemoryError)
    return {
        "kind": "memory_exhausted" if is_full else "task_error",
        "exception": _sayable(_class_name(type(error))),
        "message": f"<unprintable: {_sayable(_class_name(type(worse)))}>",
        "traceback": text,
    }


def _traceback_of(error):
    from . import _program

    try:
        report = traceback.TracebackException.from_exception(error)
        _program._drop_own_frames(report)
        return _sayable("".join(report.format())[-_program.MOST_TEXT :])
    except BaseException:  # noqa: BLE001 - as for the message
        return ""


def _line_of(error, name):
    """The line of the cell `name` where the error, or else what led to it, came from; None if there is none."""
    for _ in range(10):
        if error is None:
            return None
        line = _own_line(error, name)
        if line is not None:
            return line
        error = error.__cause__ or error.__context__
    return None


def _own_line(error, name):
    if issubclass(type(error), SyntaxError) and error.filename == name and error.lineno:
        if error.text is None:  # the compiler, other than the parser, has no text to show
            error.text = linecache.getline(name, error.lineno)
        return error.lineno
    lines = [number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == name]
    return lines[-1] if lines else None


def _cut_to_cells(error):
    """Leave out the frames above the first cell: those of capsule, and of the event loop that runs it."""
    first = error.__traceback__
    while first is not None and first.tb_frame.f_code.co_filename not in _cells:
        first = first.tb_next
    if first is not None:
        error.__traceback__ = first


def _is_shown(name, value):
    if type(name) is not str or not name.isidentifier() or name.startswith("_"):
        return False
    return type(value) is not types.ModuleType


def _is_json(value):
    try:
        if _is_deep(value):
            return False
        if "\\ud" in _wire.encode(value):  # half a character, maybe, which the host would not read
            json.dumps(value, default=_wire.written, ensure_ascii=False).encode()
    except MemoryError:  # JSON can say it, but not here
        raise
    except BaseException:  # noqa: BLE001 - whatever a value says instead, it is not JSON
        return False
    return True


def _is_deep(value):
    """Whether containers are nested deeper than MOST_DEPTH. Keeps no more than one way down in memory."""
    above, ways = [None], [iter(_containers((value,)))]
    while ways:
        for each in ways[-1]:
            inner = _containers(each.values() if type(each) is dict else each)
            if inner and id(each) not in above:  # else it contains itself, which `repr` and JSON know
                if len(ways) >= MOST_DEPTH:
                    return True
                above.append(id(each))
                ways.append(iter(inner))
                break
        else:
            above.pop()
            ways.pop()
    return False


def _containers(items):
    if _CONTAINERS.isdisjoint(map(id, map(type, items))):  # in C: most of what a large value holds
        return ()
    return [each for each in items if id(type(each)) in _CONTAINERS]


def _shown(value, most):
    """`repr(value)`, cut to `most` characters; what failed instead, if it did."""
    limit = getrecursionlimit()
    try:
        part = _beginning(value, most)
        if _is_deep(part):
            raise RecursionError
        setrecursionlimit(min(limit, MOST_FRAMES))
        text = str.__getitem__(repr(part), slice(most + 1))  # of `str`: a subclass may answer anything
    except BaseException as error:  # noqa: BLE001 - a broken __repr__ is no failure of the code
        text = f"<unprintable: {_class_name(type(error))}>"
    finally:
        setrecursionlimit(limit)
    return _sayable(text if len(text) <= most else text[: most - 3] + "...", most)


def _beginning(value, most):
    """As much of a large value as fills `most` characters: the text of the rest would be made to be thrown away."""
    kind = type(value)
    if id(kind) in _SEQUENCES and len(value) > most:
        return value[:most]
    if kind is dict and len(value) > most:
        return dict(itertools.islice(value.items(), most))
    return value


def _sayable(text, most=None):
    """`text` without what UTF-8 cannot say (lone surrogates), which the host would not read."""
    return text.encode("utf-8", "backslashreplace").decode()[:most]
