"""What may be asked for: names and versions, and nothing that pip would take for more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule import InvalidPackages, InvalidProgram
from capsule._packages.requirements import MOST_REQUIREMENTS, parse_all
from capsule._packages.script import MOST_BLOCK, requirements_in
from capsule.packages import read_requirements

SAFE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\[[a-z0-9,-]+\])?([=!<>~]=?[a-zA-Z0-9.*+!_-]+,?)*")

TAKEN = {
    "a name": ("toolz", ("toolz",)),
    "a file name, which is a name like others": ("foo-1.0-py3-none-any.whl", ("foo-1-0-py3-none-any-whl",)),
    "another spelling": ("Zope.Interface_x", ("zope-interface-x",)),
    "versions in any order": ("toolz <2, >=1", ("toolz<2,>=1",)),
    "extras": ("requests[Socks,use_chardet]", ("requests[socks,use-chardet]",)),
    "a condition that holds": ("toolz; python_version >= '3.14' and sys_platform == 'wasi'", ("toolz",)),
    "a condition of another machine": ("toolz; sys_platform == 'linux'", ()),
    "a condition of another Python": ("tomli; python_version < '3.11'", ()),
}


@pytest.mark.parametrize(("line", "written"), TAKEN.values(), ids=TAKEN)
def test_what_is_taken(line: str, written: tuple[str, ...]) -> None:
    """It is written anew, always in one way; conditions are asked of the sandbox and not of this machine."""
    assert parse_all([line]) == written


def test_twins_are_one() -> None:
    """Whatever their order and spelling."""
    assert parse_all(["b", "A", "a", "B"]) == ("a", "b")


REFUSED = {
    "an index": "--index-url=http://example.com/simple",
    "an index behind a name": "toolz --index-url=http://example.com/simple",
    "a requirements file": "-r /etc/passwd",
    "an editable folder": "-e .",
    "a file's address": "foo @ file:///etc",
    "a repository": "foo @ git+https://example.com/foo",
    "an address alone": "https://example.com/foo-1.0-py3-none-any.whl",
    "a repository alone": "git+ssh://git@example.com/foo",
    "a path": "./foo",
    "an absolute path": "/tmp/foo-1.0-py3-none-any.whl",
    "a path on Windows": "C:\\foo",
    "a path above": "../foo",
    "a second line": "toolz\n--index-url=http://example.com",
    "a return": "toolz\r-e .",
    "a line of Unicode's": "toolz\u2028-e .",
    "a NUL": "toolz\0",
    "a text that is compared": "toolz===1/../..",
    "a variable": "${HOME}",
    "a command": "$(id)",
    "hashes": "toolz --hash=sha256:00",
    "nothing": "",
    "a length": "a" * 501,
    "letters that look like others": "t\u043eolz",
    "no text": 7,
    "a name that ends in a line": "toolz_",
    "an extra that does": "toolz[a_]",
}


@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(line: object) -> None:
    """The neighbour on the same list would pass alone."""
    assert parse_all(["toolz"]) == ("toolz",)
    with pytest.raises(InvalidPackages) as caught:
        parse_all(["toolz", line])
    assert len(str(caught.value)) < 1000


def test_one_text_is_no_list() -> None:
    """Its characters would be asked for one by one."""
    with pytest.raises(InvalidPackages, match="give a list"):
        parse_all("toolz")


def test_how_many() -> None:
    """A list has an end."""
    assert len(parse_all([f"a{n}" for n in range(MOST_REQUIREMENTS)])) == MOST_REQUIREMENTS
    with pytest.raises(InvalidPackages, match="more than 100"):
        parse_all([f"a{n}" for n in range(MOST_REQUIREMENTS + 1)])


@given(
    st.one_of(
        st.text(max_size=40),
        st.text(alphabet="ab-_.=<>!~[](),;@:/\\ '\"-\n\r\0python_version314", max_size=40),
        st.builds("{}{}{}".format, st.sampled_from(["toolz", "a[b]", "A.b"]), st.text(max_size=3), st.text(max_size=9)),
    )
)
def test_whatever_comes_is_safe_or_refused(line: str) -> None:
    """What is handed to pip starts with a letter or a digit and holds no character that means more than a version."""
    try:
        found = parse_all([line])
    except InvalidPackages:
        return
    assert all(SAFE.fullmatch(text) for text in found), found


# The block of a file.

BLOCK = "# /// script\n# dependencies = [\n#   'toolz>=1',\n# ]\n# ///\n"


def test_a_block_is_read() -> None:
    """Where it stands does not matter, nor what else is in it."""
    assert requirements_in(BLOCK, "x.py") == ("toolz>=1",)
    more = BLOCK.replace(
        "# ///\n", "# requires-python = '>=3.12'\n#\n# [tool.uv]\n# index-url = 'http://example.com'\n# ///\n"
    )
    assert requirements_in(f"'''A docstring.'''\nimport os\n\n{more}\nx = 1\n", "x.py") == ("toolz>=1",)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "# dependencies = ['toolz']\n",
        "# /// script\n# dependencies = ['toolz']\n",
        BLOCK.replace("script", "other"),
    ],
    ids=["nothing", "no block", "never closed", "of another kind"],
)
def test_no_block(source: str) -> None:
    """Comments that are no block are comments."""
    assert requirements_in(source, "x.py") == ()


BROKEN = {
    "no TOML": ("dependencies = [", "no TOML"),
    "no list": ("dependencies = 'toolz'", "a list of texts"),
    "no texts": ("dependencies = [7]", "not int"),
    "an option": ("dependencies = ['--index-url=http://example.com']", "no name of a package"),
    "another Python": ("requires-python = '<3.12'", "asks for Python <3.12, and the sandbox runs 3.14.0"),
    "no version": ("requires-python = 'new'", "no range of versions"),
    "no text for a version": ("requires-python = 3.12", "requires-python is a text"),
    "deep": ("a = " + "[" * 5000, "nested too deeply"),
    "a name of thousands of parts": (".".join(["a", '""'] * 13_000) + " = 1", "too many parts"),
    "a number that is too long": ("a = " + "9" * 5000, "too long"),
    "long": ("a = '" + "x" * MOST_BLOCK + "'", "larger than"),
}


@pytest.mark.parametrize(("content", "words"), BROKEN.values(), ids=BROKEN)
def test_a_block_that_cannot_be_used(content: str, words: str) -> None:
    """The error says where the block stands, or which line of it is in the way."""
    with pytest.raises(InvalidProgram, match=re.escape(words)) as caught:
        requirements_in(f"import os\n# /// script\n# {content}\n# ///\n", "x.py")
    assert (caught.value.path, caught.value.line) == ("x.py", 3 if words.startswith(("nested", "too")) else 2)


def test_broken_toml_is_said_where_it_stands() -> None:
    """The line is that of the file, and no other is named."""
    source = "import os\n\n# /// script\n# dependencies = ['toolz']\n#\n# b = = 2\n# ///\n"
    with pytest.raises(InvalidProgram, match=r"no TOML: Invalid value$") as caught:
        requirements_in(source, "x.py")
    assert (caught.value.path, caught.value.line) == ("x.py", 6)


def test_two_blocks_are_refused() -> None:
    """Neither is meant more than the other."""
    with pytest.raises(InvalidProgram, match="second block"):
        requirements_in(f"{BLOCK}\n{BLOCK}", "x.py")


# A file of the user's.


def test_a_requirements_file(tmp_path: Path) -> None:
    """Comments and empty lines are passed over."""
    file = tmp_path / "needs.txt"
    file.write_text("# ours\n\ntoolz>=1  # functions\nsix\t# a tab\n  # via\nbar \\\n  >=2 \\\n\nfoo\\", "utf-8")
    assert [line.split() for line in read_requirements(file)] == [["toolz>=1"], ["six"], ["bar", ">=2"], ["foo"]]
    assert parse_all(read_requirements(file)) == ("bar>=2", "foo", "six", "toolz>=1")


MORE = {
    "another file": ("six\n-r other.txt", r"needs\.txt:2: '-r other\.txt' is an option"),
    "hashes": (
        "# ours\n\nsix==1.16.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n    # via x\n",
        r"needs\.txt:3: hashes are not checked here, and so not taken; write the file without them",
    ),
    "no name": ("six\nbar \\\n >=1\n\nfoo @ http://x/foo.whl", r"needs\.txt:5: foo is asked for by an address"),
    "an option behind a comment": ("six # a \\\n--pre", r"needs\.txt:2: '--pre' is an option"),
}


@pytest.mark.parametrize(("content", "words"), MORE.values(), ids=MORE)
def test_what_a_requirements_file_cannot_say(tmp_path: Path, content: str, words: str) -> None:
    """The error has the line."""
    file = tmp_path / "needs.txt"
    file.write_text(content, "utf-8")
    with pytest.raises(InvalidPackages, match=words):
        read_requirements(file)


@pytest.mark.parametrize("content", ["-r other.txt", "--index-url http://x", "toolz \\\n  --hash=sha256:00", "\xff"])
def test_a_requirements_file_that_is_more(tmp_path: Path, content: str) -> None:
    """Options are for pip; only packages are read."""
    file = tmp_path / "needs.txt"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(InvalidPackages, match=r"needs\.txt"):
        read_requirements(file)
    with pytest.raises(InvalidPackages, match="No such file"):
        read_requirements(tmp_path / "none.txt")
