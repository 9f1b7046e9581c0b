"""Edit a file and run it again from the shell, as whole processes; a bare Python process as the peer."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benches._common import report, spread

COUNT = 15
SOURCE = "from capsule import task\n\n@task(compute='LOW')\ndef main():\n    return {number}\n"


def timed(command: list[str], expected: str) -> float:
    """Seconds that a whole process took; its output must be as expected."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    assert done.stdout.strip() == expected, done
    return seconds


def main() -> None:
    """Print the figures, measured in turn."""
    capsule = [sys.executable, "-c", "from capsule.cli.main import main; main()", "run"]
    edits, bare = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "edited.py"
        for number in range(COUNT + 1):
            file.write_text(SOURCE.format(number=number), "utf-8")
            edits.append(timed([*capsule, str(file)], str(number)))
            bare.append(timed([sys.executable, "-c", f"print({number})"], str(number)))
    edits, bare = edits[1:], bare[1:]
    ratio = spread(edits)["median_ms"] / spread(bare)["median_ms"]
    report(edit_and_run=spread(edits), bare_python=spread(bare), ratio=round(ratio, 1), goal="at most 300 ms")


if __name__ == "__main__":
    main()
