"""Where capsule's speed is known: `python -m benches` measures it beside its peers."""

NAMES = (
    *("fresh", "again", "sleepers", "crowd", "idle", "ask"),
    *("edit", "warm"),
    *("cpu", "cores", "lag", "stop"),
    *("http", "journal", "ring", "fanout"),
    *("model", "settings"),
)
"""The benches, in the order in which they run and are shown. Each is a file with a `BENCH` in it."""
