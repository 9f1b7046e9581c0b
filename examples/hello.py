"""The smallest program. Run it with `capsule run examples/hello.py`."""

from capsule import task


@task(name="main", compute="LOW", ram="64MB")
def main() -> str:
    return "Hello from Capsule!"
