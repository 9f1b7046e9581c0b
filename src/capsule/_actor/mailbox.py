"""The messages of one actor: a bounded queue, and in front of it those who wait for room.

Order is kept for each sender and for all of them: whoever came first is served first. Every letter that goes in comes
out once: taken by the actor, withdrawn by its sender, or handed back when the mailbox closes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..errors import ActorStopped, MailboxFull

if TYPE_CHECKING:
    from .._backend import Event
    from .letter import Letter


_NOBODY: Final[OrderedDict[Letter, Event]] = OrderedDict()
"""Stays empty: who waits for room is kept once somebody does, and most mailboxes of thousands never have any."""


class Mailbox:
    """Holds letters until the actor takes them. `label` names the actor in errors, and
    `new_event` makes what is waited for.

    At most `size` letters have room at once, and at most `max_text` characters of them together: what waits for an
    actor is memory of the host, and no guest may fill that. One letter always has room.
    """

    def __init__(self, label: str, size: int, max_text: int, new_event: Callable[[], Event]) -> None:
        self._label, self._size, self._max_text = label, size, max_text
        self._text = 0
        self._letters: OrderedDict[Letter, None] = OrderedDict()
        self._senders: OrderedDict[Letter, Event] = _NOBODY
        self._new_event = new_event
        self._arrival: Event | None = None  # set when there is something to do for an actor that waits
        self.closed_because: str | None = None
        """Why nothing more comes in, once it is closed."""

    def __len__(self) -> int:
        """Letters that wait, and those that wait for room."""
        return len(self._letters) + len(self._senders)

    @property
    def is_empty(self) -> bool:
        """Whether the actor would have to wait."""
        return not self._letters

    @property
    def is_awaited(self) -> bool:
        """Whether the actor waits here, and there is nothing for it: whoever comes now is the first."""
        return self._arrival is not None and not self._letters and not self._senders and self.closed_because is None

    async def put(self, letter: Letter) -> None:
        """Put a letter in, after waiting for room.

        Raises ActorStopped if the mailbox is closed, or closes meanwhile. Cancelling leaves nothing behind.
        """
        if self.try_put(letter):
            return
        if self._senders is _NOBODY:
            self._senders = OrderedDict()
        room = self._senders[letter] = self._new_event()
        try:
            await room.wait()
        except BaseException:
            if self._senders.pop(letter, None) is None:
                self.withdraw(letter)  # room came in the moment of the cancellation
            else:
                self._admit()  # it may have been the one that did not fit
            raise
        if self.closed_because is not None and letter not in self._letters and not letter.is_taken:
            raise ActorStopped(self._label, self.closed_because)

    def put_nowait(self, letter: Letter) -> None:
        """Put a letter in now. Raises MailboxFull if there is no room, and ActorStopped."""
        if not self.try_put(letter):
            raise MailboxFull(self._label, len(self))

    def try_put(self, letter: Letter) -> bool:
        """Whether there was room. Raises ActorStopped if the mailbox is closed."""
        if self.closed_because is not None:
            raise ActorStopped(self._label, self.closed_because)
        if self._senders or not self._has_room(letter):
            return False
        self._add(letter)
        self.poke()
        return True

    def withdraw(self, letter: Letter) -> bool:
        """Take a letter back. False if it is not here any more."""
        if letter not in self._letters:
            return False
        del self._letters[letter]
        self._text -= letter.size
        self._admit()
        return True

    def take(self) -> Letter | None:
        """The next letter for the actor, or None."""
        if not self._letters:
            return None
        letter, _ = self._letters.popitem(last=False)
        self._text -= letter.size
        letter.is_taken = True
        self._admit()
        return letter

    async def wait(self) -> None:
        """Wait until there is a letter, until the mailbox closes, or until somebody pokes. Only the actor does so."""
        if self._letters or self.closed_because is not None:
            return
        self._arrival = self._new_event()
        try:
            await self._arrival.wait()
        finally:
            self._arrival = None

    def poke(self) -> None:
        """Make the actor look around."""
        if self._arrival is not None:
            self._arrival.set()

    def close(self, because: str) -> None:
        """Let nothing more in; the first reason holds. Those who wait for room are refused, what is in stays in."""
        if self.closed_because is None:
            self.closed_because = because
        senders, self._senders = self._senders, _NOBODY
        for room in senders.values():
            room.set()
        self.poke()

    def drain(self) -> list[Letter]:
        """Take everything out, in order."""
        letters, self._letters, self._text = list(self._letters), OrderedDict(), 0
        return letters

    def _has_room(self, letter: Letter) -> bool:
        fits = len(self._letters) < self._size and self._text + letter.size <= self._max_text
        return fits or not self._letters

    def _add(self, letter: Letter) -> None:
        self._letters[letter] = None
        self._text += letter.size

    def _admit(self) -> None:
        while self._senders and self._has_room(next(iter(self._senders))):
            letter, room = self._senders.popitem(last=False)
            self._add(letter)
            room.set()
        if self._letters:
            self.poke()
