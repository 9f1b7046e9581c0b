"""For tests of applications and of engines: fakes of the seams in `capsule.abc`, and checks that both pass.

engine, sandbox    FakeEngine: guests are coroutines, the limits and endings are real
guest              what such a coroutine sees
clock              time that a test moves by hand
listener           a listener that writes down what it hears
contract           what every engine promises, as checks
journal            MemoryJournal, and what every journal promises
programs           the guest of those checks, as source and as scripts
"""

from __future__ import annotations

from .clock import Clock as Clock
from .clock import FakeClock as FakeClock
from .clock import LoopClock as LoopClock
from .contract import ENGINE_CHECKS as ENGINE_CHECKS
from .contract import check_engine as check_engine
from .engine import FakeEngine as FakeEngine
from .guest import FakeGuest as FakeGuest
from .guest import HostError as HostError
from .guest import Script as Script
from .journal import JOURNAL_CHECKS as JOURNAL_CHECKS
from .journal import MemoryJournal as MemoryJournal
from .journal import check_journal as check_journal
from .listener import RecordingListener as RecordingListener
from .programs import CONTRACT_SCRIPTS as CONTRACT_SCRIPTS
from .programs import CONTRACT_SOURCE as CONTRACT_SOURCE
from .sandbox import FakeSandbox as FakeSandbox

__all__ = [
    "CONTRACT_SCRIPTS",
    "CONTRACT_SOURCE",
    "ENGINE_CHECKS",
    "JOURNAL_CHECKS",
    "Clock",
    "FakeClock",
    "FakeEngine",
    "FakeGuest",
    "FakeSandbox",
    "HostError",
    "LoopClock",
    "MemoryJournal",
    "RecordingListener",
    "Script",
    "check_engine",
    "check_journal",
]
