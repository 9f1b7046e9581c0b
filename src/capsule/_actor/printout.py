"""What a guest prints in one attempt: kept, and passed on without values of secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._secrets import Secrets

if TYPE_CHECKING:  # as in _secrets
    from .._scrubbing import TextScrubber


class Printout:
    """The text of one attempt by stream. `pass_on` hears of it as it comes: the stream and the text."""

    def __init__(self, secrets: Secrets, pass_on: Callable[[str, str], None]) -> None:
        self._secrets, self._pass_on = secrets, pass_on
        self._kept: dict[str, list[str]] = {}
        self._scrubbers: dict[str, TextScrubber] = {}

    def add(self, stream: str, text: str) -> None:
        """The guest printed `text`. The end of it waits if it may be the beginning of a secret."""
        if self._secrets:
            scrubber = self._scrubbers.setdefault(stream, self._secrets.text_scrubber())
            text = scrubber.feed(text)
        self._add(stream, text)

    def end(self, *, is_cut: bool) -> None:
        """It prints nothing more. What waits is dropped if the text is cut: it may be the first part of a secret."""
        for stream, scrubber in self._scrubbers.items():
            if not is_cut:
                self._add(stream, scrubber.rest())

    def text(self, stream: str) -> str:
        """All that came on a stream."""
        return "".join(self._kept.get(stream, ()))

    def _add(self, stream: str, text: str) -> None:
        if text:
            self._kept.setdefault(stream, []).append(text)
            self._pass_on(stream, text)
