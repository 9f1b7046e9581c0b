"""Each example runs as its first lines say, and prints what a person can follow."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from capsule import Policy
from capsule._guest.cache import CompiledGuest
from capsule.project import RIGHTS

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BIN = Path(sys.executable).parent

PRINTS = {
    "hello.py": ["Hello from Capsule!"],
    "word_count.py": ['{"to": 2, "be": 2, "or": 1, "not": 1}'],
    "packages.py": [
        '{"counts": {"to": 2, "be": 2, "or": 1, "not": 1}, "by length": {"2": ["be", "or", "to"], "3": ["not"]}, '
        '"toolz": "1"}',
    ],
    "subtasks.py": [
        "half of 10 is 5",
        "half of 7: task_error, half: ValueError: 7 is odd",
        "three naps side by side: [0.2, 0.2, 0.2]",
    ],
    "limits.py": [
        "takes_too_long    timeout",
        "burns_its_fuel    fuel_exhausted",
        "hoards_memory     memory_exhausted",
        "nests_too_deeply  stack_overflow",
        "prints_too_much   answered 'done', after 1024 bytes of output",
        "fails_each_time   task_error, 2 retries",
        "fills_its_workspace denied",
        "MailboxFull: Worker: 2 messages wait; Policy(max_mailbox=...) allows more, and a plain ask waits",
        "Worker.breaks: trap",
        "Worker.breaks: trap",
        "ActorStopped: Worker has stopped: trap: the task ended its own process (os._exit); return from the task instead",
        "idler, when it had no message: None",
        "answers_too_much  invalid",
        "the result is too large: a text of 100021 bytes; max_message allows 65536",
        "calls_too_deeply  task_error",
        "calling a task 4 levels deep is not allowed; Policy(max_depth=4) would allow it (denied) (denied) "
        "(task_error) (task_error)",
        "calls_too_many    denied",
        "more than 10 live sub-tasks is not allowed; a larger max_subtasks in the Policy would allow it (denied)",
        "asks_too_often    denied",
        "more than 5 HTTP requests for one message and its sub-tasks is not allowed; Policy(max_requests=6) would allow it",
        "spends_with_its_family fuel_exhausted",
        "the fuel of the family is used up; `family_compute` limits it",
        "behaves           answered 'still here'",
        "outgrows_its_family denied",
        "a family with more than 400MB of ram is not allowed; a larger family_ram in the Policy would allow it (denied)",
        "is_told_too_much denied",
        "a response of more than 1KB is not allowed; a larger max_response would allow it",
        "is_sent_around denied",
        "following more than 3 redirects is not allowed; a larger max_redirects would allow it",
        "max_sandboxes=2: 2 of 5 at once",
        'max_memory="400MB": 3 of 5 at once',
        "below a ceiling: timeout",
        "RightsRefused: examples/limits.py declares more rights than it may be granted:",
        'examples/limits.py:85, task asks_too_often: allowed_hosts=["localhost"]; it may have none',
        'Runtime(ceiling=Policy(allowed_hosts=["localhost"])) would allow it',
    ],
    "http_client.py": [
        "apple: 150",
        "bread: 150",
        "cheese: 160",
        "GET 200 14 bytes",
        "GET 200 14 bytes",
        "GET 200 14 bytes",
        '200 {"cents": 150}',
        'a request to example.com is not allowed; allowed_hosts=["example.com"] would allow it',
    ],
    "file_access.py": [
        "a clock that runs, a cup that fills,",
        "23 different words",
        "['words.db']",
        "writes_where_it_reads: PermissionError: [Errno 63] Operation not permitted: 'examples/data/poem.txt'; "
        '/examples/data can only be read; allowed_files=[{"path": "./examples/data", "mode": "read-write"}] would let '
        "the task write",
        "climbs_out: PermissionError: [Errno 63] Operation not permitted: 'examples/data/../file_access.py'; no folder "
        'was given that /examples/file_access.py is in; allowed_files=["./examples"] would show that one to the task',
    ],
    "environment.py": [
        "nothing ran: env_variables: greeting needs SHOP_NAME, which is not set",
        "The corner shop sells in EUR",
        "['SHOP_NAME']",
        "KeyError",
        "The corner shop sells in CHF",
        "The shop of the application sells in CHF",
    ],
    "application.py": [
        "run:  280",
        "run:  total: KeyError: 'caviar'",
        "spawn: total is at work",
        "spawn: 480",
        "basket total why not",
        "apple, apple 60",
        "bread, cheese 730",
        "caviar task_error",
        "0",
    ],
    "swarm.py": [
        "49 towns studied by 50 workers",
        "failed:",
        "town-13: Worker.study: TypeError: unsupported operand type(s) for +: 'float' and 'NoneType'",
        "advice:",
        "464 mm of rain in town-31: take an umbrella.",
        "463 mm of rain in town-30: take an umbrella.",
        "462 mm of rain in town-29: take an umbrella.",
        "town-28: no advice, denied",
        "town-27: no advice, denied",
        "left when the coordinator has stopped: []",
    ],
    "notebook.py": [
        "mean and deviation",
        "[2] (5.666666666666667, 4.2)",
        "[3] ZeroDivisionError in line 2: division by zero",
        "[4] 0.4117647058823529",
        "[5] ToolError in line 1: nobody sells caviar",
        "[6] {0, 1}",
        "[7] timeout: the task ran longer than its timeout",
        "the names are gone",
        "[8] NameError in line 1: name 'bread' is not defined",
        """{'word': "'still here'", 'length': '10'}""",
        "after the reset: {}",
        "once: 13983816",
    ],
    "crawler.py": [
        "/ | Home",
        "/deep | stack_overflow: the task's native stack is exhausted (a value nested too deeply?)",
        "/gone | task_error: the site answered 404",
        "/news | News",
        "/shop/ | Shop",
        "/shop/bread | Bread",
        "/shop/deep | stack_overflow: the task's native stack is exhausted (a value nested too deeply?)",
        "/shop/slow | timeout: the task ran longer than its timeout",
        "http://169.254.169.254/latest/meta-data/ | task_error: 169.254.169.254 is not the site that we crawl",
        "parsers that ended before the crawl: 1",
    ],
}

LOGS = {
    "crawler.py": "the actor Parser failed for good: ",
    "limits.py": "the actor Worker failed for good: ",
}
"""How each line begins that an example's log may have."""

APPLICATIONS = [file for file in EXAMPLES if "anyio.run(main)" in file.read_text("utf-8")]
"""Examples that are run by Python and open a runtime of their own."""


def test_every_example_is_checked() -> None:
    """An example that nothing runs would rot."""
    assert sorted(PRINTS) == [file.name for file in EXAMPLES]


def test_every_limit_is_hit() -> None:
    """That example sets each limit of the policy and of the runtime, so what it prints shows each."""
    text = (ROOT / "examples" / "limits.py").read_text("utf-8")
    limits = {*Policy.__struct_fields__, "max_sandboxes", "max_memory"} - {*RIGHTS, "on_failure", "restart_window"}
    assert [limit for limit in sorted(limits) if f"{limit}=" not in text] == []


@pytest.mark.slow
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_prints(file: Path, guest: CompiledGuest) -> None:
    """The command in its first lines ends well, and stdout holds these lines and no others."""
    done = run(command_of(file))
    assert done.returncode == 0, done.stderr
    assert lines_of(done.stdout) == [words_of(line) for line in PRINTS[file.name]]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("file", APPLICATIONS, ids=lambda file: file.name)
def test_an_application_leaves_nothing(file: Path, backend: str, guest: CompiledGuest) -> None:
    """On either loop it prints the same and warns of nothing, and no thread of capsule's is left."""
    code = f"""
import sys, threading, anyio
sys.path.insert(0, {str(file.parent)!r})
from {file.stem} import main
anyio.run(main, backend={backend!r})
left = [thread.name for thread in threading.enumerate() if thread.name.startswith("capsule-")]
print(*left, file=sys.stderr, end="")
"""
    done = run(shlex.join([sys.executable, "-W", "error", "-c", code]))
    told = [line for line in done.stderr.splitlines() if not line.startswith(LOGS.get(file.name, "\n"))]
    assert (done.returncode, told) == (0, [])
    assert lines_of(done.stdout) == [words_of(line) for line in PRINTS[file.name]]


def test_word_count_takes_a_text(guest: CompiledGuest) -> None:
    """Arguments of the shell reach the task."""
    assert run("capsule run examples/word_count.py 'a b a'").stdout == '{"a": 2, "b": 1}\n'


def command_of(file: Path) -> str:
    """What the docstring says: the text between the first backquotes behind "Run it with"."""
    found = re.search(r"Run it with `([^`]+)`", file.read_text("utf-8"))
    assert found, f"{file.name} does not say how to run it"
    return found[1]


def lines_of(printed: str) -> list[str]:
    """Those with a word in them."""
    return [line for line in map(words_of, printed.splitlines()) if line]


def words_of(line: str) -> str:
    """A line without table borders and runs of spaces."""
    return " ".join(re.sub(r"[\u2500-\u257f]", " ", line).split())


def run(command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        command,
        shell=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
