"""The process of one contender of this package. It is told the key of a row on a line and answers with samples."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

import anyio
from anyio import to_thread

from benches._values import Bench, Here


def load(name: str) -> Bench:
    """The bench of that file."""
    return import_module(f"benches.{name}").BENCH


async def serve(contender: Here, answers: int) -> None:
    """Open the contender once, and do one round for each line."""

    def say(**message: object) -> None:
        os.write(answers, json.dumps(message).encode() + b"\n")

    async with contender.open() as rounds:
        say(ready=list(rounds))
        while key := (await to_thread.run_sync(sys.stdin.readline)).strip():
            try:
                say(samples=await rounds[key]())
            except Exception as error:  # noqa: BLE001 - it belongs to the table, and the others go on
                say(failed=f"{type(error).__name__}: {error}")


def main() -> None:
    """Serve; what the program prints goes to stderr, so that only answers are on stdout."""
    answers = os.dup(1)
    os.dup2(2, 1)
    bench, name = sys.argv[1:]
    (contender,) = (each for each in load(bench).contenders if each.name == name)
    anyio.run(serve, contender, answers, backend=contender.loop)


if __name__ == "__main__":
    main()
