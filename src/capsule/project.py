"""The project file, `capsule.toml`: what the programs of a folder get by default, and what they may be granted.

    [workflow]
    name = "prices"
    version = "1.0"
    entrypoint = "main.py"               # what `capsule run` runs; "main.py:task" too

    [tasks]                              # for tasks and actors that do not say it themselves
    default_timeout = "10s"

    [ceiling]                            # for all of them, whatever they say
    ram = "256MB"
    allowed_hosts = ["api.example.com"]

The keys of `[tasks]` are the settings of `@task` with `default_` in front, those of `[ceiling]` the fields of Policy.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ._project_file import InvalidKey, bad_item, read_tables, table_of
from ._rights import RIGHTS, rights_of
from ._toml import line_of
from .errors import InvalidPolicy, InvalidProject
from .policy import Policy

__all__ = ["FILE_NAME", "RIGHTS", "Project", "ceiling_of", "target_of"]

FILE_NAME = "capsule.toml"

MAX_FILE = 64 << 10
"""Bytes of a project file; larger ones are not project files."""

_ENTRYPOINT = ("workflow", "entrypoint")


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of programs, as its `capsule.toml` describes it."""

    root: Path
    """The folder that the file stands in."""

    name: str = ""
    version: str = ""
    entrypoint: str | None = None
    """What `capsule run` runs: the path of a file inside the root, with ":name" behind it for one of its tasks."""

    policy: Policy = Policy()
    """What a task gets that declares nothing else: the defaults of `[tasks]`. For `Runtime(policy=...)`."""

    ceiling: Policy = rights_of(Policy())
    """What no task exceeds: `[ceiling]`, with the rights that `[tasks]` gives. For `Runtime(ceiling=...)`."""

    @classmethod
    def find(cls, folder: str | os.PathLike[str] = ".") -> Project | None:
        """The project that `folder` belongs to: its `capsule.toml`, or that of the nearest folder above; or None.

        Raises InvalidProject, as `read` does, and for a file above `folder` that belongs to another user of the
        machine: it would grant rights in your name.
        """
        try:
            start = Path(os.path.abspath(folder))
        except OSError:  # the current folder is gone
            return None
        for place in (start, *start.parents):
            file = place / FILE_NAME
            if os.path.lexists(file):
                _check_owner(file, start)
                return cls.read(file)
        return None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Project:
        """The project that the file at `path` describes.

        Raises InvalidProject, with the line, for a file that cannot be read, is no TOML, has a key that is not known
        or a value that is wrong.
        """
        file = Path(os.path.abspath(path))
        return cls.parse(_text_of(file), root=file.parent, path=_shown(file))

    @classmethod
    def parse(cls, text: str, *, root: str | os.PathLike[str] = ".", path: str = FILE_NAME) -> Project:
        """The same for the text of such a file, which stands in the folder `root` and which errors call `path`."""
        text = _normal(text)
        tables = read_tables(text, path)
        try:
            workflow, defaults, limits = (table_of(tables, name) for name in ("workflow", "tasks", "ceiling"))
            _check_entrypoint(workflow.get("entrypoint"), Path(root))
        except InvalidKey as error:
            raise InvalidProject(error.reason, path=path, line=line_of(text, error.place, error.item)) from None
        policy = Policy().with_settings(_found(defaults, "tasks", text, root, path))
        ceiling = _ceiling(policy, _found(limits, "ceiling", text, root, path))
        return cls(root=Path(os.path.abspath(root)), policy=policy, ceiling=ceiling, **workflow)

    def holds(self, file: str | os.PathLike[str]) -> bool:
        """Whether `file` lies in this project; links are followed, so one that leads out of it does not."""
        return _is_inside(Path(file), self.root)


def ceiling_of(
    project: Project | None, limits: Mapping[str, Any] | None = None, rights: Mapping[str, Iterable[Any]] | None = None
) -> Policy:
    """What programs may be granted: the limits and rights of `project`, held to `limits`, and with `rights` added.

    Without a project, any limit and no right. Raises InvalidPolicy for a limit or right that does not parse.
    """
    base = project.ceiling if project is not None else rights_of(Policy())
    added = {name: (*getattr(base, name), *items) for name, items in (rights or {}).items()}
    ceiling = base.with_settings(added)
    return ceiling.within(ceiling.with_settings(dict(limits or {})))


def target_of(project: Project) -> str | None:
    """The entrypoint of `project`, in full; None if it has none. For those who run it: a project is as good without.

    Raises InvalidProject, with the line, if it is not there.
    """
    if project.entrypoint is None:
        return None
    place = project.root / _file_of(project.entrypoint)
    is_folder = place.is_dir()
    if place.exists() and not is_folder:
        return str(project.root / project.entrypoint)
    what = "is a folder; name the .py file in it" if is_folder else "is not there; give its path below this folder"
    file = project.root / FILE_NAME
    line = line_of(_normal(_text_of(file)), _ENTRYPOINT)
    raise InvalidProject(f"entrypoint: {project.entrypoint!r} {what}", path=_shown(file), line=line)


def _ceiling(policy: Policy, limits: dict[str, Any]) -> Policy:
    ceiling = rights_of(policy).with_settings({name: value for name, value in limits.items() if name not in RIGHTS})
    more = Policy().with_settings({name: value for name, value in limits.items() if name in RIGHTS})
    return ceiling.with_settings({name: (*getattr(policy, name), *getattr(more, name)) for name in RIGHTS})


def _found(settings: dict[str, Any], table: str, text: str, root: str | os.PathLike[str], path: str) -> dict[str, Any]:
    """`settings` with the real paths of their folders, which lie below `root`. Raises InvalidProject."""
    found = dict(settings)
    for name in ("allowed_files", "mounts"):
        if name not in settings:
            continue
        key = f"default_{name}" if table == "tasks" else name

        def anchored(value: Any, name: str = name) -> Any:
            return getattr(Policy().with_settings({name: value}).anchored(root, inside=True), name)

        try:
            found[name] = anchored(settings[name])
        except InvalidPolicy as error:
            reason = f"{key}{str(error).removeprefix(name)}"
            line = line_of(text, (table, key), bad_item(settings[name], anchored))
            raise InvalidProject(reason, path=path, line=line) from None
    return found


def _check_entrypoint(entrypoint: str | None, root: Path) -> None:
    if entrypoint is None:
        return
    place = _file_of(entrypoint)
    if not place:
        raise InvalidKey(f'entrypoint: {entrypoint!r} names no file; write it as "main.py{entrypoint}"', _ENTRYPOINT)
    if Path(place).is_absolute() or not _is_inside(root / place, root):
        reason = f"entrypoint: {entrypoint!r} is no file of this project; give its path below this folder"
        raise InvalidKey(reason, _ENTRYPOINT)


def _file_of(entrypoint: str) -> str:
    """Without the name of a task."""
    path, colon, name = entrypoint.rpartition(":")
    return path if colon and name.isidentifier() else entrypoint


def _normal(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _is_inside(file: Path, folder: Path) -> bool:
    try:
        return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder))
    except (OSError, ValueError):  # no path at all, such as one with a NUL
        return False


def _check_owner(file: Path, start: Path) -> None:
    """Whoever can write into a folder above ours, such as a shared one for temporary files, could put one there."""
    if sys.platform == "win32":
        return
    try:
        owners = {file.lstat().st_uid, file.stat().st_uid}  # a link of theirs could lead to another project of ours
        trusted = {0, os.getuid(), start.stat().st_uid}
    except OSError:
        return  # reading it will say what is wrong
    if not owners <= trusted:
        reason = "the file belongs to another user, and would grant rights in your name; remove it, or make it yours"
        raise InvalidProject(reason, path=_shown(file), line=1)


def _text_of(file: Path) -> str:
    shown = _shown(file)
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # before it is opened: a pipe would not answer
            raise InvalidProject("this is no regular file", path=shown, line=1)
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is no path"
        raise InvalidProject(f"cannot read the file ({reason})", path=shown, line=1) from None
    if len(data) > MAX_FILE:
        raise InvalidProject(f"the file is larger than {MAX_FILE:,} bytes", path=shown, line=1)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidProject("the file is not UTF-8", path=shown, line=line) from None


def _shown(file: Path) -> str:
    """As a person at the current folder writes it."""
    try:
        return Path(os.path.relpath(file)).as_posix()
    except (OSError, ValueError):  # the current folder is gone, or on another drive
        return file.name
