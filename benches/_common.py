"""What every bench shares: the machine and the versions beside the figures, and percentiles."""

import json
import os
import platform
import statistics
from importlib.metadata import version

PACKAGES = ("capsule", "wasmtime", "componentize-py", "anyio", "trio")


def report(**figures: object) -> None:
    """Print the figures as JSON, with where they come from."""
    machine = {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}
    print(json.dumps({**figures, "machine": machine, "versions": {name: version(name) for name in PACKAGES}}))


def spread(samples: list[float]) -> dict[str, float]:
    """Median, p99 and extremes of `samples`, in milliseconds."""
    ordered = sorted(sample * 1000 for sample in samples)
    return {
        "median_ms": round(statistics.median(ordered), 3),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 3),
        "min_ms": round(ordered[0], 3),
        "max_ms": round(ordered[-1], 3),
        "samples": len(ordered),
    }
