"""Kept modules that are loaded in one step: whatever a program can see is as if Python had done it."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeping import Run

MODULES = {
    "fails.py": "import os\nWORD = 1\nif 'FAIL' in os.environ: raise eval(os.environ['FAIL'])('not today')",
    "leaves.py": "import os, sys\nif 'FAIL' in os.environ: del sys.modules[__name__]",
    "another.py": "import os, sys\nif 'FAIL' in os.environ: sys.modules[__name__] = os",
    "first.py": "import second\nWORD = 1",
    "second.py": "import os, first\nif 'FAIL' in os.environ:\n    from first import WORD",
    "pack/__init__.py": "from . import one\nfrom .two import WORD",
    "pack/one.py": "from . import two\nimport pack.deep.down as down\nFROM = __package__, __name__",
    "pack/two.py": "WORD = 'two'",
    "pack/deep/__init__.py": "",
    "pack/deep/down.py": "from ..two import WORD",
    "pack/fails.py": "import os\nif 'FAIL' in os.environ: raise ValueError",
    "above/__init__.py": "import os\nif 'FAIL' in os.environ: raise ImportError('above')",
    "above/sub.py": "",
    "odd/__init__.py": (
        "import os, sys, types\nclass Odd(types.ModuleType): __slots__ = ()\nodd = Odd(__name__)\n"
        "odd.__dict__.update(globals())\nif 'FAIL' in os.environ: sys.modules[__name__] = odd"
    ),
    "odd/sub.py": "",
    "starts.py": (
        "import threading, time\nOUT = []\ndef work():\n    time.sleep(0.05)\n    import starts\n    OUT.append(starts.WORD)\n"
        "T = threading.Thread(target=work)\nT.start()\ntime.sleep(1.3)\nWORD = 1"
    ),
    "circle_a.py": (
        "import threading, time\ndef work(): import circle_b\nT = threading.Thread(target=work)\nT.start()\n"
        "time.sleep(0.1)\nimport circle_b\nWORD = 1"
    ),
    "circle_b.py": "import time\ntime.sleep(0.3)\nimport circle_a",
    "swap/__init__.py": "",
    "swap/impl.py": "import os, sys, types\nif 'FAIL' in os.environ: sys.modules['swap'] = types.ModuleType('another')",
    "circ/__init__.py": "from . import a",
    "circ/a.py": "import os\nfrom . import b",
    "circ/b.py": "import os, circ\nif 'FAIL' in os.environ: circ.a",
    "warns.py": "import os, warnings\nif 'FAIL' in os.environ: warnings.warn('old', DeprecationWarning, stacklevel=2)",
    "needs.py": "import os\nif 'FAIL' in os.environ: import nowhere",
    "slow.py": "import time\ntime.sleep(0.3)\nWORD = 1",
    "where.py": "import sys\nframe, NAMES = sys._getframe(), []\nwhile frame := frame.f_back: NAMES.append(frame.f_code.co_name)",
}
PUT_OFF = {"dis", "opcode", "_opcode", "_opcode_metadata"}
"""What inspect loads for a constant, which is kept."""

LOAD = (
    "import fails, leaves, another, first, pack.fails, above.sub, odd.sub, slow, where, json, asyncio, dataclasses\n"
    "import swap.impl, circ, warns, needs, starts, circle_a\nstarts.T.join(); circle_a.T.join()"
)

ATTRIBUTES = f"""
{LOAD}
def described(module):
    attributes = {{key: value for key, value in vars(module).items() if key[:2] == "__" and type(value) in (str, list, dict)}}
    attributes.pop("__builtins__", None)
    spec = module.__spec__
    parts = [getattr(spec, key, None) for key in ("name", "origin", "cached", "parent", "has_location",
        "submodule_search_locations", "loader_state", "_initializing", "_uninitialized_submodules")]
    loader = spec.loader
    files = [loader.path, loader.get_filename(module.__name__), loader.is_package(module.__name__)]
    return [spec.loader is module.__loader__, *files, *parts, sorted(map(repr, attributes.items())), sorted(vars(module))]
for name in sorted(sys.modules):
    module = sys.modules[name]
    if type(getattr(getattr(module, "__spec__", None), "loader", None)).__name__ in ("SourceFileLoader", "Kept"):
        if not name.startswith("capsule"):
            print(name, described(module))
"""

CASES = {
    "an exception": (
        "for _ in range(2):\n    try: import fails\n    except ValueError as error: print(error, 'fails' in sys.modules)",
        "ValueError",
    ),
    "one that is no Exception": (
        "try: import fails\nexcept KeyboardInterrupt as error: print(error, 'fails' in sys.modules)",
        "KeyboardInterrupt",
    ),
    "one in a package": (
        "try: import pack.fails\nexcept ValueError: import pack; print(hasattr(pack, 'fails'), 'pack.fails' in sys.modules)",
        "1",
    ),
    "a package that fails": (
        "try: import above.sub\nexcept ImportError as error: print(error, error.name, 'above' in sys.modules)",
        "1",
    ),
    "a name that is not there yet": (
        "try: import first\nexcept ImportError as error: print(error, [*map(sys.modules.get, ('first', 'second'))])",
        "1",
    ),
    "a circle": ("import first; print(first.WORD, sys.modules['second'].first is first)", ""),
    "one that puts another in its place": ("import another, os; print(another is os)", "1"),
    "one that takes itself away": ("try: import leaves\nexcept KeyError as error: print(error)", "1"),
    "below what is no package": (
        "import fails\ntry: import fails.sub\nexcept ModuleNotFoundError as error: print(error, error.name)",
        "",
    ),
    "below what is no module": (
        "import warnings\nwith warnings.catch_warnings(record=True) as all:\n    warnings.simplefilter('always')\n"
        "    import odd.sub\nprint(type(sys.modules['odd']), odd.sub, *[each.category for each in all])",
        "1",
    ),
    "below what is a package no more": (
        "import types\nsys.modules['above'] = types.ModuleType('above')\n"
        "try: import above.sub\nexcept ModuleNotFoundError as error: print(error)",
        "",
    ),
    "a package that is another one meanwhile": (
        "import swap.impl\nprint(sys.modules['swap'], sys.modules['swap'].impl.__name__)",
        "1",
    ),
    "below what has no path": (
        "import types\nsys.modules['above'] = stub = types.ModuleType('above')\nstub.__path__ = None\n"
        "try: import above.sub\nexcept ModuleNotFoundError as error: print(error)",
        "",
    ),
    "what is asked for in a circle": ("try: import circ\nexcept AttributeError as error: print(error)", "1"),
    "where a warning comes from": (
        "import warnings\nwith warnings.catch_warnings(record=True) as all:\n    warnings.simplefilter('always')\n"
        "    import warns\nprint([(each.filename, each.lineno) for each in all])",
        "1",
    ),
    "a traceback": (
        "import traceback\nfor name in ('fails', 'needs', 'pack.fails'):\n    try: __import__(name)\n"
        "    except Exception: print(traceback.format_exc())",
        "ValueError",
    ),
    "none at all": ("sys.modules['fails'] = None\ntry: import fails\nexcept ImportError as error: print(error)", ""),
    "a package": ("import pack.one as one; import pack; print(one.FROM, pack.WORD, one.down.WORD, pack.deep.down)", ""),
    "from a package": ("from pack import one, two as three; print(one, three)", ""),
    "by hand": (
        "import importlib; print(importlib.import_module('pack.deep.down'), importlib.import_module('.two', 'pack'))",
        "",
    ),
    "again": (
        "import importlib, fails; fails.WORD = 2; print(importlib.reload(fails) is fails, fails.WORD)\n"
        "del sys.modules['fails']; import fails as two; print(two is fails, two.WORD)",
        "",
    ),
    "the order": (
        f"{LOAD}\nprint([each for each in sys.modules if not each.startswith('capsule') and each not in {PUT_OFF}])",
        "",
    ),
}


@pytest.fixture(autouse=True)
def modules(folders: list[Path]) -> None:
    """Those above, on the path."""
    for name, text in MODULES.items():
        (folders[1] / name).parent.mkdir(exist_ok=True, parents=True)
        (folders[1] / name).write_text(text, "utf-8")


@pytest.mark.parametrize("case", CASES)
def test_it_is_as_ever(run: Run, tmp_path: Path, case: str) -> None:
    """The same comes out as in a process for which nothing is kept."""
    code, fail = CASES[case]
    env = {"FAIL": fail} if fail else {}
    run(LOAD)
    usual = run(code, CAPSULE_CACHE_DIR=str(tmp_path / "nothing"), **env)
    assert usual
    assert run(code, **env) == usual


def test_attributes(run: Run, tmp_path: Path) -> None:
    """All that a module has of the import system, for all that this loads."""
    run(LOAD)
    usual = run(ATTRIBUTES, CAPSULE_CACHE_DIR=str(tmp_path / "nothing"))
    assert len(usual.splitlines()) > 80
    assert _of_both(run(ATTRIBUTES)) == _of_both(usual)


def _of_both(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.partition(" ")[0] not in PUT_OFF]


STEPS = "_load_unlocked"
"""A function of the import system's, in each stack of an import that is as ever."""

OTHERS = {
    "nobody": ("", False),
    "another thread": ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", True),
    "a finder in front": (
        "class Other:\n    @staticmethod\n    def find_spec(name, *more): SEEN.append(name)\n"
        "SEEN = []; sys.meta_path.insert(0, Other)",
        True,
    ),
    "a finder is gone": ("import importlib.machinery; sys.meta_path.remove(importlib.machinery.FrozenImporter)", True),
    "a path that has changed": ("sys.path.append('/nowhere')", True),
}


@pytest.mark.parametrize("other", OTHERS)
def test_who_else_has_something_to_say(run: Run, request: pytest.FixtureRequest, other: str) -> None:
    """In one step only where nobody has; and what is put in front of all finders is asked."""
    code, is_as_ever = OTHERS[other]
    run("import where, threading, importlib.machinery")
    steps = run(f"{code}\nimport where\nprint({STEPS!r} in where.NAMES, *globals().get('SEEN', []))")
    is_found = request.node.callspec.params["run"] == "found"
    assert steps == f"{is_as_ever or is_found}" + " where" * (other == "a finder in front")


def test_finders_from_the_start(run: Run) -> None:
    """A finder that stands in front already, of which nobody here knows, is asked for everything."""
    code = """
from capsule.cli.bundle import Bundle
from capsule.cli.main import hasten
sys.meta_path[:] = [each for each in sys.meta_path if type(each).__module__[:8] != "capsule."]
class Other:
    @staticmethod
    def find_spec(name, *more): SEEN.append(name)
SEEN = []
sys.meta_path.insert(0, Other)
hasten()
import where
print("where" in SEEN)
"""
    run("import where")
    assert run(code) == "True"


def test_a_thread_that_begins_meanwhile(run: Run) -> None:
    """It waits for the rest of a module in which it was started; a circle of two threads comes to its end."""
    run(LOAD)
    assert run("import starts; starts.T.join(); print(starts.OUT)") == "[1]"
    assert run("import circle_a; circle_a.T.join(); print(circle_a.WORD)") == "1"


def test_a_circle_in_a_thread(run: Run) -> None:
    """No thread waits for what it loads itself."""
    run(LOAD)
    code = """
import threading, time
def load(): import pack.one, circ, first
began = time.monotonic()
threads = [threading.Thread(target=load) for _ in range(3)]
for each in threads: each.start()
for each in threads: each.join()
print(sys.modules["first"].WORD, sys.modules["circ"].a.b.__name__, time.monotonic() - began < 0.9)
"""
    assert run(code) == "1 circ.b True"


def test_threads_that_load_the_same(run: Run) -> None:
    """Nobody sees half of a module."""
    code = """
import threading
def load():
    import slow
    WORDS.append(slow.WORD)
WORDS, threads = [], [threading.Thread(target=load) for _ in range(5)]
for each in threads: each.start()
for each in threads: each.join()
print(WORDS)
"""
    run(LOAD)
    assert run(code) == "[1, 1, 1, 1, 1]"
