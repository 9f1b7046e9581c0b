"""Packages on this machine: read a requirements file for `Runtime(packages=...)`, see and clear what is kept.

A runtime fetches packages by itself; this is for tools around it, and the `capsule` command.
"""

from __future__ import annotations

from ._installing import cached_packages, clear_packages
from ._packages.requirements import read_file as read_requirements

__all__ = ["cached_packages", "clear_packages", "read_requirements"]
