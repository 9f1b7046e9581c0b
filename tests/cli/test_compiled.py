"""Patterns and functions that modules compile at each start: kept, they are what they would have become."""

from __future__ import annotations

import dataclasses
import marshal
import re
import shutil
import string
from pathlib import Path

import anyio
import pytest

from capsule.cli import bundle
from capsule.cli.compiled import Compiled
from keeping import Run

MODULE = r"""
import collections, dataclasses, re, string
A = re.compile(r"(?P<word>\w+)|(a)\s*", re.I | re.X)
B = re.compile(rb"[\x00-\x7f]+|x{3,5}")
SAME, BYTES = re.compile("same"), re.compile(b"same")
class Has:
    C = re.compile("(?i:ä)|[^ß]")
class Words(string.Template):
    delimiter = "%"
@dataclasses.dataclass(order=True, slots=True)
class Point:
    x: int
    y: int = 0
    more: list[int] = dataclasses.field(default_factory=list)
@dataclasses.dataclass(frozen=True)
class Still:
    "Has a word."
    x: int = dataclasses.field(default=1, kw_only=True)
Pair = collections.namedtuple("Pair", "left right", defaults=[2])
"""

SHOW = """
import constants as c, inspect
for pattern in (c.A, c.B, c.SAME, c.BYTES, c.Has.C, c.Words.pattern):
    again = re_compile(pattern.pattern, pattern.flags & ~32)
    same = [again == pattern, again.groups == pattern.groups, again.groupindex == pattern.groupindex]
    print(pattern, *same, pattern.sub(lambda m: type(m[0])(), "ä same 1xß" if isinstance(pattern.pattern, str) else b"same 1xxx"))
print(c.A.match("word").groupdict(), c.Words("%x %{y}").substitute(x=1, y=2))
point = c.Point(1)
print(point, point < c.Point(2), point == c.Point(1), c.Point.__doc__, c.Point.__match_args__, inspect.signature(c.Point))
try: c.Still(x=3).x = 4
except Exception as error: print(repr(error), hash(c.Still()), c.Still(x=2))
print(c.Pair(1), c.Pair(1)._replace(left=3), inspect.signature(c.Pair))
for made in (c.Point.__init__, c.Point.__eq__, c.Still.__setattr__, c.Pair.__new__):
    code = made.__code__
    print(made.__qualname__, made.__module__, code.co_name, code.co_filename, code.co_flags, code.co_varnames, made.__defaults__)
"""
COMPILE = "import re._compiler as original; re_compile = original.compile\n"
"""Python's own, in a process that does nothing else."""


OWN = 6
"""Patterns of its own, which are nobody's business."""

AT_ONCE = pytest.mark.parametrize("run", ["at once"], indirect=True)
"""Only the whole of what the command does has this."""


@pytest.fixture(autouse=True)
def constants(folders: list[Path]) -> None:
    """A module that compiles."""
    (folders[1] / "constants.py").write_text(MODULE, "utf-8")


def kept_in(cache: Path) -> dict[object, object]:
    """What was compiled by modules, in all parts of the one file there."""
    (file,) = cache.iterdir()
    data = file.read_bytes()
    begin = 16 + int.from_bytes(data[:8], "little")
    made: dict[object, object] = {}
    for size in marshal.loads(data[16:begin])[-1]:
        made.update(marshal.loads(data[begin : begin + size])[1])
        begin += size
    return made


def test_they_are_what_they_would_have_become(run: Run, tmp_path: Path) -> None:
    """Equal patterns, the same classes, the same code."""
    original = "import re, importlib.util as u; spec = u.find_spec('re._compiler'); own = u.module_from_spec(spec); spec.loader.exec_module(own); re_compile = own.compile\n"
    usual = run(original + SHOW, CAPSULE_CACHE_DIR=str(tmp_path / "nothing"))
    assert "False" not in "".join(usual.splitlines()[:6])
    assert len(usual.splitlines()) == 14
    assert [run(original + SHOW) for _ in range(3)] == [usual] * 3


def counted(code: str) -> str:
    """How many patterns and texts Python itself compiles meanwhile."""
    return f"""
import builtins, re, _sre
parse, parsed, compile_, compiled = re._parser.parse, [], builtins.compile, []
re._parser.parse = lambda *args: parsed.append(args) or parse(*args)
def spy(*args, **more):
    compiled.append(args)
    return compile_(*args, **more)
builtins.compile = spy
{code}
print(len(parsed), len(compiled))
"""


@AT_ONCE
def test_nothing_is_compiled_the_second_time(run: Run) -> None:
    """Neither a pattern of the standard library's nor a text of anybody's."""
    code = counted("import constants, textwrap, platform; textwrap.dedent")
    patterns, texts = map(int, run(code).split())
    assert patterns >= OWN + 5
    assert texts >= 5  # one for each class from 3.13 on
    assert run(code) == f"{OWN} 0"


SECRET = "hunter2"

NOT_KEPT = {
    "made while it runs": "import re; re.compile(SECRET + '|x')",
    "a local one": "import re; (lambda: re.compile(SECRET, re.I).sub('', 'x'))()",
    "a constant of somebody's": "import conf",
    "an attribute that somebody sets": "import constants, re; constants.Has.C = re.compile(SECRET)",
}


@pytest.mark.parametrize("case", NOT_KEPT)
def test_patterns_of_others_are_in_no_file(run: Run, cache: Path, folders: list[Path], case: str) -> None:
    """They may be made of what nobody else should read."""
    (folders[1] / "conf.py").write_text("import os, re\nTOKEN = re.compile(os.environ['TOKEN'])\n", "utf-8")
    run(f"import constants, os; SECRET = os.environ['TOKEN']; {NOT_KEPT[case]}", TOKEN=SECRET)
    (file,) = cache.iterdir()
    assert SECRET.encode() not in file.read_bytes()


def test_nobody_is_asked_who_they_are(run: Run, cache: Path, folders: list[Path]) -> None:
    """A stand-in that looks up what it stands for, when asked, does so for those who need it."""
    text = "class Proxy:\n    @property\n    def __class__(self): raise SystemExit(7)\ndb = Proxy()\nstring = Proxy()\n"
    (folders[1] / "lazily.py").write_text(text, "utf-8")
    code = "import lazily, string, sys; string.db = lazily.db; sys.modules['odd'] = lazily.db; print('done')"
    assert [run(code) for _ in range(2)] == ["done"] * 2
    assert len([*cache.iterdir()]) == 1


@AT_ONCE
@pytest.mark.parametrize("broken", ["'(?a)x', re.U", "'(', 0", "'x', 'i'", "5, 0", "None, 0", "'x', re.I | re.A"])
def test_no_pattern_keeps_others_from_being_kept(run: Run, tmp_path: Path, cache: Path, broken: str) -> None:
    """Neither does a wrong one change what is said of it."""
    code = f"""
import string, re
for _ in range(2):
    try: print(re.compile({broken}))
    except Exception as error: print(type(error), error)
string.x = re.compile("x")
"""
    usual = run(code, CAPSULE_CACHE_DIR=str(tmp_path / "nothing"))
    assert [run(code) for _ in range(2)] == [usual] * 2
    assert any("Escape sequence" in str(key[1]) for key in kept_in(cache) if isinstance(key, tuple))


def test_where_a_pattern_warns(run: Run, folders: list[Path]) -> None:
    """At the line that compiles it; an error has no frame of ours."""
    (folders[1] / "warns.py").write_text("import re\ndef f(pattern):\n    return re.compile(pattern)\n", "utf-8")
    code = """
import traceback, warnings, warns
with warnings.catch_warnings(record=True) as all:
    warnings.simplefilter("always")
    warns.f("[[a]x")
print(*[(each.filename[-8:], each.lineno) for each in all])
try: warns.f("(")
except Exception: print("compiled.py" in traceback.format_exc())
"""
    assert [run(code) for _ in range(2)] == ["('warns.py', 3)\nFalse"] * 2


def test_twins_of_text_and_bytes(run: Run) -> None:
    """Are never compared: with `-bb` that is an error."""
    code = "import re, string\nstring.x = re.compile('same')\nstring.y = re.compile(b'same')\nprint(string.x, string.y)"
    assert [run(code, "-bb") for _ in range(2)] == ["re.compile('same') re.compile(b'same')"] * 2


@AT_ONCE
def test_what_prints_is_compiled_each_time(run: Run) -> None:
    """Whoever asks for that wants to see it."""
    code = "import re, string; string.x = re.compile('x|y', re.DEBUG); string.y = re.compile('x|y', re.DEBUG)"
    first = run(code)
    assert first.count("LITERAL 120") == 2
    assert run(code) == first


@AT_ONCE
def test_damage(run: Run) -> None:
    """What is kept and is none of it is compiled as ever."""
    code = """
from capsule.cli.bundle import Bundle
kept = next(each for each in sys.meta_path if type(each) is Bundle)
for key in kept.made: kept.made[key] = BAD
import constants, string
print(constants.Point(1), constants.Pair(1), string.Template.pattern)
"""
    run("import constants")
    usual = run("BAD = None" + code.replace("= BAD", "= kept.made[key]"))
    for bad in (
        "None",
        "()",
        "5",
        "'text'",
        "(1, 2, 3)",
        "('a', 0, [1, 2, 3], 0, {}, ())",
        "('a', 'b', [], 0, {}, ())",
    ):
        assert run(f"BAD = {bad}{code}") == usual


@AT_ONCE
def test_it_stays_when_all_is_written_anew(run: Run, cache: Path, folders: list[Path]) -> None:
    """And what is too much is not noted."""
    many = f"import collections\nfor n in range({bundle.MOST_MADE + 1}): collections.namedtuple('P', f'a{{n}}')\n"
    (folders[1] / "many.py").write_text(many, "utf-8")
    for number in range(bundle.MOST_PARTS):
        (folders[1] / f"more{number}.py").write_text("", "utf-8")
    run("import constants")
    before = kept_in(cache)
    for number in range(bundle.MOST_PARTS):
        run(f"import constants, more{number}")
    assert kept_in(cache) == before
    run("import many")
    assert len(kept_in(cache)) == len(before) + bundle.MOST_MADE
    assert run("import many, constants; print(constants.Pair(1))") == "Pair(left=1, right=2)"


def test_only_constants_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: what is new, by what it was made from."""
    compiled = Compiled(bundle.Bundle())
    before = compiled.new()
    re.compile("(?P<nobody>x)|y", re.IGNORECASE)
    assert compiled.new() == before
    monkeypatch.setattr(string, "constant", re.compile("constant", re.IGNORECASE), raising=False)
    assert [*compiled.new().keys() - before.keys()] == [("str", "constant", 2)]


MAPS = """
import inspect, tokenize
read, real = [], inspect.getsource
inspect.getsource = lambda module: read.append(module.__name__) or real(module)
import anyio, anyio.abc
names = [dir(module) for module in (anyio, anyio.abc)]
print(names, anyio.run.__module__, anyio.abc.Listener, anyio.abc.TaskGroup.__module__, anyio.BrokenWorkerIntepreter)
try: anyio.nothing
except AttributeError as error: print(error)
print(read, type(tokenize).__name__)
"""


@AT_ONCE
def test_anyio_reads_no_source_of_its_own(run: Run, tmp_path: Path, cache: Path) -> None:
    """What it learnt from it is kept until the source is touched; what it gives out is the same."""
    site = tmp_path / "site"
    shutil.copytree(Path(anyio.__file__).parent, site / "anyio", ignore=shutil.ignore_patterns("__pycache__"))
    path, source = [site, tmp_path / "second"], site / "anyio" / "__init__.py"
    *usual, read = run(MAPS, "-Wignore", path=path, CAPSULE_CACHE_DIR=str(tmp_path / "nothing")).splitlines()
    assert (len(usual), read) == (2, "['anyio', 'anyio.abc'] module")
    assert run(MAPS, "-Wignore", path=path).splitlines() == [*usual, read]
    assert run(MAPS, "-Wignore", path=path).splitlines() == [*usual, "[] StandIn"]
    text = source.read_text("utf-8")
    source.write_text(text.replace(" as run\n", " as run\n    from ._core._eventloop import run as nothing\n"), "utf-8")
    assert run(MAPS, "-Wignore", path=path).splitlines()[1:] == ["['anyio'] module"]
    assert run(MAPS, "-Wignore", path=path).splitlines()[1:] == ["[] StandIn"]


@AT_ONCE
def test_anyio_is_edited_while_something_runs(run: Run, tmp_path: Path) -> None:
    """What is kept then is what stands there then."""
    site = tmp_path / "site"
    shutil.copytree(Path(anyio.__file__).parent, site / "anyio", ignore=shutil.ignore_patterns("__pycache__"))
    path, source = [site, tmp_path / "second"], str(site / "anyio" / "__init__.py")
    run("import anyio", path=path)
    edit = (
        f"file = open({source!r}, 'r+'); text = file.read().replace(' as run\\n', ' as run\\n"
        "    from ._core._eventloop import run as extra\\n'); file.seek(0); file.write(text); file.close()"
    )
    run(f"import anyio\n{edit}\nimport colorsys", path=path)
    assert [run("import anyio, colorsys; print(anyio.extra is anyio.run)", path=path) for _ in range(3)] == ["True"] * 3


@AT_ONCE
@pytest.mark.parametrize("bad", ["None", "5", "({}, {})", "([], [], {})", "(1, 2, 3)"])
def test_a_map_that_is_damaged(run: Run, bad: str) -> None:
    """It is made anew."""
    run("import anyio")
    code = f"""
from capsule.cli.bundle import Bundle
kept = next(each for each in sys.meta_path if type(each) is Bundle)
for key in kept.made:
    if key[0] == "map": kept.made[key] = {bad}
import anyio
print(anyio.run.__name__, any(key[0] == "map" for key in kept.made))
"""
    assert run(code) == "run True"


def test_dataclasses_have_no_exec_of_their_own() -> None:
    """Nothing of this reaches an application that uses the library."""
    assert "exec" not in vars(dataclasses)
