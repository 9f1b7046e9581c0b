"""What may be asked for: names from the configured index, with versions and extras, and nothing else.

A line may come from a program that nobody trusts, and a tool that reads it is no sandbox. So a line is taken apart
here, and what is handed on is put together anew from its parts: no option, address, path or file name survives.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidName, canonicalize_name

from ..errors import InvalidPackages

__all__ = ["ENVIRONMENT", "GUEST_PYTHON", "applies", "parse", "parse_all", "read_file"]

GUEST_PYTHON = "3.14.0"
ENVIRONMENT = {
    "implementation_name": "cpython",
    "implementation_version": GUEST_PYTHON,
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_python_implementation": "CPython",
    "platform_release": "0.0.0",
    "platform_system": "wasi",
    "platform_version": "0.0.0",
    "python_full_version": GUEST_PYTHON,
    "python_version": "3.14",
    "sys_platform": "wasi",
}
"""What conditions such as `python_version < "3.11"` are asked of: the sandbox, not the host."""

MOST_REQUIREMENTS = 100
MOST_LINE = 500
MOST_FILE = 64 << 10
_ALLOWED = "give a name with versions, such as \"toolz>=1\" or 'requests[socks]'"


def parse_all(lines: Iterable[object]) -> tuple[str, ...]:
    """The requirements in `lines`, each written in the one way that this room writes them, sorted, without twins.

    One whose condition does not hold inside the sandbox is left out. Raises InvalidPackages.
    """
    if isinstance(lines, str):
        raise InvalidPackages(f"packages: {lines[:MOST_LINE]!r} is one text; give a list of them")
    found: set[str] = set()
    for number, line in enumerate(lines, 1):
        if number > MOST_REQUIREMENTS:
            raise InvalidPackages(f"more than {MOST_REQUIREMENTS} packages are asked for; each may bring others along")
        requirement = parse(line)
        if applies(requirement.marker):
            found.add(written(requirement))
    return tuple(sorted(found))


def parse(line: object) -> Requirement:
    """One requirement. Raises InvalidPackages for whatever is more than a name, extras, versions and a condition."""
    if not isinstance(line, str):
        raise InvalidPackages(f"a package is asked for by text, not {type(line).__name__}; {_ALLOWED}")
    shown = repr(line if len(line) <= MOST_LINE else line[:40] + "...")
    if len(line) > MOST_LINE or not line.isprintable() or not line.isascii():
        raise InvalidPackages(f"{shown} is no name of a package; {_ALLOWED}")
    try:
        requirement = Requirement(line)
        for name in (requirement.name, *requirement.extras):
            canonicalize_name(name, validate=True)  # a requirement may end in "_", which no name does
    except (InvalidRequirement, InvalidName, RecursionError):
        raise InvalidPackages(f"{shown} is no name of a package; {_ALLOWED}") from None
    if requirement.url is not None:
        name = canonicalize_name(requirement.name)
        raise InvalidPackages(
            f"{name} is asked for by an address; packages come from the configured index, by name only", package=name
        )
    if any(specifier.operator == "===" for specifier in requirement.specifier):
        raise InvalidPackages(f"{shown}: === compares text, not versions; use ==")
    return requirement


def written(requirement: Requirement) -> str:
    """A requirement without its condition, as text that pip takes."""
    extras = sorted(canonicalize_name(extra) for extra in requirement.extras)
    shown = f"[{','.join(extras)}]" if extras else ""
    return f"{canonicalize_name(requirement.name)}{shown}{in_order(requirement.specifier)}"


def in_order(specifiers: SpecifierSet) -> str:
    """The versions that `specifiers` ask for, always in the same order."""
    return ",".join(sorted(str(specifier) for specifier in specifiers))


def applies(marker: Marker | None, extras: Sequence[str] = ()) -> bool:
    """Whether a condition holds inside the sandbox, with one of `extras` or without any."""
    if marker is None:
        return True
    try:
        return any(marker.evaluate({**ENVIRONMENT, "extra": extra}) for extra in ("", *extras))
    except (UndefinedComparison, UndefinedEnvironmentName, ValueError):
        return False


def read_file(path: str | os.PathLike[str]) -> list[str]:
    """What a requirements file of the user's asks for, without comments. Raises InvalidPackages, with the line."""
    name = os.fspath(path)
    try:
        with Path(name).open("rb") as opened:
            data = opened.read(MOST_FILE + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InvalidPackages(f"cannot read the requirements file {name}: {error.strerror}") from None
    except ValueError:
        raise InvalidPackages(f"the requirements file {name} is no UTF-8 text") from None
    if len(data) > MOST_FILE:
        raise InvalidPackages(f"the requirements file {name} is larger than {MOST_FILE:,} bytes")
    wanted = []
    for number, line in _joined(text):
        if re.search(r"\s--hash\b", line):
            raise InvalidPackages(
                f"{name}:{number}: hashes are not checked here, and so not taken; write the file without them "
                "(uv: --no-hashes, pip-compile: no --generate-hashes)"
            )
        if line.startswith("-"):
            raise InvalidPackages(
                f"{name}:{number}: {line[:80]!r} is an option, and only packages are read; {_ALLOWED}"
            )
        try:
            parse(line)
        except InvalidPackages as error:
            raise InvalidPackages(f"{name}:{number}: {error.reason}", package=error.package) from None
        wanted.append(line)
    return wanted


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Each line that says something, with its number; one that ends in a backslash goes on in the next, as for pip."""
    begun: list[str] = []
    first = 1
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        line = re.sub(r"(^|\s)#.*", "", raw)
        first = first if begun else number
        begun.append(line.rstrip().removesuffix("\\"))
        if not line.rstrip().endswith("\\"):
            if whole := "".join(begun).strip():
                yield first, whole
            begun = []
