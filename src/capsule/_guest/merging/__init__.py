"""Makes one core module of the dozen that the guest is linked from, so that a sandbox starts faster and is smaller."""

from .binary import Unmergeable
from .hot import HOT
from .merge import merge

__all__ = ["HOT", "Unmergeable", "merge"]
