"""Texts for fuel, sizes and durations, as policies and settings write them, and the numbers that they stand for.

Sizes are powers of 1024 (`"64MB"` is 64 * 1024 * 1024 bytes), as capsule-run counts them.
The fuel of LOW, MEDIUM and HIGH is capsule-run's too: 100 million, 2 billion, 50 billion. UNMETERED is ours.
"""

from __future__ import annotations

import re
from functools import lru_cache
from string import ascii_letters

from .errors import InvalidPolicy

__all__ = [
    "COMPUTE_LEVELS",
    "MAX_FUEL",
    "MAX_TIMEOUT",
    "UNMETERED",
    "format_size",
    "parse_compute",
    "parse_duration",
    "parse_size",
]

MAX_FUEL = (1 << 63) - 1
"""wasmtime counts fuel in an unsigned 64-bit integer; a signed one leaves room for its own bookkeeping."""

UNMETERED = MAX_FUEL + 1
"""Stands for no limit: more than any number of units."""

COMPUTE_LEVELS = {"LOW": 100_000_000, "MEDIUM": 2_000_000_000, "HIGH": 50_000_000_000, "UNMETERED": UNMETERED}

_SIZE_UNITS = {
    "B": 1,
    "KB": 1 << 10,
    "MB": 1 << 20,
    "GB": 1 << 30,
    "TB": 1 << 40,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
}
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

MAX_TIMEOUT = 30 * 24 * 3600.0
"""Thirty days: longer than any task, shorter than any clock's overflow."""

_MOST_DIGITS = 30


def parse_compute(value: int | str, field: str = "compute") -> int:
    """Fuel for a compute level.

    `value` is `"LOW"`, `"MEDIUM"`, `"HIGH"` or `"UNMETERED"` in any case, or an exact number of fuel units as int or
    str. `field` is named in the error.
    Raises InvalidPolicy for anything else.
    """
    wrong = f"{field}: {value!r} is not a level; use {', '.join(COMPUTE_LEVELS)} or a number of fuel units"
    if isinstance(value, str):
        word = value.strip()
        level = COMPUTE_LEVELS.get(word.upper())
        if level is not None:
            return level
        if len(word) > _MOST_DIGITS or not re.fullmatch(r"[0-9]+(_[0-9]+)*", word):
            raise InvalidPolicy(wrong)
        value = int(word)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= UNMETERED:
        raise InvalidPolicy(wrong)
    return value


def parse_size(value: int | str, field: str = "ram") -> int:
    """Bytes for a size such as `"64MB"`, `"1.5GB"`, or a plain number of bytes.

    `field` is named in the error. Raises InvalidPolicy if it does not parse or is not positive.
    """
    number: float = -1
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str):
        number = _size_in(value)
    if not 1 <= number < 1 << 62:
        raise InvalidPolicy(f'{field}: {value!r} is not a size; write it as "512KB", "64MB" or "2GB"')
    return int(number)


@lru_cache(maxsize=1024)  # asked for with every message
def _size_in(text: str) -> float:
    number, unit = _split(text)
    return number * _SIZE_UNITS.get(unit.upper() or "B", -1)


def parse_duration(value: float | str, field: str = "timeout") -> float:
    """Seconds for a duration such as `"500ms"`, `"30s"`, `"5m"`, `"1h"`, or a plain number of seconds.

    `field` is named in the error. Raises InvalidPolicy if it does not parse, is not positive, or exceeds thirty days.
    """
    seconds: float = -1
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if value <= MAX_TIMEOUT else -1  # an int may be more than a float can say
    elif isinstance(value, str):
        seconds = _duration_in(value)
    if not 0 < seconds <= MAX_TIMEOUT:  # also refuses NaN
        raise InvalidPolicy(f'{field}: {value!r} is not a duration; write it as "500ms", "30s", "5m" or "1h"')
    return seconds


@lru_cache(maxsize=1024)
def _duration_in(text: str) -> float:
    number, unit = _split(text)
    return number * _DURATION_UNITS.get(unit, -1)


def _split(text: str) -> tuple[float, str]:
    """The number in `text` and the letters behind it; 0 if it is anything else.

    Without patterns: for the defaults alone, to compile them takes longer than the rest of this module.
    """
    words = text.strip()
    number = words.rstrip(ascii_letters).rstrip()
    whole, point, rest = number.partition(".")
    is_number = number.isascii() and whole.isdigit() and (rest.isdigit() or not point)
    return float(number) if is_number else 0, words[len(number) :].lstrip()


def format_size(size: int) -> str:
    """`size` bytes as a short text that `parse_size` understands."""
    for unit in ("GB", "MB", "KB"):
        if size >= _SIZE_UNITS[unit]:
            return f"{size / _SIZE_UNITS[unit]:.1f}".removesuffix(".0") + unit
    return f"{size}B"
