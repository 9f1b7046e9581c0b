"""What is read of an actor's class before anything runs."""

from __future__ import annotations

from textwrap import dedent

import pytest

from capsule._guest.actors import RESERVED_METHODS
from capsule._guest.program import choose, choose_task, program_from_source
from capsule._values import ActorSpec
from capsule.errors import InvalidProgram

ACTOR = "from capsule import actor, task\n"


def program(text):
    return program_from_source(dedent(text), "app.py")


def actor(text):
    (spec,) = program(ACTOR + dedent(text)).actors
    return spec


@pytest.mark.parametrize(
    "head",
    [
        "from capsule import actor\n@actor\n",
        "from capsule import actor as a\n@a()\n",
        "from capsule import *\n@actor\n",
        "import capsule\n@capsule.actor\n",
        'import capsule as c\n@c.actor(ram="64MB")\n',
        "from typing import final\nfrom capsule import actor\n@final\n@actor\n",
        "from capsule import actor\nif 1:\n @actor\n",
    ],
)
def test_an_actor_is_found_whatever_actor_is_called(head):
    """A decorated class is an actor however the decorator was imported."""
    indent = " " * (len(head.splitlines()[-1]) - len(head.splitlines()[-1].lstrip()))
    assert [spec.name for spec in program(f"{head}{indent}class A: pass").actors] == ["A"]


def test_another_decorator_declares_no_actor():
    """Only capsule's own decorator declares an actor."""
    assert program("from ray import actor\n@actor\nclass A: pass").actors == ()


def test_a_spec_holds_what_the_class_declares():
    """Name, place, settings, the constructor and the methods come from the source."""
    spec = actor(
        """
        @actor(name="notes", ram="64MB", idle_timeout="5s", on_failure="stop", max_mailbox=10, max_restarts=1)
        class Notes:
            def __init__(self, owner: str, *, limit=3): ...
            def add(self, line: str, /, n=1) -> int: ...
            async def wait(self): ...
        """
    )
    assert (spec.name, spec.cls, spec.line) == ("notes", "Notes", 4)
    assert spec.settings == {
        "ram": "64MB",
        "idle_timeout": "5s",
        "on_failure": "stop",
        "max_mailbox": 10,
        "max_restarts": 1,
    }
    create = spec.create
    assert (create.name, create.function, create.line) == ("notes", "__init__", 5)
    assert create.signature == "(owner: str, *, limit=3)"
    add, wait = spec.methods
    assert (add.name, add.function, add.line, add.is_async) == ("add", "add", 6, False)
    assert add.signature == "(line: str, /, n=1)"
    assert [(p.name, p.kind, p.required) for p in add.parameters] == [
        ("line", "positional_only", True),
        ("n", "positional_or_keyword", False),
    ]
    assert (wait.is_async, wait.signature) == (True, "()")


METHODS = {
    "no underscores": ("def a(self): ...\ndef _b(self): ...\ndef __len__(self): ...", {"a": "()"}),
    "self under any name": (
        "def a(this, x): ...\ndef b(*args): ...\ndef c(self=None): ...",
        {"a": "(x)", "b": "(*args)", "c": "()"},
    ),
    "self before a slash": ("def a(self, /, x): ...", {"a": "(x)"}),
    "static and class methods": (
        "@staticmethod\ndef a(x): ...\n@classmethod\nasync def b(cls, x): ...",
        {"a": "(x)", "b": "(x)"},
    ),
    "properties are none": (
        "@property\ndef a(self): ...\n@a.setter\ndef a(self, x): ...\n@functools.cached_property\ndef b(self): ...",
        {},
    ),
    "known decorators": (
        "@functools.lru_cache(1)\ndef a(self, x): ...\n@typing.override\ndef b(self): ...",
        {"a": "(x)", "b": "()"},
    ),
    "an unknown decorator": ("@retried(3)\ndef a(self, x): ...", {"a": "(*args, **kwargs)"}),
    "the later definition": ("def a(self, x): ...\ndef a(self, y): ...", {"a": "(y)"}),
    "inside a block": ("if 1:\n  def a(self): ...\nelse:\n  def b(self): ...", {"a": "()", "b": "()"}),
    "nested classes are none": ("class A:\n  def a(self): ...\ndef b(self):\n  def c(self): ...", {"b": "()"}),
}


@pytest.mark.parametrize(("body", "methods"), METHODS.values(), ids=METHODS)
def test_the_methods_that_can_be_asked(body, methods):
    """Each kind of definition is a method with these parameters, or none."""
    spec = actor("@actor\nclass A:\n" + "\n".join("  " + line for line in body.splitlines()))
    assert {method.name: method.signature for method in spec.methods} == methods


def test_methods_of_bases_come_along():
    """Own methods first, then those of bases from left to right; what a class binds hides what its bases have."""
    spec = actor(
        """
        import other
        class Top:
            def a(self, top): ...
            def e(self): ...
        class Left(Top):
            def b(self): ...
        class Right:
            def b(self, right): ...
            def c(self): ...
            def d(self): ...
        @actor
        class A(Left, Right[int], other.Top):
            d = None
            def c(self, own): ...
        """
    )
    assert [(method.name, method.signature) for method in spec.methods] == [
        ("c", "(own)"),
        ("b", "()"),
        ("a", "(top)"),
        ("e", "()"),
    ]


ANY = "(*args, **kwargs)"


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("@actor\nclass A: ...", "()"),
        ("class B:\n  def __init__(self, x): ...\n@actor\nclass A(B): ...", "(x)"),
        ("from abc import ABC\n@actor\nclass A(ABC, Generic[T], object, metaclass=ABCMeta): ...", "()"),
        ("from other import B\n@actor\nclass A(B): ...", ANY),
        ("from other import B\n@actor\nclass A(B):\n  def __init__(self, x): ...", "(x)"),
        ("from other import B\nclass C(B): ...\n@actor\nclass A(C): ...", ANY),
        ("from typing import NamedTuple\n@actor\nclass A(NamedTuple):\n  x: int", ANY),
        ("from dataclasses import dataclass\n@actor\n@dataclass\nclass A:\n  x: int", ANY),
        ("@actor\n@changed\nclass A:\n  def __init__(self, x): ...", ANY),
        ("@actor\nclass A(metaclass=M):\n  def __init__(self, x): ...", ANY),
        ("@actor\nclass A:\n  def __new__(cls, x): ...", ANY),
        ("@actor\nclass A(A):\n  ...", "()"),
    ],
)
def test_what_a_constructor_takes(text, signature):
    """The parameters of `__init__`, own or inherited; anything where the source cannot tell."""
    create = actor(text).create
    assert (create.name, create.function, create.signature) == ("A", "__init__", signature)


REFUSED = [
    ("@actor(timeout=LIMIT)\nclass A: pass", 2, "written out as a literal"),
    ("@actor(**LIMITS)\nclass A: pass", 2, "** cannot be followed"),
    ("@actor('5s')\nclass A: pass", 2, "@actor takes its settings by name"),
    (
        "@actor(idle_timout='5s')\nclass A: pass",
        2,
        "an actor has no setting 'idle_timout'; did you mean 'idle_timeout'?",
    ),
    ("@actor(colour='red')\nclass A: pass", 2, "the settings are name, compute"),
    ("@actor(on_failure='panic')\nclass A: pass", 2, "on_failure: 'panic' is not known"),
    ("@actor(max_mailbox=0)\nclass A: pass", 2, "max_mailbox"),
    ("@task(max_mailbox=5)\ndef f(): pass", 2, "a task has no setting 'max_mailbox'; an @actor or a Policy has one"),
    ("@task(max_depth=5)\ndef f(): pass", 2, "a task has no setting 'max_depth'; a Policy has one: Policy(max_depth="),
    ("@actor\ndef f(): pass", 3, "'f' is a function, but an actor is a class"),
    ("@task\nclass A: pass", 3, "'A' is a class, but a task is a function"),
    ("@task\n@actor\nclass A: pass", 4, "'A' is a class, but a task is a function"),
    ("def f():\n  @actor\n  class A: pass", 4, "'A' is not at module level"),
    ("class B:\n  @actor\n  class A: pass", 4, "'A' is not at module level"),
    ("@actor\nclass A: pass\n@actor\nclass A: pass", 5, "two actors 'A'; the first is on line 3"),
    ("@actor\nclass A: pass\n@actor(name='A')\nclass B: pass", 5, "two actors 'A'"),
    ("@task\ndef a(): pass\n@actor(name='a')\nclass B: pass", 5, "an actor and a task 'a'; the first is on line 3"),
    ("@actor\nclass A:\n  def tell(self): pass", 4, "'tell' is what the ref of an actor offers itself"),
    ("class B:\n  def stop(self): pass\n@actor\nclass A(B): pass", 3, "'stop' is what the ref"),
]


@pytest.mark.parametrize(("text", "line", "words"), REFUSED)
def test_a_bad_declaration_is_refused_where_it_stands(text, line, words):
    """What cannot be read without running it, or makes no sense, is refused with path, line and a caret."""
    with pytest.raises(InvalidProgram) as caught:
        program(ACTOR + text)
    assert words in caught.value.reason
    assert (caught.value.path, caught.value.line) == ("app.py", line)
    assert caught.value.excerpt.endswith("^")


def test_names_of_refs_are_free_for_what_is_no_public_method():
    """A property, an attribute or a method of another class may be called so."""
    body = "@property\n  def name(self): ...\n  state = 1\n  def _stop(self): ..."
    assert actor(f"@actor\nclass A:\n  {body}\nclass B:\n  def stop(self): ...").methods == ()
    assert {"ask", "tell", "stop"} <= RESERVED_METHODS


def test_a_short_source_cannot_name_millions_of_methods():
    """Inherited methods are counted for each actor, and bounded for all together."""
    base = "class B:\n" + "".join(f"  def f{n}(s): 0\n" for n in range(1000))
    with pytest.raises(InvalidProgram, match="more than 10,000 methods and bases"):
        program(ACTOR + base + "".join(f"@actor\nclass A{n}(B): 0\n" for n in range(1000)))


def test_bases_that_share_bases_are_read_once():
    """A short source whose classes have two to the power of forty paths to the first is read at once."""
    layers = "".join(
        f"class A{n}(B{n - 1}, C{n - 1}): 0\nclass B{n}(A{n}): 0\nclass C{n}(A{n}): 0\n" for n in range(1, 40)
    )
    spec = actor(f"class B0:\n  def a(self): 0\nclass C0: 0\n{layers}@actor\nclass Last(B39, C39): 0")
    assert [method.name for method in spec.methods] == ["a"]


def test_a_long_row_of_bases_is_refused():
    """Thousands of actors, each with all before it as bases, would hold the host for a minute."""
    row = "class A0: 0\n" + "".join(f"@actor\nclass A{n}(A{n - 1}): 0\n" for n in range(1, 5000))
    with pytest.raises(InvalidProgram, match="more than 10,000 methods and bases"):
        program(ACTOR + row)


ONE = ACTOR + "@actor(name='notes')\nclass Notes: pass\ndef helper(): pass\n"
BOTH = ONE + "@task\ndef t(): pass\n"


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        (ONE, "notes", "notes"),
        (ONE, "Notes", "notes"),
        (ONE, None, "notes"),
        (ONE, "helper", "helper"),
        (BOTH, None, "t"),
        (BOTH, "t", "t"),
        (BOTH, "Notes", "notes"),
        (BOTH + "def main(): pass", None, "main"),
    ],
)
def test_a_name_means_a_task_or_an_actor(text, name, found):
    """What is called so, then what is defined so; without a name `main`, the only task, the only actor."""
    assert choose(program(text), name).name == found


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (BOTH, "z", "there is no task or actor 'z'; the tasks are t and the actors are notes"),
        (ONE, "z", "there is no actor 'z'; the actors are notes"),
        (ONE + "@actor\nclass B: pass", None, "say which actor to run: notes, B"),
    ],
)
def test_a_name_that_means_nothing_lists_what_there_is(text, name, words):
    """The error names the tasks and actors of the file."""
    with pytest.raises(InvalidProgram) as caught:
        choose(program(text), name)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["notes", "Notes", None])
def test_an_actor_is_not_run(name):
    """Where only tasks are run, naming an actor says what to do with it."""
    assert isinstance(choose(program(ONE), name), ActorSpec)
    with pytest.raises(InvalidProgram, match="notes is an actor: spawn it from an application; capsule run runs tasks"):
        choose_task(program(ONE), name)
