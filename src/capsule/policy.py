"""What a task may use: a frozen value, its units, and how a ceiling cuts it.

Sizes are powers of 1024 (`"64MB"` is 64 * 1024 * 1024 bytes), as capsule-run counts them.
The fuel of each compute level is capsule-run's too: 100 million, 2 billion, 50 billion.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from .errors import InvalidPolicy

__all__ = ["COMPUTE_LEVELS", "Policy", "format_size", "parse_compute", "parse_duration", "parse_size"]

COMPUTE_LEVELS = {"LOW": 100_000_000, "MEDIUM": 2_000_000_000, "HIGH": 50_000_000_000}

_SIZE_UNITS = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

MAX_FUEL = (1 << 63) - 1
"""wasmtime counts fuel in an unsigned 64-bit integer; a signed one leaves room for its own bookkeeping."""

MAX_RAM = 4 << 30
"""A 32-bit guest cannot address more."""

MAX_TIMEOUT = 30 * 24 * 3600.0
"""Thirty days: longer than any task, shorter than any clock's overflow."""

MAX_TEXT = 256 << 20
"""The most that the host holds of one text for a guest, whatever a program declares."""

MAX_RETRIES = 1000
_MOST_DIGITS = 30
MAX_DEPTH = 64
MAX_SUBTASKS = 1_000_000


def parse_compute(value: int | str) -> int:
    """Fuel for a compute level.

    `value` is `"LOW"`, `"MEDIUM"` or `"HIGH"` in any case, or an exact number of fuel units as int or str.
    Raises InvalidPolicy for anything else.
    """
    if isinstance(value, str):
        word = value.strip()
        level = COMPUTE_LEVELS.get(word.upper())
        if level is not None:
            return level
        if len(word) > _MOST_DIGITS or not re.fullmatch(r"[0-9]+(_[0-9]+)*", word):
            raise InvalidPolicy(f"compute: {value!r} is not a level; use LOW, MEDIUM, HIGH or a number of fuel units")
        value = int(word)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_FUEL:
        raise InvalidPolicy(f"compute: {value!r} is not a level; use LOW, MEDIUM, HIGH or a number of fuel units")
    return value


def parse_size(value: int | str, field: str = "ram") -> int:
    """Bytes for a size such as `"64MB"`, `"1.5GB"`, or a plain number of bytes.

    `field` is named in the error. Raises InvalidPolicy if it does not parse or is not positive.
    """
    number: float = -1
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", value)
        unit = _SIZE_UNITS.get(match[2].upper() or "B") if match else None
        if match and unit:
            number = float(match[1]) * unit
    if not 1 <= number < 1 << 62:
        raise InvalidPolicy(f'{field}: {value!r} is not a size; write it as "512KB", "64MB" or "2GB"')
    return int(number)


def parse_duration(value: float | str, field: str = "timeout") -> float:
    """Seconds for a duration such as `"500ms"`, `"30s"`, `"5m"`, `"1h"`, or a plain number of seconds.

    `field` is named in the error. Raises InvalidPolicy if it does not parse, is not positive, or exceeds thirty days.
    """
    seconds: float = -1
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if value <= MAX_TIMEOUT else -1  # an int may be more than a float can say
    elif isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h)\s*", value)
        if match:
            seconds = float(match[1]) * _DURATION_UNITS[match[2]]
    if not 0 < seconds <= MAX_TIMEOUT:  # also refuses NaN
        raise InvalidPolicy(f'{field}: {value!r} is not a duration; write it as "500ms", "30s", "5m" or "1h"')
    return seconds


def format_size(size: int) -> str:
    """`size` bytes as a short text that `parse_size` understands."""
    for unit in ("GB", "MB", "KB"):
        if size >= _SIZE_UNITS[unit]:
            return f"{size / _SIZE_UNITS[unit]:.1f}".removesuffix(".0") + unit
    return f"{size}B"


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one message to a sandbox may use. Every limit is finite by default.

    Raises InvalidPolicy when a field does not parse.
    """

    compute: int | str = "MEDIUM"
    """Fuel: a level (`"LOW"`, `"MEDIUM"`, `"HIGH"`) or an exact number."""

    ram: int | str = "128MB"
    """Most linear memory of the sandbox, at most 4 GB."""

    timeout: float | str = "30s"
    """Wall time of one attempt, from the start of its sandbox; time spent waiting for a free slot is not counted."""

    max_retries: int = 0
    """Attempts after the first, each in a fresh sandbox."""

    max_output: int | str = "1MB"
    """Printed text kept and passed on; what exceeds it is dropped and the outcome says so."""

    max_message: int | str = "16MB"
    """Largest JSON text of arguments, of a result, or of one host call, in either direction."""

    max_depth: int = 8
    """How deep tasks may call tasks."""

    max_subtasks: int = 500
    """How many tasks that a message called, directly or through others, may be live at once; waiting ones count."""

    def __post_init__(self) -> None:
        parse_compute(self.compute)
        if parse_size(self.ram) > MAX_RAM:
            raise InvalidPolicy(f'ram: {self.ram!r} is more than a sandbox can address; the most is "4GB"')
        parse_duration(self.timeout)
        _check_text_size("max_output", self.max_output)
        _check_text_size("max_message", self.max_message)
        _check_count("max_retries", self.max_retries, MAX_RETRIES)
        _check_count("max_depth", self.max_depth, MAX_DEPTH)
        _check_count("max_subtasks", self.max_subtasks, MAX_SUBTASKS)

    @classmethod
    def largest(cls) -> Policy:
        """The policy that allows as much as can be said of every limit: a start for ceilings that name only some."""
        return cls(
            compute=MAX_FUEL,
            ram=MAX_RAM,
            timeout=MAX_TIMEOUT,
            max_retries=MAX_RETRIES,
            max_output=MAX_TEXT,
            max_message=MAX_TEXT,
            max_depth=MAX_DEPTH,
            max_subtasks=MAX_SUBTASKS,
        )

    @property
    def fuel(self) -> int:
        """`compute` in units of fuel."""
        return parse_compute(self.compute)

    @property
    def ram_bytes(self) -> int:
        """`ram` in bytes."""
        return parse_size(self.ram)

    @property
    def timeout_seconds(self) -> float:
        """`timeout` in seconds."""
        return parse_duration(self.timeout)

    @property
    def max_output_bytes(self) -> int:
        """`max_output` in bytes."""
        return parse_size(self.max_output, "max_output")

    @property
    def max_message_bytes(self) -> int:
        """`max_message` in bytes."""
        return parse_size(self.max_message, "max_message")

    def with_settings(self, settings: dict[str, Any]) -> Policy:
        """This policy with the fields in `settings` replaced. Raises InvalidPolicy for an unknown or bad one."""
        unknown = sorted(set(settings) - set(self.__struct_fields__))
        if unknown:
            known = ", ".join(self.__struct_fields__)
            raise InvalidPolicy(f"{unknown[0]}: there is no such limit; the limits are {known}")
        return msgspec.structs.replace(self, **settings)

    def within(self, ceiling: Policy) -> Policy:
        """This policy cut to `ceiling`: of each limit, the smaller."""
        return Policy(
            compute=min(self.fuel, ceiling.fuel),
            ram=min(self.ram_bytes, ceiling.ram_bytes),
            timeout=min(self.timeout_seconds, ceiling.timeout_seconds),
            max_retries=min(self.max_retries, ceiling.max_retries),
            max_output=min(self.max_output_bytes, ceiling.max_output_bytes),
            max_message=min(self.max_message_bytes, ceiling.max_message_bytes),
            max_depth=min(self.max_depth, ceiling.max_depth),
            max_subtasks=min(self.max_subtasks, ceiling.max_subtasks),
        )


def _check_text_size(field: str, value: int | str) -> None:
    if parse_size(value, field) > MAX_TEXT:
        raise InvalidPolicy(
            f"{field}: {value!r} is more than the host holds for a guest; the most is {format_size(MAX_TEXT)}"
        )


def _check_count(field: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InvalidPolicy(f"{field}: {value!r} is not a whole number from 0 to {most}")
