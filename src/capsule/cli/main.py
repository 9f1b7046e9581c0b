"""The console script: light, so that Ctrl-C and the collector are told before anything is loaded."""

from __future__ import annotations

import gc
import sys

from .interrupts import CTRL_C


def main() -> None:
    """Run the command that `sys.argv` names."""
    CTRL_C.take_over()
    gc.disable()  # what is loaded stays, and most commands end before there is garbage worth looking for
    from .commands import app_for

    try:
        app_for(sys.argv[1:])()
    finally:
        gc.freeze()  # at its end an interpreter looks through all objects several times
        CTRL_C.ignore()
