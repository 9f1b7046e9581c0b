"""Code as a message, in the real guest: values, names, errors with their lines, and what odd code may not break."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from capsule._engine.engine import WasmEngine
from capsule.abc import Limits
from capsule.testing.listener import RecordingListener

Found = dict[str, Any]
Cells = Callable[..., Awaitable[list[Found]]]
VARIABLES = None  # in a list of cells: ask for the names instead


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def cells(guest) -> Cells:
    """`await cells(code, ...)` runs each code in one sandbox: what `evaluate` or `variables` says to each."""
    async with WasmEngine(Path(guest.file), min_ram=guest.min_ram) as engine:

        async def run(*codes: str | None, listener: RecordingListener | None = None) -> list[Found]:
            limits = Limits(fuel=10**11, ram=128 << 20, max_output=1 << 20, max_message=4 << 20)
            sandbox = engine.open(limits, listener or RecordingListener())
            found = []
            with anyio.fail_after(60):
                for number, code in enumerate(codes, 1):
                    about = {"variables": True} if code is VARIABLES else {"code": code, "cell": number}
                    start = {"program": {"path": "session", "source": ""}} if number == 1 else {}
                    ending = await sandbox.call(json.dumps({**start, **about}), timeout=30, is_last=False)
                    assert ending.reply is not None, ending
                    answer = json.loads(ending.reply)
                    found.append(answer["ok"] if "ok" in answer else {"error": answer["error"]})
            sandbox.close()
            return found

        yield run


async def last(cells: Cells, *codes: str) -> Found:
    return (await cells(*codes))[-1]


async def error(cells: Cells, *codes: str) -> Found:
    return (await last(cells, *codes))["error"]


# What a cell's value is.


VALUES = {
    "the last expression": ("1\n2", 2),
    "a later line of several": ("x = [1,\n 2]\nx", [1, 2]),
    "after a semicolon": ("x = 1; x + 1", 2),
    "a text that ends like a quiet line": ("'a;'", "a;"),
    "a comment with a semicolon": ("5  # c;", 5),
    "a docstring alone": ("'doc'", "doc"),
    "a text of several lines": ("'''a\n  b;\n'''", "a\n  b;\n"),
    "carriage returns": ("\r\nx = 2\r\nx", 2),
    "old line ends": ("a = 1\rb = 2\rb", 2),
    "a byte order mark": ("\ufeffx = 1\nx", 1),
    "tabs": ("if 1:\n\tx = 3\nx", 3),
    "an encoding that is not": ("# -*- coding: latin-1 -*-\n'é'", "é"),
    "a tuple": ("(1, 2)", [1, 2]),
    "a top-level await": ("async def f(): return 4\nawait f()", 4),
    "an async comprehension": ("async def y():\n  yield 1\n  yield 2\n[x async for x in y()]", [1, 2]),
    "async for": ("async def y():\n  yield 1\nasync for x in y(): z = x\nz", 1),
    "async with": ("import asyncio\nasync with asyncio.timeout(1): q = 5\nq", 5),
    "asyncio.run": ("import asyncio\nasync def f(): return 4\nasyncio.run(f())", 4),
    "a task made before the last line": (
        "import asyncio\nasync def f(): return 6\nt = asyncio.create_task(f())\nawait t",
        6,
    ),
}


@pytest.mark.parametrize(("code", "value"), VALUES.values(), ids=VALUES)
async def test_the_value_of_a_cell(cells, code, value):
    """It is that of the last statement, if that is an expression; the whole cell has one event loop."""
    assert (await last(cells, code))["value"] == value


NOTHING = {
    "no code": "",
    "blank lines": "\n \n",
    "a comment": "# c",
    "a statement": "x = 1",
    "None": "None",
    "a semicolon": "5;",
    "a semicolon and a comment": "5;  # c",
    "a semicolon and lines": "5 ;\n\n# c\n",
    "a semicolon on the next line": "(5\n) \\\n;",
    "a semicolon after more than ASCII": "'é';",
    "an expression inside a statement": "if 1:\n  5",
    "an annotation of what is not there": "x: Nope = 3",
}


@pytest.mark.parametrize("code", NOTHING.values(), ids=NOTHING)
async def test_no_value(cells, code):
    """Without an expression at the end, or with a semicolon after it, there is nothing to show."""
    assert await last(cells, code) == {}


NOT_JSON = {
    "a set": ("{1}", "{1}"),
    "a float that is no number": ("float('nan')", "nan"),
    "a list in itself": ("l = []\nl.append(l)\nl", "[[...]]"),
    "a list in itself, further down": ("l = [[]]\nl.append([l])\nl", "[[], [[...]]]"),
    "half a character": ("['\\ud800']", "['\\ud800']"),
    "a hostile dict": ("class D(dict):\n  def items(self): 1 / 0\nD(a=1)", "{'a': 1}"),
    "a number too long to print": ("10 ** 5000", "<unprintable: ValueError>"),
    "a list nested 100,000 deep": ("l = []\nfor i in range(100_000): l = [l]\nl", "<unprintable: RecursionError>"),
    "a dict nested 100,000 deep": ("l = {}\nfor i in range(100_000): l = {0: l}\nl", "<unprintable: RecursionError>"),
    "a broken repr": ("class R:\n  def __repr__(s): 1 / 0\nR()", "<unprintable: ZeroDivisionError>"),
    "a repr that is no text": ("class R:\n  def __repr__(s): return 5\nR()", "<unprintable: TypeError>"),
    "a repr that exits": ("class R:\n  def __repr__(s): exit()\nR()", "<unprintable: SystemExit>"),
    "a repr of itself": ("class R:\n  def __repr__(s): return repr(s)\nR()", "<unprintable: RecursionError>"),
    "a text with a length of its own": (
        "class S(str):\n  __len__ = None\nclass R:\n  def __repr__(s): return S('mine')\nR()",
        "mine",
    ),
    "half a character in a repr": ("class R:\n  def __repr__(s): return '\\ud800'\nR()", "\\ud800"),
    "a class that lies": (
        "class R:\n  def __repr__(s): return 'R'\n  @property\n  def __class__(s): 1 / 0\nR()",
        "R",
    ),
    "a class without a name": (
        "class M(type):\n  __name__ = property(lambda c: 1 / 0)\nclass E(Exception, metaclass=M): pass\n"
        "class R:\n  def __repr__(s): raise E\nR()",
        "<unprintable: E>",
    ),
}


@pytest.mark.parametrize(("code", "text"), NOT_JSON.values(), ids=NOT_JSON)
async def test_a_value_that_is_no_json(cells, code, text):
    """It has a text and no value, and never fails the cell; the sandbox lives on."""
    found = await cells(code, "1")
    assert found == [{"repr": text}, {"repr": "1", "value": 1}]


@pytest.mark.parametrize("code", ["'x' * 10_000", "[1] * 10_000", "dict.fromkeys(range(9_000))", "b'x' * 10_000"])
async def test_a_long_text_is_cut(cells, code):
    """To 4,000 characters, the same as of the whole."""
    whole = repr(eval(code))
    assert (await last(cells, code))["repr"] == whole[:3_997] + "..."


async def test_a_value_too_large_to_say_is_an_error(cells):
    """JSON could say it, so a missing value would mislead. The names stay."""
    found = await cells("x = 'a' * 50_000_000\nx", "len(x)")
    assert found[0]["error"]["kind"] == "memory_exhausted"
    assert found[1]["value"] == 50_000_000


async def test_the_last_value_has_a_name(cells):
    """`_` is the last value that was not None."""
    assert [each.get("value") for each in await cells("20 + 1", "None", "x = 5", "_ * 2")] == [21, None, None, 42]


# What stays.


STAYS = {
    "a name": (["x = 5"], "x", 5),
    "what was bound before an error": (["x = 1\n1 / 0\nx = 2"], "x", 1),
    "what was bound before an error after an await": (["import asyncio\nx = 1\nawait asyncio.sleep(0)\n1/0"], "x", 1),
    "names like ours": (["code = 1; number = 2; name = 3; namespace = 4; program = 5"], "code + number", 3),
    "the built-in functions, whatever they are called here": (["print = len = repr = type = str = json = 1"], "2", 2),
    "the built-in functions that were deleted": (["del __builtins__"], "len([1])", 1),
    "Python's own built-in functions": (["del __builtins__", "import builtins\nbuiltins.ours = 7"], "ours", 7),
    "a generator": (["def g():\n  yield 1\n  yield 2\nx = g()\nnext(x)"], "next(x)", 2),
    "a finished task": (["import asyncio\nt = asyncio.create_task(asyncio.sleep(0, 3))\nawait t"], "t.result()", 3),
    "a task left behind, which is cancelled": (
        ["import asyncio\nt = asyncio.create_task(asyncio.sleep(99))\nawait asyncio.sleep(0)"],
        "t.cancelled()",
        True,
    ),
    "no future statement": (
        ["from __future__ import annotations"],
        "def f(x: int): ...\nf.__annotations__['x'] is int",
        True,
    ),
    "the module of a class": (["class A: pass"], "A.__module__", "main"),
    "instances that were pickled": (
        ["import pickle, dataclasses\n@dataclasses.dataclass\nclass P:\n  x: 'int'"],
        "pickle.loads(pickle.dumps(P(1))).x",
        1,
    ),
    "a global of a function": (["def f():\n  global g\n  g = 3\nf()"], "g", 3),
    "no tracer": (["import sys\nsys.settrace(lambda *a: 1 / 0)"], "sys.gettrace() is None", True),
    "no profiler": (["import sys\nsys.setprofile(lambda *a: None)"], "sys.getprofile() is None", True),
    "nothing of ours": (["1", "1 / 0"], "[name for name in globals() if 'capsule' in name]", []),
    "the source of a function": (
        ["def f():\n  return 1"],
        "import inspect\ninspect.getsource(f)",
        "def f():\n  return 1\n",
    ),
    "the session after an exit": (["exit()"], "1", 1),
    "the limit of recursion": (["object()"], "import sys\nsys.getrecursionlimit()", 1000),
}


@pytest.mark.parametrize(("before", "code", "value"), STAYS.values(), ids=STAYS)
async def test_what_stays_from_cell_to_cell(cells, before, code, value):
    """As in a notebook; what watches or changes the interpreter ends with its cell."""
    assert (await last(cells, *before, code)).get("value") == value


# Errors.


ERRORS = {
    "its own line": (["x = 1\n\n1 / 0"], "ZeroDivisionError", 3),
    "the last expression": (["x = 0\n1 / x"], "ZeroDivisionError", 2),
    "a function of this cell": (["def f():\n  1 / 0\n\nf()"], "ZeroDivisionError", 2),
    "a function of an earlier cell": (["\n\n\ndef f():\n  1 / 0", "\nf()"], "ZeroDivisionError", 2),
    "back in this cell": (["def call(f): f()", "def bad():\n  1 / 0\n\ncall(bad)"], "ZeroDivisionError", 2),
    "after an await": (["import asyncio\nawait asyncio.sleep(0)\n1 / 0"], "ZeroDivisionError", 3),
    "in a task": (["import asyncio\nasync def f():\n  1 / 0\nawait asyncio.gather(f())"], "ZeroDivisionError", 3),
    "turned into another one": (["import asyncio\nawait asyncio.sleep(0)\nraise StopIteration"], "RuntimeError", 3),
    "a syntax error": (["x = 1\ny = = 2"], "SyntaxError", 2),
    "a syntax error of the compiler": (["x = 1\n\nreturn 1"], "SyntaxError", 3),
    "a syntax error further inside": (["eval('1 +')"], "SyntaxError", 1),
    "one that the code raises": (["\nraise SyntaxError('mine')"], "SyntaxError", 2),
    "indentation": (["if x:\n    1\n  2"], "IndentationError", 3),
    "tabs and spaces": (["if 1:\n\tx = 1\n        y = 2"], "TabError", 3),
    "nonlocal": (["1\nnonlocal x"], "SyntaxError", 2),
    "a late global": (["def f():\n  x = 1\n  global x"], "SyntaxError", 3),
    "a late future statement": (["x = 1\nfrom __future__ import annotations"], "SyntaxError", 2),
    "NUL": (["x = '\0'"], "SyntaxError", None),
    "half a character": (["'\ud800'"], "UnicodeEncodeError", None),
    "exit": (["1\nexit()"], "SystemExit", 2),
    "sys.exit in async code": (["import sys, asyncio\nawait asyncio.sleep(0)\nsys.exit(3)"], "SystemExit", 3),
    "an interrupt": (["raise KeyboardInterrupt"], "KeyboardInterrupt", 1),
    "any other": (["raise BaseException('x')"], "BaseException", 1),
    "cancellation": (["import asyncio\nasyncio.current_task().cancel()\nawait asyncio.sleep(1)"], "CancelledError", 3),
    "endless recursion": (["def f(): f()\n\nf()"], "RecursionError", 1),
    "brackets": (["(" * 100_000], "RecursionError", None),
    "many branches": (["if 0: pass\n" + "elif 0: pass\n" * 100_000], "RecursionError", None),
    "much indentation": (["".join(" " * i + "if 1:\n" for i in range(120))], "IndentationError", 101),
    "a text that fails": (["class E(Exception):\n  def __str__(s): 1 / 0\nraise E"], "E", 3),
    "a text that exits": (["class E(Exception):\n  def __str__(s): exit()\nraise E"], "E", 3),
    "a class that lies": (["class E(Exception):\n  @property\n  def __class__(s): 1 / 0\nraise E"], "E", 4),
    "an awaited number": (["x = 1\nawait 5"], "TypeError", 2),
    "a group": (["raise ExceptionGroup('g', [ValueError(1)])"], "ExceptionGroup", 1),
    "no built-in functions": (["__builtins__ = None", "len([])"], "TypeError", 1),
    "a missing standard output": (["import sys\nsys.stdout = 5", "print(1)"], "AttributeError", 1),
}


@pytest.mark.parametrize(("codes", "name", "line"), ERRORS.values(), ids=ERRORS)
async def test_the_line_of_an_error(cells, codes, name, line):
    """It is the innermost line of the cell that was sent; of a syntax error, its own. The sandbox lives on."""
    found = (await cells(*codes, "1"))[len(codes) - 1]["error"]
    assert (found["kind"], found["exception"], found["line"]) == ("task_error", name, line)


async def test_a_traceback_of_several_cells(cells):
    """It has the source of old cells, and nothing of capsule's or the event loop's."""
    found = await error(cells, "async def f(x):\n    return x / 0\n", "import asyncio\n\nawait f(1)")
    assert found["traceback"] == (
        "Traceback (most recent call last):\n"
        '  File "cell-2", line 3, in <module>\n    await f(1)\n'
        '  File "cell-1", line 2, in f\n    return x / 0\n           ~~^~~\n'
        "ZeroDivisionError: division by zero\n"
    )


SOURCES = {
    "of the compiler": (["x = 1\nreturn x"], "    return x\n"),
    "after a form feed": (["'''\x0c'''\n1 / 0"], "    1 / 0\n"),
    "after a separator of lines that is none in Python": (["'''\u2028\x1c'''\n1 / 0"], "    1 / 0\n"),
    "after old line ends": (["x = 1\r1 / 0"], "    1 / 0\n"),
    "after the cache was cleared": (
        ["def f(): 1 / 0", "import linecache\nlinecache.clearcache()\nf()"],
        "def f(): 1 / 0",
    ),
    "after the cache was checked": (
        ["def f(): 1 / 0", "import linecache\nlinecache.checkcache()\nf()"],
        "def f(): 1 / 0",
    ),
    "of an error without a text": (["class E(Exception):\n  def __str__(s): 1 / 0\nraise E"], "    raise E\n"),
}


@pytest.mark.parametrize(("codes", "text"), SOURCES.values(), ids=SOURCES)
async def test_the_source_in_a_traceback(cells, codes, text):
    """Each line is the one that Python counted."""
    assert text in (await error(cells, *codes))["traceback"]


async def test_a_syntax_error_comes_before_the_cell_begins(cells):
    """Also one that only the compiler finds in the last line."""
    found = await cells("x = 1\n(yield)", "x")
    assert [each["error"]["exception"] for each in found] == ["SyntaxError", "NameError"]


async def test_the_text_of_a_broken_error(cells):
    """Its class has a name, and what its text raised stands in its place."""
    found = await error(cells, "class E(Exception):\n  def __str__(s): [][1]\nraise E")
    assert found["message"] == "<unprintable: IndexError>"
    assert "E: <exception str() failed>" in found["traceback"]


async def test_memory_runs_out(cells):
    """The error says so, what was bound is there, and the next cell runs."""
    found = await cells("a = []\nwhile True: a.append(bytearray(1_000_000))", "len(a) > 20")
    assert (found[0]["error"]["kind"], found[0]["error"]["line"]) == ("memory_exhausted", 2)
    assert found[1]["value"] is True


async def test_a_changed_library_costs_the_message_only(cells):
    """Code that breaks `traceback` still gets the class of its error and the line."""
    found = await error(cells, "import traceback\ntraceback.TracebackException = None", "\n1 / 0")
    assert (found["exception"], found["line"]) == ("ZeroDivisionError", 2)


async def test_a_large_cell(cells):
    """A megabyte of text is no matter."""
    assert (await last(cells, "x = '''" + "a\n" * 500_000 + "'''\nlen(x)"))["value"] == 1_000_000


async def test_a_long_session_keeps_the_sources_it_can(cells):
    """Old lines are forgotten before they fill the sandbox; their numbers are not."""
    found = await error(cells, "def f(): 1 / 0", *["#" * 900_000] * 3, "f()")
    assert 'File "cell-1", line 1, in f\n' in found["traceback"]
    assert "def f()" not in found["traceback"]


async def test_a_warning_of_the_compiler_comes_once(cells):
    """On the error stream, with the cell's name."""
    listener = RecordingListener()
    await cells("x = 1\n'\\d'; x is 1", listener=listener)
    shown = "".join(text for kind, *rest in listener.history if kind == "output" for text in rest[1:])
    assert (shown.count("cell-1:2: SyntaxWarning"), shown.count("SyntaxWarning")) == (2, 2)


# The names.


async def test_the_names_that_code_has_made(cells):
    """With their types and short texts; no modules, nothing private, nothing that was there before."""
    code = "import math\nfrom math import sqrt\nx = 1\n_p = 2\ndef f(): ...\nclass K: ...\n1"
    found = await last(cells, code, VARIABLES)
    assert {name: each["type"] for name, each in found.items()} == {
        "sqrt": "builtin_function_or_method",
        "x": "int",
        "f": "function",
        "K": "type",
    }
    assert found["x"]["repr"] == "1"


async def test_nothing_was_made(cells):
    """A fresh session has no names."""
    assert await last(cells, VARIABLES) == {}


HOSTILE = {
    "a broken repr": ("class R:\n  def __repr__(s): 1 / 0\nx = R()", "R", "<unprintable: ZeroDivisionError>"),
    "a lying class": ("class R:\n  __class__ = int\n  def __repr__(s): return 'r'\nx = R()", "R", "r"),
    "a class that hides its name": (
        "class M(type):\n  __name__ = property(lambda c: 1 / 0)\nclass R(metaclass=M):\n  def __repr__(s): return 'r'\n"
        "x = R()",
        "R",
        "r",
    ),
    "a class that cannot be compared": (
        "class M(type):\n  __eq__ = None\n  __hash__ = None\nclass R(metaclass=M):\n  def __repr__(s): return 'r'\n"
        "x = R()",
        "R",
        "r",
    ),
    "a long name": ("x = type('N' * 10_000, (), {'__repr__': lambda s: 'r'})()", "N" * 200, "r"),
    "a large list": ("x = list(range(1_000_000))", "list", str(list(range(100)))[:197] + "..."),
    "a deep list": ("x = []\nfor _ in range(100_000): x = [x]", "list", "<unprintable: RecursionError>"),
    "half a character": ("x = '\\ud800'", "str", "'\\ud800'"),
    "a repr that binds and deletes": (
        "class R:\n  def __repr__(s):\n    globals().pop('y', None)\n    globals()['z'] = 1\n    return 'r'\nx = R()\ny = 2",
        "R",
        "r",
    ),
    "names that are none": ("globals().update({3: 1, 'a b': 2, '\\ud800': 3})\nx = 1", "int", "1"),
}


@pytest.mark.parametrize(("code", "kind", "text"), HOSTILE.values(), ids=HOSTILE)
async def test_names_of_hostile_things(cells, code, kind, text):
    """None of them costs the answer, or more than its own text."""
    found = await last(cells, code, VARIABLES)
    assert found["x"] == {"type": kind, "repr": text}
    assert all(name.isidentifier() for name in found)


async def test_most_names(cells):
    """500 of them."""
    assert len(await last(cells, "for i in range(1000): globals()[f'x{i}'] = i", VARIABLES)) == 500


async def test_warming_up_leaves_no_trace(cells):
    """It runs where there is no host to wait for, and forgets its own cells."""
    code = (
        "from capsule_sdk import _session\nfound, names = [], {}\n"
        "def run(code, number): found.append(_session.evaluate(code, number, names))\n"
        "_session.warm_up(run)\n"
        "[each['error']['exception'] for each in found[:7] if 'error' in each], [*_session._cells],"
        " _session._wire._wait.__name__"
    )
    assert (await last(cells, code))["value"] == [["ZeroDivisionError", "TypeError", "SyntaxError"], [], "_wait"]
