"""Where the variables come from that guests may see: this process, a `.env` file, and what the application gives."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

from ._variables import name_of, variables_of
from .errors import InvalidPolicy
from .policy import Policy

__all__ = ["Environment"]

_MOST_FILE = 1 << 20


class Environment:
    """The variables of one runtime. `given` wins over those of the process, and these over the file's.

    Nothing of it reaches a guest whose policy does not name it. The file is read once, here, and `${NAME}` in it is
    not replaced: it may come with a stranger's program, and would copy any variable of this process under a name that
    was granted. Raises InvalidPolicy if it cannot be read.
    """

    def __init__(
        self,
        given: Mapping[str, str] | None = None,
        file: str | os.PathLike[str] | None = None,
        placeholders: Mapping[str, str] | None = None,
    ) -> None:
        """`placeholders` are those of secrets, which every guest finds."""
        self._given, self._placeholders = dict(given or {}), dict(placeholders or {})
        for name, value in self._given.items():
            if not isinstance(name, str) or not isinstance(value, str) or "\0" in value:
                raise InvalidPolicy(f"env: {name!r} is no variable with a text as its value")
        self._file = {} if file is None else _read(file)

    def of(self, policy: Policy) -> dict[str, str]:
        """What stands in `os.environ` under `policy`; a variable that has gone since it was checked is not there."""
        if not policy.env_variables:
            return self._placeholders
        found, _ = variables_of(policy.env_variables, {**self._file, **os.environ, **self._given})
        return {**found, **self._placeholders}

    def check(self, policy: Policy, name: str) -> None:
        """Raises InvalidPolicy, which lists them, if `name` needs variables that nobody has set, or names a secret."""
        if not policy.env_variables:
            return
        secret = next(filter(self._placeholders.__contains__, map(name_of, policy.env_variables)), None)
        if secret is not None:
            raise InvalidPolicy(
                f"env_variables: {name} names {secret}, which is a secret and visible as one; leave it out"
            )
        missing = variables_of(policy.env_variables, {**self._file, **os.environ, **self._given})[1]
        if missing:
            which = ", ".join(missing)
            raise InvalidPolicy(
                f"env_variables: {name} needs {which}, which {'is' if len(missing) == 1 else 'are'} not set; "
                f'set it, give a .env file that does, or declare a default: "{missing[0]}=..."'
            )


def _read(file: str | os.PathLike[str]) -> dict[str, str]:
    from dotenv import dotenv_values  # rarely needed

    path = Path(file)
    try:
        if not path.is_file():  # before it is opened: a pipe would not answer
            raise InvalidPolicy(f"env_file: {path.name} is no file that can be read")
        with path.open("rb") as opened:
            data = opened.read(_MOST_FILE + 1)
        if len(data) > _MOST_FILE:
            raise InvalidPolicy(f"env_file: {path.name} is larger than {_MOST_FILE:,} bytes")
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidPolicy):
            raise
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidPolicy(f"env_file: {path.name} cannot be read ({reason})") from None
    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value is not None and "\0" not in value}
