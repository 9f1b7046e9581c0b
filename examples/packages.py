"""Packages of a file's own, in pure Python. Run it with `capsule run examples/packages.py "to be or not to be"`.

The block below is inline script metadata (PEP 723), which uv and pipx read too. The first run fetches the packages;
inside they are there to be imported and read, and their code has no more rights than the task.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = ["toolz>=1"]
# ///

from importlib.metadata import version

from toolz import frequencies, groupby

from capsule import task


@task(compute="MEDIUM", ram="64MB", timeout="5s")
def main(text: str = "to be or not to be") -> dict[str, object]:
    words = text.split()
    return {"counts": frequencies(words), "by length": groupby(len, sorted(set(words))), "toolz": version("toolz")[0]}
