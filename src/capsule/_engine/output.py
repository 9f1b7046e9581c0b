"""What a guest prints, passed on up to a cap."""

from __future__ import annotations

from collections.abc import Callable

from .calls import Refused, nobody

STREAMS = {1: "stdout", 2: "stderr"}


class Output:
    """Passes text on until `limit` bytes of UTF-8 are spent; the rest is dropped, and `is_truncated` says so."""

    def __init__(self, limit: int, on_text: Callable[[str, str], None]) -> None:
        self._left = limit
        self._on_text = on_text
        self.is_truncated = False

    def renew(self, limit: int) -> None:
        """A new message begins: it has its own share."""
        self._left, self.is_truncated = limit, False

    def close(self) -> None:
        """Nobody hears of it any more."""
        self._on_text = nobody

    @property
    def room(self) -> int:
        """Bytes that are still passed on: no more than this needs to be copied from the guest."""
        return self._left

    def write(self, stream: int, data: bytes, size: int) -> None:
        """Pass on `data`, the beginning of a text of `size` bytes. Raises Refused for an unknown stream."""
        if stream not in STREAMS:
            raise Refused(f"there is no stream {stream}")
        kept = data[: self._left]
        self._left -= len(kept)
        self.is_truncated = self.is_truncated or len(kept) < size
        text = kept.decode("utf-8", "ignore")  # the cap may have cut a character in two
        if text:
            self._on_text(STREAMS[stream], text)
