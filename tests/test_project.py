"""The project file: what it gives, and that whatever else stands in it is an error with a line."""

from __future__ import annotations

import os
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule import InvalidPolicy, InvalidProject, Policy
from capsule._guest.settings import SETTINGS
from capsule._project_file import TABLES
from capsule._toml import TooMuch, check_shape, line_of
from capsule.project import MAX_FILE, RIGHTS, Project, ceiling_of

WHOLE = """\
[workflow]
name = "prices"
version = "1.0"
entrypoint = "src/main.py:fetch"

[tasks]
default_compute = "LOW"
default_ram = "64MB"
default_timeout = 2.5
default_max_retries = 2
default_allowed_hosts = [
    "api.example.com",
    "*.Example.org",   # in any case
]

[ceiling]
timeout = "10s"
allowed_hosts = ["other.example.com"]
"""


def test_the_whole_file() -> None:
    """Every table, with its values where they belong."""
    project = Project.parse(WHOLE, root="/projects/prices")
    assert (project.name, project.version, project.entrypoint) == ("prices", "1.0", "src/main.py:fetch")
    policy, ceiling = project.policy, project.ceiling
    assert (policy.compute, policy.ram, policy.timeout, policy.max_retries) == ("LOW", "64MB", 2.5, 2)
    assert policy.allowed_hosts == ("api.example.com", "*.example.org")
    assert ceiling.timeout == "10s"
    assert ceiling.ram_bytes == Policy.largest().ram_bytes
    assert ceiling.allowed_hosts == ("api.example.com", "*.example.org", "other.example.com")


def test_an_empty_file_gives_nothing() -> None:
    """Defaults, any limit, and no right."""
    project = Project.parse("")
    assert project.policy == Policy()
    assert project.ceiling == Policy.largest().with_settings(dict.fromkeys(RIGHTS, ()))


def test_the_keys_follow_from_the_policy() -> None:
    """A setting of `@task` has a default here, and a field of the policy a ceiling."""
    assert TABLES["tasks"][0] == tuple(f"default_{name}" for name in SETTINGS if name != "name")
    assert TABLES["ceiling"][0] == Policy.__struct_fields__


WRONG = [
    ("[workflow]\nname = 'x'\n\n[task]\nx = 1", 4, "there is no table [task]; did you mean 'tasks'?"),
    (
        "[tasks]\ndefault_ram = '64MB'\ndefault_rma = '1MB'",
        3,
        "[tasks] has no key 'default_rma'; did you mean 'default_ram'",
    ),
    ("[tasks]\n# a comment\n\nram = '64MB'", 4, "did you mean 'default_ram'?"),
    ("[workflow]\nentrypont = 'a.py'", 2, "did you mean 'entrypoint'?"),
    ("[ceiling]\ndefault_ram = '1MB'", 2, "[ceiling] has no key 'default_ram'"),
    ("[tasks]\ndefault_bananas = 1", 2, "there are default_compute, default_ram"),
    ("default_ram = '64MB'", 1, "default_ram stands in no table; write it below [tasks]"),
    ("name = 'x'", 1, "write it below [workflow]"),
    ("\nx = 1", 2, "'x' stands in no table; the tables are [workflow], [tasks], [ceiling]"),
    ("[tasks]\ndefault_ram = 64.5", 2, "default_ram: 64.5 is not a size"),
    ("[tasks]\ndefault_ram = true", 2, "default_ram: True is not a size"),
    ("[tasks]\ndefault_compute = 'SOME'", 2, "default_compute: 'SOME' is not a level"),
    ("[tasks]\ndefault_timeout = 2026-01-01", 2, "default_timeout: "),
    ("[tasks]\ndefault_timeout = nan", 2, "default_timeout: nan is not a duration"),
    ("[tasks]\ndefault_max_retries = '2'", 2, "default_max_retries: '2' is not a whole number"),
    ("[tasks]\ndefault_allowed_hosts = 'a.com'", 2, "default_allowed_hosts: this is no list"),
    ("[tasks]\ndefault_allowed_hosts = [\n 'a.com',\n 5\n]", 4, "default_allowed_hosts: 5 names no host"),
    ("[tasks]\ndefault_allowed_hosts = ['http://a.com']", 2, "default_allowed_hosts: 'http://a.com' names no host"),
    ("[ceiling]\non_failure = {}", 2, "on_failure: {} is not known"),
    ("[ceiling]\nfamily_ram = []", 2, "family_ram: [] is not a size"),
    ("[workflow]\nname = 5", 2, 'name: 5 is no text of one line; write it as name = "..."'),
    ("[workflow]\nname = '''a\nb'''", 2, "is no text of one line"),
    ('[workflow]\nversion = "\\u001b[2J"', 2, "is no text of one line"),
    ("tasks = {default_allowed_hosts = [ # [\n 'a.com',\n # ,\n 5]}", 1, "default_allowed_hosts: 5 names no host"),
    ("[ceiling]\nallowed_hosts = [\n ''',[\n''', 'b.com'\n]", 3, "names no host"),
    ("[ceiling]\nallowed_hosts = [ # a\n 'a.com', 'b.com',\n\n # 'c d'\n 'c d' ]", 6, "'c d' names no host"),
    ("[tasks]\ndefault_env_variables = [\n 'A=1',\n 'B',\n 'A=2',\n 'C'\n]", 5, "A stands there twice"),
    ("[tasks]\ndefault_allowed_files = [\n {path = 'a'},\n {path = 'b', mode = 'x'}]", 4, "'x' is no mode"),
    ("[workflow]\nentrypoint = ':main'", 2, """':main' names no file; write it as "main.py:main\""""),
    ("[workflow]\nentrypoint = '/etc/passwd'", 2, "is no file of this project"),
    ("[workflow]\nentrypoint = '../other.py:main'", 2, "is no file of this project"),
    ('[workflow]\nentrypoint = "a\\u0000.py"', 2, "is no text of one line"),
    ("tasks = 5", 1, "[tasks] is a table"),
    ("[workflow]\n[[tasks]]\ndefault_ram = '1MB'", 2, "[tasks] is a table"),
    ("# x\ntasks = { default_ram = 5.5 }", 2, "default_ram: 5.5 is not a size"),
    ("tasks.default_ram = '1MB'\ntasks.default_timeout = 'x'", 2, "default_timeout: 'x' is not a duration"),
    ("\"tasks\".'default_ram' = ''", 1, "default_ram: '' is not a size"),
    ("['tasks']\n\"default_ram\" = ''", 2, "default_ram: '' is not a size"),
    ("[ tasks ] # [workflow]\n  default_ram=''", 2, "default_ram: '' is not a size"),
    ("[workflow]\nname = '''\n[tasks]\ndefault_ram = '''\n[tasks]\ndefault_ram = ''", 2, "is no text of one line"),
    ("[workflow]\nname = 'x'\r\n[tasks]\r\ndefault_ram = ''", 4, "default_ram: '' is not a size"),
    ("[tasks]\ndefault_timeout = '5s'\n[tasks.default_ram]\nx = 1", 3, "default_ram: {'x': 1} is not a size"),
    ("[workflow]\nname 'x'", 2, "this is not TOML: "),
    ("[workflow]\nname = 'x'\nname = 'y'", 3, "this is not TOML: "),
    ("[workflow]\n\nname = [1,\n", 3, "this is not TOML: "),
    ("[workflow]\n\n# deep\nname = " + "[" * 20_000 + "]" * 20_000, 4, "nested too deeply"),
    ("[workflow]\nname = " + "9" * 5_000, 2, "a number is too long"),
    ("\n[" + "[" * 16 + "]" * 16 + "]", 2, "nested too deeply"),
    ("\nx = " + "[{a=" * 9 + "1" + "}]" * 9, 2, "nested too deeply"),
    ("\nx = [{},\n{" + "a." * 17 + "a = 1}]", 3, "a name has too many parts"),
    ("\n['a" + "'.'a" * 17 + "']", 2, "a name has too many parts"),
    ("\n[[" + "a." * 17 + "a]]", 2, "a name has too many parts"),
    ("[a\n" * 20, 1, "this is not TOML: "),
    ("\n" * 3_000, 2_000, "more than 2,000 lines"),
]


@pytest.mark.parametrize(("text", "line", "words"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_what_is_wrong_and_where(text: str, line: int, words: str) -> None:
    """The line, the key, and what to write instead."""
    with pytest.raises(InvalidProject) as caught:
        Project.parse(text, path="capsule.toml")
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"capsule.toml:{line}: ")
    assert (caught.value.path, caught.value.line) == ("capsule.toml", line)


keys = st.sampled_from([key for known, _ in TABLES.values() for key in known] + ["x", "tasks", "default_"])
values = st.recursive(
    st.sampled_from(["'64MB'", '"5s"', "1", "-1", "1.5", "nan", "true", "2026-01-01", "'a.com'", "'''\n'''", "'*'"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.tuples(keys, inner).map(lambda pair: f"{{ {pair[0]} = {pair[1]} }}")
    ),
    max_leaves=4,
)
statements = (
    st.builds("{} = {}".format, keys, values)
    | st.builds("{}.{} = {}".format, st.sampled_from(sorted(TABLES)), keys, values)
    | st.sampled_from([f"[{name}]" for name in TABLES] + ["[[tasks]]", "[tasks.x]", "# x", "", "[", "'"])
)
texts = st.text() | st.lists(statements, max_size=8).map("\n".join)


@settings(max_examples=500)
@given(texts)
def test_any_text_is_a_project_or_an_error_with_a_line(text: str) -> None:
    """Nothing else is raised, and the line is one of the text's."""
    try:
        project = Project.parse(text)
    except InvalidProject as error:
        assert 1 <= error.line <= text.count("\n") + 1
    else:
        assert isinstance(project.policy, Policy)
        for right in RIGHTS:
            assert set(getattr(project.policy, right)) <= set(getattr(project.ceiling, right))


@given(
    st.lists(st.sampled_from(["# x", "", "a = 1", "b = [\n1,\n2]", "c = '''\n# no\n'''"]), unique=True), st.booleans()
)
def test_the_line_of_a_key(before: list[str], in_table: bool) -> None:
    """Whatever stands above it, lines of other statements included."""
    head = ["[tasks]"] if in_table else []
    text = "\n".join([*before, *head, "key = 1"])
    place = ("tasks", "key") if in_table else ("key",)
    assert line_of(text, place) == text.count("\n") + 1


SLOW = [
    ("[tasks]\nx = [\n", "[[[[[[[[[[[[1]]]]]]]]]]]],\n", "]\n"),
    ("[tasks]\ndefault_allowed_hosts = [\n", '"api.example.com",\n', "]\n[workflow]\nnmae = 1\n"),
    ("[tasks]\nx = [\n", "{a.b.c.d.e = 1},\n", "]\n"),
    ("[tasks]\nx = [\n", "1,\n", ""),
    ('[tasks]\nx = """\n', '""\n', ""),
    ("[workflow]\n", "k = 1\n", ""),
    ("x", ".a", " = 1"),
    ("[x", ".a", "]"),
    ("x = ", "[", ""),
    ("x = ", "{a = ", ""),
    ("x = ", "1", ""),
    ("x = 1.", "1", ""),
    ("x = ", "[],", ""),
    ("", '"', ""),
    ("", "'", ""),
    ('x = "', "\\", ""),
]


@pytest.mark.parametrize(("before", "item", "after"), SLOW, ids=[str(number) for number in range(len(SLOW))])
def test_an_error_is_found_in_linear_time(before: str, item: str, after: str) -> None:
    """Twice the file takes about twice as long, for anybody may write one."""

    def seconds(size: int) -> float:
        text = before + item * min(size // len(item), 1900) + after
        begin = time.thread_time()
        with pytest.raises(InvalidProject):
            Project.parse(text)
        return time.thread_time() - begin

    seconds(MAX_FILE // 8)  # what is loaded for the first error is loaded now
    half, whole = (min(seconds(size - 1000) for _ in range(3)) for size in (MAX_FILE // 2, MAX_FILE))
    assert whole < 3.5 * half + 0.02
    assert whole < 1


def reads(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


@settings(max_examples=500)
@given(texts | st.text(alphabet="a=.,[]{}\n\"'#\\ 1", max_size=60))
def test_a_line_is_that_of_its_statement(text: str) -> None:
    """For each name of a text that is TOML: what stands above its line does not say it, and with its line it does.

    Nothing but TooMuch and tomllib's own error is raised of any text.
    """
    text = text.replace("\r\n", "\n")
    try:
        check_shape(text)
    except TooMuch as error:
        assert 1 <= error.line <= text.count("\n") + 1
        return
    tables = reads(text)
    lines = text.split("\n")
    for table, value in (tables or {}).items():
        names = [(table, key) for key in value] if isinstance(value, dict) else []
        for place in [(table,), *names]:
            line = line_of(text, place)
            ends = range(line, len(lines) + 1)  # the statement may have more lines
            assert not has(reads("\n".join(lines[: line - 1])), place)
            assert has(next(filter(None, (reads("\n".join(lines[:end])) for end in ends)), None), place)


def has(value: Any, place: tuple[str, ...]) -> bool:
    for key in place:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    """That of the folder itself, else of the nearest above."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "capsule.toml").write_text("[workflow]\nname = 'outer'")
    assert Project.find(tmp_path / "a/b").name == "outer"
    (tmp_path / "a/capsule.toml").write_text("[workflow]\nname = 'inner'")
    found = Project.find(tmp_path / "a/b")
    assert (found.name, found.root) == ("inner", tmp_path / "a")
    assert Project.find(tmp_path).name == "outer"


def test_what_a_project_holds(tmp_path: Path) -> None:
    """Files below its folder; a link that leads out does not count, nor does a name that begins alike."""
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    project = Project.parse("", root=root)
    assert project.holds(root / "src/main.py")
    assert not project.holds(tmp_path / "main.py")
    assert not project.holds(root / "../main.py")
    assert not project.holds(tmp_path / "project2/main.py")
    assert not project.holds("\0")
    if sys.platform != "win32":
        (tmp_path / "out.py").write_text("")
        (root / "link.py").symlink_to(tmp_path / "out.py")
        assert not project.holds(root / "link.py")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: file.mkdir(), "no regular file"),
        (lambda file: os.mkfifo(file), "no regular file"),  # noqa: PLW0108 - Windows has no such name
        (lambda file: file.symlink_to("nowhere"), "No such file"),
        (lambda file: file.write_bytes(b"\n\n\xff"), "capsule.toml:3: the file is not UTF-8"),
        (lambda file: file.write_bytes(b"#" * (MAX_FILE + 1)), "larger than"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of POSIX")
def test_a_file_that_is_none(tmp_path: Path, make: Any, words: str) -> None:
    """What cannot be read is said, and a pipe holds nobody up."""
    make(tmp_path / "capsule.toml")
    with pytest.raises(InvalidProject, match=words):
        Project.find(tmp_path)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_grants_nothing(tmp_path: Path) -> None:
    """One in a folder above, which anybody might write to; in a folder of the same user it is that user's project."""
    own = tmp_path / "own"
    own.mkdir()
    file = tmp_path / "capsule.toml"
    file.write_text("[ceiling]\nallowed_hosts = ['*']")
    os.chown(file, 12345, 12345)
    with pytest.raises(InvalidProject, match="belongs to another user"):
        Project.find(own)
    os.chown(own, 12345, 12345)
    assert Project.find(own).ceiling.allowed_hosts == ("*",)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can give files away")
def test_a_link_of_another_user_grants_nothing(tmp_path: Path) -> None:
    """It could lead to a project of one's own, whose rights are for other programs."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/capsule.toml").write_text("[ceiling]\nallowed_hosts = ['*']")
    (tmp_path / "capsule.toml").symlink_to("mine/capsule.toml")
    (tmp_path / "other").mkdir()
    assert Project.find(tmp_path / "other").ceiling.allowed_hosts == ("*",)
    os.lchown(tmp_path / "capsule.toml", 12345, 12345)
    with pytest.raises(InvalidProject, match="belongs to another user"):
        Project.find(tmp_path / "other")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder that is in use")
def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no project where there is no folder."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert Project.find() is None


def test_the_ceiling_of_a_shell() -> None:
    """Options hold limits down and add rights; without a project there is no right."""
    project = Project.parse(WHOLE)
    assert ceiling_of(None).allowed_hosts == ()
    assert ceiling_of(None, {"ram": "1MB"}, {"allowed_hosts": ["a.com"]}).allowed_hosts == ("a.com",)
    held = ceiling_of(project, {"timeout": "1h", "ram": "1MB"}, {"allowed_hosts": ["a.com"]})
    assert (held.timeout_seconds, held.ram_bytes) == (10, 1 << 20)
    assert held.allowed_hosts == ("api.example.com", "*.example.org", "other.example.com", "a.com")
    for limits, rights in (({"ram": "much"}, {}), ({}, {"allowed_hosts": ["http://a"]})):
        with pytest.raises(InvalidPolicy):
            ceiling_of(project, limits, rights)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The error names the key as the file spells it, and its line."""
    for text, words in (
        ('[tasks]\n\ndefault_allowed_files = ["data"]', "3: default_allowed_files: 'data' is not there"),
        ('[ceiling]\nallowed_files = ["data"]', "2: allowed_files: 'data' is not there"),
    ):
        with pytest.raises(InvalidProject, match=words):
            Project.parse(text, root=tmp_path)
