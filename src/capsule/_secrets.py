"""Secrets: values that guests use and never see. A guest has a placeholder; the host knows what it stands for.

Where a value may go is decided by the host alone, so a placeholder is worth nothing in itself: who finds one can do no
more with it than send it to the hosts that the secret names, in this runtime, while it is open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from ._hosts import normal_patterns
from .errors import InvalidPolicy

if TYPE_CHECKING:  # it is large, and most runtimes have no secrets
    from ._scrubbing import Scrubber, Table, TextScrubber

__all__ = ["NO_SECRETS", "Held", "Secret", "Secrets"]

LEAST_VALUE, MOST_VALUE = 8, 8000
"""Characters, of which a line end is one. What is shorter stands in other texts by chance, and would be replaced
there."""

MOST_SECRETS = 100
_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
_PLAIN = "http://"
_CUT = "..."
_MARGIN = r"(?m)^ +\| ?"
_STAYS = str.maketrans("", "", "\t\r\n")


class Secret:
    """A value that guests may send to some hosts and never see: `Secret("sk-...", hosts=["api.example.com"])`.

    `value` is a text of 8 to 8,000 characters. `hosts` are patterns as in `allowed_hosts`; each host must be allowed to
    the task as well. The value goes out over https:, and over plain http: only to this machine, or where the pattern
    begins with "http://". Its repr does not show it. Raises InvalidPolicy.
    """

    __slots__ = ("_hosts", "_plain_hosts", "_value")

    def __init__(self, value: str, *, hosts: Sequence[str]) -> None:
        self._value = _checked_value(value)
        if isinstance(hosts, str) or not isinstance(hosts, Sequence) or not hosts:
            raise InvalidPolicy('hosts of a Secret: name where it may be sent: hosts=["api.example.com"]')
        plain = [host for host in hosts if isinstance(host, str) and host.strip().startswith(_PLAIN)]
        try:
            self._plain_hosts = normal_patterns(host.strip().removeprefix(_PLAIN) for host in plain)
            self._hosts = normal_patterns([*(host for host in hosts if host not in plain), *self._plain_hosts])
        except ValueError as error:
            raise InvalidPolicy(f"hosts of a Secret: {error}") from None

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where it may be sent, in the normal form."""
        return self._hosts

    @property
    def plain_hosts(self) -> tuple[str, ...]:
        """Those of `hosts` that may get it over plain http:."""
        return self._plain_hosts

    def __repr__(self) -> str:
        return f"<secret for {', '.join(self._hosts)}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a secret is not written down: make it again where it is needed")


class Held(msgspec.Struct, frozen=True):
    """A secret as a runtime holds it."""

    name: str
    placeholder: str
    value: str
    secret: Secret

    def __repr__(self) -> str:
        return f"<{self.name}: {self.secret!r}>"


class Secrets:
    """The secrets of one runtime, each with a placeholder that nobody can guess."""

    def __init__(self, secrets: Mapping[str, Secret] | None = None) -> None:
        """Raises InvalidPolicy for a name that no variable can have, or a value that is no Secret."""
        given = {} if secrets is None else secrets
        if not isinstance(given, Mapping) or len(given) > MOST_SECRETS:
            raise InvalidPolicy(f"secrets: give at most {MOST_SECRETS} by name: {{'API_KEY': Secret(...)}}")
        self._held = [_held(name, secret) for name, secret in given.items()]
        if self._held:  # now, and not when something is looked through, which must not fail
            self._table = self._made_table()

    @cached_property
    def _table(self) -> Table:
        return self._made_table()

    def _made_table(self) -> Table:
        from ._scrubbing import Table

        return Table({held.value: held.placeholder for held in self._held})

    @property
    def environment(self) -> dict[str, str]:
        """What a guest finds in `os.environ`: the placeholders."""
        return {held.name: held.placeholder for held in self._held}

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held)

    def __bool__(self) -> bool:
        return bool(self._held)

    def scrubber(self) -> Scrubber:
        """For bytes that come in pieces."""
        from ._scrubbing import Scrubber

        return Scrubber(self._table)

    def text_scrubber(self) -> TextScrubber:
        """For text that comes in pieces."""
        from ._scrubbing import TextScrubber

        return TextScrubber(self._table)

    def scrub(self, text: str) -> str:
        """`text` with the placeholders in the place of the values."""
        return self._table.replace_text(text) if self._held else text

    def scrub_report(self, text: str) -> str:
        """The same for a traceback. That of a group has a margin before each line, also within a value of many lines:
        where one is found without it, there is none any more.
        """
        plain = re.sub(_MARGIN, "", text) if self._held else text
        clean = self.scrub(plain)
        return self.scrub(text) if clean == plain else clean

    def scrub_end(self, text: str) -> str:
        """`text` without what may be the first part of a value before the "..." that says that the rest was cut off."""
        if not self._held or not text.endswith(_CUT):
            return text
        return self.text_scrubber().feed(text.removesuffix(_CUT)) + _CUT

    def scrub_bytes(self, data: bytes) -> bytes:
        """The same for bytes."""
        return self._table.replace(data) if self._held else data

    def scrub_value(self, value: Any) -> Any:
        """The same for all texts in a JSON value, keys included."""
        return self._table.replace_in(value) if self._held else value

    def __repr__(self) -> str:
        return f"<secrets {', '.join(held.name for held in self._held) or 'none'}>"


NO_SECRETS = Secrets()


def _held(name: str, secret: Secret) -> Held:
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        raise InvalidPolicy(f"secrets: {name!r} is not the name of a variable; use letters, digits and underscores")
    if not isinstance(secret, Secret):
        raise InvalidPolicy(f'secrets: {name} is no Secret; write Secret("...", hosts=["api.example.com"])')
    import secrets as random  # slow to load, and most runtimes have no secrets

    return Held(name, f"capsule-secret-{random.token_hex(16)}", secret._value, secret)  # noqa: SLF001 - here alone


def _checked_value(value: object) -> str:
    """Raises InvalidPolicy, which never repeats the value."""
    if not isinstance(value, str) or not LEAST_VALUE <= len(value.replace("\r\n", "\n")) <= MOST_VALUE:
        raise InvalidPolicy(f"the value of a Secret: it is no text of {LEAST_VALUE} to {MOST_VALUE:,} characters")
    if not value.isprintable() and not value.translate(_STAYS).isprintable():
        raise InvalidPolicy("the value of a Secret: it has characters that cannot be printed")
    if value != value.strip():
        raise InvalidPolicy("the value of a Secret: it begins or ends with blanks; strip what was read from a file")
    return value
