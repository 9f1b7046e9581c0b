"""The compiled guest of this machine: prepare it ahead of time, list what is cached, clear it.

A runtime prepares the guest by itself; this is for installers, images of machines, and the `capsule` command.
"""

from __future__ import annotations

from ._guest.cache import CompiledGuest, cache_folder
from ._guest.cache import clear as clear_cache
from ._guest.cache import entries as cached_guests
from ._setup import Progress, ensure_guest, find_guest

__all__ = [
    "CompiledGuest",
    "Progress",
    "cache_folder",
    "cached_guests",
    "clear_cache",
    "ensure_guest",
    "find_guest",
]
