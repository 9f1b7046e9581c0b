"""Text of strangers on its way to a terminal: what would steer the terminal is shown, not sent."""

from __future__ import annotations

import re

RESET = "\x1b[0m"

_COLOUR = r"\x1b\[[0-9:;]{0,60}m"
_MOST_HELD = 62
"""Characters of the longest colour sequence that is let through, without its last one."""

# The control characters of ASCII and Latin-1 but for newline, tab and carriage return; what turns the direction of
# text around; the line ends of Unicode; and halves of characters, which no terminal can be sent.
_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"

_SHOWN = re.compile(f"[\r{_CONTROLS}]")
_SHOWN_OR_COLOUR = re.compile(f"({_COLOUR})|[{_CONTROLS}]")
_ONLY_COLOUR = re.compile(_COLOUR)
_LIKE_OURS = re.compile(r"(?m)^(?=error:|capsule:|[<>~] )")
_UNFINISHED = re.compile(r"\x1b(\[[0-9:;]{0,60})?")


def visible(text: str) -> str:
    """`text` with its control characters written out, but for newlines and tabs."""
    return _SHOWN.sub(_written_out, text)


def one_line(text: str) -> str:
    """The same with newlines written out too: for the parts of a line of ours that are a stranger's."""
    return visible(text).replace("\n", "\\n")


def unlike_ours(text: str) -> str:
    """A guest's lines that begin as lines of ours do, further in."""
    return _LIKE_OURS.sub("  ", visible(text))


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def is_in_line(text: str, *, was_in_line: bool) -> bool:
    """Whether the cursor is behind the beginning of a line after `text` that a guard let pass; colours do not count."""
    _, newline, last = text.rpartition("\n")
    return (was_in_line and not newline) or bool(_ONLY_COLOUR.sub("", last))


class Guard:
    """What stands between a guest's text and one terminal, write by write.

    Colours pass, and so does a carriage return: it leads to the beginning of a line that the guest itself has begun,
    as long as nobody else's words stand there. What may be the beginning of a colour waits for the next write.
    """

    def __init__(self) -> None:
        self._held = ""
        self._is_coloured = False

    def passed(self, text: str) -> str:
        """The next piece of text, as it may be sent."""
        text = self._held + text
        begin = text.rfind("\x1b", max(0, len(text) - _MOST_HELD))
        cut = begin if begin >= 0 and _UNFINISHED.fullmatch(text, begin) else len(text)
        self._held = text[cut:]
        return _SHOWN_OR_COLOUR.sub(self._colour_or_written_out, text[:cut])

    def rest(self) -> str:
        """What has to be sent before somebody else's words: what waits, and the end of colours that are left on."""
        rest = visible(self._held) + (RESET if self._is_coloured else "")
        self._held, self._is_coloured = "", False
        return rest

    def _colour_or_written_out(self, found: re.Match[str]) -> str:
        if found[1] is None:
            return _written_out(found)
        self._is_coloured = found[1].strip("\x1b[m0;:") != ""
        return found[1]
