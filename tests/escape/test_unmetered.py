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
    "small copies by C alone": "from collections import deque\nfrom itertools import repeat\ndef main(): deque(map(bytearray, repeat(65_000)), maxlen=0)",
    "a file read by C alone": "import os\nfrom collections import deque\nfrom itertools import repeat\ndef main():\n    with open('/tmp/a', 'wb') as out: out.write(bytes(1_000_000))\n    file = os.open('/tmp/a', os.O_RDONLY)\n    deque(map(os.pread, repeat(file), repeat(1_000_000), repeat(0)), maxlen=0)",
    "the clock asked by C alone": "import time\nfrom collections import deque\nfrom itertools import repeat, starmap\ndef main(): deque(starmap(time.monotonic, repeat(())), maxlen=0)",
    "recursion of C that doubles at each level": "def main():\n    value = []\n    for _ in range(60): value = [value, value]\n    repr(value)",
    "a number too small for the processor": "import math\nfrom collections import deque\nfrom itertools import repeat\ndef main():\n    small = [5e-324, 0.5] * 50_000\n    deque(map(math.sumprod, repeat(small), repeat(small)), maxlen=0)",
    "its checks called by itself": "from collections import deque\nfrom itertools import repeat, starmap\nfrom wit_world.imports import calls\ndef main(): deque(starmap(calls.checkpoint, repeat(())), maxlen=0)",
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
    policy = Policy(compute="UNMETERED", ram="128MB", timeout="600ms", max_output="10KB", workspace="4MB")
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


ASKING = """
from wit_world.imports import calls

def main(count):
    for _ in range(count):
        calls.checkpoint()
    return count
"""


async def test_checks_called_by_itself_give_no_fuel(write) -> None:
    """They cost what a call costs, and the limit holds: a hundred thousand end it, a hundred do not."""
    asking = write("asking.py", ASKING)
    async with Runtime(policy=Policy(compute=20_000_000, timeout="20s")) as runtime:
        assert await runtime.run(asking, 100) == 100
        outcome = await (await runtime.spawn(asking, 10**5)).outcome()
    assert outcome.error is not None
    assert (outcome.error.error_type, outcome.execution.fuel_consumed) == ("fuel_exhausted", 20_000_000)
