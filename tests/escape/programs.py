"""The table of hostile programs: what the sandbox is, row by row. Each has a harmless neighbour that must pass.

A row's sources are whole files whose `main` is run. `error_type` and `message` say how the hostile one must end, the
message by a fragment; a row without them must succeed with `result`, because what it tried does nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ANYTHING = object()
"""A result that does not matter."""

RAW = "from wit_world.imports import calls\n"
TASK = "from capsule import task\n"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A hostile program, how it must end, and its neighbour."""

    name: str
    hostile: str
    error_type: str | None = None
    message: str = ""
    exception: str | None = None
    result: Any = ANYTHING
    is_truncated: bool = False
    harmless: str
    value: Any
    policy: dict[str, Any] = field(default_factory=dict)
    is_slow: bool = False


def forged(reply: str) -> str:
    """A program that answers the host with exactly `reply` (an expression) instead of its result."""
    return f"""
import capsule_sdk._program as program
class Reply:
    def __radd__(self, other): return self
    def __add__(self, other): return {reply} if other == "}}" else self
program.to_json = lambda *args, **kwargs: Reply()
def main(): return 1
"""


HONEST = "def main(): return 1"
LITTLE_FUEL = {"compute": 200_000_000, "timeout": "10s"}
LITTLE_TIME = {"compute": "HIGH", "timeout": "300ms"}

TIME = (
    Row(
        name="endless loop, by fuel",
        hostile="def main():\n    while True: pass",
        error_type="fuel_exhausted",
        message="fuel",
        harmless="def main():\n    n = 0\n    while n < 1000: n += 1\n    return n",
        value=1000,
        policy=LITTLE_FUEL,
    ),
    Row(
        name="endless loop, by time",
        hostile="def main():\n    while True: pass",
        error_type="timeout",
        message="longer than its timeout",
        harmless=HONEST,
        value=1,
        policy=LITTLE_TIME,
    ),
    Row(
        name="endless comprehension",
        hostile="def main(): return [0 for _ in iter(int, 1) if False]",
        error_type="timeout",
        harmless="def main(): return [n for n in range(3)]",
        value=[0, 1, 2],
        policy=LITTLE_TIME,
    ),
    Row(
        name="endless loop in C",
        hostile="import itertools, collections\ndef main(): collections.deque(itertools.repeat(0), maxlen=0)",
        error_type="timeout",
        harmless="import itertools, collections\ndef main(): return len(collections.deque(itertools.repeat(0, 99)))",
        value=99,
        policy=LITTLE_TIME,
    ),
    Row(
        name="endless loop at the top of the module",
        hostile="while True: pass\ndef main(): return 1",
        error_type="timeout",
        harmless="for _ in range(9): pass\ndef main(): return 1",
        value=1,
        policy=LITTLE_TIME,
    ),
    Row(
        name="loop that catches everything",
        hostile="def main():\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
        error_type="timeout",
        harmless="def main():\n    try: raise KeyboardInterrupt\n    except BaseException: return 1",
        value=1,
        policy=LITTLE_TIME,
    ),
    Row(
        name="catastrophic regular expression",
        hostile='import re\ndef main(): return re.match(r"(a+)+$", "a" * 64 + "b")',
        error_type="timeout",
        harmless='import re\ndef main(): return re.match(r"(a+)+$", "a" * 64).end()',
        value=64,
        policy=LITTLE_TIME,
    ),
    Row(
        name="huge power",
        hostile="def main(): return (9 ** 9 ** 7) % 7",
        error_type="timeout",
        harmless="def main(): return 9 ** 9 % 7",
        value=1,
        policy=LITTLE_TIME,
    ),
    Row(
        name="long sleep",
        hostile="import time\ndef main(): time.sleep(3600)",
        error_type="timeout",
        harmless="import time\ndef main(): time.sleep(0.001); return 1",
        value=1,
        policy=LITTLE_TIME,
    ),
    Row(
        name="sleep for ever and never",
        hostile="import time\ndef main(): time.sleep(float('inf'))",
        error_type="timeout",
        harmless="import time\ndef main():\n    try: time.sleep(float('nan'))\n    except ValueError: return 1",
        value=1,
        policy=LITTLE_TIME,
    ),
    Row(
        name="C-level sleep: select",
        hostile="import select\ndef main(): select.select([], [], [], 60)",
        error_type="denied",
        message="C-level timer",
        harmless="import time\ndef main(): return time.sleep(0)",
        value=None,
    ),
    Row(
        name="C-level sleep: poll",
        hostile="import select\ndef main(): select.poll().poll(60_000)",
        error_type="denied",
        message="C-level timer",
        harmless="import selectors\ndef main(): return selectors.EVENT_READ",
        value=1,
    ),
    Row(
        name="much randomness",
        hostile="import os\ndef main():\n    while True: os.urandom(10**7)",
        error_type="timeout",
        harmless="import os\ndef main(): return len(os.urandom(10**4))",
        value=10**4,
        policy=LITTLE_TIME,
    ),
    Row(
        name="asyncio loop that never ends",
        hostile="import asyncio\nasync def main():\n    while True: await asyncio.sleep(0)",
        error_type="timeout",
        harmless="import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    return 1",
        value=1,
        policy=LITTLE_TIME,
    ),
    Row(
        name="asyncio future that nobody settles",
        hostile="import asyncio\nasync def main(): await asyncio.get_running_loop().create_future()",
        error_type="timeout",
        harmless="import asyncio\nasync def main(): return await asyncio.wait_for(asyncio.sleep(0, 5), 1)",
        value=5,
        policy=LITTLE_TIME,
    ),
)

MEMORY = (
    Row(
        name="one large block",
        hostile="def main(): return len(bytearray(10**9))",
        error_type="memory_exhausted",
        exception="MemoryError",
        harmless="def main(): return len(bytearray(10**6))",
        value=10**6,
    ),
    Row(
        name="list doubling",
        hostile="def main():\n    x = [0]\n    while True: x = x + x",
        error_type="memory_exhausted",
        harmless="def main():\n    x = [0]\n    for _ in range(10): x = x + x\n    return len(x)",
        value=1024,
    ),
    Row(
        name="string multiplied",
        hostile='def main(): return len("x" * (1 << 30))',
        error_type="memory_exhausted",
        harmless='def main(): return len("x" * (1 << 20))',
        value=1 << 20,
    ),
    Row(
        name="memory that the guest does not give back",
        hostile="""
def main():
    kept = []
    while True:
        try: kept.append(bytearray(1 << 16))
        except MemoryError: kept.append([])
""",
        error_type="memory_exhausted",
        harmless="""
def main():
    kept = []
    try:
        while True: kept.append(bytearray(1 << 20))
    except MemoryError: count = len(kept); kept.clear()
    return count > 10
""",
        value=True,
        policy={"compute": "HIGH", "timeout": "5s"},
    ),
    Row(
        name="zip bomb",
        hostile="""
import zlib
def main():
    packed, maker = b"", zlib.compressobj(1)
    for _ in range(64): packed += maker.compress(bytes(1 << 20))
    return len(zlib.decompress(packed + maker.flush()))
""",
        error_type="memory_exhausted",
        harmless="import zlib\ndef main(): return len(zlib.decompress(zlib.compress(bytes(1 << 20))))",
        value=1 << 20,
        policy={"compute": "HIGH", "timeout": "20s", "ram": "64MB"},
        is_slow=True,
    ),
)

STACK = (
    Row(
        name="recursion in Python",
        hostile="def main(): return main()",
        error_type="task_error",
        message="maximum recursion depth exceeded",
        exception="RecursionError",
        harmless="def main(n=500): return n and main(n - 1)",
        value=0,
    ),
    Row(
        name="recursion in Python without its limit",
        hostile="import sys\ndef main():\n    sys.setrecursionlimit(10**9)\n    def f(n): return f(n + 1) + 1\n    return f(0)",
        error_type="stack_overflow",
        harmless="import sys\ndef main():\n    sys.setrecursionlimit(3000)\n    def f(n): return n and f(n - 1)\n    return f(2500)",
        value=0,
        policy={"compute": "HIGH", "timeout": "10s"},
    ),
    Row(
        name="recursion in C: json",
        hostile="import json\ndef main():\n    x = []\n    for _ in range(100_000): x = [x]\n    return json.dumps(x)",
        error_type="stack_overflow",
        message="nested too deeply",
        harmless="import json\ndef main():\n    x = []\n    for _ in range(99): x = [x]\n    return len(json.dumps(x))",
        value=200,
    ),
    Row(
        name="recursion in C: repr",
        hostile="def main():\n    x = []\n    for _ in range(100_000): x = [x]\n    return repr(x)",
        error_type="stack_overflow",
        harmless="def main():\n    x = []\n    for _ in range(99): x = [x]\n    return len(repr(x))",
        value=200,
    ),
    Row(
        name="recursion in C: a deep result",
        hostile="def main():\n    x = []\n    for _ in range(100_000): x = [x]\n    return x",
        error_type="stack_overflow",
        harmless="def main(): return [[[[1]]]]",
        value=[[[[1]]]],
    ),
    Row(
        name="recursion in C: compile",
        hostile='def main(): return eval("-" * 100_000 + "1")',
        error_type="memory_exhausted",  # CPython's own word for it
        message="Parser stack overflowed",
        harmless='def main(): return eval("-" * 50 + "1")',
        value=1,
        policy={"compute": "HIGH", "timeout": "5s"},
    ),
    *(
        Row(
            name=f"host calls at the end of the stack: {name}",
            hostile=f"""
import os, sys, time
from wit_world.imports import calls
class R:
    def __repr__(self):
        {statement}
        return repr([self])
def main():
    sys.setrecursionlimit(10**9)
    return repr(R())
""",
            error_type="stack_overflow",
            harmless="class R:\n    def __repr__(self): return repr([1])\ndef main(): return repr(R())",
            value="[1]",
            policy={"compute": "HIGH", "timeout": "10s"},
        )
        for name, statement in (
            ("write", "calls.write(1, 'x')"),
            ("submit and next", "calls.submit('x', '{}'); calls.next(-1.0)"),
            ("random bytes", "os.urandom(8)"),
            ("clocks and files", "time.time(); time.monotonic(); os.path.exists('/x')"),
        )
    ),
)

OUTPUT = (
    Row(
        name="print in a loop",
        hostile='def main():\n    while True: print("x" * 1000)',
        error_type="timeout",
        is_truncated=True,
        harmless='def main(): print("x" * 1000); return 1',
        value=1,
        policy={"compute": "HIGH", "timeout": "700ms", "max_output": "64KB"},
    ),
    Row(
        name="one large write",
        hostile="import sys\ndef main(): return sys.stdout.write('x' * 30_000_000)",
        result=30_000_000,
        is_truncated=True,
        harmless="import sys\ndef main(): return sys.stdout.write('x' * 10)",
        value=10,
        policy={"compute": "HIGH", "timeout": "5s"},
    ),
    Row(
        name="os.write",
        hostile="import os\ndef main(): return os.write(1, b'x' * 10_000_000) + os.write(2, b'x' * 10_000_000)",
        result=20_000_000,
        is_truncated=True,
        harmless="import os\ndef main(): return os.write(2, b'x')",
        value=1,
        policy={"compute": "HIGH", "timeout": "5s"},
    ),
    Row(
        name="raw write of much text, again and again",
        hostile=RAW + 'def main():\n    text = "x" * 20_000_000\n    while True: calls.write(1, text)',
        error_type="timeout",
        is_truncated=True,
        harmless=RAW + 'def main(): return calls.write(1, "x")',
        value=None,
        policy={"compute": "HIGH", "timeout": "500ms"},
    ),
    Row(
        name="raw write to a stream that is not there",
        hostile=RAW + 'def main(): calls.write(3, "x")',
        error_type="denied",
        message="there is no stream 3",
        harmless=RAW + 'def main(): return calls.write(2, "")',
        value=None,
    ),
    Row(
        name="writing to other file descriptors",
        hostile="import os\ndef main(): return os.write(7, b'x')",
        error_type="task_error",
        exception="OSError",
        harmless="import os\ndef main(): return os.write(1, b'')",
        value=0,
    ),
)

OUTSIDE = (
    Row(
        name="socket",
        hostile="import socket\ndef main(): socket.socket()",
        error_type="denied",
        message="network",
        harmless="import socket\ndef main(): return socket.htons(1)",
        value=256,
    ),
    Row(
        name="getaddrinfo",
        hostile='import socket\ndef main(): socket.getaddrinfo("example.com", 80)',
        error_type="denied",
        message="network",
        harmless='import ipaddress\ndef main(): return str(ipaddress.ip_address("10.0.0.1"))',
        value="10.0.0.1",
    ),
    Row(
        name="urllib",
        hostile='import urllib.request\ndef main(): urllib.request.urlopen("http://169.254.169.254/")',
        error_type="denied",
        message='allowed_hosts=["169.254.169.254"]',
        harmless='import urllib.parse\ndef main(): return urllib.parse.urlsplit("http://a/b").path',
        value="/b",
    ),
    Row(
        name="asyncio server",
        hostile='import asyncio\nasync def main(): await asyncio.start_server(print, "0.0.0.0", 8000)',
        error_type="denied",
        message="network",
        harmless="import asyncio\nasync def main(): return await asyncio.sleep(0, 1)",
        value=1,
    ),
    Row(
        name="asyncio connection",
        hostile='import asyncio\nasync def main(): await asyncio.open_connection("1.1.1.1", 80)',
        error_type="denied",
        message="network",
        harmless="import asyncio\nasync def main(): return await asyncio.sleep(0, 1)",
        value=1,
    ),
    Row(
        name="/etc/passwd",
        hostile='def main(): return open("/etc/passwd").read()',
        error_type="task_error",
        exception="FileNotFoundError",
        harmless='import io\ndef main(): return io.StringIO("a").read()',
        value="a",
    ),
    Row(
        name="../ out of the folder",
        hostile='def main(): return open("../../../../../../etc/passwd").read()',
        error_type="task_error",
        exception="FileNotFoundError",
        harmless='import os.path\ndef main(): return os.path.normpath("/a/../b")',
        value="/b",
    ),
    Row(
        name="listing /",
        hostile='import os\ndef main(): return os.listdir("/")',
        error_type="task_error",
        exception="FileNotFoundError",
        harmless='import os\ndef main(): return os.path.exists("/")',
        value=False,
    ),
    Row(
        name="/proc/self",
        hostile='def main(): return open("/proc/self/environ", "rb").read()',
        error_type="task_error",
        exception="FileNotFoundError",
        harmless="import os\ndef main(): return dict(os.environ)",
        value={},
    ),
    Row(
        name="writing to /tmp",
        hostile='def main(): open("/tmp/x", "w").write("x")',
        error_type="task_error",
        exception="FileNotFoundError",
        harmless='import io\ndef main(): return io.StringIO().write("x")',
        value=1,
    ),
    Row(
        name="the program's own file",
        hostile="def main(): return open(__file__).read()",
        error_type="task_error",
        exception="FileNotFoundError",
        harmless="def main(): return __file__.endswith('.py') and '/' not in __file__",
        value=True,
    ),
    Row(
        name="what the host told its own programs",
        hostile="""
import os, sys
def main(): return [dict(os.environ), sys.argv, sys.executable, os.getcwd(), sys.path, sys.flags.dev_mode]
""",
        result=ANYTHING,
        harmless="import os, sys\ndef main(): return [dict(os.environ), sys.argv, sys.executable, os.getcwd()]",
        value=[{}, ["harmless.py"], "", "/"],
    ),
    Row(
        name="every text in the snapshot",
        hostile="""
import gc, sys
def main():
    found, seen, texts = [sys.modules, gc.get_objects()], set(), set()
    while found:
        thing = found.pop()
        if id(thing) in seen: continue
        seen.add(id(thing))
        if type(thing) is str and "/" in thing and len(thing) < 200: texts.add(thing)
        elif type(thing) is not str: found += gc.get_referents(thing)
    return sorted(texts)
""",
        result=ANYTHING,
        harmless="import gc\ndef main(): return len(gc.get_objects()) > 10",
        value=True,
        policy={"compute": "HIGH", "timeout": "10s"},
        is_slow=True,
    ),
    Row(
        name="fork",
        hostile="import os\ndef main(): os.fork()",
        error_type="task_error",
        exception="AttributeError",
        harmless="import os\ndef main(): return hasattr(os, 'fork')",
        value=False,
    ),
    Row(
        name="subprocess",
        hostile='import subprocess\ndef main(): subprocess.run(["ls"])',
        error_type="task_error",
        exception="OSError",
        harmless="import shlex\ndef main(): return shlex.split('a b')",
        value=["a", "b"],
    ),
    Row(
        name="os.system and exec",
        hostile="import os\ndef main(): os.system('ls')",
        error_type="task_error",
        exception="AttributeError",
        harmless="import os\ndef main(): return hasattr(os, 'execv')",
        value=False,
    ),
    Row(
        name="multiprocessing",
        hostile="import multiprocessing\ndef main(): multiprocessing.Process(target=print).start()",
        error_type="task_error",
        harmless="import queue\ndef main(): return queue.Queue().qsize()",
        value=0,
    ),
    Row(
        name="threads",
        hostile="import threading\ndef main(): threading.Thread(target=print).start()",
        error_type="task_error",
        message="can't start new thread",
        exception="RuntimeError",
        harmless="import threading\ndef main():\n    with threading.Lock(): return threading.active_count()",
        value=1,
    ),
    Row(
        name="run_in_executor",
        hostile="import asyncio\nasync def main(): await asyncio.to_thread(print)",
        error_type="task_error",
        exception="RuntimeError",
        harmless="import asyncio\nasync def main(): return len(asyncio.all_tasks())",
        value=1,
    ),
    Row(
        name="ctypes",
        hostile="def main():\n    import ctypes",
        error_type="task_error",
        message="native",
        exception="ModuleNotFoundError",
        harmless='import struct\ndef main(): return struct.unpack("<I", b"abcd")[0]',
        value=0x64636261,
    ),
    Row(
        name="signals",
        hostile="import signal\ndef main(): signal.raise_signal(signal.SIGKILL)",
        error_type="trap",
        harmless="import signal\ndef main(): return signal.SIGINT.name",
        value="SIGINT",
    ),
    Row(
        name="kill",
        hostile="import os\ndef main(): os.kill(1, 9)",
        error_type="task_error",
        exception="AttributeError",
        harmless="import os\ndef main(): return os.getpid() > 0",
        value=True,
    ),
    Row(
        name="reading standard input",
        hostile="import sys\ndef main(): return input()",
        error_type="task_error",
        exception="EOFError",
        harmless="import sys\ndef main(): return sys.stdin.read()",
        value="",
    ),
)

ENDINGS = (
    Row(
        name="os._exit",
        hostile="import os\ndef main(): os._exit(0)",
        error_type="trap",
        message="os._exit",
        harmless="import os\ndef main(): return os.path.basename('a/b')",
        value="b",
    ),
    Row(
        name="os.abort",
        hostile="import os\ndef main(): os.abort()",
        error_type="trap",
        message="aborted",
        harmless=HONEST,
        value=1,
    ),
    Row(
        name="sys.exit",
        hostile="import sys\ndef main(): sys.exit(0)",
        error_type="task_error",
        exception="SystemExit",
        harmless="import sys\ndef main():\n    try: sys.exit(3)\n    except SystemExit as e: return e.code",
        value=3,
    ),
    Row(
        name="quit",
        hostile="def main(): quit()",
        error_type="task_error",
        exception="SystemExit",
        harmless="def main(): return callable(quit)",
        value=True,
    ),
    Row(
        name="sys.exit at the top of the module",
        hostile="import sys\nsys.exit(0)\ndef main(): return 1",
        error_type="task_error",
        exception="SystemExit",
        harmless="if __name__ == '__main__':\n    raise SystemExit\ndef main(): return 1",
        value=1,
    ),
    *(
        Row(
            name=f"raise {name}",
            hostile=f"import asyncio\ndef main(): raise {name}",
            error_type="task_error",
            exception=name.rpartition(".")[2],
            harmless=f"import asyncio\ndef main():\n    try: raise {name}\n    except BaseException: return 1",
            value=1,
        )
        for name in ("KeyboardInterrupt", "GeneratorExit", "StopIteration", "BaseException", "asyncio.CancelledError")
    ),
    Row(
        name="MemoryError of one's own",
        hostile="def main(): raise MemoryError('mine')",
        error_type="memory_exhausted",
        message="mine",
        harmless="def main():\n    try: raise MemoryError\n    except MemoryError: return 1",
        value=1,
    ),
    Row(
        name="garbage byte code: unknown operations",
        hostile="def main():\n    def f(): return 1\n    f.__code__ = f.__code__.replace(co_code=bytes([255, 1] * 50))\n    return f()",
        error_type="trap",
        harmless="def main():\n    def f(): return 1\n    f.__code__ = f.__code__.replace(co_name='g')\n    return f()",
        value=1,
    ),
    Row(
        name="garbage byte code: every operation",
        hostile="def main():\n    def f(): return 1\n    f.__code__ = f.__code__.replace(co_code=bytes(range(1, 255)) * 4)\n    return f()",
        error_type="trap",
        harmless="def main(): return eval(compile('1 + 1', 'x', 'eval'))",
        value=2,
    ),
    Row(
        name="garbage byte code: a local far away",
        hostile="""
import opcode
def main():
    op, far = opcode.opmap, opcode.opmap["EXTENDED_ARG"]
    # A gigabyte behind its locals, which is more than it has.
    code = bytes([op["RESUME"], 0, far, 16, far, 0, far, 0, op["LOAD_FAST"], 0, op["RETURN_VALUE"], 0])
    def f(a): return a
    f.__code__ = f.__code__.replace(co_code=code)
    return f(1)
""",
        error_type="trap",
        harmless="import opcode\ndef main(): return 'LOAD_FAST' in opcode.opmap",
        value=True,
    ),
    Row(
        name="null pointer",
        hostile="import faulthandler\ndef main(): faulthandler._sigsegv()",
        error_type="trap",
        harmless="import faulthandler\ndef main(): return faulthandler.is_enabled()",
        value=False,
    ),
    Row(
        name="faulthandler's timer",
        hostile="import faulthandler\ndef main(): faulthandler.dump_traceback_later(0.01, exit=True)",
        error_type="task_error",
        harmless="import faulthandler\ndef main(): return faulthandler.is_enabled()",
        value=False,
    ),
    Row(
        name="immortal objects",
        hostile="""
import _capsule_probe, sys
def main():
    for thing in ([], {}, (), type, None, sys.modules, sys, main, 0.5, sys.stdout): _capsule_probe.immortalize(thing)
    return 1
""",
        result=1,
        harmless="import _capsule_probe\ndef main(): return _capsule_probe.pages() > 10",
        value=True,
    ),
    Row(
        name="__del__ that loops at the end",
        hostile="class D:\n    def __del__(self):\n        while True: pass\nkept = D()\ndef main(): return 1",
        result=1,
        harmless="class D:\n    def __del__(self): gone.append(1)\ngone = []\ndef main():\n    D()\n    return gone",
        value=[1],
    ),
    Row(
        name="__del__ that loops while main runs",
        hostile="class D:\n    def __del__(self):\n        while True: pass\ndef main():\n    D()\n    return 1",
        error_type="timeout",
        harmless="import weakref\nclass D: pass\ndef main():\n    ref = weakref.ref(D())\n    return ref()",
        value=None,
        policy=LITTLE_TIME,
    ),
    Row(
        name="weakref callback that loops",
        hostile="""
import weakref
class D: pass
def forever(ref):
    while True: pass
def main():
    d = D()
    ref = weakref.ref(d, forever)
    del d
    return 1
""",
        error_type="timeout",
        harmless="import weakref\nclass D: pass\ndef main():\n    d = D()\n    return weakref.ref(d)() is d",
        value=True,
        policy=LITTLE_TIME,
    ),
    Row(
        name="atexit",
        hostile="import atexit\ndef forever():\n    while True: pass\ndef main():\n    atexit.register(forever)\n    return 1",
        result=1,
        harmless="import atexit\ndef main(): return atexit.register(print) is print",
        value=True,
    ),
    Row(
        name="settrace",
        hostile="import sys\ndef f(): pass\ndef main():\n    sys.settrace(lambda *a: 1 / 0)\n    f()",
        error_type="task_error",
        exception="ZeroDivisionError",
        harmless="import sys\ndef main():\n    sys.settrace(None)\n    return 1",
        value=1,
    ),
    Row(
        name="audit hook that refuses everything",
        hostile="import sys\ndef hook(*a): raise RuntimeError('no')\ndef main():\n    sys.addaudithook(hook)\n    exec('1')",
        error_type="task_error",
        harmless="import sys\ndef main():\n    sys.addaudithook(lambda *a: None)\n    return eval('1')",
        value=1,
    ),
    Row(
        name="no garbage collection",
        hostile="import gc\ngc.disable()\ndef main():\n    while True:\n        x = []\n        x.append((x, bytearray(10_000)))",
        error_type="memory_exhausted",
        harmless="import gc\ngc.disable()\ndef main(): return gc.isenabled()",
        value=False,
        policy={"compute": "HIGH", "timeout": "5s"},
    ),
    Row(
        name="hash collisions",
        hostile="""
class Same:
    def __hash__(self): return 1
    def __eq__(self, other): return False
def main():
    d = {}
    while True: d[Same()] = 1
""",
        error_type="timeout",
        harmless="class Same:\n    def __hash__(self): return 1\ndef main(): return len({Same(): 1, Same(): 2})",
        value=2,
        policy=LITTLE_TIME,
    ),
    Row(
        name="dict changed under its iteration",
        hostile="def main():\n    d = {1: 1}\n    for k in d: d[k + 1] = 1",
        error_type="task_error",
        exception="RuntimeError",
        harmless="def main():\n    d = {1: 1}\n    for k in list(d): d[k + 1] = 1\n    return len(d)",
        value=2,
    ),
    Row(
        name="every module of the standard library",
        hostile="""
import builtins, sys
def main():
    found = 0
    for name in sorted(sys.stdlib_module_names - {"antigravity"}):
        try: __import__(name); found += 1
        except Exception: pass
    return found > 200
""",
        result=True,
        harmless="import csv, decimal, sqlite3, zlib\ndef main(): return str(decimal.Decimal(1) / 4)",
        value="0.25",
        policy={"compute": "HIGH", "timeout": "20s", "ram": "512MB"},
        is_slow=True,
    ),
)

EXCEPTIONS = (
    Row(
        name="__str__ that raises",
        hostile="class E(Exception):\n    def __str__(self): raise ValueError\ndef main(): raise E",
        error_type="task_error",
        message="unprintable",
        harmless="class E(Exception): pass\ndef main():\n    try: raise E('a')\n    except E as e: return str(e)",
        value="a",
    ),
    Row(
        name="__str__ that loops",
        hostile="class E(Exception):\n    def __str__(self):\n        while True: pass\ndef main(): raise E",
        error_type="timeout",
        harmless=HONEST,
        value=1,
        policy=LITTLE_TIME,
    ),
    Row(
        name="__str__ that is no text",
        hostile="class E(Exception):\n    def __str__(self): return 5\ndef main(): raise E",
        error_type="task_error",
        message="unprintable",
        harmless=HONEST,
        value=1,
    ),
    Row(
        name="__str__ that is huge",
        hostile='class E(Exception):\n    def __str__(self): return "x" * 5_000_000\ndef main(): raise E',
        error_type="task_error",
        message="xxxx",
        exception="E",
        harmless='def main():\n    try: raise ValueError("x" * 10)\n    except ValueError as e: return len(str(e))',
        value=10,
        policy={"compute": "HIGH", "timeout": "5s"},
    ),
    Row(
        name="exception that cannot be changed",
        hostile="""
class E(Exception):
    def __str__(self): raise self
    def __setattr__(self, name, value): raise SystemExit
    def with_traceback(self, traceback): raise SystemExit
def main(): raise E
""",
        error_type="task_error",
        message="unprintable",
        harmless="class E(Exception): pass\ndef main(): return str(E('a').with_traceback(None))",
        value="a",
    ),
    Row(
        name="__str__ that exits",
        hostile="class E(Exception):\n    def __str__(self): raise SystemExit\ndef main(): raise E",
        error_type="task_error",
        message="unprintable",
        harmless=HONEST,
        value=1,
    ),
    Row(
        name="message with half a character",
        hostile=r'def main(): raise ValueError("a\ud800b")',
        error_type="task_error",
        message=r"a\ud800b",
        exception="ValueError",
        harmless='def main():\n    try: raise ValueError("é")\n    except ValueError as e: return str(e)',
        value="é",
    ),
    Row(
        name="class that lies about itself",
        hostile="""
class M(type):
    @property
    def __name__(cls): raise ValueError
class E(Exception, metaclass=M):
    @property
    def __class__(self): return int
def main(): raise E
""",
        error_type="task_error",
        harmless="class E(Exception): pass\ndef main(): return E.__name__",
        value="E",
    ),
    Row(
        name="class with a long name",
        hostile='def main(): raise type("E" * 1_000_000, (Exception,), {})("x")',
        error_type="task_error",
        message="x",
        harmless="def main(): return type('E', (), {}).__name__",
        value="E",
    ),
    Row(
        name="class named like an error of ours",
        hostile='def main(): raise type("timeout", (Exception,), {"error_type": "timeout", "kind": "timeout"})("denied")',
        error_type="task_error",
        exception="timeout",
        harmless="def main():\n    try: raise TimeoutError\n    except TimeoutError: return 1",
        value=1,
    ),
    Row(
        name="cycle of causes",
        hostile="""
def main():
    a, b = ValueError("a"), ValueError("b")
    a.__context__ = a.__cause__ = b
    b.__context__ = b.__cause__ = a
    raise a
""",
        error_type="task_error",
        message="a",
        exception="ValueError",
        harmless="def main():\n    try: raise ValueError from KeyError()\n    except ValueError as e: return type(e.__cause__).__name__",
        value="KeyError",
    ),
    Row(
        name="group that doubles",
        hostile="""
def main():
    group = ExceptionGroup("g", [ValueError("x")])
    for _ in range(60): group = ExceptionGroup("g", [group, group])
    raise group
""",
        error_type="timeout",
        harmless="def main():\n    try: raise ExceptionGroup('g', [ValueError()])\n    except* ValueError: pass\n    return 1",
        value=1,
        policy=LITTLE_TIME,
    ),
    Row(
        name="group within itself",
        hostile="""
def main():
    inner = ValueError("x")
    group = ExceptionGroup("g", [inner])
    inner.__context__ = group
    raise group
""",
        error_type="task_error",
        message="g",
        exception="ExceptionGroup",
        harmless="def main(): return len(ExceptionGroup('g', [ValueError()]).exceptions)",
        value=1,
    ),
    Row(
        name="long traceback",
        hostile="""
def f(n):
    try: f(n - 1) if n else 1 / 0
    except Exception: raise ValueError("y" * 5000)
def main(): f(40)
""",
        error_type="task_error",
        exception="ValueError",
        harmless="def f(n): return n and f(n - 1)\ndef main(): return f(40)",
        value=0,
        policy={"compute": "HIGH", "timeout": "5s"},
    ),
    Row(
        name="traceback of source that is not there",
        hostile='exec(compile("\\n" * 99 + "def main(): raise ValueError(1)", "/home/ada/secret.py", "exec"))\ndef main2(): pass\n'
        "inner = main\ndef main(): inner()",
        error_type="task_error",
        exception="ValueError",
        harmless="def main(): return 1",
        value=1,
    ),
)

RESULTS = (
    Row(
        name="larger than max_message",
        hostile='def main(): return "x" * 2_000_000',
        error_type="invalid",
        message="too large",
        harmless='def main(): return len("x" * 2_000_000)',
        value=2_000_000,
        policy={"max_message": "1MB"},
    ),
    Row(
        name="cycle",
        hostile="def main():\n    x = []\n    x.append(x)\n    return x",
        error_type="invalid",
        message="contains itself",
        harmless="def main():\n    x = [1]\n    return [x, x]",
        value=[[1], [1]],
    ),
    Row(
        name="set",
        hostile="def main(): return {1}",
        error_type="invalid",
        message="set",
        harmless="def main(): return [1]",
        value=[1],
    ),
    Row(
        name="bytes",
        hostile="def main(): return {'a': [b'x']}",
        error_type="invalid",
        message="bytes at result['a'][0]",
        harmless="def main(): return {'a': ['x']}",
        value={"a": ["x"]},
    ),
    Row(
        name="object",
        hostile="def main(): return object()",
        error_type="invalid",
        message="object",
        harmless=HONEST,
        value=1,
    ),
    Row(
        name="NaN",
        hostile="def main(): return [float('nan')]",
        error_type="invalid",
        message="nan",
        harmless="def main(): return [0.5]",
        value=[0.5],
    ),
    Row(
        name="infinity",
        hostile="def main(): return {'x': float('-inf')}",
        error_type="invalid",
        message="inf",
        harmless="def main(): return 1e308",
        value=1e308,
    ),
    Row(
        name="keys that are tuples",
        hostile="def main(): return {(1, 2): 3}",
        error_type="invalid",
        message="key of type tuple",
        harmless="def main(): return {'1,2': 3}",
        value={"1,2": 3},
    ),
    Row(
        name="half a character",
        hostile=r'def main(): return "\ud800"',
        error_type="invalid",
        harmless=r'def main(): return "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")',
        value="😀",
    ),
    Row(
        name="number of 5,000 digits",
        hostile="def main(): return 10 ** 4999",
        error_type="invalid",
        message="digits",
        harmless="def main(): return 10 ** 30",
        value=10**30,
    ),
    Row(
        name="number of 5,000 digits without the guest's limit",
        hostile="import sys\ndef main():\n    sys.set_int_max_str_digits(0)\n    return 10 ** 4999",
        error_type="invalid",
        harmless="import sys\ndef main():\n    sys.set_int_max_str_digits(0)\n    return len(str(10 ** 4999))",
        value=5000,
    ),
    Row(
        name="dict whose items never end",
        hostile="class D(dict):\n    def items(self):\n        while True: yield 1, 2\ndef main(): return D(a=1)",
        error_type="memory_exhausted",
        harmless="class D(dict): pass\ndef main(): return D(a=1)",
        value={"a": 1},
        policy={"compute": "HIGH", "timeout": "10s", "ram": "64MB"},
    ),
    Row(
        name="dict whose items exit",
        hostile="class D(dict):\n    def items(self): raise SystemExit(9)\ndef main(): return D(a=1)",
        error_type="task_error",
        exception="SystemExit",
        harmless="class L(list): pass\ndef main(): return L([1])",
        value=[1],
    ),
    Row(
        name="str and int of one's own",
        hostile="class I(int):\n    def __repr__(self): return '1]}, \"error\": {'\ndef main(): return [I(7)]",
        result=[7],
        harmless="class S(str): pass\ndef main(): return S('a')",
        value="a",
    ),
)

REPLIES = (
    *(
        Row(
            name=f"claims {kind}",
            hostile=forged(f"""'{{"error":{{"kind":"{kind}","message":"mine"}},"pages":1}}'"""),
            error_type="task_error",
            message="mine",
            harmless=HONEST,
            value=1,
        )
        for kind in ("internal_error", "timeout", "denied", "cancelled", "trap", "fuel_exhausted", "no such kind")
    ),
    *(
        Row(
            name=f"pages {pages}",
            hostile=forged(f"""'{{"ok":1,"pages":{pages}}}'"""),
            result=1,
            harmless=HONEST,
            value=1,
        )
        for pages in (-5, 9223372036854775807, 99999999999999999999999)
    ),
    *(
        Row(
            name=f"reply: {name}",
            hostile=forged(text),
            error_type="invalid",
            message="answer",
            harmless=HONEST,
            value=1,
            policy={"compute": "HIGH", "timeout": "5s"},
        )
        for name, text in {
            "pages is a float": """'{"ok":1,"pages":1.5}'""",
            "neither result nor error": """'{"pages":1}'""",
            "error is a text": """'{"error":"boom"}'""",
            "not JSON": "'nope'",
            "empty": "''",
            "list": "'[]'",
            "NaN": """'{"ok":NaN}'""",
            "number out of range": """'{"ok":[1e999]}'""",
            "number of ten million digits": """'{"ok":' + "9" * 10_000_000 + "}" """,
            "nested 100,000 deep": """'{"ok":' + "[" * 100_000 + "]" * 100_000 + "}" """,
        }.items()
    ),
    Row(
        name="reply: more than was asked for",
        hostile=forged("""'{"ok":1,"pages":1,"success":true,"execution":{"fuel_consumed":0},"ok":2}'"""),
        result=2,
        harmless=HONEST,
        value=1,
    ),
    Row(
        name="reply: huge texts",
        hostile=forged("""'{"error":{"message":"M","exception":"M","traceback":"M"}}'.replace("M", "x" * 3_000_000)"""),
        error_type="task_error",
        message="xxx",
        harmless=HONEST,
        value=1,
        policy={"compute": "HIGH", "timeout": "5s"},
    ),
)

PATCHES = (
    Row(
        name="json patched",
        hostile="import json, capsule_sdk._wire as wire\n"
        "json.dumps = json.loads = json.JSONEncoder.encode = wire._quick = None\ndef main(): return 1",
        error_type="trap",
        harmless="import json\ndef main(): return json.loads(json.dumps([1]))",
        value=[1],
    ),
    Row(
        name="a reply of brackets alone",
        hostile=forged("'[' * 400_000"),
        error_type="invalid",
        message="does not decode",
        harmless="def main(): return '[' * 1000",
        value="[" * 1000,
    ),
    Row(
        name="odd numbers to the queue, odd types to a task",
        hostile=RAW
        + """
import asyncio
async def main():
    calls.cancel(2**64 - 1)
    calls.next(1e-320)
    calls.next(float("nan"))
    await asyncio.get_running_loop().submit("task", {"task": {"a": [1]}, "args": 3, "kwargs": None})
""",
        error_type="task_error",
        message="Expected `str`",
        exception="TaskFailed",
        harmless=RAW + "def main(): return calls.next(0.001)[0]",
        value=0,
    ),
    Row(
        name="capsule's own guest code patched",
        hostile="""
import capsule_sdk._program as program, capsule_sdk._wire as wire
program.handle = program._failure = program._describe = wire.flush = wire.submit = None
def main(): return 1
""",
        error_type="trap",
        harmless="import capsule_sdk._program as program\ndef main(): return callable(program.handle)",
        value=True,
    ),
    Row(
        name="no modules",
        hostile="import sys\nsys.modules.clear()\nsys.meta_path.clear()\ndef main():\n    import csv",
        error_type="task_error",
        harmless="import sys\ndef main():\n    sys.modules.pop('json', None)\n    import json\n    return json.dumps(1)",
        value="1",
    ),
    Row(
        name="no builtins",
        hostile="import builtins\ndef main():\n    for name in list(vars(builtins)): setattr(builtins, name, None)",
        error_type="trap",
        harmless="import builtins\ndef main():\n    builtins.print = None\n    return 1",
        value=1,
    ),
    Row(
        name="no streams",
        hostile="import sys\nsys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None\ndef main(): return 1",
        result=1,
        harmless="import io, sys\nsys.stdout = io.StringIO()\ndef main():\n    print('a')\n    return sys.stdout.getvalue()",
        value="a\n",
    ),
    Row(
        name="closed streams",
        hostile="import sys\ndef main():\n    sys.stdout.close()\n    print('x')",
        error_type="task_error",
        exception="ValueError",
        harmless="import sys\ndef main():\n    sys.stdout.flush()\n    return 1",
        value=1,
    ),
    Row(
        name="limits written into the program",
        hostile=TASK
        + '@task(timeout="200ms")\ndef main():\n    task(timeout="9h", ram="4GB")(main)\n    while True: pass',
        error_type="timeout",
        harmless=TASK + '@task(timeout="2s")\ndef main(): return 1',
        value=1,
        policy={"compute": "HIGH"},
    ),
)

SUBMIT = (
    RAW
    + "import json\ndef ask(payload, name='task'):\n    calls.submit(name, payload)\n    reply = json.loads(calls.next(-1.0)[1])\n    return reply.get('error', {}).get('error_type')\n"
)
CALL = """'{"task":"%s","args":%s,"kwargs":%s%s}'"""

CALLS = (
    Row(
        name="operation that is not there",
        hostile=SUBMIT + "def main(): return ask('{}', 'exec')",
        result="denied",
        harmless=TASK + "@task\ndef one(): return 1\n@task\ndef main(): return one()",
        value=1,
    ),
    Row(
        name="operation with a long name",
        hostile=RAW + 'def main(): calls.submit("x" * 1_000_000, "{}")',
        error_type="denied",
        message="name of an operation",
        harmless=SUBMIT + "def main(): return ask('{}', 'x' * 200)",
        value="denied",
    ),
    Row(
        name="payload larger than max_message",
        hostile=RAW + 'def main(): calls.submit("task", "x" * 40_000_000)',
        error_type="denied",
        message="max_message",
        harmless=SUBMIT + "def main(): return ask('{}')",
        value="invalid",
    ),
    *(
        Row(
            name=f"payload: {name}",
            hostile=TASK + SUBMIT + f"@task\ndef main(): return ask({payload})",
            result=answer,
            harmless=TASK + "@task\ndef echo(x): return x\n@task\ndef main(): return echo([1])",
            value=[1],
        )
        for name, payload, answer in (
            ("not JSON", "'{nope'", "invalid"),
            ("nested 100,000 deep", "'[' * 100_000 + ']' * 100_000", "invalid"),
            ("number of 5,000 digits", """'{"task":"main","args":[' + '9' * 5000 + '],"kwargs":{}}'""", "invalid"),
            ("half a character", r"""'{"task":"\\ud800","args":[],"kwargs":{}}'""", "invalid"),
            ("list", "'[]'", "invalid"),
            ("empty", "''", "invalid"),
            ("args is a dict", CALL % ("main", "{}", "{}", ""), "invalid"),
            ("kwargs is a list", CALL % ("main", "[]", "[]", ""), "invalid"),
            ("settings smuggled in", CALL % ("main", "[]", "{}", ',"ram":"4GB","timeout":"9h"'), "invalid"),
            ("more arguments than the task takes", CALL % ("main", "[1]", "{}", ""), "invalid"),
            ("task that is not declared", CALL % ("ask", "[]", "{}", ""), "denied"),
            ("task of another file", CALL % ("other.py:main", "[]", "{}", ""), "denied"),
        )
    ),
    Row(
        name="tickets that are not there",
        hostile=RAW
        + "def main():\n    for n in range(10_000): calls.cancel(n * 7919)\n    calls.cancel(2**64 - 1)\n    return 1",
        result=1,
        harmless=RAW + "def main():\n    calls.cancel(calls.submit('x', '{}'))\n    return 1",
        value=1,
    ),
    Row(
        name="submit flood",
        hostile=RAW + 'def main():\n    while True: calls.submit("x", "{}")',
        error_type="denied",
        message="host calls open at once",
        harmless=RAW + 'def main(): return [calls.submit("x", "{}") for _ in range(3)]',
        value=[1, 2, 3],
    ),
    Row(
        name="submit and cancel flood",
        hostile=TASK
        + RAW
        + '@task\ndef main():\n    while True: calls.cancel(calls.submit(\'task\', \'{"task":"main","args":[],"kwargs":{}}\'))',
        error_type="denied",
        message="host calls open at once",
        harmless=RAW + "def main():\n    calls.cancel(calls.submit('x', '{}'))\n    return calls.next(0.0)[0]",
        value=0,
        policy={"compute": "HIGH", "timeout": "20s"},
    ),
    Row(
        name="much payload in open calls",
        hostile=TASK
        + RAW
        + """
@task
def main():
    payload = '{"task":"slow","args":["' + "x" * 15_000_000 + '"],"kwargs":{}}'
    for _ in range(900): calls.submit("task", payload)
    calls.next(-1.0)
@task
def slow(text):
    import time
    time.sleep(600)
""",
        error_type="denied",
        message="carry more than the sandbox's own memory",
        harmless=TASK + "@task\ndef size(text): return len(text)\n@task\ndef main(): return size('x' * 1_000_000)",
        value=1_000_000,
        policy={"compute": "HIGH", "timeout": "20s"},
        is_slow=True,
    ),
    Row(
        name="next without end",
        hostile=RAW + "def main(): calls.next(float('inf'))",
        error_type="timeout",
        harmless=RAW + "def main(): return calls.next(0.0)",
        value=[0, ""],
        policy=LITTLE_TIME,
    ),
    Row(
        name="next for minus infinity",
        hostile=RAW + "def main(): calls.next(float('-inf'))",
        error_type="timeout",
        harmless=RAW + "def main(): return calls.next(float('nan'))",
        value=[0, ""],
        policy=LITTLE_TIME,
    ),
    Row(
        name="next for no time, for ever",
        hostile=RAW + "def main():\n    while True: calls.next(1e-9)",
        error_type="timeout",
        harmless=RAW + "def main(): return calls.next(5e-324)",
        value=[0, ""],
        policy=LITTLE_TIME,
    ),
    *(
        Row(
            name=f"wrong types: {call}",
            hostile=RAW + f"def main(): calls.{call}",
            error_type="trap",
            message="aborted",
            harmless=RAW + "def main(): return calls.cancel(0)",
            value=None,
        )
        for call in (
            "submit(1, 2)",
            "next('x')",
            "write(1, b'x')",
            "write(300, 'x')",
            "cancel(-1)",
            "write(1, '\\ud800')",
        )
    ),
    Row(
        name="task that calls itself for ever",
        hostile=TASK + "@task\ndef main(): return main()",
        error_type="task_error",
        message="levels deep is not allowed",
        exception="TaskFailed",
        harmless=TASK + "@task\ndef main(n=3): return n and main(n - 1)",
        value=0,
        policy={"timeout": "10s"},
    ),
    Row(
        name="sub-task failure with a huge name",
        hostile=TASK
        + """
from capsule import TaskFailed
@task
def main():
    try: bad()
    except TaskFailed as failed: return len(failed.message) < 100_000
@task
def bad(): raise type("E" * 5_000_000, (Exception,), {})("x" * 5_000_000)
""",
        result=True,
        harmless=TASK
        + "from capsule import TaskFailed\n@task\ndef main():\n    try: bad()\n    except TaskFailed as f: return f.message\n"
        "@task\ndef bad(): raise ValueError('x')",
        value="bad: ValueError: x",
        policy={"compute": "HIGH", "timeout": "10s"},
    ),
)

ROWS = (
    *TIME,
    *MEMORY,
    *STACK,
    *OUTPUT,
    *OUTSIDE,
    *ENDINGS,
    *EXCEPTIONS,
    *RESULTS,
    *REPLIES,
    *PATCHES,
    *CALLS,
)
