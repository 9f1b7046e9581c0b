"""Patterns and functions that modules compile at each start: kept, they are what they would have become."""

from __future__ import annotations

import dataclasses
import marshal
import re
from pathlib import Path

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
    """Neither a pattern nor a text."""
    patterns, texts = map(int, run(counted("import constants")).split())
    assert patterns >= 6
    assert texts > 10
    assert run(counted("import constants")) == "0 0"


SECRET = "hunter2"

NOT_KEPT = {
    "made while it runs": f"re.compile('{SECRET}'.upper() + '|x')",
    "a local one": f"(lambda: re.compile('{SECRET}', re.I).sub('', 'x'))()",
}


@pytest.mark.parametrize("case", NOT_KEPT)
def test_patterns_of_a_run_are_in_no_file(run: Run, cache: Path, case: str) -> None:
    """They may be made of what nobody else should read. Only constants of modules are kept."""
    run(f"import constants, re; {NOT_KEPT[case]}")
    (file,) = cache.iterdir()
    assert SECRET.encode() not in file.read_bytes().lower()


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("'[[a]', 0", "FutureWarning"), ("'x|y', re.DEBUG", "LITERAL"), ("b'[a-z]', re.LOCALE | re.I", "")],
    ids=["one that warns", "one that prints", "one that goes by the locale"],
)
def test_what_says_something(run: Run, cache: Path, folders: list[Path], pattern: str, said: str) -> None:
    """It says so at each start."""
    (folders[1] / "speaks.py").write_text(f"import re\nPATTERN = re.compile({pattern})\n", "utf-8")
    code = "import warnings\nwarnings.showwarning = lambda *args: print(args[1].__name__)\nwarnings.simplefilter('always')\nimport speaks, constants"
    first = run(code)
    assert said in first
    assert [run(code) for _ in range(2)] == [first] * 2
    assert not any(key[0] in ("[[a]", "x|y", b"[a-z]") for key in kept_in(cache) if isinstance(key, tuple))


@AT_ONCE
def test_damage(run: Run) -> None:
    """What is kept and is none of it is compiled as ever."""
    code = """
from capsule.cli.bundle import Bundle
kept = next(each for each in sys.meta_path if type(each) is Bundle)
for key in kept.made: kept.made[key] = BAD
import constants
print(constants.Point(1), constants.Pair(1), constants.A)
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
    """And what would be too much is forgotten."""
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
    assert kept_in(cache) == before
    assert run("import many, constants; print(constants.Pair(1))") == "Pair(left=1, right=2)"


def test_only_constants_are_noted() -> None:
    """In this process: what is new, by what it was made from."""
    compiled = Compiled({})
    assert compiled.new() == {}
    compiled._compile("(?P<a>x)|y", re.IGNORECASE)
    compiled._compile(bundle.PREFIX, 0)
    assert compiled.new() == {}


def test_dataclasses_have_no_exec_of_their_own() -> None:
    """Nothing of this reaches an application that uses the library."""
    assert "exec" not in vars(dataclasses)
