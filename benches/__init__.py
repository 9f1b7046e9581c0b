"""Where capsule's speed is known: `python -m benches` runs each bench in a fresh process and prints JSON."""
