"""Which part of a module goes along with a task."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import keyword
import linecache
import sys
import types
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import capsule
from capsule._guest.parsing import lines_of
from capsule._guest.slicing import slice_of
from capsule.errors import InvalidProgram

_numbers = itertools.count()


def identity(function=None, /, **settings):
    return function or identity


@pytest.fixture(autouse=True)
def _surroundings(tmp_path_factory, monkeypatch):
    """A folder that modules are imported from, and a `capsule` that leaves functions as they are."""
    folder = tmp_path_factory.mktemp("app")
    for name, value in {
        "task": identity,
        "actor": identity,
        "Runtime": type("Runtime", (), {"run": print}),
        "TaskFailed": Exception,
    }.items():
        monkeypatch.setattr(capsule, name, value, raising=False)
    (folder / "sibling.py").write_text("def helper(): return 1\nHELP = 2\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)


def load(text):
    """Import `text` as a module of its own."""
    name = f"sliced_{next(_numbers)}"
    path = f"{name}.py"
    with open(path, "w", encoding="utf-8") as file:
        file.write(dedent(text))
    importlib.invalidate_caches()
    return importlib.import_module(name)


def sliced(text, name="f"):
    return slice_of(getattr(load(text), name))


def kept(text, name="f"):
    """The lines that stay, without blank ones."""
    return [line for line in lines_of(sliced(text, name).source) if line.strip()]


def run(program, name, *args):
    """Execute a slice as the sandbox would, and call its function."""
    module = types.ModuleType("main")
    sys.modules["main"] = module
    try:
        exec(compile(program.source, program.path, "exec", dont_inherit=True), module.__dict__)
        return getattr(module, name)(*args)
    finally:
        del sys.modules["main"]


def test_only_what_is_reached_stays_and_keeps_its_line():
    """The application's own half is blank, and the line numbers are those of the file."""
    text = """\
    import json
    from capsule import Runtime, task
    LIMIT = 3  # a comment
    runtime = Runtime()

    @task(ram="64MB")
    def f(text):
        # inside
        return helper(text)[:LIMIT]

    def helper(text):
        return json.dumps(text)

    def main():
        return runtime.run(f)

    if __name__ == "__main__":
        main()
    """
    program = sliced(text)
    assert program.source.split("\n") == [
        "import json",
        "from capsule import task",
        "LIMIT = 3",
        "",
        "",
        '@task(ram="64MB")',
        "def f(text):",
        "    # inside",
        "    return helper(text)[:LIMIT]",
        "",
        "def helper(text):",
        "    return json.dumps(text)",
        *[""] * 7,
    ]
    (spec,) = program.tasks
    assert (spec.name, spec.line, spec.settings) == ("f", 7, {"ram": "64MB"})
    assert program.path.startswith("sliced_")
    assert program.path.endswith(".py")


def test_every_declared_task_of_the_slice_is_listed():
    """A task can call the tasks that it reaches, and no others."""
    text = """\
    from capsule import task
    @task
    def f(): return g()
    @task(name="gee")
    def g(): return 1
    @task
    def h(): return 2
    """
    assert [task.name for task in sliced(text).tasks] == ["f", "gee"]


@pytest.mark.parametrize("statement", ["TABLE.append(f{0})", "put(TABLE, f{0})", "@put_it\ndef g{0}(): pass"])
def test_a_table_of_hundreds_costs_each_the_same(statement):
    """Four times the statements that fill a table are about four times the work, not sixteen."""

    def calls_for(many: int) -> int:
        lines = ["TABLE = []", "def put(table, x): table.append(x)", "def put_it(x): TABLE.append(x); return x"]
        lines += [f"def f{each}(): pass\n" + statement.format(each) for each in range(many)]
        text, calls = "\n".join([*lines, "def f(): return TABLE"]), 0

        def count(_frame, event, _argument):
            nonlocal calls
            calls += event == "call"

        sys.setprofile(count)
        try:
            kept_lines = kept(text)
        finally:
            sys.setprofile(None)
        assert len(kept_lines) > many
        return calls

    assert calls_for(400) < 6 * calls_for(100)


KEPT = {
    "a part of an import": ("import os, json as j\ndef f(): return j", ["import json as j", "def f(): return j"]),
    "a long import": (
        "from os import (\n  path,\n  sep,\n)\ndef f(): return sep",
        ["from os import sep", "def f(): return sep"],
    ),
    "an unreached import goes": ("import sibling\ndef f(): return 1", ["def f(): return 1"]),
    "strings are not code": ("import sibling\ndef f(): return 'sibling'", ["def f(): return 'sibling'"]),
    "a local name is not the module's": (
        "import sibling\ndef f(sibling): return sibling",
        ["def f(sibling): return sibling"],
    ),
    "a name bound later in the function": (
        "import sibling\ndef f():\n  for sibling in []: pass\n  return [sibling for sibling in []]",
        ["def f():", "  for sibling in []: pass", "  return [sibling for sibling in []]"],
    ),
    "a match binds": (
        "import sibling\ndef f(x):\n  match x:\n    case {'a': sibling, **rest}: return sibling, rest",
        ["def f(x):", "  match x:", "    case {'a': sibling, **rest}: return sibling, rest"],
    ),
    "a method does not see its class's names": (
        "A = 1\nclass K:\n  A = 2\n  def m(self): return A\ndef f(): return K",
        ["A = 1", "class K:", "  A = 2", "  def m(self): return A", "def f(): return K"],
    ),
    "a class sees its own names": (
        "import sibling as name\nclass K:\n  @property\n  def name(self): pass\n  @name.setter\n"
        "  def name(self, x): pass\ndef f(): return K",
        [
            "class K:",
            "  @property",
            "  def name(self): pass",
            "  @name.setter",
            "  def name(self, x): pass",
            "def f(): return K",
        ],
    ),
    "one statement of a line": (
        "a = 1; b = 2; c = 3\ndef f(): return a + c",
        ["a = 1; c = 3", "def f(): return a + c"],
    ),
    "one statement after a long string": ("a = '''\né'''; b = 2\ndef f(): return b", ["b = 2", "def f(): return b"]),
    "bytes before a column": ("a = 'éé'; b = 2\ndef f(): return b", ["b = 2", "def f(): return b"]),
    "the future": (
        "from __future__ import annotations\ndef f(): return 1",
        ["from __future__ import annotations", "def f(): return 1"],
    ),
    "the docstring, if it is asked for": (
        "'''doc'''\ndef f(): return __doc__",
        ["'''doc'''", "def f(): return __doc__"],
    ),
    "the docstring goes": ("'''doc'''\ndef f(): return 1", ["def f(): return 1"]),
    "type checking, as it is": (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "  from nowhere import X\n"
        "def f(x: X): return x",
        [
            "from __future__ import annotations",
            "from typing import TYPE_CHECKING",
            "if TYPE_CHECKING:",
            "  from nowhere import X",
            "def f(x: X): return x",
        ],
    ),
    "an annotation that cannot go is left out": (
        "from __future__ import annotations\nimport hypothesis\nfrom capsule import Runtime\nimport decimal\n"
        "def f(x: hypothesis.X, y: Runtime, z: decimal.Decimal): pass",
        [
            "from __future__ import annotations",
            "import decimal",
            "def f(x: hypothesis.X, y: Runtime, z: decimal.Decimal): pass",
        ],
    ),
    "a star only if it is needed": (
        "from math import *\nfrom os import *\ndef f(): return sqrt(4)",
        ["from math import *", "def f(): return sqrt(4)"],
    ),
    "a star that hides a builtin": (
        "from math import *\ndef f(): return pow(2, 2)",
        ["from math import *", "def f(): return pow(2, 2)"],
    ),
    "a loop over another's variable": (
        "A = []\nB = []\nfor i in range(2):\n  k = i\n  A.append(k)\nfor i in range(2):\n  k = i\n"
        "  B.append(k)\ndef f(): return A",
        ["A = []", "for i in range(2):", "  k = i", "  A.append(k)", "def f(): return A"],
    ),
    "a failing import is provided for": (
        "try:\n  import nowhere as n\nexcept ImportError:\n  n = None\ndef f(): return n",
        ["try:", "  import nowhere as n", "except ImportError:", "  n = None", "def f(): return n"],
    ),
    "another binding than the import that cannot go": (
        "import hypothesis as s\nimport json as s\ndef f(): return s",
        ["import json as s", "def f(): return s"],
    ),
    "what runs the application goes": (
        "import asyncio\nfrom capsule import Runtime, task\nT = {}\n@task\n"
        "async def f(): T[1] = await asyncio.sleep(0)\n"
        "async def main():\n  Runtime(); return f, T\nasyncio.run(main())\n",
        [
            "import asyncio",
            "from capsule import task",
            "T = {}",
            "@task",
            "async def f(): T[1] = await asyncio.sleep(0)",
        ],
    ),
    "what runs the task itself goes": (
        "import asyncio\nfrom capsule import task\nR = []\n@task\n"
        "async def f(): R.append(1); return asyncio\nasyncio.run(f())\n",
        ["import asyncio", "from capsule import task", "R = []", "@task", "async def f(): R.append(1); return asyncio"],
    ),
    "what makes something of it goes, whatever else it does": (
        "import threading\nCONFIG = {}\ndef pool(config): config['n'] = 1; threading.Thread(target=print).start()\n"
        "workers = pool(CONFIG)\ndef f(): return CONFIG",
        ["CONFIG = {}", "def f(): return CONFIG"],
    ),
    "a change that cannot go along goes": (
        "import hypothesis\nclass Box: size = 1\nbox = Box()\nsetattr(box, 'h', hypothesis.given)\n"
        "other = box\nother.given = hypothesis.given\ndef f(): return box.size",
        ["class Box: size = 1", "box = Box()", "def f(): return box.size"],
    ),
    "stars behind conditions that are meant for elsewhere go": (
        "import sys\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  from hypothesis import *\n"
        "if sys.platform == 'win32':\n  from hypothesis import *\n"
        "def f(x: 'given'): return given if sys.platform == 'win32' else 1",
        ["import sys", "def f(x: 'given'): return given if sys.platform == 'win32' else 1"],
    ),
    "what only takes something goes": (
        "URL = ['x']\ndef connect(url): return list(url)\nclient = connect(URL)\nsize = len(URL)\ndef f(): return URL",
        ["URL = ['x']", "def f(): return URL"],
    ),
    "what is handed a function, and is not from here, goes": (
        "import threading, atexit\nQ = []\ndef work(queue): queue.append(1)\n"
        "threading.Thread(target=work, args=(Q,)).start()\natexit.register(work, Q)\ndef f(): return Q",
        ["Q = []", "def f(): return Q"],
    ),
    "what only reports goes": (
        "import logging\nlog = logging.getLogger()\nlog.info('up')\nT = [1]\nprint(T)\ndef f(): log.info(T)",
        ["import logging", "log = logging.getLogger()", "T = [1]", "def f(): log.info(T)"],
    ),
}


@pytest.mark.parametrize(("text", "lines"), KEPT.values(), ids=KEPT)
def test_a_slice_keeps_exactly(text, lines):
    """Each rule of reaching keeps these lines and no others."""
    assert kept(text) == lines


HARD = {
    "tables filled at module level": """
        TABLE = {}
        TABLE["a"] = 1
        TABLE |= {"b": 2}
        LIST = [3]
        LIST.append(4)
        LIST += [5]
        first = LIST.pop(0)
        del TABLE["a"]
        class Box: pass
        BOX = Box()
        BOX.size = 7
        setattr(BOX, "more", 8)
        def f(): return TABLE, LIST, BOX.size, BOX.more
        """,
    "constants computed from one another": """
        import math
        from functools import reduce
        A, (B, *C) = 1, (2, 3, 4)
        D = E = [x * A for x in C]
        if (N := len(D)) > 1:
            F = math.floor(N / 2)
        else:
            F = None
        G: int = reduce(lambda a, b: a + b, D)
        H = 1
        H += G
        del A
        def f(): return B, E, N, F, H
        """,
    "functions that refer to each other": """
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        def f(): return [n for n in range(9) if even(n)]
        """,
    "names deep inside": """
        import json
        BASE = 2
        def scale(x): return x * BASE
        def f():
            def inner(xs):
                return (lambda ys: {scale(y): json.dumps(y) for y in ys})(xs)
            return inner([1, 2])
        """,
    "classes with bases, decorators and defaults": """
        import dataclasses
        from abc import ABC, abstractmethod
        from enum import Enum
        DEFAULT = 5
        class Shape(ABC):
            @abstractmethod
            def area(self): ...
        @dataclasses.dataclass
        class Square(Shape):
            side: int = DEFAULT
            def area(self): return self.side ** POWER
        POWER = 2
        class Color(Enum):
            RED = POWER
        def f(s=DEFAULT): return Square(s).area(), Color.RED.value
        """,
    "decorators that register": """
        HANDLERS = {}
        def handler(name):
            def wrap(function):
                HANDLERS[name] = function
                return function
            return wrap
        @handler("a")
        def a(x): return x + 1
        @handler("b")
        def b(x): return x + OFFSET
        OFFSET = 10
        def f(): return {name: run(1) for name, run in sorted(HANDLERS.items())}
        """,
    "single dispatch": """
        from functools import singledispatch
        @singledispatch
        def show(x): return "thing"
        @show.register
        def _(x: int): return "int"
        @show.register(str)
        def _(x): return "str"
        def f(): return show(1), show("a"), show([])
        """,
    "subclasses that register": """
        class Plugin:
            def __init_subclass__(cls): PLUGINS.append(cls.__name__)
        PLUGINS = []
        class One(Plugin): pass
        class Two(Plugin): pass
        def f(): return PLUGINS
        """,
    "global state": """
        COUNT = 0
        def step():
            global COUNT, LATER
            COUNT += 1
            LATER = COUNT * 2
            return COUNT
        first = step()
        second = step()
        def f(): return COUNT, LATER, step()
        """,
    "blocks at module level": """
        import contextlib, io
        TABLE = {}
        for key in "abc":
            if key == "b":
                continue
            TABLE[key] = len(TABLE)
        with io.StringIO("text") as file:
            TEXT = file.read()
        n = 0
        while n < 3:
            n += 1
        try:
            from nowhere import fast as best
        except ImportError:
            def best(): return "slow"
        with contextlib.suppress(ImportError):
            import nowhere
        match n:
            case 3: NAME = "three"
            case _: NAME = "other"
        def f(): return TABLE, TEXT, n, best(), NAME
        """,
    "helpers that change what they are given": """
        import heapq, random
        from operator import mul
        QUEUE = [5, 1, 4]
        heapq.heapify(QUEUE)
        def fill(table, n): table.update({i: mul(i, i) for i in range(n)})
        SQUARES = {}
        fill(SQUARES, 3)
        def put(table, name, function): table[name] = function
        HANDLERS = {}
        def double(x): return x * 2
        put(HANDLERS, "double", double)
        random.seed(1)
        DRAWN = random.random()
        def f(): return QUEUE, SQUARES, DRAWN, HANDLERS["double"](3)
        """,
    "changes of classes and functions, in comprehensions, and through another name": """
        import functools
        class Box: ...
        setattr(Box, "extra", 9)
        def fill(table): table.append("x")
        M = []
        [fill(M) for _ in range(2)]
        A = []
        B = C = A
        C.append(1)
        def named(): return 1
        functools.update_wrapper(named, fill)
        def f(): return Box.extra, M, A, named.__name__
        """,
    "modules that are set up": """
        import decimal
        decimal.getcontext().prec = 5
        def f(): return str(decimal.Decimal(1) / 3)
        """,
    "conditional definitions": """
        import sys
        if sys.version_info >= (3, 0):
            def text(x): return str(x)
        else:
            import sibling
            def text(x): return sibling.helper(x)
        try:
            import sibling2 as s
        except (ImportError, ValueError):
            s = 4
        def f(): return text(s)
        """,
    "wrapped functions": """
        import functools
        def twice(function):
            @functools.wraps(function)
            def call(*args): return function(*args) * FACTOR
            return call
        FACTOR = 2
        @twice
        @functools.lru_cache
        def g(x): return x
        @twice
        def f(): return g(3)
        """,
}


@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_a_slice_computes_what_the_module_does(text):
    """Executing the slice gives the value that the function gives in its module."""
    module = load(text)
    program = slice_of(module.f)
    assert run(program, "f") == module.f()


@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_what_a_slice_keeps_stands_where_it_stood(text):
    """A line of a slice is that line of the file, or part of it, or blank."""
    whole = lines_of(dedent(text))
    for number, line in enumerate(lines_of(sliced(text).source)):
        assert all(part.strip() in whole[number] for part in line.replace("import", ";").split(";"))


REFUSED = {
    "a part of a package": (
        "from hypothesis import (\n  given,\n)\ndef f(): return given()",
        1,
        "f needs 'given', which comes from 'hypothesis': the sandbox has the standard",
    ),
    "through a helper": ("import msgspec\ndef g(): return msgspec\ndef f(): return g()", 1, "'msgspec'"),
    "a package from elsewhere": (
        "import hypothesis.errors\ndef f(): return hypothesis",
        1,
        "from 'hypothesis.errors': the sandbox has the standard",
    ),
    "a native package": ("if 1:\n  import msgspec\ndef f(): return msgspec", 2, "native code"),
    "a native package in the function itself": (
        "def f():\n  'It.'\n  x = 1\n  import msgspec.json as m",
        4,
        "'m', which comes",
    ),
    "a part of one": (
        "async def f():\n  from msgspec import (\n    Struct)",
        2,
        "'Struct', which comes from 'msgspec'",
    ),
    "a star": ("from msgspec import *\ndef f(): return Struct", 1, "'Struct', which comes from 'msgspec'"),
    "what a table is filled with": ("import msgspec\nT = {}\nT[1] = msgspec.UNSET\ndef f(): return T", 1, "'msgspec'"),
    "a base class": ("import msgspec\nclass K(msgspec.Struct): pass\ndef f(): return K", 1, "'msgspec'"),
    "an unreadable declaration": (
        "from capsule import task\nS = 1\n@task(ram=S)\ndef f(): pass",
        3,
        "written out as a literal",
    ),
    "a lambda": ("f = lambda: 1", 1, "a lambda has no name"),
    "a closure": ("def g(x):\n  def h(): return x\n  return h\nf = g(1)", 2, "'h' closes over 'x'"),
    "a nested function": (
        "def g():\n  def h(): return 1\n  return h\nf = g()",
        2,
        "'g.<locals>.h' does not stand at module level",
    ),
    "a method": ("class K:\n  def m(self): pass\nf = K.m", 2, "'K.m' does not stand at module level"),
}


@pytest.mark.parametrize(("text", "line", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_go_along_is_refused_where_it_stands(text, line, words):
    """The error names what cannot go, its line and the reason."""
    with pytest.raises(InvalidProgram) as caught:
        sliced(text)
    assert words in caught.value.reason
    assert caught.value.line == line
    assert caught.value.excerpt


def test_a_name_that_is_nowhere_is_left_to_fail_in_the_sandbox():
    """A NameError of the task is the task's own."""
    assert kept("def f(): return nothing_at_all") == ["def f(): return nothing_at_all"]


def test_what_has_no_file_is_refused():
    """What was typed or executed has no source; the error says to use a file."""
    namespace = {"__name__": "nowhere"}
    exec("def f(): pass\nclass K: pass", namespace)
    with pytest.raises(InvalidProgram, match="put the function in a file"):
        slice_of(namespace["f"])
    with pytest.raises(InvalidProgram, match="put the class in a file"):
        slice_of(namespace["K"])
    with pytest.raises(InvalidProgram, match="put the class in a file"):
        slice_of(int)
    with pytest.raises(InvalidProgram, match="not a Python function"):
        slice_of(len)


def test_a_class_brings_what_its_methods_reach():
    """A class is sliced as a function is: methods, bases and decorators bring what they name."""
    text = """\
    from capsule import actor, task
    import json
    LIMIT = 3
    OTHER = 4
    class Base:
        def top(self): return LIMIT
    @task
    def helper(): return 1
    def unused(): return json
    @actor(ram="64MB")
    class K(Base):
        def m(self): return helper()
    """
    program = sliced(text, "K")
    assert [line for line in lines_of(program.source) if line.strip()] == [
        "from capsule import actor, task",
        "LIMIT = 3",
        "class Base:",
        "    def top(self): return LIMIT",
        "@task",
        "def helper(): return 1",
        '@actor(ram="64MB")',
        "class K(Base):",
        "    def m(self): return helper()",
    ]
    (spec,) = program.actors
    assert (spec.name, spec.line, [method.name for method in spec.methods]) == ("K", 11, ["m", "top"])
    assert [task.name for task in program.tasks] == ["helper"]


def test_statements_that_make_an_actor_do_not_go_along():
    """Creating an actor belongs to the application, even where it would change what is reached."""
    text = """\
    from capsule import actor
    TABLE = []
    @actor
    class K:
        def __init__(self, table): table.append(1)
    K(TABLE)
    def f(): return TABLE
    """
    assert kept(text) == ["TABLE = []", "def f(): return TABLE"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def g():\n  class K: pass\n  return K\nK = g()", 2),
        ("class A:\n  class K: pass\nK = A.K", 2),
        ("class K: pass\nclass A:\n  def g(self):\n    if 1:\n      class K: pass\n    return K\nK = A().g()", 5),
    ],
)
def test_a_class_stands_at_module_level(text, line):
    """A class inside a function or another class cannot be taken out of it; the error points at it."""
    with pytest.raises(InvalidProgram, match="does not stand at module level; move the class there") as caught:
        sliced(text, "K")
    assert caught.value.line == line
    assert caught.value.excerpt


def test_a_class_that_no_source_defines_is_refused():
    """A class that was made by a call has no `class` statement to take along."""
    with pytest.raises(InvalidProgram, match="'K' no longer stands here"):
        sliced("K = type('K', (), {})", "K")


def test_a_changed_file_is_refused():
    """A function that no longer stands at its line would give another program than the one that runs."""
    module = load("def f(): return 1")
    assert slice_of(module.f).source == "def f(): return 1\n"
    with open(module.__file__, "w", encoding="utf-8") as file:
        file.write("# one more line\ndef f(): return 2\n")
    linecache.clearcache()
    with pytest.raises(InvalidProgram, match="has changed since it was imported"):
        slice_of(module.f)


def test_a_function_of_the_main_block_is_refused():
    """No sandbox runs the `__main__` block."""
    path = "script.py"
    with open(path, "w", encoding="utf-8") as file:
        file.write('if __name__ == "__main__":\n    def f(): return 1\n')
    spec = importlib.util.spec_from_file_location("__main__", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(InvalidProgram, match="`__main__` block"):
        slice_of(module.f)


graphs = st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(graphs)
def test_the_slice_is_the_closure_of_calls(graph):
    """Of functions that call one another, exactly the reachable ones stay, each on its line."""
    count = len(graph)
    lines = [f"def f{i}(): return ({', '.join(f'f{j % count}' for j in calls)})" for i, calls in enumerate(graph)]
    reached, pending = set(), [0]
    while pending:
        function = pending.pop()
        if function not in reached:
            reached.add(function)
            pending += [j % count for j in graph[function]]
    source = slice_of(load("\n".join(lines)).f0).source
    assert source.rstrip("\n").split("\n") == [
        line if i in reached else "" for i, line in enumerate(lines[: max(reached) + 1])
    ]


names = st.sampled_from([name for name in "abcdef" if not keyword.iskeyword(name)])
statements = st.one_of(
    st.builds("{} = {!r}".format, names, st.integers(0, 9)),
    st.builds(
        "{} = [{!r}]; {} = '''\n{}'''".format, names, st.integers(0, 9), names, st.sampled_from(["x", "é", "\n"])
    ),
    st.builds("import json as {}, re as {}".format, names, names),
    st.builds("for {} in [1, 2]:\n    {} = {!r}\n".format, names, names, st.integers(0, 9)),
    st.builds("def {}(\n    x=1):\n    return x\n".format, names),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(statements, max_size=12), st.sets(names))
def test_what_is_kept_never_moves(body, reached):
    """Whatever is sliced, every kept line is the line of that number in the file, or a part of it."""
    text = "\n".join(
        ["\n".join(body), f"def final(): return ({', '.join(f'lambda: {name}' for name in sorted(reached))})"]
    )
    whole = lines_of(text)
    for number, line in enumerate(lines_of(slice_of(load(text).final).source)):
        pieces = line.split("; ") if not line.startswith("import") else line.removeprefix("import").split(", ")
        assert all(piece.strip() in whole[number] for piece in pieces if line)
