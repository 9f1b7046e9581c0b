"""Hostile programs that run again: what one run does never reaches another through the byte code that is kept."""

from __future__ import annotations

import pytest

from capsule import Policy, Runtime
from capsule._guest.cache import CompiledGuest
from codes import LONG, codes_of, made, outcome_of, said

EVIL = "compile('def main(*a): return \"poisoned\"', 'tenant.py', 'exec')"

# What `poison` does when the tenant's argument is hostile. All of it works, in the sandbox that does it.

POISON = {
    "the compiler": f"import builtins; evil = {EVIL}; builtins.compile = lambda *a, **k: evil",
    "reading byte code": f"import marshal; evil = {EVIL}; marshal.loads = lambda *a, **k: evil",
    "writing byte code": f"import marshal; evil = marshal.dumps({EVIL}); marshal.dumps = lambda *a, **k: evil",
    "the loader": f"import capsule_sdk._byte_code as b; evil = {EVIL}; b.code_of = b.compiled = lambda *a: evil",
    "the compiler's program": (
        "import capsule_sdk._byte_code as b, base64, marshal;"
        f"evil = base64.b64encode(marshal.dumps({EVIL})).decode(); b.of_program = b.of_packages = lambda f: [evil] * len(f)"
    ),
    "its own code": "main.__code__ = (lambda hostile: 'poisoned').__code__",
    "its own module": "import sys; sys.modules['main'].helper = lambda: 'poisoned'; globals()['helper'] = lambda: 'poisoned'",
    "constants": "import gc; [each.append('poisoned') for each in gc.get_objects() if type(each) is list and each == ['constant']]",
    "the text": "import linecache; linecache.cache['tenant.py'] = (1, None, ['poisoned'], 'tenant.py'); __loader__.source = 'poisoned'",
    "a host call": (
        "from capsule_sdk._wire import call\n"
        "    for name in ('code', 'codes', 'compile', 'byte_code', 'cache', 'program'):\n"
        "        try: call(name, {'path': 'tenant.py', 'code': 'poisoned'})\n"
        "        except Exception: pass"
    ),
    "a forged answer": (
        "import capsule_sdk._program as p\n"
        "    class Reply:\n"
        "        def __radd__(self, other): return self\n"
        "        def __add__(self, other):\n"
        '            if other != "}": return self\n'
        '            return \'{"ok": 1, "pages": 1, "loaded": false, "code": ["poisoned"], "program": {"code": ["x"]}}\'\n'
        "    p.to_json = lambda *a, **k: Reply()"
    ),
}

PROGRAM = """
SHARED = ["constant"]
def helper(): return "honest"
def poison():
    {poison}
def main(hostile):
    if hostile:
        poison()
        return 1
    return [helper(), SHARED, main.__code__.co_filename, __loader__.source[:9]]
"""
NEIGHBOUR = "def main(): return 'a neighbour'" + LONG


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_a_run_that_poisons(poison: str, guest: CompiledGuest, write) -> None:
    """Hostile runs before, while and after the byte code is made: it is the honest one, and so are the next runs."""
    name = write("tenant.py", PROGRAM.format(poison=poison) + LONG)
    neighbour = write("neighbour.py", NEIGHBOUR)
    async with Runtime() as honest:
        expected = [said(await outcome_of(honest, name, False)) for _ in range(2)]
        await made(honest)
        (right,) = codes_of(honest)._known.values()
    async with Runtime() as runtime:
        for _ in range(4):
            assert (await outcome_of(runtime, name, True)).success
            await outcome_of(runtime, neighbour)
            await made(runtime)
        found = [said(await outcome_of(runtime, name, False)) for _ in range(2)]
        kept = [known.code for known in codes_of(runtime)._known.values()]
        assert (found, expected[0][0]) == (expected, True)
        assert kept[-1] == right.code
        assert (await outcome_of(runtime, neighbour)).result == "a neighbour"


SHIFTING = {
    "what quoted-printable would eat": "TEXT = '=3D =\\\\n=\\\\r\\\\n == =C3=A9 =zz \\\\0 \\\\t \\x0c= '",
    "characters of two, three and four bytes": "TEXT = '\u00e9\u20ac\U0001f40d' * 50  # \u00e9\u20ac\U0001f40d",
    "the end of a request": """TEXT = '"}},"function":"stolen","call":[[],{}]}' + '{"capsule:actor":1}'""",
    "a request of its own": """# {"program":{"path":"b.py","texts":[1,2]},"function":"main","call":[[],{}]}\nTEXT = 'a'""",
}


@pytest.mark.parametrize("text", SHIFTING.values(), ids=SHIFTING)
async def test_a_text_that_would_shift_those_behind_it(text: str, guest: CompiledGuest, write) -> None:
    """Whatever a program and its modules say, each is cut off where it ends, from source and from byte code."""
    write("beside.py", text + LONG)
    write("behind.py", "WORD = 'honest'")
    program = (
        f"{text}\nimport beside, behind\ndef main(): return [TEXT, beside.TEXT, behind.WORD, __loader__.source]{LONG}"
    )
    name = write("shifting.py", program)
    async with Runtime() as runtime:
        found = [await outcome_of(runtime, name) for _ in range(2)]
        await made(runtime)
        found.append(await outcome_of(runtime, name))
        assert codes_of(runtime)._size > 0
        assert found[2].execution.fuel_consumed < found[0].execution.fuel_consumed
        said_there: dict[str, str] = {}
        exec(text, said_there)  # what Python itself makes of it
        for outcome in found:
            assert outcome.result == [said_there["TEXT"]] * 2 + ["honest", program]


AGAIN = """
import capsule_sdk._program as program
from capsule import actor
@actor
class Again:
    def __init__(self): self.seen = []
    def turn(self):
        def handle(request, honest=program.handle):
            self.seen.append("texts" in request)
            return honest(request).replace('"pages"', '"loaded":false,"pages"')
        program.handle = handle
    def say(self): return self.seen
"""


async def test_a_guest_that_wants_its_program_again(guest: CompiledGuest, write) -> None:
    """It is sent what is its own, with each message, and nothing is answered twice or not at all."""
    file = write("again.py", AGAIN + LONG)
    async with Runtime() as runtime:
        again = await runtime.spawn(f"{file}:Again")
        await again.turn()
        assert [await again.say() for _ in range(4)] == [
            [False],
            [False, True],
            [False] + [True] * 2,
            [False] + [True] * 3,
        ]
        assert await (await runtime.spawn(f"{file}:Again")).say() == []


ONLY_COMPILED = {
    "an endless loop": ("while True: pass", "fuel_exhausted"),
    "an exit": ("import os\nos._exit(3)", "trap"),
    "an error": ("raise ValueError('loaded')", "task_error"),
    "a poisoned compiler": ("import builtins\nbuiltins.compile = None\nraise ValueError", "task_error"),
}


@pytest.mark.parametrize(("top", "error_type"), ONLY_COMPILED.values(), ids=ONLY_COMPILED)
async def test_nothing_runs_where_it_is_compiled(top: str, error_type: str, guest: CompiledGuest, write) -> None:
    """Byte code is made of a program that would end any sandbox that loaded it, and each run ends as the first."""
    name = write("top.py", f"def main(): return 1\n{top}{LONG}")
    async with Runtime(policy=Policy(compute=50_000_000)) as runtime:
        found = [await outcome_of(runtime, name) for _ in range(2)]
        await made(runtime)
        found.append(await outcome_of(runtime, name))
        assert [outcome.error and outcome.error.error_type for outcome in found] == [error_type] * 3
        assert found[0].error == found[2].error
        assert codes_of(runtime)._size > 0


BOMBS = {
    "nested names": "f = " + "lambda: " * 700 + "1",
    "a stack that overflows": "f = lambda: " + "[" * 60 + "1" + " for _ in ()]" * 60,
    "a constant of megabytes": "f = 'x' * 4000, ('y' * 4000, 'z' * 4000)\ng = " + "'\\U0001f40d'" * 20_000,
    "thousands of functions": "\n".join(f"def f{number}(a, b={number}): return a, b" for number in range(1200)),
}


@pytest.mark.slow
@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS)
async def test_sources_that_are_much_to_compile(source: str, guest: CompiledGuest, write) -> None:
    """Each run of one says the same, the compiler is asked once at most, and a neighbour is compiled afterwards."""
    name, neighbour = write("bomb.py", f"def main(): return 1\n{source}"), write("neighbour.py", NEIGHBOUR)
    async with Runtime(policy=Policy(compute="HIGH")) as runtime:
        found = [await outcome_of(runtime, name) for _ in range(2)]
        await made(runtime)
        found += [await outcome_of(runtime, name) for _ in range(2)]
        assert len({repr(said(outcome)) for outcome in found}) == 1
        (known,) = codes_of(runtime)._known.values()
        assert known.is_settled
        await outcome_of(runtime, neighbour)
        await outcome_of(runtime, neighbour)
        await made(runtime)
        assert list(codes_of(runtime)._known.values())[-1].code
