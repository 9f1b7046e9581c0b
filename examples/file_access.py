"""Tasks that read one folder, write another, and have one for scratch. Run it with `python examples/file_access.py`.

The folders lie beside this file, below the root of the project, and a task sees those that it declares and no others.
"""

from pathlib import Path

import anyio

from capsule import Runtime, TaskFailed, task


@task(allowed_files=["./examples/data"])
def longest_line() -> str:
    with open("examples/data/poem.txt") as poem:
        return max(poem, key=len).strip()


@task(
    allowed_files=["./examples/data", {"path": "./examples/out", "mode": "read-write"}],
    workspace="10MB",
)
def count_words() -> int:
    import pathlib
    import shutil
    import sqlite3
    import tempfile

    words = pathlib.Path("examples/data/poem.txt").read_text().lower().replace(",", "").split()
    with tempfile.TemporaryDirectory() as scratch:  # in the task's own /tmp, which is gone when it ends
        database = f"{scratch}/words.db"
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE words (word TEXT)")
            connection.executemany("INSERT INTO words VALUES (?)", [(word,) for word in words])
            (count,) = connection.execute("SELECT count(DISTINCT word) FROM words").fetchone()
        connection.close()
        shutil.copy(database, "examples/out/words.db")
    return count


@task(allowed_files=["./examples/data"])
def writes_where_it_reads() -> None:
    with open("examples/data/poem.txt", "w") as poem:
        poem.write("mine")


@task(allowed_files=["./examples/data"])
def climbs_out() -> str:
    with open("examples/data/../file_access.py") as program:
        return program.read()


async def main() -> None:
    out = Path(__file__).with_name("out")
    out.mkdir(exist_ok=True)
    async with Runtime() as runtime:
        print(await runtime.run(longest_line))
        print(await runtime.run(count_words), "different words")
        print([file.name for file in out.iterdir()])
        for bad in (writes_where_it_reads, climbs_out):
            try:
                await runtime.run(bad)
            except TaskFailed as error:
                print(error)


if __name__ == "__main__":
    anyio.run(main)
