"""Inline script metadata (PEP 723): the block of comments in which a file says which packages it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .._toml import TooMuch, check_shape
from ..errors import InvalidPackages, InvalidProgram

__all__ = ["requirements_in"]

MOST_BLOCK = 64 << 10
"""Characters of the block. It may be a stranger's."""

_START, _END = "# /// script", "# ///"


def requirements_in(source: str, path: str) -> tuple[str, ...]:
    """The packages that `source` declares in a `# /// script` block; none without one.

    Raises InvalidProgram, with the line of the block, if it cannot be read, asks for something that is no package, or
    for another Python than the sandbox has. `[tool]` tables are left to their tools.
    """
    if _START not in source:
        return ()
    found = _block(source, path)
    if found is None:
        return ()
    line, text = found
    try:
        return _read(text)
    except InvalidPackages as error:
        raise InvalidProgram(str(error)[:500], path=path, line=line) from None
    except TooMuch as error:
        raise InvalidProgram(f"the script metadata: {error.reason}", path=path, line=line + error.line) from None
    except ValueError as error:
        reason, below = _without_line(str(error))
        raise InvalidProgram(f"the script metadata is no TOML: {reason}"[:500], path=path, line=line + below) from None


def _without_line(said: str) -> tuple[str, int]:
    """What is wrong, and on which line of the block, which the text counts in its own way."""
    at = re.search(r" \(at line (\d+), column \d+\)$", said)
    return (said[: at.start()], int(at[1])) if at else (said, 0)


def _block(source: str, path: str) -> tuple[int, str] | None:
    """The line on which the block starts, and its content."""
    found: tuple[int, str] | None = None
    for line, run in _runs(source):
        start = next((n for n, text in enumerate(run) if text.rstrip() == _START), None)
        end = next((n for n in range(len(run) - 1, -1, -1) if run[n].rstrip() == _END), None)
        if start is None or end is None or end < start:
            continue  # never closed, and so no block
        if found is not None:
            raise InvalidProgram("a second block of script metadata; one is allowed", path=path, line=line + start)
        text = "\n".join(each[2:] for each in run[start + 1 : end])
        if len(text) > MOST_BLOCK:
            reason = f"the script metadata is larger than {MOST_BLOCK:,} characters"
            raise InvalidProgram(reason, path=path, line=line + start)
        found = (line + start, text)
    return found


def _runs(source: str) -> Iterator[tuple[int, list[str]]]:
    """Lines of comments without another line between them, with the number of the first: a block lies within one.

    Each line is looked at once: a file may consist of beginnings of blocks.
    """
    run: list[str] = []
    for number, line in enumerate([*source.split("\n"), ""], 1):
        if line.rstrip() == "#" or line.startswith("# "):
            run.append(line)
        elif run:
            yield number - len(run), run
            run = []


def _read(text: str) -> tuple[str, ...]:
    import tomllib  # most files have no block

    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    from .requirements import GUEST_PYTHON, parse_all

    check_shape(text)
    read = tomllib.loads(text)
    wanted, python = read.get("dependencies", []), read.get("requires-python", "")
    if not isinstance(wanted, list):
        raise InvalidPackages('dependencies is a list of texts, such as ["toolz>=1"]')
    if not isinstance(python, str):
        raise InvalidPackages('requires-python is a text, such as ">=3.11"')
    try:
        suits = SpecifierSet(python).contains(GUEST_PYTHON)
    except InvalidSpecifier:
        raise InvalidPackages(f"requires-python: {python[:80]!r} is no range of versions, such as '>=3.11'") from None
    if not suits:
        raise InvalidPackages(f"the file asks for Python {python[:80]}, and the sandbox runs {GUEST_PYTHON}")
    return parse_all(wanted)
