"""Variables for guests: those that a policy names, from the process, a `.env` file or the application; nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from capsule import InvalidPolicy, Policy, RightsRefused, Runtime, Secret, TaskFailed, actor, task
from capsule._guest.cache import CompiledGuest

SHOWS = "from capsule import task\n@task({})\ndef main():\n    import os\n    return dict(os.environ)\n"


@task(env_variables=["CAPSULE_TEST_A", "CAPSULE_TEST_B=default"])
def shows() -> dict[str, str]:
    import os

    return {**os.environ, "again": os.getenv("CAPSULE_TEST_A", "")}


@task()
def calls() -> list[dict[str, str]]:
    return [shows(), sees_nothing()]  # type: ignore[func-returns-value]


@task()
def sees_nothing() -> dict[str, str]:
    import os

    return dict(os.environ)


@actor(env_variables=["CAPSULE_TEST_A"])
class Keeps:
    def get(self) -> str:
        import os

        return os.environ["CAPSULE_TEST_A"]


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPSULE_TEST_A", "from the process")
    monkeypatch.setenv("CAPSULE_TEST_SECRET", "nobody's")


async def test_only_what_is_named(runtime: Runtime) -> None:
    """By tasks, their sub-tasks, and actors, each its own."""
    expected = {"CAPSULE_TEST_A": "from the process", "CAPSULE_TEST_B": "default"}
    assert await runtime.run(shows) == {**expected, "again": "from the process"}
    assert await runtime.run(sees_nothing) == {}
    assert await runtime.run(calls) == [{**expected, "again": "from the process"}, {}]
    keeps = await runtime.spawn(Keeps)
    assert await keeps.get() == "from the process"


async def test_sessions(runtime: Runtime) -> None:
    """Code sees what the session's policy names, in fresh sandboxes too."""
    code = "import os\nos.environ.get('CAPSULE_TEST_A'), os.environ.get('CAPSULE_TEST_SECRET')"
    assert (await runtime.eval(code)).repr == "(None, None)"
    policy = Policy(env_variables=("CAPSULE_TEST_A",))
    assert (await runtime.eval(code, policy=policy)).repr == "('from the process', None)"
    async with runtime.session(policy=policy) as session:
        await session.run("import os; os._exit(1)")
        assert (await session.run(code)).repr == "('from the process', None)"
    with pytest.raises(InvalidPolicy, match="CAPSULE_TEST_NONE"):
        await runtime.eval(code, policy=Policy(env_variables=("CAPSULE_TEST_NONE",)))


async def test_a_missing_one(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs, and the error names it; `check` says so too."""
    monkeypatch.delenv("CAPSULE_TEST_A")
    for call in (lambda: runtime.run(shows), lambda: runtime.spawn(shows), lambda: runtime.spawn(Keeps)):
        with pytest.raises(InvalidPolicy, match=r"needs CAPSULE_TEST_A, which is not set;.*\.env.*CAPSULE_TEST_A="):
            await call()
    with pytest.raises(InvalidPolicy, match="CAPSULE_TEST_A"):
        runtime.check(shows)
    with pytest.raises(TaskFailed, match="CAPSULE_TEST_A"):
        await runtime.run(calls)


async def test_where_values_come_from(guest: CompiledGuest) -> None:
    """What the application gives wins over the process, and the process over the file; `${}` in it stays as it is."""
    Path(".env").write_text(
        "# a comment\nCAPSULE_TEST_A=from the file\nexport CAPSULE_TEST_B='quoted # text'\n"
        'CAPSULE_TEST_C="two\\nlines"\nCAPSULE_TEST_D=${CAPSULE_TEST_SECRET}\nCAPSULE_TEST_E\n'
    )
    names = [f"CAPSULE_TEST_{letter}" for letter in "ABCD"]
    Path("t.py").write_text(SHOWS.format(""))
    policy = Policy(env_variables=tuple(names))
    async with Runtime(policy=policy, env_file=".env") as runtime:
        values = ["from the process", "quoted # text", "two\nlines", "${CAPSULE_TEST_SECRET}"]
        assert await runtime.run("t.py") == dict(zip(names, values, strict=True))
    async with Runtime(policy=policy, env={"CAPSULE_TEST_A": "given"}, env_file=Path(".env")) as runtime:
        assert (await runtime.run("t.py"))["CAPSULE_TEST_A"] == "given"
    with pytest.raises(InvalidPolicy, match="CAPSULE_TEST_B, CAPSULE_TEST_C, CAPSULE_TEST_D, which are not set"):
        Runtime(policy=policy).check("t.py")


@pytest.mark.parametrize("name", ["none", ".", "binary"])
def test_files_that_are_none(name: str) -> None:
    """A file that is not there, a folder, and bytes that are no text."""
    Path("binary").write_bytes(b"A=\xff")
    with pytest.raises(InvalidPolicy, match=r"^env_file: "):
        Runtime(env_file=name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_is_no_file() -> None:
    """It would be waited for."""
    os.mkfifo("pipe")
    with pytest.raises(InvalidPolicy, match="no file that can be read"):
        Runtime(env_file="pipe")


async def test_a_ceiling(guest: CompiledGuest) -> None:
    """A program that declares a variable beyond the ceiling does not start."""
    Path("t.py").write_text(SHOWS.format("env_variables=['CAPSULE_TEST_A']"))
    async with Runtime(ceiling=Policy(env_variables=("CAPSULE_TEST_A",))) as runtime:
        assert await runtime.run("t.py") == {"CAPSULE_TEST_A": "from the process"}
    async with Runtime(ceiling=Policy.largest()) as runtime:
        with pytest.raises(RightsRefused, match="CAPSULE_TEST_A"):
            await runtime.run("t.py")


async def test_a_secret_of_that_name(guest: CompiledGuest) -> None:
    """One name cannot be both: nobody would know which of the two goes inside."""
    Path("t.py").write_text(SHOWS.format("env_variables=['CAPSULE_TEST_A']"))
    secrets = {"CAPSULE_TEST_A": Secret("long-enough-to-be-one", hosts=["localhost"])}
    async with Runtime(secrets=secrets, ceiling=Policy(env_variables=("CAPSULE_TEST_A",))) as runtime:
        with pytest.raises(InvalidPolicy, match="is a secret"):
            await runtime.run("t.py")


async def test_what_would_help(runtime: Runtime) -> None:
    """A program that looks for what it was not given fails with the line of the policy that would give it."""
    for code, line in (
        ("import os; os.environ['API_KEY']", 'env_variables=["API_KEY"]'),
        ("open('data/a/x.txt')", 'allowed_files=["./data/a"]'),
        ("open('/tmp/x', 'w')", 'workspace="10MB"'),
    ):
        done = await runtime.eval(code)
        assert done.error is not None
        assert line in done.error.message, done.error.message
