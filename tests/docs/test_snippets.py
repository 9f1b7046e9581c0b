"""What the documents show is run, and what they say is printed is compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from capsule._guest.cache import CompiledGuest
from docs.snippets import ALL, DOCUMENTS, LANGUAGES, ROOT, Block

BIN = Path(sys.executable).parent
MARKERS = {"", "file", "prints", "empty cache", "not run"}

SCRIPTS = [b for b in ALL if b.language == "python" and b.marker == ""]
SHELLS = [b for b in ALL if b.language in ("console", "sh") and b.marker != "not run"]

_CHANGING = [
    (r"\b\d+(\.\d+)? ms\b", "N ms"),
    (r"\b\d+(\.\d+)?M fuel\b", "NM fuel"),
    (r"\b\d+ MB\b", "N MB"),
    (r'"(duration_ms|fuel_consumed|ram_used)": [\d.]+', r'"\1": N'),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder with a copy of the examples, which the documents run by their path."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__", ".capsule"))
    return tmp_path


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_a_script_runs(block: Block, place: Path, guest: CompiledGuest) -> None:
    """It ends well, without warnings, and prints what stands behind it."""
    put_files(block, place)
    (place / "snippet.py").write_text(block.text, "utf-8")
    done = run("python -W error snippet.py", place)
    assert done.returncode == 0, done.stdout
    if block.prints is not None:
        assert_shown(block.prints, done.stdout)


@pytest.mark.parametrize("block", SHELLS, ids=str)
def test_commands_print_what_is_shown(block: Block, place: Path, guest: CompiledGuest) -> None:
    """Each command prints what is shown below it; one that fails is followed by `echo $?`, which says so."""
    put_files(block, place)
    status = 0
    own_cache = {"CAPSULE_CACHE_DIR": str(place / "cache")} if block.marker == "empty cache" else {}
    for command, shown, is_asked in commands_of(block):
        done = run(f"(exit {status}); {command}", place, own_cache)
        status = done.returncode
        assert status == 0 or is_asked, f"{command}\n{done.stdout}"
        if shown:
            assert_shown(shown, done.stdout)


def test_every_block_is_understood() -> None:
    """An unknown language or marker would be a block that nothing runs."""
    assert [str(b) for b in ALL if b.language not in LANGUAGES or b.marker not in MARKERS] == []
    assert [str(b) for b in ALL if b.marker == "not run" and not b.value] == []


def test_every_file_is_used() -> None:
    """A block that is written to a file is run by a later block of its document."""
    for file in (b for b in ALL if b.marker == "file"):
        later = [b.text for b in ALL if b.document == file.document and b.line > file.line]
        assert any(file.value.removesuffix(".py") in text for text in later), f"{file}: nothing uses {file.value}"


def test_ci_runs_the_second_set_up_command() -> None:
    """What the README says that the tests need is what CI does, word for word."""
    first, second = (b.text.strip() for b in ALL if b.document == "README.md" and b.value.startswith("set-up"))
    assert first.count("\n") == second.count("\n") == 0
    assert second in (ROOT / ".ci/run").read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda path: path.name
)
def test_links_lead_somewhere(document: Path) -> None:
    """Each relative link names a file, and each anchor a heading in it."""
    for target in re.findall(r"\]\(([^)]+)\)", without_code(document)):
        name, _, anchor = target.partition("#")
        file = (document.parent / name) if name else document
        assert file.exists(), target
        if anchor:
            assert anchor in set(anchors_of(file)), target


def put_files(block: Block, place: Path) -> None:
    for name, text in block.files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, "utf-8")


def run(command: str, place: Path, extra: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONIOENCODING": "utf-8",
        **(extra or {}),
    }
    return subprocess.run(
        ["bash", "-c", command],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def commands_of(block: Block) -> Iterator[tuple[str, str, bool]]:
    """Each command, what is shown below it, and whether `echo $?` asks for its status next."""
    if block.language == "sh":
        yield from ((line, "", False) for line in block.text.splitlines() if line.strip())
        return
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not parts[0], f"{block}: a console block begins with a command"
    for part, after in zip(parts[1:], [*parts[2:], ""], strict=True):
        command, _, shown = part.partition("\n")
        yield command, shown, after.startswith("echo $?")


def assert_shown(shown: str, printed: str) -> None:
    """`printed` is what is shown, but for times and costs; a line of dots stands for any lines."""
    pattern = re.escape(steady(shown).strip()).replace(re.escape("..."), "(?s:.*)")
    assert re.fullmatch(pattern, steady(printed).strip()), f"shown:\n{shown}\nprinted:\n{printed}"


def steady(text: str) -> str:
    for pattern, replacement in _CHANGING:
        text = re.sub(pattern, replacement, text)
    return text


def without_code(document: Path) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors_of(file: Path) -> Iterator[str]:
    """The anchors of the headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ (.+)$", file.read_text("utf-8"), flags=re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
