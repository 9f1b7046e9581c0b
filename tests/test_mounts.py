"""Folders and variables of a policy: how they are written, what a ceiling leaves of them, and where folders may lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capsule import InvalidPolicy, Policy
from capsule._mounts import Mount, anchored, beyond, narrowed, normal_mounts
from capsule._variables import variables_beyond, variables_narrowed, variables_of
from capsule.policy import project_root

posix = pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")


@posix
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("./data", ("data", "/data", "ro")),
        ("data", ("data", "/data", "ro")),
        ("data/", ("data", "/data", "ro")),
        ("data//a/./b", ("data/a/b", "/data/a/b", "ro")),
        (".", (".", "/", "ro")),
        ("data:rw", ("data", "/data", "rw")),
        ("data:ro", ("data", "/data", "ro")),
        ("data::/d", ("data", "/d", "ro")),
        ("data::/d/e/:rw", ("data", "/d/e", "rw")),
        ("/srv/data", ("/srv/data", "/srv/data", "ro")),
        ("/srv/data::/d:rw", ("/srv/data", "/d", "rw")),
        ("a:b", ("a:b", "/a:b", "ro")),
        ({"path": "./out", "mode": "read-write"}, ("out", "/out", "rw")),
        ({"path": "out", "mode": "rw"}, ("out", "/out", "rw")),
        ({"path": "out", "mode": "read-only"}, ("out", "/out", "ro")),
        ({"path": "out", "mode": "ro"}, ("out", "/out", "ro")),
        ({"path": "out"}, ("out", "/out", "ro")),
        ({"path": "a::/b:rw"}, ("a::/b:rw", "/a::/b:rw", "ro")),
    ],
)
def test_spellings(value: object, expected: tuple[str, str, str]) -> None:
    """Each way to write a folder."""
    mount = Mount.parse(value)  # type: ignore[arg-type]
    assert (mount.host, mount.guest, mount.mode) == expected
    assert Mount.parse(mount) == mount


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "..",
        "a/..",
        "a/../b",
        "~",
        "~/x",
        "a\0b",
        "a\nb",
        "a::",
        "a::b",
        "a::/..",
        "a::/b/../c",
        5,
        None,
        {},
        {"path": "a", "more": 1},
        {"path": "a", "mode": "w"},
        {"path": "a", "mode": 5},
        "a" * 2000,
        {"mode": "ro"},
    ],
)
def test_no_spelling(value: object) -> None:
    """What is no folder says so, with an example."""
    with pytest.raises(InvalidPolicy, match=r"^allowed_files: .*\./data"):
        Policy(allowed_files=[value])  # type: ignore[arg-type]


def test_one_name_inside() -> None:
    """Two folders cannot have one name; of two modes of one folder the wider holds."""
    with pytest.raises(ValueError, match="both be called /x"):
        normal_mounts(["a::/x", "b::/x"])
    assert normal_mounts(["a", "a:rw", "a:ro"]) == (Mount("a", "/a", "rw"),)
    assert [mount.mode for mount in Policy(allowed_files=["a"], mounts=["a:rw"]).folders] == ["rw"]  # type: ignore[list-item]


names = st.sampled_from(["a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
mounts = st.builds(lambda path, mode: Mount(path, f"/{path}", mode), paths, st.sampled_from(["ro", "rw"]))
folders = st.lists(mounts, max_size=4).map(normal_mounts)


def rights(given_mounts: tuple[Mount, ...], path: str) -> str:
    """What can be done at a path of the host, by any of the mounts."""
    modes = [mount.mode for mount in given_mounts if PurePosixPath(path).is_relative_to(mount.host)]
    return "rw" if "rw" in modes else "ro" if modes else ""


@example(
    (Mount("a", "/a", "rw"), Mount("a/a", "/a/a", "ro")), (Mount("a", "/a", "rw"), Mount("a/a", "/a/a", "rw")), "a"
)
@given(folders, folders, paths)
def test_a_ceiling(wanted: tuple[Mount, ...], ceiling: tuple[Mount, ...], path: str) -> None:
    """At each path of the machine, a policy below a ceiling allows what both allow, under the name it had."""
    left = narrowed(wanted, ceiling)
    both = min(rights(wanted, path), rights(ceiling, path), key=["", "ro", "rw"].index)
    assert rights(left, path) == both
    assert all(mount.guest == f"/{mount.host}" for mount in left)
    assert (beyond(wanted, ceiling) == ()) is all(mount in left for mount in wanted)


@given(folders)
def test_no_ceiling_gives_more(wanted: tuple[Mount, ...]) -> None:
    """Nothing is left below nothing, and all of it below itself."""
    assert narrowed(wanted, []) == ()
    assert beyond(wanted, wanted) == ()


@posix
def test_where_folders_lie(tmp_path: Path) -> None:
    """Real paths below the root; links may lead to inside, not to outside."""
    root = tmp_path / "root"
    (root / "data" / "sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (root / "in").symlink_to("data/sub")
    (root / "out").symlink_to("../other")
    (root / "file").touch()
    found = anchored(normal_mounts(["data", "in:rw"]), root, inside=True)
    real = os.path.realpath(root)
    assert found == (Mount(f"{real}/data", "/data", "ro"), Mount(f"{real}/data/sub", "/in", "rw"))
    assert anchored(found, root, inside=True) == found
    for bad in ("out", "file", "nowhere", str(tmp_path / "other"), "/", "/proc", "/dev", "/sys"):
        with pytest.raises(ValueError, match=r"folder|outside|not there"):
            anchored(normal_mounts([bad]), root, inside=True)
    (allowed,) = anchored(normal_mounts([str(tmp_path / "other")]), root, inside=False)
    assert allowed.host == os.path.realpath(tmp_path / "other")
    for bad in ("/", "/proc", "/proc/self", "/dev", "/sys"):
        with pytest.raises(ValueError, match="not given to any sandbox"):
            anchored(normal_mounts([bad]), root, inside=False)
    with pytest.raises(InvalidPolicy, match=r"^mounts: 'nowhere' is not there; make the folder first"):
        Policy(mounts=["nowhere"]).anchored(root)  # type: ignore[list-item]


@posix
def test_relative_paths_stay_below(tmp_path: Path) -> None:
    """A policy's relative path does not leave the current folder by a link, and the refusal names what to write."""
    here = tmp_path / "here"
    for folder in ("here/data", "elsewhere/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (here / "link").symlink_to("../elsewhere")
    (here / "near").symlink_to("data")
    assert [mount.host for mount in anchored(normal_mounts(["near"]), here, inside=False)] == [
        os.path.realpath(here / "data")
    ]
    for bad in ("link", "link/deep"):
        with pytest.raises(ValueError, match=r"is a link to '.*elsewhere.*write where it leads to"):
            anchored(normal_mounts([bad]), here, inside=False)


@pytest.mark.parametrize("mark", ["capsule.toml", "pyproject.toml", ".git"])
def test_a_project_root(tmp_path: Path, mark: str) -> None:
    """The nearest folder above with a project file or a repository."""
    deep = tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "project" / mark).touch()
    assert project_root(deep / "file.py") == os.path.realpath(tmp_path / "project")


def test_no_project_root(tmp_path: Path) -> None:
    """Without one, the file's own folder."""
    assert project_root(tmp_path / "file.py") == os.path.realpath(tmp_path)


def test_policies_below_a_ceiling() -> None:
    """Folders of either kind, the workspace and variables; a ceiling's mounts count as much as its files."""
    policy = Policy(allowed_files=["a:rw"], mounts=["b"], workspace="10MB", env_variables=["A", "B=1", "C"])  # type: ignore[arg-type]
    cut = policy.within(Policy(allowed_files=["b"], mounts=["a"], workspace="1MB", env_variables=["A", "B"]))  # type: ignore[arg-type]
    assert [str(mount) for mount in (*cut.allowed_files, *cut.mounts)] == ["a", "b"]
    assert (cut.workspace_bytes, cut.env_variables) == (1 << 20, ("A", "B=1"))
    for ceiling in (Policy(), Policy.largest()):
        none = policy.within(ceiling)
        assert (none.allowed_files, none.mounts, none.env_variables) == ((), (), ())
    assert (policy.within(Policy()).workspace, policy.within(Policy.largest()).workspace) == (None, 10 << 20)
    assert Policy().within(Policy.largest()).workspace is None


def test_variables() -> None:
    """Values, defaults, and what is missing."""
    found, missing = variables_of(("A", "B=1", "C", "D=x=y"), {"A": "a", "B": "b", "Z": "z"})
    assert (found, missing) == ({"A": "a", "B": "b", "D": "x=y"}, ["C"])
    assert variables_narrowed(("A=1", "B"), ("A",)) == ("A=1",)
    assert variables_beyond(("A=1", "B=2"), ("A",)) == ("B",)
