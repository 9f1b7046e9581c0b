"""The house rules, read from the source: who imports whom, what is public, what is documented, how long things are."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
import typing
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from types import ModuleType

import pytest

import capsule
from capsule._guest.modules import STANDARD

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
HOST = sorted((SRC / "capsule").rglob("*.py"))
SDK = sorted((SRC / "capsule_sdk").rglob("*.py"))

LEVELS: list[set[str]] = [
    {"cache", "recall"},
    {"_backend", "_hosts", "_mounts", "_spellings", "_toml", "_variables", "_versions", "errors"},
    {"_scrubbing", "_units"},
    {"_secrets", "policy"},
    {"_values"},
    {"_events"},
    {"_rights", "abc"},
    {"_actor", "_child", "_guest", "_engine", "_host", "_journal", "_packages", "_task", "testing"},
    {"_environment", "_folders"},
    {"_installing", "_items", "_policies", "_project_file", "_setup", "_source", "_wiring"},
    {"_codes", "_provision"},
    {"_launcher"},
    {"_runtime"},
    {"_run"},
    {"", "guest", "http", "journal", "packages", "project"},
    {"cli", "integrations", "scale"},
]
"""Rooms from the bottom up; "" is `capsule` itself. A room imports from lower levels, and from itself."""

EDGES = LEVELS[-1]
MAX_FILE = 400
MAX_FUNCTION = 60


def level_of(room: str) -> int:
    return next(number for number, rooms in enumerate(LEVELS) if room in rooms)


def module_of(file: Path) -> str:
    parts = file.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports_of(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[str, int]]:
    """Every import of `tree`, in functions too, as the dotted name it reaches for and its line.

    `from a import b` is "a.b". What only type checkers read is left out.
    """
    for node in ast.iter_child_nodes(tree):
        if _is_for_types(node):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if is_package else module.split(".")[:-1]
            home = [*package[: len(package) - node.level + 1]] if node.level else []
            home += [node.module] if node.module else []
            yield from ((".".join([*home, alias.name]), node.lineno) for alias in node.names)
        else:
            yield from imports_of(node, module, is_package=is_package)


def imports_in(file: Path) -> Iterator[tuple[str, int]]:
    return imports_of(parse(file), module_of(file), is_package=file.name == "__init__.py")


def room_of(name: str) -> str:
    """The room of a dotted name below `capsule`: "_engine" for "capsule._engine.fiber", "" for "capsule.Runtime"."""
    part = name.split(".")[1] if "." in name else ""
    return part if any(part in rooms for rooms in LEVELS) else ""


def complaint(module: str, target: str) -> str | None:
    """What is wrong with `module` importing `target`, if anything is."""
    top = target.partition(".")[0]
    if top == "capsule":
        return _complaint_inside(room_of(module), target)
    if top == "capsule_sdk":
        return "the host imports nothing of the sandbox"
    if top == "wasmtime" and room_of(module) not in {"_engine", "_setup"}:
        return "only _engine knows wasmtime"
    if top in {"asyncio", "trio"} and module != "capsule._backend":
        return "only _backend knows an event loop by name"
    return None


def _complaint_inside(room: str, target: str) -> str | None:
    if room_of(target) == room:
        return None
    if level_of(room_of(target)) >= level_of(room):
        return "imports run downwards, and never between rooms of one level"
    if room in EDGES and any(part.startswith("_") for part in target.split(".")):
        return "the edges use only what is public"
    return None


@pytest.mark.parametrize("file", HOST, ids=module_of)
def test_imports_run_one_way(file: Path) -> None:
    """Each import of each file, wherever it stands."""
    module = module_of(file)
    found = [(f"{file}:{line}", target, complaint(module, target)) for target, line in imports_in(file)]
    assert [entry for entry in found if entry[2]] == []


@pytest.mark.parametrize(
    ("module", "source", "is_right"),
    [
        ("capsule.errors", "from .policy import Policy", False),
        ("capsule.policy", "from .errors import InvalidPolicy", True),
        ("capsule._actor.ref", "from .._values import Outcome", True),
        ("capsule._actor.ref", "from .delivery import Delivery", True),
        ("capsule._actor.ref", "def f():\n    from .._engine import fiber", False),
        ("capsule._actor.ref", "from .. import _engine", False),
        ("capsule._actor.ref", "import capsule", False),
        ("capsule._actor.ref", "from .._task import Task", False),
        ("capsule._actor.ref", "from .._runtime import Runtime", False),
        ("capsule._actor.ref", "if x:\n    try:\n        import asyncio\n    finally:\n        pass", False),
        ("capsule._backend", "import asyncio, trio", True),
        ("capsule._guest.build", "from wasmtime import wat2wasm", False),
        ("capsule._engine.loaded", "from wasmtime import component", True),
        ("capsule._host.tasks", "import capsule_sdk", False),
        ("capsule._runtime", "from ._actor.ref import ActorRef\nfrom ._setup import ensure_guest", True),
        ("capsule._setup", "from ._source import Source", False),
        ("capsule._source", "from ._task import Task", True),
        ("capsule.testing.engine", "from ..abc import Engine\nfrom .._values import Outcome", True),
        ("capsule.testing.engine", "from .._engine.engine import WasmEngine", False),
        ("capsule.testing.engine", "from .. import Runtime", False),
        ("capsule.cli.run", "from capsule import Runtime\nfrom capsule.guest import ensure_guest", True),
        ("capsule.cli.run", "from capsule._runtime import Runtime", False),
        ("capsule.cli.run", "from capsule.policy import _parse", False),
        ("capsule.cli.run", "from .screen import Screen", True),
        ("capsule.cli.run", "from ..integrations import langchain", False),
        ("capsule.errors", "if TYPE_CHECKING:\n    from ._values import Outcome", True),
    ],
)
def test_the_import_rules_themselves(module: str, source: str, is_right: bool) -> None:
    """The checker sees through function bodies and relative names, and lets neighbours pass."""
    targets = [target for target, _ in imports_of(ast.parse(source), module, is_package=False)]
    assert (not any(complaint(module, target) for target in targets)) is is_right


def test_only_the_child_of_setup_loads_wasmtime() -> None:
    """In `_setup` it is imported inside the function that the process of its own runs."""
    tree = parse(SRC / "capsule" / "_setup.py")
    (maker,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "_make")
    everywhere = list(imports_of(tree, "capsule._setup", is_package=False))
    inside = list(imports_of(maker, "capsule._setup", is_package=False))
    heavy = ("wasmtime", "capsule._engine.loaded", "capsule._engine.measure", "capsule._guest.build")
    assert [entry for entry in everywhere if entry[0].startswith(heavy) and entry not in inside] == []
    assert any(name.startswith("wasmtime") for name, _ in inside)


def test_names_are_not_imported_by_text() -> None:
    """Only `capsule` itself loads by name, so that the rules above see everything."""
    found = [
        module_of(file)
        for file in HOST
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__"))
    ]
    assert found == ["capsule"]


@pytest.mark.parametrize("file", SDK, ids=module_of)
def test_the_sandbox_side_stands_alone(file: Path) -> None:
    """It runs on another Python, where only that one's standard library is."""
    allowed = STANDARD | {"capsule_sdk", "wit_world", "componentize_py_types", "_capsule_probe", "_sqlite3"}
    assert [(name, line) for name, line in imports_in(file) if name.partition(".")[0] not in allowed] == []


# What is public.


def test_public_names_are_sorted_and_load() -> None:
    """`__all__` is in order, and each name in it is there."""
    assert capsule.__all__ == sorted(capsule.__all__)
    for name in capsule.__all__:
        assert getattr(capsule, name) is not None
    assert set(capsule.__all__) <= set(dir(capsule))


def test_type_checkers_see_the_same_names() -> None:
    """What loads lazily and what is declared for type checkers are one list, from the same homes."""
    (block,) = (node for node in parse(SRC / "capsule" / "__init__.py").body if _is_for_types(node))
    ours = [node for node in block.body if node.level]
    declared = {alias.name: node.module for node in ours for alias in node.names}
    assert all(alias.asname == alias.name for node in ours for alias in node.names)
    assert declared == capsule._HOME_OF
    assert sorted(declared) == capsule.__all__


def test_nothing_else_is_public() -> None:
    """After everything was loaded, `capsule` has no public name beyond `__all__` and its public modules."""
    for name in capsule.__all__:
        getattr(capsule, name)
    own = {"TYPE_CHECKING", "Any", "annotations", "import_module"}
    names = {name for name, value in vars(capsule).items() if not isinstance(value, ModuleType)}
    assert {name for name in names if not name.startswith("_")} - own == set(capsule.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A lazy module fails as every other module does."""
    with pytest.raises(AttributeError, match="module 'capsule' has no attribute 'nothing'"):
        _ = capsule.nothing


@pytest.mark.parametrize("name", capsule.__all__)
def test_tracebacks_say_capsule(name: str) -> None:
    """A public class or function is called by the name under which users import it.

    A value with fields is not: tools and msgspec look its hints up in the module that it says it is from.
    """
    value = getattr(capsule, name)
    if hasattr(value, "__struct_fields__"):
        assert set(typing.get_type_hints(value)) == set(value.__struct_fields__)
    elif isinstance(value, type) or hasattr(value, "__code__"):
        assert value.__module__ == "capsule"
        assert value.__qualname__ == name


PUBLIC = [
    file
    for file in HOST
    if not any(part.startswith("_") for part in module_of(file).split("."))
    and (file.parent.name == "capsule" or file.name == "__init__.py")
]


@pytest.mark.parametrize("module", PUBLIC, ids=module_of)
def test_public_modules_name_what_they_offer(module: Path) -> None:
    """Where a public module has an `__all__`, it names every public class and function that stands in the file."""
    tree = parse(module)
    listed = next(
        (ast.literal_eval(node.value) for node in tree.body if ast.unparse(node).startswith("__all__ = [")), None
    )
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    }
    assert listed is None or defined <= set(listed)
    assert listed is None or len(set(listed)) == len(listed)


def test_import_is_light() -> None:
    """`import capsule` loads no engine, no event loop and no command line."""
    code = "import capsule, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert "capsule" in loaded
    assert not loaded & {"wasmtime", "anyio", "asyncio", "trio", "typer", "rich", "filelock", "capsule_sdk"}


# What is documented, and how long it is.

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _is_overload(node: Definition) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)


@functools.cache
def _documented_methods() -> dict[str, set[str]]:
    """The documented methods of each class of capsule, by the class's name, with those of its bases."""
    classes = {node.name: node for file in HOST for node in ast.walk(parse(file)) if isinstance(node, ast.ClassDef)}

    def methods(name: str) -> set[str]:
        if name not in classes:
            return set()
        inherited = (methods(ast.unparse(base).rpartition(".")[2].partition("[")[0]) for base in classes[name].bases)
        own = {item.name for item in classes[name].body if isinstance(item, Definition) and ast.get_docstring(item)}
        return own.union(*inherited)

    return {name: methods(name) for name in classes}


def _is_visit(node: ast.ClassDef, name: str) -> bool:
    """Whether the method is one that the standard library's `ast.NodeVisitor` calls, and documents."""
    return name.startswith("visit_") and any(ast.unparse(base).endswith("NodeVisitor") for base in node.bases)


def undocumented(tree: ast.Module, known: dict[str, set[str]]) -> Iterator[tuple[str, int]]:
    """Public classes, functions and methods without a docstring."""
    for node in tree.body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not _is_overload(node):
            yield node.name, node.lineno
        for item in node.body if isinstance(node, ast.ClassDef) else ():
            if not isinstance(item, Definition) or item.name.startswith("_") or _is_overload(item):
                continue
            is_known = item.name in known.get(node.name, ()) or _is_visit(node, item.name)
            if not ast.get_docstring(item) and not is_known:
                yield f"{node.name}.{item.name}", item.lineno


@pytest.mark.parametrize("file", HOST, ids=module_of)
def test_everything_public_is_documented(file: Path) -> None:
    """Modules, and what has no underscore in them; a method may lean on the docstring of its base's."""
    tree = parse(file)
    assert ast.get_docstring(tree), "the module has no docstring"
    assert list(undocumented(tree, _documented_methods())) == []


@pytest.mark.parametrize("file", SDK, ids=module_of)
def test_the_modules_of_the_sandbox_are_documented(file: Path) -> None:
    """The other side as well says what each file is for."""
    assert ast.get_docstring(parse(file))


@pytest.mark.parametrize("file", [*HOST, *SDK], ids=module_of)
def test_files_and_functions_are_short(file: Path) -> None:
    """A file has one reason to change and a function fits on a screen."""
    assert len(file.read_text("utf-8").splitlines()) <= MAX_FILE
    lengths = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(parse(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION} == {}


# What is shipped.


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet", "-w", str(folder)]
    subprocess.run(command, check=True, timeout=300, cwd=folder)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as opened:
        yield opened


@pytest.mark.slow
def test_the_wheel_has_every_file_of_src(wheel: zipfile.ZipFile) -> None:
    """Code of both sides, the contract, the probe and the marks for type checkers; nothing else."""
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {
        file.relative_to(SRC).as_posix()
        for file in SRC.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and not file.parent.name.endswith(".egg-info")
    }
    assert shipped == sources
    assert {"capsule/py.typed", "capsule_sdk/py.typed", "capsule_sdk/wit/capsule.wit"} <= shipped
    assert {"capsule_sdk/probe.wat", "capsule_sdk/_entry.py", "capsule/_engine/fiber.py"} <= shipped


@pytest.mark.slow
def test_the_wheel_knows_no_machine(wheel: zipfile.ZipFile) -> None:
    """No path of the machine that built it is in any of its files."""
    paths = {str(ROOT), str(Path.home()), sys.prefix, sys.base_prefix, "/work/", "/home/", "/Users/"}
    found = [
        (name, path)
        for name in wheel.namelist()
        for path in paths
        if len(Path(path).parts) > 1 and path.encode() in wheel.read(name)
    ]
    assert found == []


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    """Name, version, licence, the command, and exact versions where native code depends on them."""
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    about = Parser().parsestr(wheel.read(name).decode())
    assert (about["Name"], about["Version"]) == ("capsule", capsule.__version__)
    assert name.replace("METADATA", "licenses/LICENSE") in wheel.namelist()
    assert b"capsule = capsule.cli.main:command" in wheel.read(name.replace("METADATA", "entry_points.txt"))
    needs = about.get_all("Requires-Dist")
    assert {"wasmtime==50.0.1", "componentize-py==0.25.1"} <= set(needs)
    assert not {need for need in needs if need.startswith("trio") and "extra ==" not in need}
