"""Drives capsule-run: its `run()`, which goes through its worker. Each call is a fresh sandbox."""

import asyncio
import os
import tempfile
from pathlib import Path

from capsule import close_all, run  # the peer's package, in its own environment
from driving import Ways, arguments, drive


def workers() -> list[int]:
    """The processes below this one."""
    return [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()]


async def main() -> None:
    """Compile each program once, then serve."""
    spec = arguments()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, source in spec["programs"].items():
            Path(f"{name}.py").write_text(source, "utf-8")

        async def call(program: str, *args: str) -> object:
            found = await run(file=f"{program}.py", args=list(args))
            if not found["success"]:
                raise RuntimeError(str(found["error"]))
            return found["result"]

        first = {do["program"]: do["first"] for do in spec["rows"].values()}
        for program, args in first.items():
            await call(program, *args)
        await drive(Ways(call, workers), spec["rows"])
        await close_all()


asyncio.run(main())
