"""What can be a tool, how its signature reads, what calls fit it, and what it may answer."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import math
import re
import typing
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, TypedDict, TypeVar

import msgspec
import pytest

from capsule import InvalidArguments, InvalidPolicy, InvalidTool, actor, task
from capsule._host.tool import Tool
from capsule._host.tool_shape import Shape, WrongAnswer
from capsule._host.tools import Tools

T = TypeVar("T")
UserId = NewType("UserId", int)
Small = Annotated[int, msgspec.Meta(ge=1, le=9)]


def spelled(value: object) -> str:
    """A case's name, the same in each process: no address is in it."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Node(msgspec.Struct):
    value: int
    children: list[Node] = []


class User(msgspec.Struct):
    name: str


class Account(User):
    password: str = "secret"


class Checked(msgspec.Struct):
    name: str

    def __post_init__(self) -> None:
        if self.name == "bad":
            raise ValueError("no such name in /home/ada")
        if self.name == "worse":
            raise KeyError("/home/ada")


class Options(TypedDict):
    depth: int
    wide: NotRequired[bool]


class Database:
    def __init__(self, rows: int = 0) -> None:
        self.rows = rows

    def query(self, sql: str, /, limit: int = 10) -> list[str]:
        return [sql] * limit

    async def fetch(self, key: str) -> str:
        return key

    def __call__(self, key: str) -> str:
        return key


class Unequal:
    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None

    def __call__(self) -> None: ...


def search(query: str, limit: int = 10) -> list[str]: ...
def bare(a, b=1, *c, d, e=None, **f): ...
def kinds(a: int, /, b: int, *, c: int) -> None: ...
def only(a: int, /) -> None: ...
def many(*words: str, **counts: int) -> dict[str, int]: ...
def defaults(a=None, b=True, c=-1, d=1.5, e="x", f=(), g=Color.RED, h=object(), i="/home/ada", j="x" * 99): ...  # noqa: B008
def shapes(
    a: Optional[int],  # noqa: UP045 - the older spellings read the same
    b: int | str | None,
    c: typing.List[int],  # noqa: UP006
    d: Mapping[str, Sequence[bytes]],
    e: Literal["a", 1],
    f: Small,
    g: Point,
    h: Color,
    i: dt.datetime,
    j: Any,
    k: object,
    ll: tuple[int, ...],
    m: UserId,
    n: Options,
    o: uuid.UUID,
    p: None,
    q: dict[str, object],
) -> decimal.Decimal: ...


def outer() -> Callable[..., Any]:
    @functools.wraps(search)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return search(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (search, "search(query: str, limit: int = 10) -> list[str]"),
        (bare, "bare(a, b=1, *c, d, e=None, **f)"),
        (kinds, "kinds(a: int, /, b: int, *, c: int) -> None"),
        (only, "only(a: int, /) -> None"),
        (many, "many(*words: str, **counts: int) -> dict[str, int]"),
        (defaults, "defaults(a=None, b=True, c=-1, d=1.5, e='x', f=..., g=..., h=..., i=..., j=...)"),
        (
            shapes,
            "shapes(a: int | None, b: int | str | None, c: list[int], d: Mapping[str, Sequence[bytes]], "
            "e: Literal['a', 1], f: int, g: Point, h: Color, i: datetime, j: Any, k: Any, ll: tuple[int, ...], "
            "m: UserId, n: Options, o: UUID, p: None, q: dict[str, object]) -> Decimal",
        ),
        (Database().query, "query(sql: str, /, limit: int = 10) -> list[str]"),
        (Tool(Database(), name="db"), "db(key: str) -> str"),
        (functools.partial(search, "x"), "search(limit: int = 10) -> list[str]"),
        (functools.partial(search, limit=3), "search(query: str) -> list[str]"),
        (functools.partial(functools.partial(bare, b=2), d=1, z=2), "bare(a, *, e=None, **f)"),
        (outer(), "search(query: str, limit: int = 10) -> list[str]"),
        (functools.cache(search), "search(query: str, limit: int = 10) -> list[str]"),
        (Tool(lambda x: x, name="same"), "same(x)"),
        (Tool(search, name="find"), "find(query: str, limit: int = 10) -> list[str]"),
        (math.sqrt, "sqrt(x, /)"),
    ],
    ids=spelled,
)
def test_signatures(function: Any, text: str) -> None:
    """A guest reads names, types without modules, and defaults that are plain and no paths."""
    tool = function if isinstance(function, Tool) else Tool(function)
    assert tool.signature == text
    assert repr(tool) == f"<tool {text}>"
    assert text.startswith(tool.name)


def takes(hint: Any) -> Callable[..., Any]:
    def f(x): ...

    f.__annotations__ = {"x": hint}
    return f


def answers(hint: Any) -> Callable[..., Any]:
    def f(): ...

    f.__annotations__ = {"return": hint}
    return f


@pytest.mark.parametrize(
    "hint",
    [
        Path,
        complex,
        type,
        Callable[[int], int],
        Database,
        list[Database],
        dict[str, tuple[Database, ...]],
        int | Database,
        list[int] | set[int],
        Iterator[int],
        typing.NoReturn,
        msgspec.Raw,
        "Missing",
        "list[Missing]",
        "1 +",
        5,
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [takes, answers])
def test_hints_that_json_cannot_become(make: Any, hint: Any) -> None:
    """Refused when the tool is declared; the error names the tool, the place and the hint."""
    with pytest.raises(InvalidTool, match=r"^the tool 'f': (the parameter 'x'|its answer) has the hint .*") as caught:
        Tool(make(hint))
    shown = hint if isinstance(hint, str) else getattr(hint, "__name__", "")
    assert shown in str(caught.value)


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


def named(name: str) -> Callable[..., Any]:
    def function() -> None: ...

    function.__name__ = name
    return function


@task
def a_task(x: int) -> int:
    return x


@actor
class AnActor:
    pass


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Tool(5), "a tool is a function, not int"),
        (lambda: Tool("search"), "a tool is a function, not str"),
        (lambda: Tool(lambda x: x), "needs one to become a tool"),
        (lambda: Tool(Database()), "needs one to become a tool"),
        (lambda: Tool(functools.partial(lambda x: x, 1)), "needs one to become a tool"),
        (lambda: Tool(Tool(search)), "is a Tool already"),
        (lambda: Tool(Database), "is a class"),
        (lambda: Tool(generator), "is a generator"),
        (lambda: Tool(async_generator), "is a generator"),
        (lambda: Tool(a_task), "the tool 'a_task', a Task, cannot be called"),
        (lambda: Tool(AnActor), "the tool 'AnActor', a ActorClass, cannot be called"),
        (lambda: Tool(max), "the tool 'max' has no signature"),
        *[
            (functools.partial(Tool, search, name=name), "cannot be the name")
            for name in ("", "_x", "a b", "1a", "if", "a.b", 5)
        ],
        *[(functools.partial(Tool, named(name)), "cannot be the name") for name in ("_x", "__call__")],
        (lambda: Tools.of([search, Tool(outer(), timeout=1)]), "two tools are named 'search'"),
        (lambda: Tools.of([search]).merged(Tools.of([outer()])), "two tools are named 'search'"),
        (lambda: Tools.of([search, Tool(search, max_calls=1)]), "two tools are named 'search'"),
        (lambda: Tools.of(search), "tools=\\[search\\]"),
        (lambda: Tools.of(5), "tools=\\[search\\]"),
        (lambda: Tools.of(["search"]), "not str"),
    ],
)
def test_what_is_no_tool(make: Callable[[], Any], reason: str) -> None:
    """Refused when it is declared."""
    with pytest.raises(InvalidTool, match=reason):
        make()


@pytest.mark.parametrize(
    "limits",
    [{"timeout": value} for value in (0, -1, "5", "x", True, math.nan, [])]
    + [{"max_calls": value} for value in (0, -1, 1.0, "1", True)],
    ids=str,
)
def test_limits_that_do_not_parse(limits: dict[str, Any]) -> None:
    """The error names the limit and the tool."""
    with pytest.raises(InvalidPolicy, match=f"{next(iter(limits))} of the tool 'search': "):
        Tool(search, **limits)


def test_a_tool() -> None:
    """Its settings can be read and not changed, and it is called as its function is."""
    tool = Tool(Database().query, timeout="500ms", max_calls=2)
    assert (tool.name, tool.timeout, tool.max_calls) == ("query", 0.5, 2)
    assert tool("a", limit=2) == tool.function("a", 2) == ["a", "a"]
    with pytest.raises(AttributeError):
        tool.timeout = 5
    with pytest.raises(AttributeError):
        tool.other = 5


def test_tools_of_one_name() -> None:
    """The same function given twice is one tool, a bound method too."""
    first, second = Database(), Database()
    both = Tools.of([search, Tool(search)]).merged(Tools.of([first.query, search, first.query]))
    assert [tool.name for tool in both] == ["search", "query"]
    assert (len(both), repr(both), repr(Tools())) == (2, "<tools search, query>", "<tools none>")
    assert both.get("search") == Tool(search)
    assert hash(both.get("search")) == hash(Tool(search))
    assert both.get("other") is None
    with pytest.raises(InvalidTool):
        both.merged(Tools.of([second.query]))
    unequal = Tool(Unequal(), name="x")
    assert Tools([unequal, unequal]).get("x") is unequal
    assert (Tool(unequal.function, name="x") == unequal, Tool(Unequal(), name="x") == unequal, unequal == 5) == (
        True,
        False,
        False,
    )


NOW = dt.datetime(2020, 1, 2, tzinfo=dt.UTC)
SOME_ID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("hint", "value", "seen"),
    [
        (str, "x", "x"),
        (int, 3, 3),
        (int, 10**30, 10**30),
        (float, 3, 3.0),
        (float, 1.5, 1.5),
        (bool, True, True),
        (None, None, None),
        (bytes, "aGk=", b"hi"),
        (dt.datetime, "2020-01-02T00:00:00Z", NOW),
        (dt.date, "2020-01-02", NOW.date()),
        (dt.timedelta, "P1D", dt.timedelta(days=1)),
        (uuid.UUID, str(SOME_ID), SOME_ID),
        (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
        (Color, "red", Color.RED),
        (Literal["a", 1], 1, 1),
        (list[int], [1], [1]),
        (set[int], [1, 1], {1}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (Point, {"x": 1}, Point(1)),
        (Node, {"value": 1, "children": [{"value": 2}]}, Node(1, [Node(2)])),
        (Options, {"depth": 1}, {"depth": 1}),
        (int | None, None, None),
        (Small, 9, 9),
        (UserId, 5, 5),
        (T, [1], [1]),
        (Any, {"a": [None]}, {"a": [None]}),
        (object, [1], [1]),
        (dict[str, object], {"a": [{}]}, {"a": [{}]}),
    ],
    ids=str,
)
def test_conversions(hint: Any, value: Any, seen: Any) -> None:
    """Arguments become what the hints say, as if they were decoded from JSON; answers go the same way back."""
    args, kwargs = Shape("f", takes(hint)).bind([value], {})
    assert (args, kwargs) == ((seen,), {})
    assert type(args[0]) is type(seen)
    back = Shape("f", answers(hint)).check_answer(seen)
    assert msgspec.json.decode(msgspec.json.encode(back)) == back
    assert Shape("f", takes(hint)).bind([], {"x": back})[0] == (seen,)


@pytest.mark.parametrize(
    ("hint", "value", "reason"),
    [
        (str, 3, "got 3 for 'x': expected str"),
        (int, "3", "got '3' for 'x': expected int"),
        (int, True, "got True for 'x': expected int"),
        (int, 1.0, "got 1.0 for 'x': expected int"),
        (bool, 1, "got 1 for 'x': expected bool"),
        (str, None, "got None for 'x': expected str"),
        (int | None, "a", "got 'a' for 'x': expected int | null"),
        (Small, 10, "got 10 for 'x': expected int <= 9"),
        (Color, "blue", "got 'blue' for 'x': Invalid enum value 'blue'"),
        (Literal["a"], "b", "got 'b' for 'x': Invalid enum value 'b'"),
        (list[int], [1, "a"], "got [1, 'a'] for 'x': expected int, got str at $[1]"),
        (Point, {"x": "a"}, "got {'x': 'a'} for 'x': expected int, got str at $.x"),
        (Point, {}, "got {} for 'x': Object missing required field x"),
        (Options, {"depth": None}, "got {'depth': None} for 'x': expected int, got null at $.depth"),
        (dt.datetime, "soon", "got 'soon' for 'x': Invalid RFC3339 encoded datetime"),
        (Checked, {"name": "bad"}, "got {'name': 'bad'} for 'x': no such name in <path>"),
    ],
    ids=str,
)
def test_arguments_of_a_wrong_type(hint: Any, value: Any, reason: str) -> None:
    """The refusal shows what came, for which parameter, what was expected, and the signature."""
    shape = Shape("f", takes(hint))
    with pytest.raises(InvalidArguments) as caught:
        shape.bind([value], {})
    assert str(caught.value) == f"f() {reason}; it is {shape.text}"


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "reason"),
    [
        (search, [], {}, "missing a required argument: 'query'"),
        (search, ["a", 1, 2], {}, "too many positional arguments"),
        (search, ["a"], {"size": 1}, "got an unexpected keyword argument 'size'"),
        (search, ["a"], {"query": "b"}, "multiple values for argument 'query'"),
        (search, ["a"], {"": 1}, "got an unexpected keyword argument ''"),
        (kinds, [1, 2], {}, "missing a required .*argument: 'c'"),
        (kinds, [1, 2, 3], {}, "too many positional arguments"),
        (many, ["a", 1], {}, r"got 1 for 'words\[1\]': expected str"),
        (many, [], {"a": 1, "b": "x"}, "got 'x' for 'b': expected int"),
        (functools.partial(search, limit=3), ["a", 4], {}, "too many positional arguments"),
        (functools.partial(search, limit=3), ["a"], {"limit": 4}, "got an unexpected keyword argument 'limit'"),
        (functools.partial(many, a=3), [], {"a": 4}, "got an unexpected keyword argument 'a'"),
    ],
)
def test_calls_that_do_not_fit(function: Any, args: list[Any], kwargs: dict[str, Any], reason: str) -> None:
    """The refusal names the argument and the signature. What a partial has set cannot be set by a guest."""
    shape = Shape("f", function)
    with pytest.raises(InvalidArguments, match=rf"^f\(\) {reason}; it is f\(") as caught:
        shape.bind(args, kwargs)
    assert str(caught.value).endswith(f"; it is {shape.text}")


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "seen"),
    [
        (search, ["a"], {}, (("a",), {})),
        (search, [], {"limit": 1, "query": "a"}, (("a", 1), {})),
        (kinds, [1], {"b": 2, "c": 3}, ((1, 2), {"c": 3})),
        (many, ["a", "b"], {"self": 1, "name": 2, "args": 3}, (("a", "b"), {"self": 1, "name": 2, "args": 3})),
        (functools.partial(search, "a"), [], {"limit": 1}, ((1,), {})),
        (functools.partial(kinds, b=2), [1], {"c": 3}, ((1,), {"c": 3})),
        (bare, [1], {"d": 2, "self": 3}, ((1,), {"d": 2, "self": 3})),
    ],
)
def test_calls_that_fit(function: Any, args: list[Any], kwargs: dict[str, Any], seen: Any) -> None:
    """Arguments arrive as Python passes them; a partial adds its own when it is called."""
    assert Shape("f", function).bind(args, kwargs) == seen


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (["x" * 100_000], {}),
        ([[10**4000]], {}),
        ([["x" * 1000] * 1000], {}),
        ([[[[[[["a"]]]]]]], {}),
        ([1], {"k" * 100_000: 1}),
        ([1], {"\U000e0001" * 1000: 1}),
    ],
    ids=["text", "number", "list", "nested", "name", "odd name"],
)
def test_refusals_are_short(args: list[Any], kwargs: dict[str, Any]) -> None:
    """However much a guest sends, what is said of it has an end."""
    with pytest.raises(InvalidArguments) as caught:
        Shape("f", takes(int | None)).bind(args, kwargs)
    assert len(str(caught.value)) < 500


def test_an_actor_is_no_argument() -> None:
    """A payload can hold refs; live objects of the host do not reach a tool that takes anything."""
    with pytest.raises(InvalidArguments, match=r"^bare\(\) takes JSON values; an actor is none; it is bare\("):
        Shape("bare", bare).bind([[Database()]], {})


def test_an_answer_is_cut_to_its_hint() -> None:
    """What the hint does not name stays outside."""
    assert Shape("f", answers(User)).check_answer(Account("ada", "pw")) == {"name": "ada"}
    assert Shape("f", answers(list[User])).check_answer([Account("ada", "pw")]) == [{"name": "ada"}]
    assert Shape("f", answers(Point)).check_answer({"x": 1, "z": 2}) == {"x": 1}
    assert Shape("f", answers(Any)).check_answer((Account("ada", "pw"), {1: NOW})) == [
        {"name": "ada", "password": "pw"},
        {"1": "2020-01-02T00:00:00Z"},
    ]


class Cyclic(list):
    def __init__(self) -> None:
        self.append(self)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (str, 3),
        (None, 3),
        (int, None),
        (float, math.nan),
        (list[int], ["a"]),
        (Point, {"x": None}),
        (Small, 10),
        (Any, object()),
        (Any, Database()),
        (Any, {(1, 2): 3}),
        (Any, "\ud800"),
        (Any, Cyclic()),
        (Checked, {"name": "worse"}),
    ],
    ids=spelled,
)
def test_answers_that_are_refused(hint: Any, value: Any) -> None:
    """An answer that is not JSON, or not what the hint says."""
    with pytest.raises(WrongAnswer, match=rf"^f\(\).* answered a {type(value).__name__}"):
        Shape("f", answers(hint)).check_answer(value)
