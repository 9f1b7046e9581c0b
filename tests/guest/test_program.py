"""What is read from a source before anything runs."""

from __future__ import annotations

import inspect
import os
import sys
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule._guest import parsing
from capsule._guest.program import MAX_FILE, check_arguments, choose_task, program_from_source, read_program
from capsule.errors import InvalidArguments, InvalidProgram

TASK = "from capsule import task\n"


def program(text, path="app.py"):
    return program_from_source(dedent(text), path)


def refused(text):
    with pytest.raises(InvalidProgram) as caught:
        program(text)
    return caught.value


@pytest.mark.parametrize(
    "head",
    [
        "from capsule import task\n@task\n",
        "from capsule import task\n@task()\n",
        "from capsule import task as t\n@t\n",
        "from capsule import *\n@task\n",
        "import capsule\n@capsule.task\n",
        "import capsule as c\n@c.task()\n",
        "import capsule.testing\n@capsule.task\n",
        "import functools\nfrom capsule import task\n@functools.cache\n@task\n",
    ],
)
def test_a_task_is_found_whatever_task_is_called(head):
    """A decorated function is a task however the decorator was imported."""
    assert [task.name for task in program(head + "def f(): pass").tasks] == ["f"]


@pytest.mark.parametrize(
    "text",
    [
        "def task(f): return f\n@task\ndef f(): pass",
        "from celery import task\n@task\ndef f(): pass",
        "from .capsule import task\n@task\ndef f(): pass",
        "import celery as capsule_\n@capsule_.task\ndef f(): pass",
        "from capsule import Runtime\ndef f(): pass",
    ],
)
def test_another_decorator_of_that_name_declares_nothing(text):
    """Only capsule's own decorator declares a task."""
    assert program(text).tasks == ()


def test_a_spec_holds_what_the_source_declares():
    """Name, place, parameters, spelling and settings come from the source; undeclared settings are not filled in."""
    text = """\
    from capsule import task

    @task(name="count", compute="LOW", timeout="5s", max_retries=1)
    async def word_count(text: str, /, times: int = 1, *rest, flag=False, **more: "int") -> dict: ...
    """
    (spec,) = program(text).tasks
    assert (spec.name, spec.function, spec.line, spec.is_async) == ("count", "word_count", 4, True)
    assert spec.signature == "(text: str, /, times: int = 1, *rest, flag=False, **more: 'int')"
    assert spec.settings == {"compute": "LOW", "timeout": "5s", "max_retries": 1}
    assert [(p.name, p.kind, p.required) for p in spec.parameters] == [
        ("text", "positional_only", True),
        ("times", "positional_or_keyword", False),
        ("rest", "var_positional", False),
        ("flag", "keyword_only", False),
        ("more", "var_keyword", False),
    ]


SIGNATURES = [
    "",
    "a",
    "a, b=1",
    "*, a",
    "a, /",
    "a, /, b",
    "a, /, *, b",
    "*a",
    "*a, b",
    "**a",
    "a, *, b=2, **c",
    "a: int = 3",
]


@pytest.mark.parametrize("parameters", SIGNATURES)
def test_a_signature_is_spelled_as_python_spells_it(parameters):
    """The signature is what `inspect.signature` would show."""
    namespace = {}
    exec(compile(f"def f({parameters}): pass", "f", "exec", dont_inherit=True), namespace)
    (spec,) = program(f"{TASK}@task\ndef f({parameters}): pass").tasks
    assert spec.signature == str(inspect.signature(namespace["f"]))


def test_a_long_default_is_not_spelled_out():
    """A default that would drown an error message is shown as dots."""
    assert (
        program(f"{TASK}@task\ndef f(a={list(range(99))}, b={hex(10**5000)}): pass").tasks[0].signature
        == "(a=..., b=...)"
    )


REFUSED = [
    ("@task(timeout=LIMIT)\ndef f(): pass", 2, "read before anything runs"),
    ("@task(timeout=f'{1}s')\ndef f(): pass", 2, "written out as a literal"),
    ("@task(**LIMITS)\ndef f(): pass", 2, "** cannot be followed"),
    ("@task('5s')\ndef f(): pass", 2, "by name"),
    ("@task(timout='5s')\ndef f(): pass", 2, "did you mean 'timeout'?"),
    ("@task(colour='red')\ndef f(): pass", 2, "the settings are name, compute"),
    ("@task(ram='1MB', ram='2MB')\ndef f(): pass", 2, "given twice"),
    ("@task(\n  ram='64 apples')\ndef f(): pass", 3, "ram: '64 apples' is not a size"),
    ("@task(ram='5GB')\ndef f(): pass", 2, 'the most is "4GB"'),
    ("@task(compute=[])\ndef f(): pass", 2, "is not a level"),
    ("@task(max_retries=True)\ndef f(): pass", 2, "whole number"),
    (f"@task(max_retries={hex(10**5000)})\ndef f(): pass", 2, "too large"),
    ("@task(name=5)\ndef f(): pass", 2, "is not a name"),
    ("@task(name='a\\nb')\ndef f(): pass", 2, "is not a name"),
    ("@task\ndef f(): pass\n@task\ndef f(): pass", 5, "two tasks 'f'; the first is on line 3"),
    ("@task\ndef f(): pass\n@task(name='f')\ndef g(): pass", 5, "two tasks 'f'"),
    ("def f():\n  @task\n  def g(): pass", 4, "'g' is not at module level"),
    ("class A:\n  @task\n  def g(self): pass", 4, "'g' is not at module level"),
    ("@task\nclass A: pass", 3, "'A' is a class"),
    ("def f(:\n  pass", 2, "invalid syntax"),
    ("x = (", 2, "was never closed"),
]


@pytest.mark.parametrize(("text", "line", "words"), REFUSED)
def test_a_bad_declaration_is_refused_where_it_stands(text, line, words):
    """What cannot be read without running it, or makes no sense, is refused with path, line and a caret."""
    error = refused(TASK + text)
    assert words in error.reason
    assert (error.path, error.line) == ("app.py", line)
    assert str(error).startswith(f"app.py:{line}: ")
    shown, caret = error.excerpt.split("\n")
    assert shown.strip()
    assert caret.strip() == "^"


def test_the_caret_stands_below_the_fault():
    """The caret counts characters, not bytes, and keeps tabs."""
    error = refused(TASK + "if 1:\n\t@task(name='é', ram=SIZE)\n\tdef f(): pass")
    assert error.excerpt == "\t@task(name='é', ram=SIZE)\n\t" + " " * 20 + "^"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\0", "NUL"),
        ("x = '\ud800'", "surrogate"),
        ("-" * 100_000 + "1", "nested too deeply"),
        ("a" + ".b" * 100_000, "one chain of dots"),
        ("#" * (parsing.MAX_SOURCE + 1), "the most is 4,194,304"),
    ],
)
def test_text_that_is_no_python_is_refused(text, words):
    """Whatever the parser dies of is an InvalidProgram."""
    assert words in refused(text).reason


@pytest.mark.parametrize(
    "text",
    [
        "[" * 150 + "]" * 150,
        "x = " + "-" * 900 + "1",
        "def f(a=" + "-" * 900 + "1): pass",
    ],
)
def test_deep_nesting_reads_or_refuses(text):
    """Nesting that the parser can just take never escapes as a RecursionError."""
    try:
        program(TASK + "@task\ndef f0(): pass\n" + text)
    except InvalidProgram as error:
        assert "nested too deeply" in error.reason


@pytest.mark.filterwarnings("error")
def test_a_warning_of_the_parser_refuses_nothing():
    """An old escape is a program even where warnings are errors."""
    assert program(r"x = '\d'").tasks == ()


def test_the_hint_about_the_hosts_python_is_given_only_where_it_may_help(monkeypatch):
    """A syntax error under an older host Python says that the guest's syntax may be newer."""
    monkeypatch.setattr(sys, "version_info", (3, 11, 0))
    assert "this host's Python 3.11" in refused("x = = 1").reason
    assert "host's Python" not in refused("if 1:\nx = 1").reason
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    assert "host's Python" not in refused("x = = 1").reason


@given(st.text())
def test_any_text_reads_or_is_refused(text):
    """No text makes reading raise anything but InvalidProgram."""
    try:
        program_from_source(text, "any.py")
    except InvalidProgram as error:
        assert str(error).startswith("any.py")


def test_a_file_is_read_whole_under_its_relative_path(tmp_path, monkeypatch):
    """A file below the current folder is shown relative to it, another one by its bare name."""
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "app.py"
    file.write_bytes(b"\xef\xbb\xbffrom capsule import task\r\n@task\r\ndef f(): pass\r\n")
    monkeypatch.chdir(tmp_path)
    found = read_program(file)
    assert (found.path, found.source) == ("sub/app.py", "from capsule import task\n@task\ndef f(): pass\n")
    monkeypatch.chdir(tmp_path / "sub")
    assert read_program("../sub/app.py").path == "app.py"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert read_program(file).path == "app.py"


def test_a_declared_encoding_is_honoured(tmp_path):
    """PEP 263: a source says what it is encoded in."""
    file = tmp_path / "latin.py"
    file.write_bytes("# coding: latin-1\nx = 'é'\n".encode("latin-1"))
    assert "é" in read_program(file).source


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("missing.py", None, "there is no such file"),
        ("folder.py/", None, "this is a folder"),
        ("task.js", b"", "only .py files"),
        ("raw.py", b"x = '\xff'\n", "not text in the encoding"),
        ("hex.py", b"# coding: hex\n00\n", "not text in the encoding"),
        ("odd.py", b"# coding: nonsense\n", "not text in the encoding"),
        ("nul\0.py", None, "NUL"),
        ("large.py", b"#" * (MAX_FILE + 1), "larger than 262,144 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path, name, data, words):
    """Each way in which a file is no program has one line of its own, without the host's folders."""
    path = tmp_path / name if data is not None or "\0" not in name else name
    if name.endswith("/"):
        path.mkdir()
    elif data is not None:
        path.write_bytes(data)
    with pytest.raises(InvalidProgram, match=words) as caught:
        read_program(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes in the file system")
def test_a_pipe_is_not_waited_for(tmp_path):
    """A pipe named like a source is refused instead of read."""
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(InvalidProgram, match="regular"):
        read_program(tmp_path / "pipe.py")


def test_an_unreadable_file_says_so(tmp_path, monkeypatch):
    """A file that the system will not open is refused with the system's reason."""
    (tmp_path / "app.py").write_text("")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(InvalidProgram, match="Permission denied"):
        read_program(tmp_path / "app.py")


TWO = TASK + "@task(ram='1MB', name='b')\ndef a(): pass\n@task\ndef c(): pass\ndef d(x): pass\n"
ONE = TASK + "@task\ndef only(): pass\ndef other(): pass\n"
MAIN = TASK + "@task\ndef other(): pass\ndef main(x): pass\n"


@pytest.mark.parametrize(
    ("text", "name", "function", "settings"),
    [
        (TWO, "b", "a", {"ram": "1MB"}),
        (TWO, "a", "a", {"ram": "1MB"}),
        (TWO, "d", "d", {}),
        (ONE, None, "only", {}),
        (ONE, "other", "other", {}),
        (MAIN, None, "main", {}),
        (TASK + "@task(ram='1MB')\ndef main(): pass", None, "main", {"ram": "1MB"}),
        (TASK + "@task(ram='1MB', name='main')\ndef x(): pass\ndef main(): pass", None, "x", {"ram": "1MB"}),
    ],
)
def test_a_call_means_one_function(text, name, function, settings):
    """A task by its name, then a function by its own; without a name `main`, then the only task."""
    spec = choose_task(program(text), name)
    assert (spec.function, spec.settings) == (function, settings)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (TWO, "z", "there is no task 'z'; the tasks are b, c"),
        (TWO, None, "say which task to run: b, c"),
        ("def f(): pass", "z", "the functions are f"),
        ("def f():\n  def z(): pass", "z", "the functions are f"),
        ("x = 1", "x", "it has no functions"),
        ("x = 1", None, "no task is declared here; declare one:\nfrom capsule import task\n@task"),
    ],
)
def test_a_call_that_means_nothing_lists_what_there_is(text, name, words):
    """The error names the tasks or functions of the file, or shows how to declare one."""
    with pytest.raises(InvalidProgram) as caught:
        choose_task(program(text), name)
    assert words in str(caught.value)


def spec(parameters, name="main"):
    return program(f"{TASK}@task\ndef {name}({parameters}): pass").tasks[0]


@pytest.mark.parametrize(
    ("parameters", "args", "kwargs", "message"),
    [
        (
            "text: str, times: int = 1",
            [],
            {},
            "main() is missing the argument 'text'; it is main(text: str, times: int = 1)",
        ),
        ("a, b", [], {}, "main() is missing the arguments 'a' and 'b'; it is main(a, b)"),
        ("a", [1, 2], {}, "main() takes 1 positional argument but 2 were given; it is main(a)"),
        ("", [1], {}, "main() takes 0 positional arguments but 1 was given; it is main()"),
        ("a", [1], {"b": 1}, "main() has no argument 'b'; it is main(a)"),
        ("a", [1], {"a": 1}, "main() got two values for the argument 'a'; it is main(a)"),
        ("a, /", [], {"a": 1}, "main() takes the argument 'a' by position only; it is main(a, /)"),
        ("*, a", [], {}, "main() is missing the argument 'a'; it is main(*, a)"),
        ("a, /, **k", [], {"a": 1}, "main() is missing the argument 'a'; it is main(a, /, **k)"),
    ],
)
def test_arguments_that_do_not_fit_are_explained(parameters, args, kwargs, message):
    """The message names the argument and spells the signature."""
    with pytest.raises(InvalidArguments) as caught:
        check_arguments(spec(parameters), args, kwargs)
    assert str(caught.value) == message


@given(
    st.sampled_from(
        ["", "a", "a, b", "a, b=1", "a, /, b", "a, /, **k", "*a, b", "*, a, b=1", "a, *b, c=1, **d", "a=1, /"]
    ),
    st.integers(0, 3),
    st.sets(st.sampled_from("abcdz")),
)
def test_arguments_are_taken_exactly_when_python_takes_them(parameters, count, names):
    """`check_arguments` agrees with a real call."""
    namespace = {}
    exec(f"def main({parameters}): pass", namespace)
    kwargs = dict.fromkeys(names)
    try:
        namespace["main"](*range(count), **kwargs)
    except TypeError:
        with pytest.raises(InvalidArguments):
            check_arguments(spec(parameters), range(count), kwargs)
    else:
        check_arguments(spec(parameters), range(count), kwargs)
