"""Run every bench, or those named, each in a fresh process: `python -m benches [NAME ...]`."""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = sorted(file.stem for file in HERE.glob("*.py") if not file.stem.startswith("_"))


def main() -> int:
    """Print one JSON object with the result of each bench."""
    wanted = sys.argv[1:] or NAMES
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"there is no bench {unknown[0]!r}; the benches are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    results = {}
    for name in wanted:
        print(f"{name}...", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benches.{name}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        results[name] = json.loads(done.stdout)
    print(json.dumps(results, indent=2))
    return 0


raise SystemExit(main())
