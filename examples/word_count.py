"""Count words in a sandbox. Run it with `capsule run examples/word_count.py "to be or not to be"`.

An application can run the same file: `await runtime.run("examples/word_count.py", text)`.
"""

from capsule import task

TEXT = "to be or not to be"


@task(name="main", compute="LOW", ram="64MB", timeout="5s", max_retries=1)
def word_count(text: str = TEXT) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return counts
