"""Source text to a syntax tree, and errors that point into the text."""

from __future__ import annotations

import ast
import contextlib
import re
import sys
import warnings
from collections.abc import Iterator

from ..errors import InvalidProgram

__all__ = ["MAX_SOURCE", "lines_of", "parse", "refusal", "too_deep"]

MAX_SOURCE = 4 << 20
"""Bytes of UTF-8; reading a larger file would hold the host for many seconds."""

MOST_IN_CHAIN = 5_000
"""Names in one `a.b.c`: CPython's parser takes time with their square, half a second for twenty thousand."""

_CHAIN = r"(?:\.\s*\w++)++"  # possessive, so that looking takes time with the length alone
_GUEST_PYTHON = (3, 14)
_MOST_EXCERPT = 160


def parse(source: str, path: str) -> ast.Module:
    """The syntax tree of `source`, which the errors call `path`. Nothing is executed.

    Raises InvalidProgram, with line and excerpt where they are known, for whatever is not Python.
    """
    _check_text(source, path)
    try:
        with too_deep(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where warnings are errors, an old escape must not refuse a program
            return ast.parse(source, path)
    except SyntaxError as error:
        raise _syntax_refusal(error, source, path) from None
    except ValueError:  # how older releases report NUL
        raise InvalidProgram("the source holds characters that Python cannot read", path=path) from None


@contextlib.contextmanager
def too_deep(path: str) -> Iterator[None]:
    """Turn running out of stack over a deeply nested source into InvalidProgram."""
    try:
        yield
    except (RecursionError, MemoryError):
        raise InvalidProgram("the source is nested too deeply to be read", path=path) from None


def lines_of(source: str) -> list[str]:
    """The lines of `source` as Python counts them, without their ends."""
    return re.split(r"\r\n|\r|\n", source)


def refusal(reason: str, source: str, path: str, node: ast.AST | int | None) -> InvalidProgram:
    """An InvalidProgram that points at `node`, or at the start of a line, in `source`."""
    line = node if isinstance(node, int) else getattr(node, "lineno", None)
    lines = lines_of(source)
    if line is None or not 0 < line <= len(lines):
        return InvalidProgram(reason, path=path)
    text = lines[line - 1]
    if isinstance(node, int):
        column = len(text) - len(text.lstrip())
    else:
        column = len(text.encode("utf-8", "replace")[: getattr(node, "col_offset", 0)].decode("utf-8", "ignore"))
    return InvalidProgram(reason, path=path, line=line, excerpt=_excerpt(text, column))


def _check_text(source: str, path: str) -> None:
    if "\0" in source:
        line = source[: source.index("\0")].count("\n") + 1
        raise InvalidProgram("the source holds a NUL byte, so it is not Python text", path=path, line=line)
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        raise InvalidProgram("the source holds half a character (a lone surrogate)", path=path) from None
    for chain in re.finditer(_CHAIN, source) if source.count(".") > MOST_IN_CHAIN else ():
        if chain[0].count(".") > MOST_IN_CHAIN:
            line = source[: chain.start()].count("\n") + 1
            reason = f"more than {MOST_IN_CHAIN:,} names in one chain of dots, which takes too long to read"
            raise InvalidProgram(reason, path=path, line=line)
    if size > MAX_SOURCE:
        raise InvalidProgram(f"the source has {size:,} bytes; the most is {MAX_SOURCE:,}", path=path)


def _syntax_refusal(error: SyntaxError, source: str, path: str) -> InvalidProgram:
    reason = f"{error.msg}{_hint(error)}"
    lines = lines_of(source)
    if not error.lineno or not 0 < error.lineno <= len(lines):
        return InvalidProgram(reason, path=path)
    column = max((error.offset or 1) - 1, 0)
    return InvalidProgram(reason, path=path, line=error.lineno, excerpt=_excerpt(lines[error.lineno - 1], column))


def _hint(error: SyntaxError) -> str:
    if sys.version_info >= _GUEST_PYTHON or isinstance(error, IndentationError):
        return ""
    host = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return f" (declarations are read by this host's Python {host}, which does not know newer syntax)"


def _excerpt(text: str, column: int) -> str:
    """`text` with a caret under `column`; of a very long line, what stands around it."""
    start = max(0, column - _MOST_EXCERPT // 2) if len(text) > _MOST_EXCERPT else 0
    text = text[start : start + _MOST_EXCERPT].rstrip()
    column = min(column - start, len(text))
    padding = "".join("\t" if char == "\t" else " " for char in text[:column])
    return f"{text}\n{padding}^"
