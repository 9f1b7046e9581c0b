"""Which modules the import statements of a source may load."""

from __future__ import annotations

import ast

import pytest

from capsule._guest.imported import names_of, run_first, with_packages

ROWS = {
    "plain": ("import a.b, c as d", "p", ["a.b", "c"]),
    "from": ("from a.b import c, d", "p", ["a.b", "a.b.c", "a.b.d"]),
    "a star": ("from a import *", "p", ["a"]),
    "relative": (
        "from . import x\nfrom .y import z\nfrom ..w import v",
        "p.q",
        ["p.q", "p.q.x", "p.q.y", "p.q.y.z", "p.w", "p.w.v"],
    ),
    "beyond the top": ("from ... import x", "p.q", []),
    "in no package": ("from . import x", "", []),
    "in blocks": (
        "try:\n  import a\nexcept ImportError:\n  import b\nelse:\n  import c\nfinally:\n  import d\nwith x:\n  import e\n"
        "for x in y:\n  import f\nwhile 0:\n  import g\nif x:\n  import h\nelif y:\n  import i\nelse:\n  import j",
        "",
        [*"abcdefghij"],
    ),
    "a class": ("class A:\n  import a\n  def f(self): import b", "", ["a"]),
    "functions": ("def f():\n  import a\nasync def g():\n  import b\nh = lambda: __import__('c')", "", []),
    "for type checkers": (
        "if TYPE_CHECKING:\n  import a\nelse:\n  import b\nif typing.TYPE_CHECKING:\n  import c\nimport d",
        "",
        ["b", "d"],
    ),
    "a match": ("match x:\n  case 1:\n    import a\n  case _:\n    import b", "", ["a", "b"]),
}


@pytest.mark.parametrize(("source", "package", "names"), ROWS.values(), ids=ROWS)
def test_what_is_loaded_first(source: str, package: str, names: list[str]) -> None:
    """In the order of the source."""
    found = [name for node in run_first(ast.parse(source)) for name in names_of(node, package)]
    assert found == names


def test_with_packages() -> None:
    """A package before what is in it."""
    assert list(with_packages(iter(["a.b.c", "d"]))) == ["a", "a.b", "a.b.c", "d"]


def test_deep_nesting() -> None:
    """No source is too deep: the tree is walked without calling oneself."""
    depth = 90
    source = "".join("    " * level + "if x:\n" for level in range(depth)) + "    " * depth + "import a"
    assert [name for node in run_first(ast.parse(source)) for name in names_of(node, "")] == ["a"]
