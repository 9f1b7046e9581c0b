"""Drives capsule-run: its `run()`, which goes through its worker. Each call is a fresh sandbox."""

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from capsule import close_all, run_with_worker  # the peer's package, in its own environment; what `run` calls first
from driving import Ways, arguments, drive


class CapsuleRun(Ways):
    """The worker is a process of its own, which does not end calls that nobody waits for any more."""

    def processes(self) -> Iterable[int]:
        """The processes below this one."""
        return [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()]

    async def renew(self) -> None:
        """Another worker."""
        for process in self.processes():
            os.kill(process, signal.SIGKILL)
        await close_all()


async def call(program: str, *args: str) -> object:
    """The value of a fresh sandbox."""
    found = await run_with_worker(file=f"{program}_program.py", args=list(args))
    if not found["success"]:
        raise RuntimeError(str(found["error"]))
    return found["result"]


async def main() -> None:
    """Compile each program once, then serve."""
    spec = arguments()
    digest = hashlib.sha256(repr(sorted(spec["programs"].items())).encode()).hexdigest()
    folder = Path(sys.prefix) / "programs" / digest[:16]  # what is compiled there is found again by the next run
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    for name, source in spec["programs"].items():
        file = Path(f"{name}_program.py")
        if not file.exists():
            file.write_text(source, "utf-8")
    for do in spec["rows"].values():
        await call(do["program"], *do["first"])
    await drive(CapsuleRun(call), spec["rows"])
    await close_all()


asyncio.run(main())
