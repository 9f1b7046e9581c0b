"""Which other modules of the application go along with a task, and how much of them."""

from __future__ import annotations

import sys

import pytest

from capsule._guest import slicing
from capsule._guest.slicing import slice_of
from capsule.errors import InvalidProgram
from guest.applications import SHIPPED, Applications, main_of


@pytest.mark.parametrize(("files", "modules", "value"), SHIPPED.values(), ids=SHIPPED)
def test_what_is_needed_of_other_modules_goes_along(applications: Applications, files, modules, value):
    """Each module goes along with what is reached of it, each line where it stood."""
    program = slice_of(applications.load(files, main_of(files)).f)
    assert {module.name: module.source.rstrip("\n").split("\n") for module in program.modules} == modules
    paths = {module.name: module.path for module in program.modules}
    assert all(paths[name] in {*files, name.replace(".", "/")} for name in paths)


REFUSED = {
    "a package from elsewhere": (
        {
            "app.py": "import helpers\ndef f(): return helpers.g()",
            "helpers.py": "A = 1\nimport hypothesis as h\ndef g(): return h",
        },
        ("helpers.py", 2, "f needs 'h', which comes from 'hypothesis': the sandbox has the standard library"),
    ),
    "native code": (
        {"app.py": "from helpers import A\ndef f(): return A", "helpers.py": "import msgspec\nA = msgspec"},
        ("helpers.py", 1, "native code"),
    ),
    "a module without source": (
        {"app.py": "def g(): import binary\ndef f(): return binary\nif not g: import binary", "binary.so": ""},
        ("app.py", 3, "from 'binary', a module of the application without Python source"),
    ),
    "a part that is nowhere": (
        {"app.py": "def f(): return s\nif not f: import pack.sub as s", "pack/__init__.py": ""},
        ("app.py", 2, "from 'pack.sub', a module of the application that cannot be found"),
    ),
    "a relative import that leads nowhere": (
        {"app.py": "def f(): return X\nif not f: from .other import X"},
        ("app.py", 2, "from '.other', a relative import, but this module is in no package"),
    ),
    "a module called as the program is": (
        {"app.py": "from main import X\ndef f(): return X", "main.py": "X = 1"},
        ("app.py", 1, "the sandbox has one of its own under this name"),
    ),
    "a module that is no Python": (
        {"app.py": "def f():\n  import broken\n  return broken.X", "broken.py": "X = ("},
        ("broken.py", 1, "was never closed"),
    ),
    "a whole module": (
        {"app.py": "import helpers\ndef f(): return helpers", "helpers.py": "import hypothesis"},
        ("helpers.py", 1, "'hypothesis'"),
    ),
}


@pytest.mark.parametrize(("files", "error"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_go_along_is_refused_where_it_stands(applications: Applications, files, error):
    """The error names the file, the line and the reason, of whichever module."""
    path, line, words = error
    module = applications.load(files)
    with pytest.raises(InvalidProgram) as caught:
        slice_of(module.f)
    assert (caught.value.path, caught.value.line) == (path, line)
    assert words in caught.value.reason


def test_what_is_not_imported_stays_so(applications: Applications):
    """Looking for a source runs nothing: neither the module's code nor its parents'."""
    module = applications.load(
        {
            "app.py": "def f():\n  from late.deep import part\n  return part.X",
            "late/__init__.py": "raise SystemExit",
            "late/deep/__init__.py": "raise SystemExit",
            "late/deep/part.py": "X = 1\nraise SystemExit",
        }
    )
    program = slice_of(module.f)
    assert [each.name for each in program.modules] == ["late", "late.deep", "late.deep.part"]
    assert "late" not in sys.modules


def test_the_package_goes_along(applications: Applications):
    """Relative imports inside the sandbox start where those of the module did."""
    module = applications.load({"pack/__init__.py": "", "pack/app.py": "def f(): ..."}, "pack.app")
    assert slice_of(module.f).package == "pack"
    assert slice_of(applications.load({"plain.py": "def f(): ..."}, "plain").f).package == ""


def test_all_modules_together_are_bounded(applications: Applications, monkeypatch):
    """What would be too much to hand over is refused with both figures."""
    monkeypatch.setattr(slicing, "MAX_MODULES", 20)
    module = applications.load(
        {"app.py": "from big import X\ndef f(): return X", "big.py": "X = 'xxxxxxxxxxxxxxxxxxxx'"}
    )
    with pytest.raises(InvalidProgram, match="have 26 bytes; the most is 20"):
        slice_of(module.f)


TASKS = {
    "app.py": """\
        from capsule import task
        from jobs import double
        import jobs as j
        @task
        def f(): return double(j.Keeper())
        """,
    "jobs.py": """\
        from capsule import actor, task
        @task(ram="64MB")
        def double(x): return 2 * x
        @task
        def other(): ...
        @actor(name="keeper")
        class Keeper:
            def get(self): ...
        """,
}


def test_tasks_and_actors_of_other_modules_are_declared(applications: Applications):
    """What is reached of them can be called, under the settings of its own module; the rest is not there."""
    program = slice_of(applications.load(TASKS).f)
    assert [(task.name, task.function, task.settings) for task in program.tasks] == [
        ("f", "f", {}),
        ("double", "jobs:double", {"ram": "64MB"}),
    ]
    assert [(actor.name, actor.cls) for actor in program.actors] == [("keeper", "jobs:Keeper")]


def test_two_of_one_name_are_refused(applications: Applications):
    """A guest calls tasks by their names, so that a name in two modules would mean two things."""
    files = {
        "app.py": "from capsule import task\nfrom jobs import g\n@task\ndef f(): return g()",
        "jobs.py": "from capsule import task\n@task(name='f')\ndef g(): ...",
    }
    with pytest.raises(InvalidProgram, match=r"'f' is declared here and in another module, line 4") as caught:
        slice_of(applications.load(files).f)
    assert (caught.value.path, caught.value.line) == ("jobs.py", 3)


def test_an_actor_has_the_methods_of_bases_in_other_modules(applications: Applications):
    """Bases are followed through imports, and those of bases in their own modules."""
    files = {
        "app.py": "from capsule import actor\nfrom pack import Base\nclass Top: ...\n@actor\nclass A(Base):\n  def a(self): ...",
        "pack/__init__.py": "from .deep import Base",
        "pack/deep.py": "from . import top\nclass Base(top.Top):\n  def b(self): ...",
        "pack/top.py": "class Top:\n  def __init__(self, x): ...\n  def c(self): ...",
    }
    (spec,) = slice_of(applications.load(files).A).actors
    assert [method.name for method in spec.methods] == ["a", "b", "c"]
    assert spec.create.signature == "(x)"


def test_a_task_of_a_module_called_main_has_its_modules(applications: Applications):
    """The program itself may be called as it is called inside the sandbox."""
    files = {
        "main.py": "import helpers\nX = 1\ndef f(): return helpers.g()",
        "helpers.py": "import main\ndef g(): return main.X",
    }
    program = slice_of(applications.load(files, "main").f)
    assert [module.name for module in program.modules] == ["helpers", "main"]


def test_a_package_that_the_sandbox_has_goes_by(applications: Applications):
    """What the runtime asked for is imported inside, at the top of a module and below; others are refused still."""
    files = {
        "app.py": "from helpers import g\ndef f(): return g()",
        "helpers.py": "import hypothesis as h\nfrom hypothesis.core import given\ndef g(): return h, given",
    }
    module = applications.load(files)
    with pytest.raises(InvalidProgram, match=r"'hypothesis.*packages=\[\.\.\.\]"):
        slice_of(module.f)
    program = slice_of(module.f, frozenset({"hypothesis"}))
    assert [each.source for each in program.modules] == [files["helpers.py"]]
