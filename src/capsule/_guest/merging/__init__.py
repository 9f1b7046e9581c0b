"""Makes one core module of the dozen that the guest is linked from, so that a sandbox starts faster and is smaller."""

from .apart import take_data_out
from .binary import Unmergeable
from .hot import HOT
from .merge import merge

__all__ = ["HOT", "Unmergeable", "merge", "take_data_out"]
