"""Hostile programs without a limit of fuel: time ends each of them, and nobody else waits for them meanwhile."""

from __future__ import annotations

import time

import anyio
import pytest

from capsule import Policy, Runtime

HOSTILE = {
    "a loop": "def main():\n    while True: pass",
    "memory filled again and again": "def main():\n    while True: len(b'x' * 40_000_000)",
    "memory copied again and again": "def main():\n    kept = bytearray(30_000_000)\n    while True: kept[:] = kept[::1]",
    "one call of C that never ends": "import re\ndef main(): return re.match('(a*)*b', 'a' * 60)",
    "a number with a million digits": "def main():\n    number = 3\n    while True: number = number * number % (1 << 400_000)",
    "a wait before each slice": "import time\ndef main():\n    while True:\n        time.sleep(0)\n        sum(range(300_000))",
    "output without end": "def main():\n    while True: print('x' * 1000)",
    "no exception stops it": "def main():\n    while True:\n        try:\n            while True: [0] * 10_000_000\n        except BaseException: pass",
    "the timeout as it would like it": "import capsule_sdk\nfrom capsule import task\nvars(capsule_sdk).clear()\ndef main():\n    while True: pass",
}
PATIENCE = 10.0
"""Seconds, of which none needs one, whatever else the machine does."""


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
async def test_it_ends_and_nobody_waits(source: str, write) -> None:
    """It ends by its timeout, none of its fuel is told, and a counted neighbour is answered while it runs."""
    hostile, honest = write("hostile.py", source), write("honest.py", "def main(): return 42")
    policy = Policy(compute="UNMETERED", ram="128MB", timeout="600ms", max_output="10KB")
    async with Runtime(policy=policy) as runtime:
        refs = [await runtime.spawn(hostile) for _ in range(3)]
        began = time.monotonic()
        assert await runtime.run(honest) == 42
        for ref in refs:
            with anyio.fail_after(PATIENCE):
                outcome = await ref.outcome()
            assert outcome.error is not None, outcome
            assert outcome.error.error_type == "timeout", outcome.error
            assert outcome.execution.fuel_consumed == 0
        assert time.monotonic() - began < PATIENCE
