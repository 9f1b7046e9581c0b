"""Small applications of several modules, for tests of what goes along with a task."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from textwrap import dedent


class Applications:
    """Writes applications into one folder, imports their modules, and forgets them again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before = set(sys.modules)

    def load(self, files: dict[str, str], main: str = "app"):
        """Write `files` and import the module `main`."""
        for name, text in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text), "utf-8")
        importlib.invalidate_caches()
        return importlib.import_module(main)

    def forget(self) -> None:
        """Make room for the next application, whose modules may have the same names."""
        new = {name: sys.modules[name] for name in set(sys.modules) - self._before}
        # Before any is gone: since 3.12 what a folder without __init__ says of itself needs the one above it.
        places = {name: str(getattr(module, "__file__", None) or module) for name, module in new.items()}
        for name, place in places.items():
            if str(self.folder) in place:
                del sys.modules[name]


SHIPPED = {
    "a name of a module": (
        {
            "app.py": "from helpers import clean\ndef f(): return clean(' a ')",
            "helpers.py": "import json\nimport hypothesis\nMARK = '!'\ndef clean(x): return x.strip() + MARK\ndef other(): return hypothesis, json",
        },
        {"helpers": ["", "", "MARK = '!'", "def clean(x): return x.strip() + MARK"]},
        "a!",
    ),
    "an attribute of a module": (
        {
            "app.py": "import helpers as h\ndef f(): return h.clean(' a ')",
            "helpers.py": "import hypothesis\ndef clean(x): return x.strip()\ndef other(): return hypothesis",
        },
        {"helpers": ["", "def clean(x): return x.strip()"]},
        "a",
    ),
    "a whole module, without its main block": (
        {
            "app.py": "import helpers\ndef f(): return [getattr(helpers, name) for name in 'AB']",
            "helpers.py": "A = 1\nB = 2\nif __name__ == '__main__':\n  print(A)",
        },
        {"helpers": ["A = 1", "B = 2"]},
        [1, 2],
    ),
    "a whole module, without the application's half": (
        {
            "app.py": "import helpers\ndef f(): return getattr(helpers, 'A')",
            "helpers.py": "from capsule import Runtime, task\nruntime = Runtime()\nA = 1\ndef go(): return runtime\n@task\ndef t(): ...",
        },
        {"helpers": ["from capsule import task", "", "A = 1", "", "@task", "def t(): ..."]},
        1,
    ),
    "relative imports": (
        {
            "pack/__init__.py": "import hypothesis\nVERSION = 1",
            "pack/app.py": "from .helpers import clean\nfrom . import more, VERSION\ndef f(): return clean(more.X) + VERSION",
            "pack/helpers.py": "def clean(x): return x * FACTOR\nfrom .deep.inner import FACTOR",
            "pack/more.py": "X = 2\nY = 3",
            "pack/deep/__init__.py": "REST = 1",
            "pack/deep/inner.py": "FACTOR = 10",
        },
        {
            "pack": ["", "VERSION = 1"],
            "pack.deep": [""],
            "pack.deep.inner": ["FACTOR = 10"],
            "pack.helpers": ["def clean(x): return x * FACTOR", "from .deep.inner import FACTOR"],
            "pack.more": ["X = 2"],
        },
        21,
    ),
    "a submodule by its full name": (
        {
            "app.py": "import pack.sub, pack.sub2 as s\ndef f(): return pack.sub.clean(1) + s.B",
            "pack/__init__.py": "A = 1",
            "pack/sub.py": "def clean(x): return x + 1\ndef other(): ...",
            "pack/sub2.py": "A = 1\nB = 2",
        },
        {"pack": [""], "pack.sub": ["def clean(x): return x + 1"], "pack.sub2": ["", "B = 2"]},
        4,
    ),
    "a name that a package hands on": (
        {
            "app.py": "from pack import clean, tools\nimport pack\ndef f(): return [clean(1), pack.scale(2), tools.X]",
            "pack/__init__.py": "from .impl import clean\nfrom .impl import scale as scale\nfrom . import tools\nfrom .gone import other",
            "pack/impl.py": "def clean(x): return x + ONE\nONE = 1\ndef scale(x): return x * 2\nREST = 2",
            "pack/tools.py": "X = 5\nY = 6",
            "pack/gone.py": "import hypothesis\ndef other(): return hypothesis",
        },
        {
            "pack": ["from .impl import clean", "from .impl import scale as scale", "from . import tools"],
            "pack.impl": ["def clean(x): return x + ONE", "ONE = 1", "def scale(x): return x * 2"],
            "pack.tools": ["X = 5"],
        },
        [2, 4, 5],
    ),
    "a star": (
        {
            "app.py": "from pack.sub import *\ndef f(): return clean(1)",
            "pack/__init__.py": "",
            "pack/sub.py": "__all__ = ['clean', 'other']\nfrom pack.base import *\ndef clean(x): return x + BASE\ndef other(): ...",
            "pack/base.py": "BASE = 1\n_HIDDEN = 2",
        },
        {
            "pack": [""],
            "pack.base": ["BASE = 1"],
            "pack.sub": ["", "from pack.base import BASE", "def clean(x): return x + BASE"],
        },
        2,
    ),
    "stars behind conditions": (
        {
            "app.py": "import sys\ntry:\n  from sub import *\nexcept ImportError: ...\ndef f(): return clean(1)",
            "sub.py": "import sys\nif sys.version_info > (3,):\n  from base import *\nX = 5",
            "base.py": "def clean(x): return x + 1\ndef other(): ...",
        },
        {
            "base": ["def clean(x): return x + 1"],
            "sub": ["import sys", "if sys.version_info > (3,):", "  from base import *"],
        },
        2,
    ),
    "a star of a module whose list of names grows": (
        {
            "app.py": "from sub import *\ndef f(): return clean(1), _more(2)",
            "sub.py": "__all__ = ['other']\n__all__ += ['clean']\nif __all__: __all__.append('_more')\n"
            "def clean(x): return x\ndef _more(x): return x\ndef other(): ...",
        },
        {"sub": ["", "", "", "def clean(x): return x", "def _more(x): return x"]},
        [1, 2],
    ),
    "inside functions and blocks": (
        {
            "app.py": """\
                import sys
                if sys.version_info > (3, 0):
                    import one
                else:
                    import nowhere as one
                try:
                    from two import B
                except ImportError:
                    B = None
                try:
                    from three import C
                except ImportError:
                    C = 0
                def f():
                    import four
                    from five import E as e
                    return [one.A, B, C, four.D, e]
                """,
            "one.py": "A = 1\nZ = 0",
            "two.py": "B = 2\nZ = 0",
            "three.py": "import hypothesis\nC = 3 if hypothesis else 0",
            "four.py": "D = 4\nZ = 0",
            "five.py": "E = 5\nZ = 0",
        },
        {"one": ["A = 1"], "two": ["B = 2"], "four": ["D = 4"], "five": ["E = 5"]},
        [1, 2, 0, 4, 5],
    ),
    "statements that change what is reached": (
        {
            "app.py": "import helpers\nfrom helpers import fill, command\nQUEUE = []\nfill(QUEUE)\nhelpers.LIMIT = 7\n@command\ndef g(): ...\ndef f(): return [helpers.TABLE, QUEUE, helpers.LIMIT, [c.__name__ for c in helpers.COMMANDS]]",
            "helpers.py": "TABLE = {}\nTABLE['a'] = 1\nLIMIT = 1\nOTHER = []\nOTHER.append(1)\nCOMMANDS = []\ndef fill(q): q.append(3)\ndef command(g): COMMANDS.append(g); return g",
        },
        {
            "helpers": [
                "TABLE = {}",
                "TABLE['a'] = 1",
                "LIMIT = 1",
                "",
                "",
                "COMMANDS = []",
                "def fill(q): q.append(3)",
                "def command(g): COMMANDS.append(g); return g",
            ]
        },
        [{"a": 1}, [3], 7, ["g"]],
    ),
    "modules that import each other": (
        {
            "app.py": "import one\nLIMIT = 3\nclass Wrong(Exception): ...\ndef f():\n  try: one.check(5)\n  except Wrong: return 'wrong'",
            "one.py": "import two\ndef check(x):\n  two.check(x)\nREST = 1",
            "two.py": "import one\nimport app\ndef check(x):\n  if x > app.LIMIT: raise app.Wrong\ndef back(): return one.REST",
        },
        {
            "app": [
                "import one",
                "LIMIT = 3",
                "class Wrong(Exception): ...",
                "def f():",
                "  try: one.check(5)",
                "  except Wrong: return 'wrong'",
            ],
            "one": ["import two", "def check(x):", "  two.check(x)"],
            "two": ["", "import app", "def check(x):", "  if x > app.LIMIT: raise app.Wrong"],
        },
        "wrong",
    ),
    "a task in a package's own file": (
        {
            "pack/__init__.py": "from .impl import clean\nBASE = 2\ndef f(): return clean(1)",
            "pack/impl.py": "def clean(x):\n  from . import BASE\n  return x + BASE",
        },
        {
            "pack": ["from .impl import clean", "BASE = 2", "def f(): return clean(1)"],
            "pack.impl": ["def clean(x):", "  from . import BASE", "  return x + BASE"],
        },
        3,
    ),
    "a folder without __init__": (
        {"app.py": "from bare.deep import mod\ndef f(): return mod.X", "bare/deep/mod.py": "X = 1"},
        {"bare": [""], "bare.deep": [""], "bare.deep.mod": ["X = 1"]},
        1,
    ),
    "a base class and a default": (
        {
            "app.py": "import base\nfrom base import SIZE\nclass K(base.Base): ...\ndef f(size=SIZE): return K().size() + size",
            "base.py": "SIZE = 2\nclass Base:\n  def size(self): return SIZE",
        },
        {"base": ["SIZE = 2", "class Base:", "  def size(self): return SIZE"]},
        4,
    ),
    "a module with __getattr__": (
        {
            "app.py": "import lazy\ndef f(): return lazy.anything",
            "lazy.py": "def __getattr__(name): return name.upper()\nREST = 1",
        },
        {"lazy": ["def __getattr__(name): return name.upper()"]},
        "ANYTHING",
    ),
    "a module that hides one of the library": (
        {"app.py": "import tabnanny\ndef f(): return tabnanny.MINE", "tabnanny.py": "MINE = 1"},
        {"tabnanny": ["MINE = 1"]},
        1,
    ),
    "what an annotation mentions, if it can go along": (
        {
            "app.py": "import one, two\nfrom typing import get_type_hints\ndef f() -> one.A:\n  def g(x: two.B): ...\n  return get_type_hints(f)['return'].__name__",
            "one.py": "class A: ...\nclass Z: ...",
            "two.py": "import hypothesis\nB = hypothesis",
        },
        {"one": ["class A: ..."]},
        "A",
    ),
}
"""Files, the modules that go along with `f`, and what `f` returns."""


def main_of(files: dict[str, str]) -> str:
    """The module of such an application that holds `f`."""
    return next(
        name for name in ("app", "pack.app", "pack") if f"{name.replace('.', '/')}.py" in files or name == "pack"
    )
