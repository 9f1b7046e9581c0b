"""Drives plain Python processes, one for each call: no sandbox, no limits."""

import asyncio
import json
import sys

from driving import Ways, arguments, drive

AT_ONCE = asyncio.Semaphore(100)
"""More processes than this at once only get in each other's way."""


async def main() -> None:
    """Serve."""
    spec = arguments()

    async def call(program: str, *args: str) -> object:
        source = f"{spec['programs'][program]}\nimport json\nprint(json.dumps(main(*{list(args)!r})))"
        async with AT_ONCE:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", source, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
        return json.loads(out)

    await drive(Ways(call), spec["rows"])


asyncio.run(main())
